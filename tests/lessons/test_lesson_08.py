"""Lesson 8 runs, draws its figure, and its counts are those of the formula."""

from __future__ import annotations

import re
from collections.abc import Callable


def test_lesson_08(run_lesson: Callable) -> None:
    lesson = run_lesson(8, "--device", "cpu")
    assert set(lesson.figures) == {"rank.png"}
    table = {what: row["measured here"] for what, row in lesson.table.items()}
    assert table["512 x 64 at rank 8"] == "32,768 -> 4,608"
    assert table["3 x 3 at rank 1"] == "9 -> 6"
    assert table["100 x 100 at rank 5"] == "10,000 -> 1,000"

    d, layers = 12288, 96  # GPT-3: 2 d r numbers for each matrix of each layer
    for targets, ranks in {
        "q, v": (1, 2, 4, 8, 64),
        "v": (2,),
        "q, k, v, o": (1, 2, 4, 64),
    }.items():
        for r in ranks:
            n_matrices = targets.count(",") + 1
            name = f"GPT-3, {targets}, r = {r}"
            assert table[name] == f"{2 * d * r * layers * n_matrices:,}"
            wrong = lesson.table[name]["verdict"].startswith("the published figure is wrong")
            assert wrong == (targets == "q, k, v, o" and r == 64)

    # r = 12 beside four matrices in each of five blocks of width 256.
    shapes = [(256, 768), (256, 256), (256, 1024), (1024, 256)]
    trained = 5 * sum(12 * (n_in + n_out) for n_in, n_out in shapes)
    assert table["parameters that LoRA trains"].startswith(f"{trained:,} (4.8%)")
    assert f"{8 * trained / 1e6:.1f} MB" in table["optimizer state, full and LoRA"]
    same = re.findall(r"of (\d+) answers (\d+) are those of the model", lesson.output)
    assert len(same) == 2
    assert all(found == total != "0" for total, found in same)
    assert "unmerged it is the base model: True" in lesson.output

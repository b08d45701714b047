"""Lesson 7 runs, draws its figure, and what it says about data does not depend on training."""

from __future__ import annotations

import re
from collections.abc import Callable


def test_lesson_07(run_lesson: Callable) -> None:
    lesson = run_lesson(7, "--device", "cpu")
    assert set(lesson.figures) == {"forgetting.png"}
    gradient = lesson.table["gradient at a prompt's position"]
    assert float(gradient["measured here"]) == 0
    assert gradient["verdict"] == "reproduced"
    assert "prompts that two of them share: 0" in lesson.output

    # Of a packed row the model makes what it makes of each example; without segments it does not.
    (difference,) = re.findall(r"of each example alone differ by (\S+) at most", lesson.output)
    (leaking,) = re.findall(r"had the examples seen each other, by (\S+)\n", lesson.output)
    assert float(difference) < 1e-4 < 0.1 < float(leaking)

    # The prompt's tokens have no target, and the last target is the end.
    rows = re.findall(r"^  after .* comes (.+)$", lesson.output, re.MULTILINE)
    n_prompt = rows.count("-100")
    assert rows[:n_prompt] == ["-100"] * n_prompt
    assert rows[-1] == "'<|endoftext|>'"

    # The baselines do not need a model, and the nearest summary is better than a random one.
    chance, nearest = map(
        float, re.findall(r"topic (\S+), of the nearest one (\S+)", lesson.output)[0]
    )
    assert 0.3 < chance < nearest < 0.9
    assert [name for name in lesson.table if name.startswith("all at once")] == [
        "all at once: BLEU", "all at once: ROUGE-L", "all at once: bits per byte",
    ]  # fmt: skip

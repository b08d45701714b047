"""Lesson 06 computes the slides' ROUGE and BLEU again, and cheats as it says it does."""

from collections.abc import Callable


def test_lesson_06(run_lesson: Callable) -> None:
    lesson = run_lesson(6)
    assert set(lesson.figures) == {"corruption.png"}
    rouge_l = lesson.table["ROUGE-L"]
    assert rouge_l["measured here"] == "1.00, 0.80, 0.89 (LCS 4)"
    assert "0.50, 0.40, 0.44" in rouge_l["verdict"]
    bleu = [row for what, row in lesson.table.items() if what.startswith("BLEU of")]
    assert [row["published"] for row in bleu] == ["0.495", "0.730", "0.798", "1.000"]
    assert [row["measured here"] for row in bleu] == [
        "0.495; with 13a 0.539",
        "0.730; with 13a 0.750",
        "0.798; with 13a 0.772",
        "1.000; with 13a 1.000",
    ]
    others = [row for what, row in lesson.table.items() if what not in ("ROUGE-L", "BLEU")]
    assert all(row["verdict"].startswith("reproduced") for row in others)

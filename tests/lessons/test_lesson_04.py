"""Lesson 04 trains, resumes, and reads the log of the shipped base model."""

from collections.abc import Callable


def test_lesson_04(run_lesson: Callable) -> None:
    lesson = run_lesson(4)
    assert set(lesson.figures) == {"small_model.png", "base_model.png", "bits_per_byte.png"}
    resumed = lesson.table["a run stopped and resumed (CPU)"]
    assert resumed["measured here"] == "12 of 12 equal to the bit"
    first = lesson.table["first loss = ln V"]
    assert abs(float(first["published"]) - float(first["measured here"])) < 0.15

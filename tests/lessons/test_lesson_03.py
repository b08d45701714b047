"""Lesson 03 prints figures that agree with arithmetic done here by hand."""

import re
from collections.abc import Callable


def test_lesson_03(run_lesson: Callable) -> None:
    lesson = run_lesson(3)
    assert "by hand equals the model: True" in lesson.output
    assert set(lesson.figures) == {"residual_stream.png", "first_loss.png", "parameters.png"}
    # 50257 * 768 + 1024 * 768 + 12 * (12 * 768^2 + 13 * 768) + 2 * 768 = 124,439,808
    assert lesson.table["gpt2, parameters"]["measured here"] == "124.4M"
    # Weights take 4 bytes each; gradients and two moments as much again, three times.
    assert re.search(r"^gpt2 +117 M +124.4 M +0.5 GB +2.0 GB$", lesson.output, re.MULTILINE)
    assert re.search(r"^gpt2-xl +1,542 M +1,557.6 M +6.2 GB +24.9 GB$", lesson.output, re.MULTILINE)
    assert "6.0% too low" in lesson.table["gpt2, parameters"]["verdict"]
    assert lesson.table["gpt2-xl, parameters"]["measured here"] == "1557.6M"
    # (40478 + 512) * 768 + 12 * (12 * 768^2 + 13 * 768) = 116,534,784
    assert lesson.table["GPT-1, parameters"]["measured here"] == "116.5M"
    wrong = [
        what for what, row in lesson.table.items() if "published row is wrong" in row["verdict"]
    ]
    assert wrong == [f"gpt3-{size}: heads x head size = width" for size in ("xl", "13b")]

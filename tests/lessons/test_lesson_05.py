"""Lesson 05 prints figures that agree with arithmetic done here by hand."""

import math
import re
from collections.abc import Callable


def percentages(scores: list[float]) -> list[str]:
    """softmax(scores) as the lesson prints it."""
    total = sum(map(math.exp, scores))
    return [f"{100 * math.exp(score) / total:.1f}" for score in scores]


def test_lesson_05(run_lesson: Callable) -> None:
    lesson = run_lesson(5, "--quick")
    assert set(lesson.figures) == {
        "next_token.png", "temperature.png", "nucleus_size.png", "repetition.png", "kv_cache.png",
        "few_shot.png",
    }  # fmt: skip

    def printed(title: str) -> list[str]:
        (line,) = [line for line in lesson.output.splitlines() if line.startswith(title)]
        return re.findall(r"([\d.]+)%", line)

    scores = [3.0, 2.0, 1.0, 0.0, -2.0]
    assert printed("the model says") == percentages(scores)
    assert printed("temperature 0.5 ") == percentages([score / 0.5 for score in scores])
    assert printed("top-k, k = 2") == [*percentages(scores[:2]), "0.0", "0.0", "0.0"]
    # 64.1% + 23.6% = 87.7% is less than 90%, so the third word is needed.
    assert printed("top-p, p = 0.9") == [*percentages(scores[:3]), "0.0", "0.0"]

    drawn = [int(n) for n in re.findall(r"\w+ (\d+)", lesson.output.split("10,000 draws:")[1])[:5]]
    assert sum(drawn) == 10_000
    for count, share in zip(drawn, percentages(scores), strict=True):
        p = float(share) / 100
        assert abs(count / 10_000 - p) < 4 * math.sqrt(p * (1 - p) / 10_000)

    # 2 vectors x 12 layers x 768 numbers x 4 bytes = 72 KiB, x 2,048 tokens = 144 MiB
    assert re.search(r"GPT-2 small, fp32 .* 72 KiB a token, +144 MiB", lesson.output)
    row = lesson.table["tokens with and without the KV cache"]
    assert row["measured here"] == "32 of 32 equal"
    assert row["verdict"] == "reproduced"
    examples = lesson.table["English to French, 0, 1 and 4 examples"]
    assert re.fullmatch(
        r"\d+, \d+, \d+% picked \(guessing 25%, 4 items\)", examples["measured here"]
    )

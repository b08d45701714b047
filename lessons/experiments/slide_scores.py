"""What the slides print about ROUGE, and the texts of their check-in dialogue; lesson 6 uses both.

SUMMARIES["before"]                  # what the model wrote before it was fine-tuned
longest_common_substring(a, b)       # what the slides took for the longest common subsequence
"""

from __future__ import annotations

from lessons.verdicts import Kind, Verdict, same_figure
from minigpt.rouge import Score

SLIDES = "slides 001/002"

SUMMARIES = {
    "before": "Tommy Sandals has a reservation for a room at the Venetian Hotel in Las Vegas.",
    "after": "Tommy Sandals has a reservation and checks in showing his ID and credit card. "
    "Mike helps him to check in and approves his reservation.",
    "human": "Tommy Sandals has got a reservation. "
    "Mike asks for his identification and credit card and helps his check-in.",
}


def judged_parts(
    printed: tuple[str, str, str], score: Score, why: str
) -> list[tuple[str, str, str, Verdict]]:
    """Returns name, printed figure, our figure and verdict for recall, precision and F1.

    Args:
        printed: the three as the slides print them.
        score: ours.
        why: what is wrong with a printed figure, in case it differs.
    """
    parts = {"recall": score.recall, "precision": score.precision, "F1": score.fmeasure}
    return [
        (part, figure, f"{found:.2f}", same_figure(figure, found, why, kind=Kind.WRONG))
        for figure, (part, found) in zip(printed, parts.items(), strict=True)
    ]


def longest_common_substring(a: list[str], b: list[str]) -> list[str]:
    """Returns the longest stretch of neighbouring words that is in both; the first of equals."""
    stretches = [a[i:j] for i in range(len(a)) for j in range(i + 1, len(a) + 1)]
    common = [s for s in stretches if any(b[k : k + len(s)] == s for k in range(len(b)))]
    return max(common, key=len, default=[])

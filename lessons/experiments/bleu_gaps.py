"""How far apart the BLEU of two models is, and how much of that the choice of test records makes.

scored = ScoredAnswers(answers, references)
scored.bleu()                                # as sacrebleu gives it, 0 to 100
difference, error = gap(scored, other)       # BLEU points, and their standard error

BLEU is made of sums over a corpus. What is counted in each record is counted once, so that a corpus
drawn from the records costs a sum, and the paired bootstrap (lessons/verdicts.py) takes no time.
The error says how another choice of test records would change a difference; that of another seed,
with which both models would have come out differently, is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lessons.experiments.task_scores import bleu_counts, bleu_of
from lessons.verdicts import bootstrap_difference


class ScoredAnswers:
    """Holds what BLEU counts in each answer.

    Args:
        answers: the texts to judge.
        references: one right answer for each.
    """

    def __init__(self, answers: Sequence[str], references: Sequence[str]) -> None:
        self.counts = bleu_counts(answers, [[right] for right in references])  # [N, 10]

    def __len__(self) -> int:
        return len(self.counts)

    def bleu(self, rows: np.ndarray | None = None) -> float:
        """Returns the BLEU of the records with these numbers, or of all of them."""
        return bleu_of(self.counts if rows is None else self.counts[rows])


def gap(one: ScoredAnswers, other: ScoredAnswers) -> tuple[float, float]:
    """Returns one's BLEU less other's, answers to the same records, and its standard error."""
    return one.bleu() - other.bleu(), bootstrap_difference(one.bleu, other.bleu, len(one))


def share(one: ScoredAnswers, other: ScoredAnswers, rows: np.ndarray | None = None) -> float:
    """Returns one's BLEU in percent of other's; nan if that is 0."""
    whole = other.bleu(rows)
    return 100 * one.bleu(rows) / whole if whole else math.nan


def share_error(one: ScoredAnswers, other: ScoredAnswers) -> float:
    """Returns the standard error of `share`; nan if a drawn corpus leaves nothing of other."""
    return bootstrap_difference(lambda rows: share(one, other, rows), lambda rows: 0.0, len(one))


Pair = tuple[ScoredAnswers, ScoredAnswers]


def gain_of_share(small: Pair, large: Pair) -> tuple[float, float]:
    """Returns by how many points `share` is more in a large model than in a small one.

    Args:
        small, large: the answers of the one method and of the other, for each size of the model,
            all to the same records.

    Returns:
        The difference of the two shares, and its standard error; nan where a method has no BLEU.
    """
    error = bootstrap_difference(
        lambda rows: share(*large, rows), lambda rows: share(*small, rows), len(small[0])
    )
    return share(*large) - share(*small), error

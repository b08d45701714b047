"""What share of one model's BLEU another one reaches, and its error by the choice of records.

scores = scores_by_question(task, answers, records)     # lessons/experiments/task_scores.py
percent, error = share(scores, others), share_error(scores, others)

The error says how another choice of test records would change a share; that of another seed, with
which both models would have come out differently, is not in it.
"""

from __future__ import annotations

import math

import numpy as np

from lessons.experiments.task_scores import Scores
from lessons.verdicts import bootstrap_difference


def share(one: Scores, other: Scores, rows: np.ndarray | None = None) -> float:
    """Returns one's BLEU in percent of other's; nan if that is 0.

    Args:
        rows: the numbers of the questions to score; None takes all.
    """
    rows = np.arange(one.n_questions) if rows is None else rows
    whole = other.of("bleu")(rows)
    return 100 * one.of("bleu")(rows) / whole if whole else math.nan


def share_error(one: Scores, other: Scores) -> float:
    """Returns the standard error of `share`; nan if a drawn corpus leaves nothing of other."""
    return bootstrap_difference(
        lambda rows: share(one, other, rows), lambda rows: 0.0, one.n_questions
    )


Pair = tuple[Scores, Scores]


def gain_of_share(small: Pair, large: Pair) -> tuple[float, float]:
    """Returns by how many points `share` is more in a large model than in a small one.

    Args:
        small, large: the answers of the one method and of the other, for each size of the model,
            all to the same questions.

    Returns:
        The difference of the two shares, and its standard error; nan where a method has no BLEU.
    """
    error = bootstrap_difference(
        lambda rows: share(*large, rows), lambda rows: share(*small, rows), small[0].n_questions
    )
    return share(*large) - share(*small), error

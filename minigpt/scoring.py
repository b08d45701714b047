"""Scores of texts, and how sure their mean is: the module `scoring` of rouge_score 0.1.2.

A mean over a corpus depends on which texts are in it. The *bootstrap* draws as many texts again,
with replacement, many times over, and asks between which ends most of the means fall.

Source: Efron 1979, "Bootstrap Methods: Another Look at the Jackknife".
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Score(NamedTuple):
    """Precision, recall and F, each from 0 to 1."""

    precision: float
    recall: float
    fmeasure: float


def fmeasure(precision: float, recall: float) -> float:
    """Returns the harmonic mean 2PR / (P + R), or 0 if both are 0."""
    if precision + recall > 0:
        return 2 * precision * recall / (precision + recall)
    return 0.0


class BaseScorer(ABC):
    """Scores a prediction against a target, by as many measures as it likes."""

    @abstractmethod
    def score(self, target: str, prediction: str) -> dict[str, Score]:
        """Returns {name of the measure: Score}."""


class AggregateScore(NamedTuple):
    """What a corpus scores, `mid`, between the ends of its bootstrap interval."""

    low: Any
    mid: Any
    high: Any


class BootstrapAggregator:
    """Collects the scores of texts and returns bootstrap intervals, to the last bit rouge_score's.

    As there, the draws come from numpy's global generator (np.random.seed), and `mid` is the median
    of the drawn means; `minigpt.rouge.bootstrap_interval` takes a seed and has the mean itself.

    Raises:
        ValueError: confidence_interval is not from 0 to 1, or n_samples not a number above 0.
    """

    def __init__(self, confidence_interval: float = 0.95, n_samples: int = 1000) -> None:
        if not 0 <= confidence_interval <= 1:
            raise ValueError(f"confidence_interval must be from 0 to 1, got {confidence_interval}")
        if n_samples <= 0:
            raise ValueError(f"n_samples must be positive, got {n_samples}")
        self._n_samples = n_samples
        self._ends = (1 - confidence_interval) / 2
        self._scores: dict[str, list[Any]] = {}

    def add_scores(self, scores: Mapping[str, Any]) -> None:
        """Adds a text's {name: Score}, or named tuples of another kind."""
        for name, score in scores.items():
            self._scores.setdefault(name, []).append(score)

    def aggregate(self) -> dict[str, AggregateScore]:
        """Returns {name: AggregateScore} of the scores so far, each of the class of the first."""
        intervals = {}
        for name, scores in self._scores.items():
            matrix = np.vstack(scores)  # [texts, parts of a score]
            n = len(matrix)
            draws = [np.random.choice(n, size=n) for _ in range(self._n_samples)]
            means = [np.mean(matrix[draw], axis=0) for draw in draws]
            percents = 100 * np.array([self._ends, 0.5, 1 - self._ends])
            rows = np.percentile(means, percents, axis=0)  # [3, parts of a score]
            intervals[name] = AggregateScore(*(type(scores[0])(*row) for row in rows))
        return intervals

"""The ROUGE scores of a corpus: plain means over its texts, and how sure those are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from minigpt.rouge import Score

Scores = Mapping[str, Score]  # of one text, by type


class Interval(NamedTuple):
    """The mean over a corpus, `mid`, and what it could have been with other texts of the kind."""

    low: Score
    mid: Score
    high: Score


def as_array(scores: Sequence[Scores]) -> np.ndarray:
    """Scores of a corpus as float64 [texts, types, 3]; ValueError: none, or of different types."""
    if not scores:
        raise ValueError("there are no scores to average: the list is empty")
    if len(types := {tuple(sorted(each)) for each in scores}) > 1:
        raise ValueError(f"scores of different types have no mean: {sorted(types)}")
    return np.array([[each[name] for name in scores[0]] for each in scores])


def mean_scores(scores: Iterable[Scores]) -> dict[str, Score]:
    """{type: Score}: plain means over a corpus, of fmeasure too: it is not 2PR/(P+R) of them."""
    scores = list(scores)
    means = as_array(scores).mean(axis=0).tolist()  # [types][3]
    return {name: Score(*mean) for name, mean in zip(scores[0], means, strict=True)}


def bootstrap_interval(
    scores: Iterable[Scores], *, seed: int, confidence: float = 0.95, n_samples: int = 1000
) -> dict[str, Interval]:
    """{type: Interval}: how far the mean is a matter of which texts happen to be in the corpus.

    As many texts as there are, drawn from them with replacement, make another corpus that might
    have been. Of the means of n_samples such corpora, the interval leaves out (1 - confidence) / 2
    at either end. The same seed gives the same interval. ValueError where there is none.
    """
    if not 0 < confidence < 1 or n_samples < 1:
        given = f"{confidence} and {n_samples}"
        raise ValueError(f"confidence must be between 0 and 1, n_samples at least 1; got {given}")
    scores = list(scores)
    array = as_array(scores)
    n, random = len(array), np.random.default_rng(seed)
    means = [array[random.integers(n, size=n)].mean(axis=0) for _ in range(n_samples)]
    ends = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    rows = np.stack([ends[0], array.mean(axis=0), ends[1]], axis=1).tolist()  # [types][3][3]
    named = zip(scores[0], rows, strict=True)
    return {name: Interval(*(Score(*mean) for mean in row)) for name, row in named}

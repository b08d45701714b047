"""Scores of answers that are right or wrong, and of how sure a model is of them.

ROUGE and BLEU judge texts. Where the answer is a label, a number or an exact string, simpler
measures do, each of which tells something that the others hide:

>>> labels, predictions = ["no"] * 9 + ["yes"], ["no"] * 10  # a model that always says no
>>> accuracy(predictions, labels), f1(predictions, labels, "yes")
(0.9, 0.0)
>>> matthews_correlation(predictions, labels)
0.0

Labels are strings, numbers or booleans; a tensor or an array of them does as well as a list.

Sources: Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation
coefficient"; Spearman 1904, "The Proof and Measurement of Association between Two Things";
Rajpurkar et al. 2016 (SQuAD, arXiv 1606.05250); Wang et al. 2019 (GLUE, arXiv 1804.07461), which
says what task is judged by which; Guo et al. 2017, "On Calibration of Modern Neural Networks"
(arXiv 1706.04599).
"""

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigpt.config import is_whole


def accuracy(predictions: Iterable[Hashable], labels: Iterable[Hashable]) -> float:
    """Returns the share of predictions that are their label, from 0 to 1.

    Raises:
        ValueError: there are no labels, or not as many as predictions.
        TypeError: one of the two holds strings where the other holds none.
    """
    predictions, labels = _label_pairs(predictions, labels)
    return sum(map(_same, predictions, labels)) / len(labels)


def f1(predictions: Iterable[Hashable], labels: Iterable[Hashable], positive: Hashable) -> float:
    """Returns the harmonic mean of precision and recall for one label, 2 TP / (2 TP + FP + FN).

    It is 0 where that is 0 / 0, as in scikit-learn: nothing is positive, nothing was called so.

    Args:
        predictions, labels: of one length.
        positive: the label to be found; mistakes among the others do not count.

    Raises:
        ValueError: as in `accuracy`; or positive occurs nowhere, but two other labels do.
        TypeError: as in `accuracy`.
    """
    predictions, labels = _label_pairs(predictions, labels)
    there = {*predictions, *labels}
    if positive not in there and len(there) > 1:
        which = ", ".join(sorted(map(repr, there)))
        raise ValueError(f"positive must be one of the labels, {which:.200}; got {positive!r}")
    return _f1(predictions, labels, positive)


def macro_f1(predictions: Iterable[Hashable], labels: Iterable[Hashable]) -> float:
    """Returns the mean of `f1` over all labels, each counting the same however rare it is.

    The labels are those that occur in either list. Raises what `accuracy` raises.
    """
    predictions, labels = _label_pairs(predictions, labels)
    there = {*predictions, *labels}
    return math.fsum(_f1(predictions, labels, label) for label in there) / len(there)


def _f1(predictions: list[Hashable], labels: list[Hashable], positive: Hashable) -> float:
    found = sum(p == positive == y for p, y in zip(predictions, labels, strict=True))  # TP
    called, wanted = predictions.count(positive), labels.count(positive)  # TP + FP, TP + FN
    return 2 * found / (called + wanted) if called + wanted else 0.0


def matthews_correlation(predictions: Iterable[Hashable], labels: Iterable[Hashable]) -> float:
    """Returns Matthews' correlation for any number of classes (Gorodkin 2004).

    With s pairs of which c are right, p_k predictions and t_k labels of class k, it is

        (c s - sum_k p_k t_k) / sqrt((s^2 - sum_k p_k^2) (s^2 - sum_k t_k^2)),

    which is 1 if all are right and 0 on average for guesses, however uneven the classes are. Where
    all predictions are one class, or all labels, it is 0 / 0, and 0.0 is returned as scikit-learn
    does: a constant answer knows no more than a guess. Raises what `accuracy` raises.
    """
    predictions, labels = _label_pairs(predictions, labels)
    s, c = len(labels), sum(map(_same, predictions, labels))
    p, t = Counter(predictions), Counter(labels)
    covariance = c * s - sum(p[k] * t[k] for k in t)
    spread = (s**2 - sum(n**2 for n in p.values())) * (s**2 - sum(n**2 for n in t.values()))
    return covariance / math.sqrt(spread) if spread else 0.0


def exact_match(
    predictions: Iterable[str], references: Iterable[str], clean: Callable[[str], str] = str.strip
) -> float:
    """Returns the share of texts that are their reference to the last character.

    Args:
        predictions, references: of one length.
        clean: what both go through first; as it is, white space at both ends does not count.
            `squad_answer` makes it the exact match of SQuAD.

    Raises:
        ValueError: there are no texts, or not as many references as predictions.
        TypeError: something is not a string.
    """
    predictions, references = _pairs(predictions, references, "references")
    for text in (*predictions, *references):
        if not isinstance(text, str):
            raise TypeError(f"exact_match compares strings, got {type(text).__name__}: {text!r}")
    return sum(map(_same, map(clean, predictions), map(clean, references))) / len(references)


def squad_answer(text: str) -> str:
    """Returns an answer as SQuAD compares it: lower case, no punctuation, articles or extra blanks.

    >>> squad_answer("The Battle of  Hastings!")
    'battle of hastings'
    """
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def pearson(x: Iterable[float], y: Iterable[float]) -> float:
    """Returns how far y is a straight line in x: 1 rising, -1 falling, 0 if no line helps.

    It is the mean of the products of x and y, after each was shifted to mean 0 and scaled to
    standard deviation 1. If one of them is constant that cannot be done, and NaN is returned, as
    scipy does: no line through such points says anything. (scipy warns; here nothing is printed.)

    Raises:
        ValueError: fewer than two pairs, different lengths, or a number that is not finite.
    """
    first, second = _number_pairs(x, y)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.clip(_direction(first) @ _direction(second), -1, 1))


def spearman(x: Iterable[float], y: Iterable[float]) -> float:
    """Returns how far y rises with x, in whatever curve: the `pearson` of their ranks.

    Equal numbers share the mean of their ranks. NaN and errors are as in `pearson`.
    """
    first, second = _number_pairs(x, y)
    return pearson(average_ranks(first), average_ranks(second))


def average_ranks(x: Iterable[float]) -> np.ndarray:
    """Returns each number's rank, 1 for the smallest; equal ones share the mean of their ranks.

    >>> average_ranks([30, 10, 30, 20]).tolist()
    [3.5, 1.0, 3.5, 2.0]
    """
    _, which, counts = np.unique(_list(x), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # the rank of the last among equals
    return (last - (counts - 1) / 2)[which]


def _direction(x: np.ndarray) -> np.ndarray:
    """Returns x less its mean, scaled to length 1."""
    x = x / np.abs(x).max()  # so that no square is too large or too small
    x = x - x.mean()
    return x / np.linalg.norm(x)


@dataclass(frozen=True)
class Bin:
    """What happened where the model was about equally sure, with low < confidence <= high."""

    low: float
    high: float
    confidence: float  # the mean of what the model gave its answers
    accuracy: float  # the share of them that was right
    count: int


def reliability(confidences: Iterable[float], right: Iterable[bool], bins: int = 15) -> list[Bin]:
    """Sorts answers into bins of equal width by confidence and says how many of each were right.

    A model is *calibrated* if of the answers that it gives 80% about 80% are right. Drawn as
    accuracy over confidence (Guo et al. 2017, figure 1), its bins then lie on the diagonal.

    Args:
        confidences: the probability of each answer, from 0 to 1; a confidence of 0 belongs to the
            first bin.
        right: whether each answer was right.
        bins: how many, from 0 to 1. The paper takes 15.

    Returns:
        The bins that hold an answer, the least sure first.

    Raises:
        ValueError: there are no answers, the lengths differ, a confidence is not from 0 to 1,
            something in right is neither true nor false, or bins is not 1 or more.
    """
    if not is_whole(bins) or bins < 1:
        raise ValueError(f"bins must be a whole number of at least 1, got {bins!r}")
    confidences, right = _pairs(confidences, right, "right", first_name="confidences")
    for i, confidence in enumerate(confidences):
        if not 0 <= confidence <= 1:
            raise ValueError(
                f"confidences must be from 0 to 1, got {confidence!r} at {i}; a softmax over the "
                "logits makes such probabilities"
            )
    if strange := [value for value in right if value not in (0, 1)]:
        raise ValueError(
            f"right must say True or False of each answer, got {strange[0]!r}; prediction == label "
            "does"
        )
    sure, hits = np.array(confidences, dtype=float), np.array(right, dtype=float)  # (N,), (N,)
    edges = np.linspace(0, 1, bins + 1)  # (bins + 1,)
    places = np.searchsorted(edges[1:-1], sure)  # (N,) from 0 to bins - 1
    filled = []
    for i in np.unique(places):
        here = places == i
        means = float(sure[here].mean()), float(hits[here].mean())
        filled.append(Bin(float(edges[i]), float(edges[i + 1]), *means, int(here.sum())))
    return filled


def expected_calibration_error(
    confidences: Iterable[float], right: Iterable[bool], bins: int = 15
) -> float:
    """Returns by how much confidence and accuracy differ, on average over the answers.

    That is the sum over bins of count / N * |accuracy - confidence| (Guo et al. 2017, equation 3):
    0 for a calibrated model. Few answers in a bin make it larger by chance alone. Arguments and
    errors are those of `reliability`.
    """
    filled = reliability(confidences, right, bins)
    n = sum(each.count for each in filled)
    return math.fsum(each.count / n * abs(each.accuracy - each.confidence) for each in filled)


def _same(a: Any, b: Any) -> bool:
    return bool(a == b)


def _list(values: Iterable[Any]) -> list[Any]:
    """Returns a list of plain values, of a tensor or an array too."""
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _pairs(
    first: Iterable[Any], second: Iterable[Any], second_name: str, first_name: str = "predictions"
) -> tuple[list[Any], list[Any]]:
    """Returns both as lists, if they are equally long and not empty."""
    for name, values in ((first_name, first), (second_name, second)):
        if isinstance(values, str):
            raise TypeError(f"{name} must be a list with one entry for each, got {values!r:.60}")
    one, other = _list(first), _list(second)
    if len(one) != len(other):
        raise ValueError(
            f"{first_name} and {second_name} must be of one length, got {len(one)} and {len(other)}"
        )
    if not one:
        raise ValueError(f"nothing to judge: {first_name} and {second_name} are empty")
    return one, other


def _label_pairs(
    predictions: Iterable[Any], labels: Iterable[Any]
) -> tuple[list[Hashable], list[Hashable]]:
    """Returns both as lists, if either all labels are strings or none is."""
    predictions, labels = _pairs(predictions, labels, "labels")
    kinds = [{isinstance(value, str) for value in values} for values in (predictions, labels)]
    if len(kinds[0] | kinds[1]) > 1:
        raise TypeError(
            "a string never equals a label of another type: predictions begin with "
            f"{predictions[0]!r}, labels with {labels[0]!r}; make all of them strings, or none"
        )
    return predictions, labels


def _number_pairs(x: Iterable[float], y: Iterable[float]) -> tuple[np.ndarray, np.ndarray]:
    """Returns both as arrays of float64, if there are two pairs of finite numbers or more."""
    one, other = _pairs(x, y, "y", first_name="x")
    if len(one) < 2:
        raise ValueError("a correlation needs at least 2 pairs, got 1")
    first, second = np.array(one, dtype=float), np.array(other, dtype=float)
    for name, values in (("x", first), ("y", second)):
        if not np.isfinite(values).all():
            i = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ValueError(f"{name}[{i}] is {values[i]}; leave out the pairs without a number")
    return first, second

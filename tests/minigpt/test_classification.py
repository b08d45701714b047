"""Measures of labels, numbers and confidences against scikit-learn's, scipy's and closed forms."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import calibration, metrics

from minigpt import classification
from minigpt.classification import (
    accuracy,
    average_ranks,
    exact_match,
    expected_calibration_error,
    f1,
    macro_f1,
    matthews_correlation,
    pearson,
    reliability,
    spearman,
    squad_answer,
)

CLOSE = {"rel": 1e-12, "abs": 1e-12}


def test_the_examples_in_the_docstrings_are_true() -> None:
    results = doctest.testmod(classification)
    assert results.attempted >= 5
    assert results.failed == 0


def _labels(seed: int) -> tuple[list[Any], list[Any]]:
    """Returns random predictions and labels, often few, of one to five classes, often uneven."""
    random = np.random.default_rng(seed)
    names = [["no", "yes", "maybe", "so", "never"], [3, 1, 4, 0, 5]][seed % 2][: seed % 5 + 1]
    weights = random.dirichlet(np.ones(len(names)))
    n = int(random.integers(1, [5, 80][seed % 3 > 0]))
    labels, guesses = (random.choice(len(names), size=n, p=weights).tolist() for _ in range(2))
    predictions = [y if random.random() < 0.5 else p for y, p in zip(labels, guesses, strict=True)]
    return [names[p] for p in predictions], [names[y] for y in labels]


@pytest.mark.filterwarnings("ignore:.*(ill-defined|single label|pos_label)")
@pytest.mark.parametrize("seed", range(120))
def test_measures_of_labels_are_scikit_learns(seed: int) -> None:
    predictions, labels = _labels(seed)
    pairs = labels, predictions  # the order of scikit-learn
    assert accuracy(predictions, labels) == metrics.accuracy_score(*pairs)
    assert macro_f1(predictions, labels) == pytest.approx(
        metrics.f1_score(*pairs, average="macro", zero_division=0), **CLOSE
    )
    assert matthews_correlation(predictions, labels) == pytest.approx(
        metrics.matthews_corrcoef(*pairs), **CLOSE
    )
    for positive in {*labels, *predictions}:
        binary = [[each == positive for each in values] for values in pairs]
        wanted = metrics.f1_score(*binary, zero_division=0)
        assert f1(predictions, labels, positive) == pytest.approx(wanted, **CLOSE)


def test_f1_and_matthews_by_hand() -> None:
    # 3 hits, 1 false alarm, 2 misses, 4 right rejections
    predictions, labels = [1] * 4 + [0] * 6, [1, 1, 1, 0, 1, 1, 0, 0, 0, 0]
    assert f1(predictions, labels, 1) == 2 * 3 / (2 * 3 + 1 + 2)
    assert macro_f1(predictions, labels) == pytest.approx((6 / 9 + 8 / 11) / 2)
    assert matthews_correlation(predictions, labels) == pytest.approx(
        (3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6)
    )


def test_matthews_is_the_correlation_of_two_columns_of_zeros_and_ones() -> None:
    random = np.random.default_rng(0)
    a, b = random.integers(0, 2, (2, 50))
    assert matthews_correlation(a, b) == pytest.approx(pearson(a, b), **CLOSE)


@pytest.mark.filterwarnings("ignore:A single label")
@pytest.mark.parametrize("constant", [(["a"] * 4, ["a", "b", "a", "b"]), (["a"] * 3, ["a"] * 3)])
def test_matthews_of_a_constant_is_zero_as_in_scikit_learn(constant: Any) -> None:
    predictions, labels = constant
    assert matthews_correlation(predictions, labels) == 0.0
    assert matthews_correlation(labels, predictions) == 0.0
    with np.errstate(all="ignore"):
        assert metrics.matthews_corrcoef(labels, predictions) == 0.0


def test_a_positive_label_that_never_occurs_scores_0_or_is_a_slip() -> None:
    assert f1(["no", "no"], ["no", "no"], "yes") == 0.0  # there just was none
    with pytest.raises(ValueError, match="positive must be one of the labels, 'no', 'yes'; got 1"):
        f1(["no", "yes"], ["no", "no"], 1)


def test_tensors_and_arrays_do_as_well_as_lists() -> None:
    p, y = torch.tensor([2, 0, 1, 1]), torch.tensor([2, 1, 1, 0])
    for measure in (accuracy, macro_f1, matthews_correlation, pearson, spearman):
        assert measure(p, y) == measure(p.numpy(), y.numpy()) == measure(p.tolist(), y.tolist())
    assert accuracy(p, y) == 0.5
    bools = torch.tensor([True, False, True, False])
    assert reliability(p / 2, bools) == reliability((p / 2).tolist(), bools.tolist())


def test_exact_match_compares_what_is_left_after_cleaning() -> None:
    predictions, references = [" Paris\n", "the  Seine", "A cat!"], ["Paris", "Seine", "cat"]
    assert exact_match(predictions, references) == 1 / 3
    assert exact_match(predictions, references, clean=squad_answer) == 1
    assert exact_match(predictions, references, clean=str) == 0
    assert squad_answer("An Athens; theatre, a-b") == "athens theatre ab"  # parts of words stay


def _numbers(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns random columns, every other time with many ties, of very different sizes."""
    random = np.random.default_rng(seed)
    x = random.normal(size=int(random.integers(2, 60)))
    y = random.normal() * x + random.normal(size=len(x))
    if seed % 2:
        x, y = np.round(2 * x), np.round(y)
    return x * 10.0 ** random.integers(-9, 10), y


@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
@pytest.mark.parametrize("seed", range(80))
def test_correlations_are_scipys(seed: int) -> None:
    x, y = _numbers(seed)
    for ours, peer in ((pearson, stats.pearsonr), (spearman, stats.spearmanr)):
        assert ours(x, y) == pytest.approx(peer(x, y).statistic, nan_ok=True, **CLOSE)
    assert average_ranks(x).tolist() == stats.rankdata(x).tolist()


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_a_line_correlates_fully_and_a_curve_in_its_ranks(scale: float) -> None:
    x = np.arange(1, 8) * scale
    assert pearson(x, 3 - np.arange(7)) == pytest.approx(-1, abs=1e-15)
    assert spearman(x, np.exp(np.arange(7))) == pytest.approx(1, abs=1e-15)
    assert pearson(x, np.exp(np.arange(7))) < 0.9


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("measure", [pearson, spearman])
def test_a_constant_correlates_with_nothing(measure: Callable[..., float]) -> None:
    constant = [0.1] * 7  # whose computed mean is not 0.1
    assert math.isnan(measure(constant, range(7)))
    assert math.isnan(measure(range(7), constant))
    assert math.isnan(measure([0, 0], [0, 0]))


@pytest.mark.parametrize("bins", [1, 5, 10, 15])
def test_reliability_is_scikit_learns_curve(bins: int) -> None:
    random = np.random.default_rng(bins)
    confidences = np.concatenate([random.random(300) ** 2, np.linspace(0, 1, bins + 1)])
    right = random.random(len(confidences)) < confidences
    accuracies, means = calibration.calibration_curve(right, confidences, n_bins=bins)
    filled = reliability(confidences, right, bins)
    assert [each.accuracy for each in filled] == pytest.approx(accuracies, **CLOSE)
    assert [each.confidence for each in filled] == pytest.approx(means, **CLOSE)
    for each in filled:
        here = (confidences > each.low) & (confidences <= each.high)
        assert each.count == here.sum() + (confidences == 0).sum() * (each.low == 0)
    assert sum(each.count for each in filled) == len(confidences)


def test_the_calibration_error_is_the_gap_weighed_by_how_many_answers_have_it() -> None:
    confidences = [0.95] * 6 + [0.55] * 2
    right = [True] * 3 + [False] * 3 + [True, False]  # 0.5 where 0.95 was said, 0.5 for 0.55
    wanted = 6 / 8 * 0.45 + 2 / 8 * 0.05
    assert expected_calibration_error(confidences, right) == pytest.approx(wanted)
    assert expected_calibration_error(confidences, right, bins=1) == pytest.approx(0.85 - 0.5)
    assert expected_calibration_error([0, 1, 1], [0, 1, 1]) == 0


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: accuracy([], []), ValueError, "nothing to judge: predictions and labels are empt"),
        (lambda: accuracy([1, 2], [1]), ValueError, "must be of one length, got 2 and 1"),
        (lambda: accuracy("yes", ["y", "e", "s"]), TypeError, "predictions must be a list"),
        (lambda: macro_f1(["1", "2"], [1, 2]), TypeError, "predictions begin with '1', labels wi"),
        (lambda: matthews_correlation([1, "2"], [1, 2]), TypeError, "make all of them strings"),
        (lambda: exact_match(["a"], []), ValueError, "references must be of one length"),
        (lambda: exact_match(["a"], [None]), TypeError, "compares strings, got NoneType"),  # type: ignore[list-item]
        (lambda: pearson([1], [2]), ValueError, "needs at least 2 pairs, got 1"),
        (lambda: pearson([1, 2], [3]), ValueError, "x and y must be of one length, got 2 and 1"),
        (lambda: spearman([1, 2], [0, math.nan]), ValueError, r"y\[1\] is nan; leave out"),
        (lambda: reliability([0.5, 1.5], [1, 0]), ValueError, "must be from 0 to 1, got 1.5 at 1"),
        (lambda: reliability([math.nan], [1]), ValueError, "must be from 0 to 1, got nan at 0"),
        (lambda: reliability([0.5], ["yes"]), ValueError, "True or False of each answer, got 'ye"),  # type: ignore[list-item]
        (lambda: reliability([0.5], [1], 0), ValueError, "bins must be .* at least 1, got 0"),
        (lambda: expected_calibration_error([], []), ValueError, "confidences and right are empty"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    call: Callable[[], object], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        call()

"""Answers are compared as they should be: types, shapes, dtypes, numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from lessons.grading.compare import differ, wrong_elements
from lessons.grading.task import BF16_STEP, Close
from lessons.grading.values import Lazy, Strange

X = torch.tensor([1.0, -2.0, 3.0])


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ((1, 2), [1, 2]),
        (Counter("aab"), {"a": 2, "b": 1}),
        (Lazy([1, 2]), [1, 2]),
        (3, 3.0),
        (X + 1e-7, X),
        ([X, {"a": X}], (X, {"a": X})),
        (torch.tensor([torch.nan, torch.inf]), torch.tensor([torch.nan, torch.inf])),
        (torch.zeros(0, 3), torch.zeros(0, 3)),
        (None, None),
    ],
)
def test_equal_answers_do_not_differ(got: Any, expected: Any) -> None:
    assert differ(got, expected, Close()) is None


@pytest.mark.parametrize(
    ("got", "expected", "kind", "path"),
    [
        (None, X, "type", ""),
        ([1.0, -2.0, 3.0], X, "type", ""),
        (Strange("Tensor"), X, "type", ""),
        (True, 1, "value", ""),
        ("1", 1, "type", ""),
        (2.0, 2, "value", ""),
        ([1, 2, 3], [1, 2], "length", ""),
        ({"a": 1}, {"a": 1, "b": 2}, "keys", ""),
        ([1, {"a": 2}], [1, {"a": 3}], "value", "[1]['a']"),
        (X[None], X, "shape", ""),
        (X.double(), X, "dtype", ""),
        (X + 1e-3, X, "value", ""),
        (torch.full((3,), torch.nan), X, "value", ""),
        (torch.full((3,), torch.inf), X, "value", ""),
    ],
)
def test_the_first_difference_is_found(got: Any, expected: Any, kind: str, path: str) -> None:
    found = differ(got, expected, Close())
    assert found is not None
    assert (found.kind, found.path) == (kind, path)


def test_a_fraction_is_not_a_whole_number() -> None:
    got, expected = torch.tensor([2.7, 3.0]), torch.tensor([2, 3])
    assert wrong_elements(got, expected, Close()).tolist() == [True, False]


def test_the_wrong_elements_are_marked() -> None:
    found = differ(X + torch.tensor([0.0, 0.1, 0.0]), X, Close())
    assert found is not None
    assert found.wrong is not None
    assert found.wrong.tolist() == [False, True, False]


def test_a_tolerance_is_relative_to_the_tensor_the_row_or_the_element() -> None:
    expected = torch.tensor([[1e4, 1e4], [1.0, 1e-3]])
    got = expected + torch.tensor([[0.0, 0.0], [0.0, 1e-5]])
    counts = [
        int(wrong_elements(got, expected, Close(1e-4, per)).sum())
        for per in ("tensor", "row", "element")
    ]
    assert counts == [0, 0, 1]
    assert int(wrong_elements(got, expected, Close(1e-6, "row")).sum()) == 1


def test_a_looser_comparison_lets_more_pass() -> None:
    assert differ(X + 1e-4, X, Close()) is not None
    assert differ(X + 1e-4, X, Close(), looser=30) is None


def test_every_bf16_may_be_one_step_off_and_hardly_any_two() -> None:
    close = Close(per="element", bf16=BF16_STEP)
    numbers = torch.arange(0x0080, 0x7F80, dtype=torch.int16).view(torch.bfloat16)
    for n, least, most in ((1, 0.0, 0.0), (2, 0.99, 1.0)):
        for got, want in ((numbers[n:], numbers[:-n]), (numbers[:-n], numbers[n:])):
            assert least <= wrong_elements(got, want, close).float().mean() <= most

"""What stays in this process is what would have come back from a child."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lessons.grading.objects import make
from lessons.grading.task import Made
from lessons.grading.values import Lazy, Strange, dumps, handed_over, loads

X = torch.arange(24.0).view(2, 3, 4)
TENSORS: dict[str, Callable[[], torch.Tensor]] = {
    "plain": lambda: X,
    "transposed": lambda: X.transpose(0, 2),
    "every second": lambda: X[:, :, ::2],
    "expanded": lambda: X[:, :1].expand(2, 5, 4),
    "one number of every second": lambda: torch.arange(2.0)[::2],
    "empty": lambda: X[:, :0],
    "a number": lambda: X[0, 0, 0],
    "bf16": lambda: X.bfloat16(),
    "bool": lambda: X > 3,
    "conjugate": lambda: torch.view_as_complex(X.view(2, 3, 2, 2)).conj(),
    "negative": lambda: torch.view_as_complex(X.view(2, 3, 2, 2)).conj().imag,
    "with a gradient": lambda: X.clone().requires_grad_(),
    "a parameter": lambda: torch.nn.Parameter(X.clone()),
}


def assert_the_same(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(ours, torch.Tensor):
        assert (ours.dtype, ours.stride()) == (theirs.dtype, theirs.stride())
        assert ours.requires_grad is theirs.requires_grad is False
        assert torch.equal(ours, theirs)
    elif isinstance(ours, np.ndarray):
        assert (ours.dtype, ours.strides) == (theirs.dtype, theirs.strides)
        assert np.array_equal(ours, theirs)
    elif isinstance(ours, dict):
        assert list(ours) == list(theirs)
        for key in ours:
            assert_the_same(ours[key], theirs[key])
    elif isinstance(ours, (list, tuple)):
        assert len(ours) == len(theirs)
        for pair in zip(ours, theirs, strict=True):
            assert_the_same(*pair)
    else:
        assert repr(ours) == repr(theirs)  # so that nan is nan


@pytest.mark.parametrize("made", TENSORS.values(), ids=TENSORS)
def test_a_tensor_is_copied_as_bytes_would_copy_it(made: Callable[[], torch.Tensor]) -> None:
    tensor = made()
    ours = handed_over(tensor)
    assert_the_same(ours, loads(dumps(tensor)))
    assert torch.equal(ours, tensor)
    if tensor.dtype.is_floating_point and tensor.numel():
        ours += 1  # a copy
        assert not torch.equal(ours, tensor)


def test_everything_else_is_what_a_child_returns() -> None:
    value = [
        *(None, True, 3, 1 << 999, 0.1, float("nan"), -0.0, 2 + 1j, "ä\0", b"bytes"),
        {"a": (1, [2, {3}]), (4, 5): frozenset([6])},
        np.arange(6.0).reshape(2, 3)[:, ::2], np.float32(0.1), np.int64(7),
    ]  # fmt: skip
    assert_the_same(handed_over(value), loads(dumps(value)))
    assert handed_over([object(), 1 << 1001]) == [Strange("object"), Strange("int")]
    for make_lazy in (lambda: iter(range(3)), lambda: range(3)):
        assert handed_over(make_lazy()) == loads(dumps(make_lazy())) == Lazy([0, 1, 2])


@pytest.mark.parametrize("value", ["two letters", 1000, 1 << 70, 0.5, b"bytes"])
def test_nothing_is_the_same_object_as_before(value: object) -> None:
    for copy in (handed_over, lambda value: loads(dumps(value))):
        one, other = copy([value, value])
        assert one == other == value
        assert one is not other
        assert one is not value


def test_the_objects_of_a_case_are_made() -> None:
    made = Made("linear", {"weight": X[0], "bias": None})
    ours, theirs = handed_over([made], make), loads(dumps([made]), make)
    assert type(ours[0]) is type(theirs[0])
    with pytest.raises(ValueError, match="an answer cannot hold"):
        handed_over(made)

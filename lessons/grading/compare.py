"""Compares an answer with the reference's: types, shapes, dtypes, then numbers.

`differ` returns None where the two agree, else where and how they differ. A dict may be a Counter,
a named tuple a plain one, a list a tuple, a whole number numpy's; a tensor is a tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lessons.grading.task import TOLERANCES, Close
from lessons.grading.values import Lazy, Strange


@dataclass
class Difference:
    """Where an answer differs.

    Attributes:
        kind: "type", "shape", "dtype", "length", "keys", "value".
        path: where in the answer: "[1]['a']"; empty for the whole.
        got, expected: the two parts that differ.
        wrong: for tensors of one shape, bool: which elements differ.
    """

    kind: str
    path: str
    got: Any
    expected: Any
    wrong: torch.Tensor | None = None


def differ(
    got: Any,
    expected: Any,
    close: Close | None,
    same_dtype: bool = True,
    path: str = "",
    looser: float = 1.0,
) -> Difference | None:
    """Returns the first difference, or None.

    Args:
        got, expected: what is compared.
        close: how near numbers must be; None for equal ones.
        same_dtype: whether tensors must have one dtype.
        path: where the two stand in an answer.
        looser: is multiplied with the tolerance.
    """

    def difference(kind: str, wrong: torch.Tensor | None = None) -> Difference:
        return Difference(kind, path, got, expected, wrong)

    if isinstance(expected, Lazy):
        expected = expected.items
    if isinstance(got, Lazy):
        got = got.items
    if isinstance(got, Strange):  # an object of a case comes back as the name of its type
        return None if got == expected else difference("type")
    if isinstance(expected, np.ndarray):
        expected = torch.from_numpy(expected)
        got = torch.from_numpy(got) if isinstance(got, np.ndarray) else got
    if isinstance(expected, torch.Tensor):
        if not isinstance(got, torch.Tensor):
            return difference("type")
        if got.shape != expected.shape:
            return difference("shape")
        if same_dtype and got.dtype != expected.dtype:
            return difference("dtype")
        wrong = wrong_elements(got, expected, close, looser)
        return difference("value", wrong) if bool(wrong.any()) else None
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return difference("type")
        if set(got) != set(expected):
            return difference("keys")
        items = ((f"{path}[{key!r}]", got[key], value) for key, value in expected.items())
    elif isinstance(expected, (list, tuple)):
        if not isinstance(got, (list, tuple)):
            return difference("type")
        if len(got) != len(expected):
            return difference("length")
        items = (
            (f"{path}[{i}]", ours, theirs)
            for i, (ours, theirs) in enumerate(zip(got, expected, strict=True))
        )
    else:
        return (
            None
            if same_plain(got, expected, close, looser)
            else difference(plain_kind(got, expected))
        )
    for place, ours, theirs in items:
        if found := differ(ours, theirs, close, same_dtype, place, looser):
            return found
    return None


def plain_kind(got: Any, expected: Any) -> str:
    """Returns "type" if the two could never be equal, else "value"."""
    numbers = (bool, int, float)
    both = isinstance(got, numbers) and isinstance(expected, numbers)
    return "value" if both or type(got) is type(expected) else "type"


def same_plain(got: Any, expected: Any, close: Close | None, looser: float = 1.0) -> bool:
    """Compares what is neither a tensor nor a container."""
    if isinstance(expected, float) and isinstance(got, (int, float)) and not isinstance(got, bool):
        if math.isnan(expected) or math.isnan(got) or math.isinf(expected) or math.isinf(got):
            return str(float(got)) == str(expected)
        rtol = 0.0 if close is None else close.rtol or 1e-9
        return abs(got - expected) <= looser * rtol * max(abs(expected), 1e-30)
    if isinstance(expected, int) and not isinstance(expected, bool):
        return isinstance(got, int) and not isinstance(got, bool) and got == expected
    return type(got) is type(expected) and bool(got == expected)


def wrong_elements(
    got: torch.Tensor, expected: torch.Tensor, close: Close | None, looser: float = 1.0
) -> torch.Tensor:
    """Returns which elements of two tensors of one shape differ: bool of that shape."""
    if got.dtype != expected.dtype and expected.dtype.is_floating_point and not got.is_complex():
        got = got.to(expected.dtype)  # a whole number is compared as it came: 2.7 is not 2
    wrong = got != expected
    if not expected.dtype.is_floating_point or not bool(wrong.any()):
        return wrong
    wrong &= ~(got.isnan() & expected.isnan())
    if close is None or got.is_complex():
        return wrong
    rtol = close.rtol if close.rtol is not None else TOLERANCES[expected.dtype]
    if expected.dtype == torch.float64 and close.fp64 is not None:
        rtol = close.fp64
    if expected.dtype == torch.bfloat16 and close.bf16 is not None:
        rtol = close.bf16
    rtol *= looser
    wide, want = got.double(), expected.double()
    finite = torch.where(want.isfinite(), want, 0.0)
    if close.per == "element":
        scale = finite.abs()
    elif close.per == "row" and want.dim() > 0:
        scale = finite.square().mean(dim=-1, keepdim=True).sqrt()
    else:
        scale = finite.square().mean().sqrt() if want.numel() else finite
    return wrong & ~((wide - want).abs() <= rtol * scale)

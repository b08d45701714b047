"""Other tensors that a wrong answer may be right for: zeros, transposed, rounded, one row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from lessons.grading.diagnosis.other_numbers import SCALES, mixed
from lessons.grading.diagnosis.substitute import Row, Substitute, of_rows, with_value

if TYPE_CHECKING:
    from lessons.grading.trial import Trial

# fmt: off
TRUTHS: list[Row] = [
    (1.0, "opposite", "{x} were the opposite", lambda v: ~v),
    (1.0, "other value", "{x} were True everywhere", torch.ones_like),
    (1.0, "other value", "{x} were False everywhere", torch.zeros_like),
]
NUMBERS: list[Row] = [
    (2.0, "ignored", "{x} were all zeros", torch.zeros_like),
]
FLOATS: list[Row] = [
    (1.5, "ignored", "{x} were all ones", torch.ones_like),
    (1.0, "negated", "{x} were negative: -{x}", lambda v: -v),
    (0.5, "other value", "{x} were |{x}|", torch.abs),
    (0.4, "other value", "{x} were cut at 0", lambda v: v.clamp(min=0)),
    (0.4, "other value", "{x} were 1 + {x}", lambda v: 1 + v),
    (0.2, "other value", "{x} were twice as large", lambda v: 2 * v),
    (0.2, "other value", "{x} were half as large", lambda v: v / 2),
    (0.0, "other value", "{x} were squared", torch.square),
    (0.0, "other value", "{x} were 1 / {x}", lambda v: 1 / v),
    (0.0, "other value", "{x} were its own square root", torch.sqrt),
    (0.0, "centred", "the mean of {x} along its last axis were 0",
     lambda v: v - v.mean(-1, keepdim=True)),
    (-.5, "other value", "{x} were exp({x})", torch.exp),
    (-.5, "other value", "{x} were log({x})", torch.log),
    (0.5, "lower precision", "{x} were rounded to bf16", lambda v: v.bfloat16().to(v.dtype)),
    (0.5, "lower precision", "{x} were rounded to fp16", lambda v: v.half().to(v.dtype)),
]
WHOLE: list[Row] = [
    (0.5, "other value", "{x} were one larger", lambda v: v + 1),
    (0.5, "other value", "{x} were one smaller", lambda v: v - 1),
]
# fmt: on


def for_tensor(name: str, value: torch.Tensor, trial: Trial) -> Iterator[Substitute]:
    """Yields for a tensor: constants, signs, scales, orders, other precision."""
    if value.dtype == torch.bool:
        yield from of_rows(name, TRUTHS)
    else:
        yield from of_rows(name, NUMBERS)
        yield from of_rows(name, FLOATS if value.dtype.is_floating_point else WHOLE)
    if value.dim() == 0 or "." in name:  # of a field of an object that is enough
        return
    if value.dtype.is_floating_point:
        yield from mixed(name, trial, SCALES, -0.3)
    order = "the numbers of {x} were read as they lie in memory, without its strides"
    yield from of_rows(name, [(1.0, "contiguous", order, in_memory_order)])
    for axis in range(value.dim()):
        yield from of_rows(name, along(axis, value.dim()))
    if value.dim() >= 2:
        turned = "{x} were transposed"
        yield from of_rows(name, [(0.6, "transposed", turned, lambda v: v.transpose(-1, -2))])
        for pair in itertools.combinations(range(value.dim()), 2):
            yield exchanged(name, *pair)
        yield one_row(name)


def along(axis: int, dims: int) -> Iterator[Row]:
    """Yields what may happen along one axis."""
    where = f" along axis {axis}" if dims > 1 else ""
    first = f"{{x}} were the same at every place{where}: its first entry"
    yield 0.3, "reversed", f"{{x}} were reversed{where}", lambda v: v.flip(axis)
    yield 0.0, "rolled", f"{{x}} were moved one place on{where}", lambda v: v.roll(1, axis)
    yield 0.0, "rolled", f"{{x}} were moved one place back{where}", lambda v: v.roll(-1, axis)
    yield 0.3, "one for all", first, lambda v: v.narrow(axis, 0, 1).expand_as(v).contiguous()


def exchanged(name: str, a: int, b: int) -> Substitute:
    """Returns the work along another axis: the argument transposed, the answer transposed back."""

    def turned(v: Any, trial: Trial) -> Any:
        return v.transpose(a, b).contiguous()

    def back(result: Any, trial: Trial) -> Any:
        if isinstance(result, (tuple, list)):
            return type(result)(back(part, trial) for part in result)
        return result.transpose(a, b)

    phrase = f"axes {a} and {b} of {name} had changed places: you work along the wrong one"
    return Substitute("wrong axis", phrase, with_value(name, turned), back, 1)


def one_row(name: str) -> Substitute:
    """Returns the work on all numbers at once."""

    def flat(v: Any, trial: Trial) -> Any:
        return v.reshape(1, -1)

    def back(result: Any, trial: Trial) -> Any:
        return result.reshape(trial.named[name].shape)

    phrase = f"all of {name} were one row: you work on the whole tensor at once"
    return Substitute("one row", phrase, with_value(name, flat), back, 1)


def in_memory_order(v: torch.Tensor) -> torch.Tensor:
    """Returns a view's numbers as they lie in memory; the same tensor if that is their order."""
    if v.is_contiguous():
        return v
    return (
        v.permute(sorted(range(v.dim()), key=lambda i: v.stride()[i], reverse=True))
        .contiguous()
        .view(v.shape)
    )

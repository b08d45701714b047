"""Lesson 99: double a number, take it four times by doubling twice, add up a list of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lessons.grading.task import Bank, Case, Close, Draw, Task

FACTOR = 2
Names = dict[str, int]


class Settings:
    """A type that a learner does not have."""


def double(x: int) -> int:
    """Returns FACTOR times x."""
    return FACTOR * x


def quadruple(x: int, settings: Settings | None = None, names: Names | None = None) -> int:
    """Returns 4 x, by doubling twice."""
    return double(double(x))


def add_up(
    tensors: Sequence[Tensor], weights: Mapping[str, float] | None = None, *, start: float = FACTOR
) -> Tensor:
    """Returns the sum of the tensors, [n]; it begins with start."""
    total = torch.full_like(tensors[0], start)
    for tensor in tensors:
        total = total + tensor
    return total


def numbers(draw: Draw) -> Iterator[Case]:
    """Yields a few whole numbers."""
    for x in (1, 0, -3, draw.integer(10, 99)):
        yield Case((x,))


def lists(draw: Draw) -> Iterator[Case]:
    """Yields a few lists of tensors."""
    for n in (1, 2, 5):
        yield Case(([draw.normal(4) for _ in range(n)],))


doubles, quadruples, sums = Bank(), Bank(), Bank()
doubles.answers += ["def double(x):\n    return x + x\n", "def double(x):\n    return 2 * x\n"]
doubles.edit("tripled", "You add x once too often.", ("x + x", "x + x + x"))
doubles.edit("squared", "This squares x.", ("x + x", "x * x"))
quadruples.answers += ["def quadruple(x):\n    return 4 * x\n"]
quadruples.edit("eight times", "This is 8 x.", ("4 * x", "8 * x"))
sums.answers += ["def add_up(tensors):\n    return torch.stack(tensors).sum(0) + 2\n"]
sums.edit("start left out", "The sum should begin with 2.", (" + 2", ""))

COMMON: dict[str, Any] = {"idea": "Numbers can be added.", "hints": ("What?", "How.", "a + b")}
TASKS = [
    Task(
        id="99.1", name="double", reference=double, example=">>> double(3)\n6", cases=numbers,
        sample=lambda draw: Case((draw.integer(-9, 9),)), bank=doubles, **COMMON,
    ),
    Task(
        id="99.2", name="quadruple", reference=quadruple, example=">>> quadruple(3)\n12",
        cases=numbers, sample=lambda draw: Case((draw.integer(-9, 9),)), bank=quadruples,
        points=3, **COMMON,
    ),
    Task(
        id="99.3", name="add_up", reference=add_up, compare=Close(), cases=lists, bank=sums,
        example=">>> add_up([torch.ones(2), torch.ones(2)])\ntensor([4., 4.])",
        sample=lambda draw: Case(([draw.normal(3), draw.normal(3)],)), **COMMON,
    ),
]  # fmt: skip
DOUBLE, QUADRUPLE, ADD_UP = TASKS

RIGHT = f"import torch\n\n{doubles.answers[0]}\n{quadruples.answers[0]}\n{sums.answers[0]}"
BY_DOUBLING = "def quadruple(x):\n    return double(double(x))\n"

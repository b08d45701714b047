"""Sets of elements with a name: the last row, the diagonal, where x is negative."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from lessons.grading.diagnosis.scalars import scalars
from lessons.grading.diagnosis.series import Point, as_tensor
from lessons.grading.diagnosis.words import axis_name

Region = Callable[[Point], "torch.Tensor | None"]
Tensor = torch.Tensor


class Pattern(NamedTuple):
    """A set of elements.

    Attributes:
        phrase: what follows "wrong exactly".
        region: the set in one answer, bool of its shape; None if it has no meaning there.
        bonus: added to the rank.
    """

    phrase: str
    region: Region
    bonus: float = 0


# What is true of an index i of n along an axis.
POSITIONS: list[tuple[float, str, Callable[[Tensor, int], Tensor]]] = [
    (2.0, "the first entry", lambda i, n: i == 0),
    (2.0, "the last entry", lambda i, n: i == n - 1),
    (1.5, "all but the first entry", lambda i, n: i > 0),
    (1.5, "all but the last entry", lambda i, n: i < n - 1),
    (1.0, "the first and the last entry", lambda i, n: (i == 0) | (i == n - 1)),
    (0.5, "all but the first and the last entry", lambda i, n: (i > 0) & (i < n - 1)),
    (1.0, "the odd positions (1, 3, 5, ...)", lambda i, n: i % 2 == 1),
    (1.0, "the even positions (0, 2, 4, ...)", lambda i, n: i % 2 == 0),
    (0.5, "the first half", lambda i, n: i < n // 2),
    (0.5, "the second half", lambda i, n: i >= n // 2),
    (0.0, "entry 2 and those after it", lambda i, n: i >= 2),
    (0.0, "the first 2 entries", lambda i, n: i < 2),
    (0.0, "the last 2 entries", lambda i, n: i >= n - 2),
    (0.0, "entry 3 and those after it", lambda i, n: i >= 3),
]
# The same with a number s of the inputs.
GROUPS: list[tuple[float, str, Callable[[Tensor, int, int], Tensor]]] = [
    (0.5, "from position {s} on", lambda i, n, s: i >= s),
    (0.5, "before position {s}", lambda i, n, s: i < s),
    (0.2, "at position {s}", lambda i, n, s: i == s),
    (0.8, "in the last, partial group of {s}",
     lambda i, n, s: (i >= n - n % s) if s > 1 else i < 0),
    (0.4, "after the first group of {s}", lambda i, n, s: i >= s if s > 1 else i < 0),
]  # fmt: skip
# Row i, column j; off is how many more columns there are than rows.
CORNER = "the diagonal that ends in the last corner"
DIAGONALS: list[tuple[float, str, Callable[[Tensor, Tensor, int], Tensor]]] = [
    (1.0, "on the diagonal", lambda i, j, off: i == j),
    (1.0, "above the diagonal", lambda i, j, off: j > i),
    (1.0, "below the diagonal", lambda i, j, off: j < i),
    (1.0, "off the diagonal", lambda i, j, off: i != j),
    (1.0, "on and above the diagonal", lambda i, j, off: j >= i),
    (1.0, "on and below the diagonal", lambda i, j, off: j <= i),
    (1.0, "one place above the diagonal", lambda i, j, off: j == i + 1),
    (1.0, "one place below the diagonal", lambda i, j, off: j == i - 1),
    (0.9, f"on {CORNER}", lambda i, j, off: j == i + off),
    (0.9, f"above {CORNER}", lambda i, j, off: j > i + off),
    (0.9, f"below {CORNER}", lambda i, j, off: j < i + off),
    (0.9, f"one place above {CORNER}", lambda i, j, off: j == i + off + 1),
    (0.9, f"one place below {CORNER}", lambda i, j, off: j == i + off - 1),
    (0.9, f"between the diagonal and {CORNER}", lambda i, j, off: (j > i) & (j <= i + off)),
]


def index(p: Point, axis: int) -> Tensor:
    """Returns each element's index along an axis, in the answer's shape."""
    shape = [1] * p.want.dim()
    shape[axis] = -1
    return torch.arange(p.want.size(axis)).view(shape).expand(p.want.shape)


def by_index(points: list[Point], axes: dict[str, str]) -> Iterator[Pattern]:
    """Yields sets that depend on the position alone, in answers of one number of dimensions."""
    dims = points[0].want.dim()
    whole = [name for name, value in scalars(points[0].trial).items() if value == int(value)]
    for axis in range(dims):
        where = f" along {axis_name(axes, '->', axis, dims)}" if dims > 1 else ""
        for bonus, phrase, test in POSITIONS:

            def at(p: Point, axis: int = axis, test: Callable = test) -> Tensor:
                return test(index(p, axis), p.want.size(axis))

            yield Pattern(f"at {phrase}{where}", at, bonus)
        for name, (bonus, phrase, group) in itertools.product(whole[:12], GROUPS):
            yield Pattern(phrase.format(s=name) + where, grouped(axis, name, group), bonus)
    for (a, b), (bonus, phrase, of_two) in itertools.product(
        itertools.combinations(range(dims), 2), DIAGONALS
    ):

        def diagonal(p: Point, a: int = a, b: int = b, test: Callable = of_two) -> Tensor:
            return test(index(p, a), index(p, b), p.want.size(b) - p.want.size(a))

        yield Pattern(phrase + ("" if dims == 2 else f" of axes {a} and {b}"), diagonal, bonus)


def grouped(axis: int, name: str, test: Callable) -> Region:
    """Returns the set that depends on a number of the inputs."""

    def region(p: Point) -> Tensor | None:
        value = scalars(p.trial).get(name)
        return None if value is None else test(index(p, axis), p.want.size(axis), int(value))

    return region


def repeats(x: Tensor) -> Tensor:
    """Returns which elements come more than once in their row."""
    if x.dim() == 0:
        return torch.zeros((), dtype=torch.bool)
    return (x[..., :, None] == x[..., None, :]).sum(-1) > 1


NUMBERS: dict[str, Callable[[Tensor], Tensor]] = {
    "negative": lambda x: x < 0,
    "positive": lambda x: x > 0,
    "zero": lambda x: x == 0,
    "not zero": lambda x: x != 0,
    "NaN": torch.isnan,
    "infinite": torch.isinf,
    "repeated in its row": repeats,
    "odd": lambda x: x.abs() % 2 == 1,
    "the largest in its row": lambda x: x == x.amax(-1, keepdim=True),
    "the smallest in its row": lambda x: x == x.amin(-1, keepdim=True),
    "larger than 1 in size": lambda x: x.abs() > 1,
    "smaller than 1 in size": lambda x: x.abs() < 1,
    "a whole number": lambda x: x == x.round(),
}
CHANCE = ("repeated in its row", "odd", "larger than 1 in size", "smaller than 1 in size")
TRUTHS: dict[str, Callable[[Tensor], Tensor]] = {"True": lambda x: x, "False": lambda x: ~x}


def by_value(points: list[Point]) -> Iterator[Pattern]:
    """Yields sets that depend on the right answer or on an argument that can have its shape."""
    sources: dict[str, Callable[[Point], Tensor | None]] = {"the right answer": lambda p: p.want}
    for name, value in points[0].trial.named.items():
        if (x := as_tensor(value)) is not None and x.dim():
            sources[name] = spread(name)
    for name, source in sources.items():
        first = source(points[0])
        if first is None:
            continue
        for phrase, test in (TRUTHS if first.dtype == torch.bool else NUMBERS).items():

            def region(p: Point, source: Callable = source, test: Callable = test) -> Tensor | None:
                x = source(p)
                return None if x is None or not x.numel() or not x.dim() else test(x)

            bonus = 1.0 if name == "the right answer" else 1.5
            if name == "the right answer" and phrase in ("positive", "not zero", *CHANCE):
                bonus = -22.0  # what is 0 is right with many a mistake
            yield Pattern(f"where {name} is {phrase}", region, bonus)


def spread(name: str) -> Callable[[Point], Tensor | None]:
    """Returns the function that gives an argument in the shape of the answer."""

    def of(p: Point) -> Tensor | None:
        x = as_tensor(p.trial.named.get(name))
        try:
            return None if x is None else x.broadcast_to(p.want.shape)
        except RuntimeError:
            return None

    return of

"""The result has the wrong shape; transposing, a missing or an extra dimension may explain it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from lessons.grading.diagnosis.finding import EXACT, FORM, Finding, family
from lessons.grading.diagnosis.forms import places_of
from lessons.grading.diagnosis.relations import agree
from lessons.grading.diagnosis.series import as_tensor
from lessons.grading.diagnosis.words import axis_name, sizes, subject

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

Tensor = torch.Tensor


class Mending(NamedTuple):
    """What gives the right shape: kind, what is said of it, and the function (got, want)."""

    kind: str
    said: str
    change: Callable[[Tensor, Tensor], Tensor]


def mended(mending: Mending, got: Tensor, want: Tensor) -> Tensor | None:
    """Returns got in the right shape, None if it does not get it."""
    try:
        made = mending.change(got, want)
    except (RuntimeError, IndexError):
        return None
    return made if made.shape == want.shape else None


def tensors(got: Any, want: Any) -> tuple[Tensor, Tensor] | None:
    """Returns both sides if a tensor is asked for and the shapes differ."""
    ours = as_tensor(got)
    if not isinstance(want, Tensor) or ours is None or ours.shape == want.shape:
        return None
    return ours, want


@family
def shapes(experiment: Experiment) -> Iterator[Finding]:
    """The shape is another one."""
    trials_at = places_of(experiment, lambda got, want: tensors(got, want) is not None)
    for place, trials in trials_at.items():
        pairs = [p for t in trials if (p := tensors(*t.pairs[place])) is not None]
        who = f"{subject(place)} has" if len(place) > 1 else "The result has"
        got, want = pairs[0]
        first = f"{who} shape {sizes(got.shape)} and should have {sizes(want.shape)}"
        for mending in mendings(pairs, experiment.task.axes):
            made = [mended(mending, got, want) for got, want in pairs]
            if any(m is None for m in made):
                continue
            right = all(
                m is None or is_right(experiment, m, w)
                for m, (_, w) in zip(made, pairs, strict=True)
            )
            if not right and mending.kind not in ALONE:
                continue
            then = "and it is right" if right else "though the numbers are wrong even then"

            def holds(
                trial: Trial, place: tuple = place, mending: Mending = mending
            ) -> bool | None:
                pair = tensors(*trial.pairs[place]) if place in trial.pairs else None
                return None if pair is None else mended(mending, *pair) is not None

            rank = EXACT + 3 if right else FORM
            yield Finding(f"shape: {mending.kind}", rank, f"{first}: {mending.said} {then}.", holds)
        yield from shorter(experiment, first, pairs)
        yield Finding("shape", FORM - 2, f"{first}.")


# What is said of the shape even if the numbers are wrong, too.
ALONE = ("transposed", "one dimension too many", "a dimension is missing")


def is_right(experiment: Experiment, got: Tensor, want: Tensor) -> bool:
    """Compares two tensors of one shape."""
    return agree(got, want, 4 * experiment.tolerance(got, want))


def shorter(
    experiment: Experiment, first: str, pairs: list[tuple[Tensor, Tensor]]
) -> Iterator[Finding]:
    """Yields that only the beginning or the end along an axis is there, and that is right."""
    axes = range(-1, -1 - min(want.dim() for _, want in pairs), -1)
    for axis, from_end in itertools.product(axes, (False, True)):
        if not all(is_cut(experiment, got, want, axis, from_end) for got, want in pairs):
            continue
        where = f"axis {axis}" if axis < -1 else "the last axis"
        there, missing = ("end", "beginning") if from_end else ("beginning", "end")
        text = f"{first}: along {where} the {missing} is missing, and the {there} is right."
        yield Finding("shape: too short", EXACT + 3, text)


def is_cut(experiment: Experiment, got: Tensor, want: Tensor, axis: int, from_end: bool) -> bool:
    """Returns whether got is the end, or the beginning, of want along an axis."""
    if got.dim() != want.dim() or got.numel() == 0 or got.size(axis) >= want.size(axis):
        return False
    start = want.size(axis) - got.size(axis) if from_end else 0
    part = want.narrow(axis, start, got.size(axis))
    return part.shape == got.shape and is_right(experiment, got, part)


def mendings(pairs: list[tuple[Tensor, Tensor]], axes: dict[str, str]) -> Iterator[Mending]:
    """Yields what may give the right shape."""
    got, want = pairs[0]
    if got.dim() == want.dim():
        yield from permuted(want.dim(), axes)
    if all(g.dim() == w.dim() for g, w in pairs):
        same = len({w.dim() for _, w in pairs}) == 1
        for axis in range(-1, -1 - min(w.dim() for _, w in pairs), -1):
            name = axis_name(axes, "->", want.dim() + axis, want.dim())
            yield from resized(pairs, axis, name if same else f"axis {axis}")
    for axis in range(max(got.dim(), want.dim())):
        if got.dim() == want.dim() + 1:
            yield from too_many(axis)
        if got.dim() == want.dim() - 1:
            said = f"axis {axis}, of size 1, is missing (keepdim or unsqueeze)"
            yield Mending("a dimension is missing", said, on(torch.unsqueeze, axis))
    if want.dim() == 0:
        said = "it is not reduced to one number; take the"
        yield Mending("not reduced", f"{said} mean", lambda x, w: x.double().mean())
        yield Mending("not reduced", f"{said} sum", lambda x, w: x.sum())
    if all(g.numel() == w.numel() for g, w in pairs):
        yield Mending("not reshaped", "reshape it", lambda x, w: x.reshape(w.shape))


def on(change: Callable, *arguments: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns the function that applies a change to the first of two tensors."""
    return lambda x, w: change(x, *arguments)


def permuted(dims: int, axes: dict[str, str]) -> Iterator[Mending]:
    """Yields the orders of the axes."""
    for order in itertools.permutations(range(dims)) if dims <= 4 else ():
        moved = [i for i, axis in enumerate(order) if i != axis]
        if len(moved) == 2:
            a, b = (axis_name(axes, "->", i, dims) for i in moved)
            yield Mending(
                "transposed",
                f"{a} and {b} have changed places; transpose them",
                on(torch.permute, order),
            )
        elif moved:
            said = f"its axes are in another order; permute it with {list(order)}"
            yield Mending("transposed", said, on(torch.permute, order))


def too_many(axis: int) -> Iterator[Mending]:
    """Yields what takes away an axis."""
    squeezed = f"axis {axis}, of size 1, is one too many; squeeze it"
    yield Mending("one dimension too many", squeezed, on(torch.squeeze, axis))
    rest = f"it still has axis {axis}; take"
    yield Mending("not reduced", f"{rest} the sum along it", on(torch.sum, axis))
    yield Mending("not reduced", f"{rest} the mean along it", on(mean, axis))
    yield Mending("not reduced", f"{rest} its first entry", on(torch.select, axis, 0))
    yield Mending("not reduced", f"{rest} its last entry", on(torch.select, axis, -1))


def mean(x: Tensor, axis: int, keepdim: bool = False) -> Tensor:
    """Returns the mean along an axis, of whole numbers too."""
    return x.double().mean(axis, keepdim=keepdim)


def resized(pairs: list[tuple[Tensor, Tensor]], axis: int, name: str) -> Iterator[Mending]:
    """Yields what is too long along one axis."""
    off = {got.size(axis) - want.size(axis) for got, want in pairs}
    if len(off) == 1 and 0 < (k := off.pop()) <= 2:

        def without_end(x: Tensor, w: Tensor) -> Tensor:
            return x.narrow(axis, 0, x.size(axis) - k)

        def without_beginning(x: Tensor, w: Tensor) -> Tensor:
            return x.narrow(axis, k, x.size(axis) - k)

        few = f"{k} too many along {name}; without"
        yield Mending("too long", f"{few} the end", without_end)
        yield Mending("too long", f"{few} the beginning", without_beginning)
    if all(want.size(axis) == 1 for _, want in pairs):

        def summed(x: Tensor, w: Tensor) -> Tensor:
            return x.sum(axis, keepdim=True)

        yield Mending("not reduced", f"take the sum along {name} with keepdim", summed)
        yield Mending(
            "not reduced", f"take the mean along {name} with keepdim", on(mean, axis, True)
        )

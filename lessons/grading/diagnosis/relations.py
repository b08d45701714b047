"""The answer is a known function of the right one: its negative, transposed, sorted, rounded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch

from lessons.grading.diagnosis.finding import EXACT, HINT, Finding, family
from lessons.grading.diagnosis.series import Point, all_series, enough, point
from lessons.grading.diagnosis.words import axis_name, subject

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment, Trial

Change = Callable[[torch.Tensor], torch.Tensor]


class Relation(NamedTuple):
    """got = change(want), or change(got) = want if `mends`."""

    kind: str
    rank: float
    sentence: str  # {who} stands for what is wrong
    change: Change
    mends: bool = False


def as_float(x: torch.Tensor) -> torch.Tensor:
    """Returns whole numbers as fp64, others as they are."""
    return x if x.dtype.is_floating_point else x.double()


def elementwise() -> Iterator[Relation]:
    """Yields functions of single numbers."""

    def of(kind: str, text: str, change: Change, rank: float = EXACT) -> Relation:
        return Relation(kind, rank, text, change)

    yield of("sign", "{who} has the wrong sign.", lambda w: -w, EXACT + 5)
    yield of("complement", "{who} is one minus what it should be.", lambda w: 1 - w)
    yield of("inverse", "{who} is the inverse, 1 / y instead of y.", lambda w: 1 / as_float(w))
    yield of("square", "{who} is the square of what it should be.", lambda w: w * w)
    yield of("root", "{who} is the square root of what it should be.", lambda w: as_float(w).sqrt())
    yield of(
        "exponential", "{who} is e to the power of what it should be.", lambda w: as_float(w).exp()
    )
    yield of(
        "logarithm", "{who} is the logarithm of what it should be.", lambda w: as_float(w).log()
    )
    yield of(
        "logarithm",
        "{who} is the logarithm to base 2 of what it should be.",
        lambda w: as_float(w).log2(),
    )
    yield of(
        "exponential", "{who} is 2 to the power of what it should be.", lambda w: as_float(w).exp2()
    )
    yield of(
        "absolute value",
        "{who} has lost its minus signs: it is |y| instead of y.",
        lambda w: w.abs(),
    )
    yield of(
        "clipped",
        "{who} is cut at 0: where it should be negative it is 0.",
        lambda w: w.clamp(min=0),
    )
    yield of(
        "clipped",
        "{who} is cut at 0: where it should be positive it is 0.",
        lambda w: w.clamp(max=0),
    )
    yield of("clipped", "{who} is cut at 1: what should be larger is 1.", lambda w: w.clamp(max=1))
    yield of("clipped", "{who} is cut at -1 and 1.", lambda w: w.clamp(-1, 1))
    yield of(
        "clipped", "{who} is at least 1: what should be smaller is 1.", lambda w: w.clamp(min=1)
    )
    yield of("rounded", "{who} is rounded to whole numbers.", lambda w: as_float(w).round())
    yield of("rounded", "{who} is rounded down to whole numbers.", lambda w: as_float(w).floor())
    yield of("rounded", "{who} is rounded up to whole numbers.", lambda w: as_float(w).ceil())
    yield of(
        "rounded", "{who} has lost what stands behind the point.", lambda w: as_float(w).trunc()
    )
    yield of(
        "sign only", "{who} is only the sign, -1, 0 or 1, of what it should be.", lambda w: w.sign()
    )


def arrangements(dims: int, axes: dict[str, str]) -> Iterator[Relation]:
    """Yields the same numbers in another order, and sums along an axis."""
    places = [axis_name(axes, "->", axis, dims) for axis in range(dims)]
    for a, b in itertools.combinations(range(dims), 2):
        text = f"{{who}} is transposed: {places[a]} and {places[b]} have changed places."
        yield Relation("transposed", EXACT + 4, text, lambda w, a=a, b=b: w.transpose(a, b))  # type: ignore[misc]
    for axis in range(dims):
        along = f" along {places[axis]}" if dims > 1 else ""
        yield from along_axis(axis, along)
    if 3 <= dims <= 4:
        for order in itertools.permutations(range(dims)):
            text = (
                "{who} has the right shape and the numbers in another order: as if the axes were "
                f"{list(order)} of the right answer and then only reshaped. A view or reshape "
                "does not swap axes."
            )
            yield Relation(
                "reshaped, not transposed",
                EXACT + 1,
                text,
                lambda w, o=order: w.permute(o).reshape(w.shape),
            )  # type: ignore[misc]
    if dims == 2:
        text = "{who} has the right shape and the numbers of the transposed answer: reshape does not transpose."
        yield Relation("reshaped, not transposed", EXACT + 1, text, lambda w: w.T.reshape(w.shape))


def along_axis(axis: int, along: str) -> Iterator[Relation]:
    """Yields what can be done along one axis."""

    def of(kind: str, text: str, change: Change, rank: float = EXACT) -> Relation:
        return Relation(kind, rank, text.replace("{along}", along), change)

    yield of("reversed", "{who} is in reverse order{along}.", lambda w: w.flip(axis), EXACT + 2)
    for k in (1, -1, 2, -2):
        way = "later" if k > 0 else "earlier"
        steps = f"{abs(k)} place{'s' if abs(k) > 1 else ''} {way}"
        text = f"{{who}} stands {steps}{{along}} than it should, and what falls off comes in again at the other end."
        yield of("rolled", text, lambda w, k=k: w.roll(k, axis), EXACT + 1)  # type: ignore[misc]
    yield of(
        "running sum",
        "{who} is the running sum{along} of what it should be.",
        lambda w: w.cumsum(axis),
    )
    yield of("running sum", "{who} is the running sum{along}, from the end, of what it should be.",
             lambda w: w.flip(axis).cumsum(axis).flip(axis))  # fmt: skip
    yield of(
        "sorted",
        "{who} is sorted{along}, smallest first, and should not be.",
        lambda w: w.sort(axis).values,
    )
    yield of(
        "sorted",
        "{who} is sorted{along}, largest first, and should not be.",
        lambda w: w.sort(axis, descending=True).values,
    )
    yield of("same everywhere", "{who} is the same at every place{along}: what belongs to the first.",
             lambda w: w.narrow(axis, 0, 1).expand_as(w), EXACT - 2)  # fmt: skip
    yield of("same everywhere", "{who} is the same at every place{along}: what belongs to the last.",
             lambda w: w.narrow(axis, w.size(axis) - 1, 1).expand_as(w), EXACT - 2)  # fmt: skip
    yield of("averaged", "{who} is the mean{along} of what it should be, at every place.",
             lambda w: as_float(w).mean(axis, keepdim=True).expand_as(w))  # fmt: skip
    yield of("normalised", "{who} is divided by its sum{along}, and should not be.",
             lambda w: w / as_float(w).sum(axis, keepdim=True))  # fmt: skip
    yield of(
        "normalised",
        "{who} went through a softmax{along} that does not belong there.",
        lambda w: as_float(w).softmax(axis),
    )
    yield of(
        "normalised",
        "{who} went through a log softmax{along} that does not belong there.",
        lambda w: as_float(w).log_softmax(axis),
    )
    yield of(
        "centred",
        "The mean{along} was taken off, and should not be.",
        lambda w: w - as_float(w).mean(axis, keepdim=True),
    )
    yield of("unit length", "{who} is scaled to length 1{along}, and should not be.",
             lambda w: w / as_float(w).norm(dim=axis, keepdim=True))  # fmt: skip


def mending(axis: int, along: str) -> Iterator[Relation]:
    """Yields what would make the answer right."""

    def of(kind: str, text: str, change: Change, rank: float = EXACT - 1) -> Relation:
        return Relation(kind, rank, text.replace("{along}", along), change, mends=True)

    yield of(
        "not normalised",
        "{who} is right once it is divided by its sum{along}.",
        lambda g: g / as_float(g).sum(axis, keepdim=True),
    )
    yield of(
        "not normalised",
        "{who} is right after a softmax{along}: that step is missing.",
        lambda g: as_float(g).softmax(axis),
    )
    yield of(
        "not normalised",
        "{who} is right after a log softmax{along}: that step is missing.",
        lambda g: as_float(g).log_softmax(axis),
    )
    yield of(
        "not centred",
        "{who} is right once its mean{along} is taken off.",
        lambda g: g - as_float(g).mean(axis, keepdim=True),
    )
    yield of(
        "not centred",
        "{who} is right once its largest number{along} is taken off.",
        lambda g: g - g.amax(axis, keepdim=True),
    )
    yield of(
        "not of unit length",
        "{who} is right once it is scaled to length 1{along}.",
        lambda g: g / as_float(g).norm(dim=axis, keepdim=True),
    )
    yield of(
        "not sorted",
        "{who} holds the right numbers{along}, and they are not sorted: smallest first is right.",
        lambda g: g.sort(axis).values,
    )
    yield of(
        "not sorted",
        "{who} holds the right numbers{along}, and they are not sorted: largest first is right.",
        lambda g: g.sort(axis, descending=True).values,
    )
    yield of(
        "running sum missing",
        "{who} is right after a running sum{along}: that step is missing.",
        lambda g: g.cumsum(axis),
    )
    yield of(
        "not rounded",
        "{who} is right once it is rounded to whole numbers.",
        lambda g: as_float(g).round(),
    )
    yield of(
        "not rounded", "{who} is right once it is rounded down.", lambda g: as_float(g).floor()
    )
    yield of(
        "not clipped", "{who} is right once it is cut to at least 0.", lambda g: g.clamp(min=0)
    )
    yield of("not clipped", "{who} is right once it is cut to at most 1.", lambda g: g.clamp(max=1))
    yield of(
        "not clipped", "{who} is right once it is cut to at least 1.", lambda g: g.clamp(min=1)
    )
    yield of(
        "not clipped",
        "{who} is right once it is cut to between -1 and 1.",
        lambda g: g.clamp(-1, 1),
    )


def related(experiment: Experiment, relation: Relation, p: Point) -> bool:
    """Tells whether a point is of this relation."""
    try:
        if relation.mends:
            changed, target = relation.change(p.got), p.want
        else:
            changed, target = relation.change(p.want), p.got
    except (RuntimeError, IndexError, TypeError):
        return False
    if (changed.dtype == torch.bool) != (target.dtype == torch.bool):
        return False
    if changed.shape != target.shape:
        return False
    if whole(p) and not changed.dtype.is_floating_point:
        return bool((target == changed).all())
    return agree(target, changed, 4 * experiment.tolerance(p.got, p.want))


def agree(got: torch.Tensor, want: torch.Tensor, rtol: float) -> bool:
    """Compares two tensors relative to the root mean square of the finite numbers."""
    ours, theirs = got.double(), want.double()
    scale = torch.where(theirs.isfinite(), theirs, 0.0).square().mean().sqrt()
    same = (
        (ours == theirs) | (ours.isnan() & theirs.isnan()) | ((ours - theirs).abs() <= rtol * scale)
    )
    return bool(same.all())


def whole(p: Point) -> bool:
    """Tells whether both sides are whole numbers or truth values."""
    return not (p.got.dtype.is_floating_point or p.want.dtype.is_floating_point)


def candidates(points: list[Point], axes: dict[str, str]) -> Iterator[Relation]:
    """Yields the relations that make sense for these shapes and dtypes."""
    if points[0].want.dtype == torch.bool:
        text = "{who} is the opposite: True where it should be False, and the reverse."
        yield Relation("complement", EXACT + 4, text, lambda w: ~w)
    else:
        yield from elementwise()
    dims = {p.want.dim() for p in points}
    if len(dims) == 1 and max(dims) > 0:
        n = max(dims)
        yield from arrangements(n, axes)
        if points[0].want.dtype != torch.bool:
            for axis in range(n):
                yield from mending(
                    axis, f" along {axis_name(axes, '->', axis, n)}" if n > 1 else ""
                )


@family
def relations(experiment: Experiment) -> Iterator[Finding]:
    """The whole answer is a known function of the right one."""
    for place, points in all_series(experiment):
        if not enough(points, numbers=4 if whole(points[0]) else 3):
            continue
        who = subject(place, points[0].want)
        for relation in candidates(points, experiment.task.axes):
            if all(related(experiment, relation, p) for p in points):
                text = relation.sentence.replace("{who}", who)

                def holds(
                    trial: Trial, place: tuple = place, relation: Relation = relation
                ) -> bool | None:
                    p = point(trial, place)
                    return related(experiment, relation, p) if trial.wrong and p else None

                yield Finding(relation.kind, relation.rank, text, holds)
        yield from permuted(experiment, place, points, who)


def permuted(
    experiment: Experiment, place: tuple, points: list[Point], who: str
) -> Iterator[Finding]:
    """Yields that the numbers are right and their order is not."""

    def same_numbers(p: Point) -> bool:
        if p.want.numel() < 2 or p.want.dtype == torch.bool:
            return False
        ours, theirs = (side.double().flatten().sort().values for side in (p.got, p.want))
        return agree(ours, theirs, 4 * experiment.tolerance(p.got, p.want))

    distinct = sum(int(p.want.unique().numel() > 2) for p in points)
    if distinct >= 2 and all(same_numbers(p) for p in points):

        def holds(trial: Trial) -> bool | None:
            p = point(trial, place)
            return same_numbers(p) if trial.wrong and p else None

        text = f"{who} holds the right numbers in the wrong order."
        yield Finding("permuted", HINT + 22, text, holds)

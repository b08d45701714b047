"""Which elements are wrong: the last row, the diagonal, where x is negative, the odd positions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import torch

from lessons.grading.diagnosis.finding import HINT, WHERE, Finding, Test, family
from lessons.grading.diagnosis.regions import Pattern, by_index, by_value
from lessons.grading.diagnosis.series import Point, all_series, as_tensor, point
from lessons.grading.diagnosis.words import number, subject

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial


def wrong_in(experiment: Experiment, p: Point) -> torch.Tensor:
    """Returns which elements are wrong."""
    return experiment.wrong_elements(p.got, p.want)


@family
def places(experiment: Experiment) -> Iterator[Finding]:
    """The wrong elements are a set with a name."""
    for place, points in all_series(experiment):
        if len({p.want.dim() for p in points}) != 1 or points[0].want.dim() == 0 or len(points) < 2:
            continue
        wrong = [wrong_in(experiment, p) for p in points]
        n_wrong = sum(int(w.sum()) for w in wrong)
        n_right = sum(int((~w).sum()) for w in wrong)
        if n_wrong < 2 or n_right < 3:
            continue
        patterns = [*by_index(points, experiment.task.axes), *by_value(points)]
        who = subject(place, points[0].want)
        for pattern in patterns:
            yield from matched(experiment, place, who, pattern, points, wrong)
        yield from separated(experiment, place, points, wrong)


def matched(
    experiment: Experiment,
    place: tuple,
    who: str,
    pattern: Pattern,
    points: list[Point],
    wrong: list[torch.Tensor],
) -> Iterator[Finding]:
    """Yields that a pattern holds all wrong elements, and perhaps no other."""
    inside = right_inside = total = 0
    for p, w in zip(points, wrong, strict=True):
        region = region_of(pattern, p)
        if region is None or bool((w & ~region).any()):
            return
        inside, total = inside + int(region.sum()), total + region.numel()
        right_inside += int((region & ~w).sum())
    if inside == total:
        return
    exact = right_inside == 0

    def holds(trial: Trial) -> bool | None:
        p = point(trial, place)
        region = None if p is None else region_of(pattern, p)
        if p is None or region is None:
            return None
        w = wrong_in(experiment, p)
        return bool((w == region).all()) if exact and w.any() else not bool((w & ~region).any())

    who = "It" if who == "Everything" else who
    text = f"{who} is wrong {'exactly' if exact else 'only'} {pattern.phrase}."
    if exact:
        yield Finding("place", WHERE + 2 + pattern.bonus, text, holds, "where")
    elif inside < 0.6 * total and right_inside < 0.7 * inside:
        yield Finding("place", WHERE - 12 + pattern.bonus, text, holds, "where")


def region_of(pattern: Pattern, p: Point) -> torch.Tensor | None:
    """Returns a pattern's elements in an answer, None if it means nothing there."""
    try:
        region = pattern.region(p)
    except (IndexError, RuntimeError):
        return None
    return region if region is not None and region.shape == p.want.shape else None


def separated(
    experiment: Experiment, place: tuple, points: list[Point], wrong: list[torch.Tensor]
) -> Iterator[Finding]:
    """Yields that all elements above or below some number are wrong and no other."""
    flags = torch.cat([w.flatten() for w in wrong])
    if int(flags.sum()) < 4 or int((~flags).sum()) < 4:
        return
    for name in ("the right answer", *points[0].trial.named):
        for label, change in ((name, as_is), (f"|{name}|", torch.abs)):
            numbers = [numbers_of(p, name, change) for p in points]
            if any(n is None for n in numbers):
                continue
            x = torch.cat([n.flatten() for n in numbers if n is not None])
            if name == "the right answer" and not x[~flags].any():
                continue  # what is 0 is right with many a mistake
            if not x.isfinite().all() or x.unique().numel() < 6:
                continue
            bad, good = x[flags], x[~flags]
            for way, low, high in (
                ("above", good.max(), bad.min()),
                ("below", bad.max(), good.min()),
            ):
                if low < high:
                    edge = number(float(low + high) / 2)
                    text = f"It is wrong where {label} is {way} about {edge}, and right elsewhere."
                    bounds = (
                        (float(low), float(high)) if way == "above" else (float(high), float(low))
                    )
                    read = partial(numbers_of, name=name, change=change)
                    holds = threshold(experiment, place, read, *bounds)
                    yield Finding(
                        "threshold", WHERE + 3 - (name == "the right answer"), text, holds, "where"
                    )


def as_is(x: torch.Tensor) -> torch.Tensor:
    """Returns x."""
    return x


def numbers_of(
    p: Point, name: str, change: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor | None:
    """Returns the numbers that may divide wrong from right, in the answer's shape."""
    x = p.want if name == "the right answer" else as_tensor(p.trial.named.get(name))
    return change(x.double()) if x is not None and x.shape == p.want.shape else None


def threshold(
    experiment: Experiment,
    place: tuple,
    numbers: Callable[[Point], torch.Tensor | None],
    right: float,
    wrong: float,
) -> Test:
    """Returns the test of a new trial: elements between the two bounds may be either."""

    def holds(trial: Trial) -> bool | None:
        p = point(trial, place)
        x = None if p is None else numbers(p)
        if p is None or x is None:
            return None
        w = wrong_in(experiment, p)
        must, must_not = (x >= wrong, x <= right) if wrong > right else (x <= wrong, x >= right)
        return not bool((must & ~w).any()) and not bool((must_not & w).any())

    return holds


@family
def zeros(experiment: Experiment) -> Iterator[Finding]:
    """Something stands where exactly 0 (or minus infinity) belongs, or the reverse."""
    for place, points in all_series(experiment):
        if not points[0].want.dtype.is_floating_point or points[0].want.dim() == 0:
            continue
        for rank, text, test in EMPTY:
            hits = [p for p in points if bool(test(p.got, p.want).any())]
            if len(hits) < 2 or len(hits) < 0.7 * len(points):
                continue
            at = test(hits[0].got, hits[0].want).nonzero()[0].tolist()
            got = number(float(hits[0].got[tuple(at)]))
            who = subject(place, points[0].want)
            yield Finding("zeros", rank, text.format(who=who, at=at, got=got))


@family
def survivors(experiment: Experiment) -> Iterator[Finding]:
    """The right answer is minus infinity at some places: whether yours is so at the same."""
    for place, points in all_series(experiment):
        if not all(p.got.dtype.is_floating_point for p in points):
            continue
        if not any(bool(hidden(p.want).any() and (~hidden(p.want)).any()) for p in points):
            continue
        who = subject(place, points[0].want)
        for rank, text, test in SURVIVORS:

            def holds(trial: Trial, place: tuple = place, test: Callable = test) -> bool | None:
                p = point(trial, place)
                if p is None or not trial.wrong:
                    return None
                return bool(test(experiment, p))

            if all(test(experiment, p) for p in points):
                yield Finding("survivors", rank, text.format(who=who), holds, "where", 1)


def right_there(experiment: Experiment, p: Point) -> bool:
    """Returns whether the numbers are right where neither side is minus infinity."""
    both = ~hidden(p.got) & ~hidden(p.want)
    return not bool((wrong_in(experiment, p) & both).any())


def same_places(p: Point) -> bool:
    """Returns whether minus infinity stands at the right places."""
    return torch.equal(hidden(p.got), hidden(p.want))


SURVIVORS: list[tuple[float, str, Callable]] = [
    (WHERE - 4, "{who} is minus infinity at the right places; the numbers at the others are wrong.",
     lambda experiment, p: same_places(p)),
    (WHERE - 6, "What is wrong has numbers where minus infinity belongs, and never the reverse: "
     "too much is kept.",
     lambda e, p: right_there(e, p) and not (hidden(p.got) & ~hidden(p.want)).any()),
    (WHERE - 6, "What is wrong has minus infinity where numbers belong, and never the reverse: "
     "too little is kept.",
     lambda e, p: right_there(e, p) and not (~hidden(p.got) & hidden(p.want)).any()),
    (WHERE - 8, "The numbers that are kept are right, and others are kept than should be, as many "
     "in each row.",
     lambda e, p: right_there(e, p) and p.want.dim() > 0
     and torch.equal(hidden(p.got).sum(-1), hidden(p.want).sum(-1))),
]  # fmt: skip


def hidden(w: torch.Tensor) -> torch.Tensor:
    """Returns which numbers are -inf."""
    return w == -torch.inf


EMPTY: list[tuple[float, str, Callable]] = [
    (HINT + 24, "{who} is not 0 where it should be exactly 0: {got} at {at} in one case.",
     lambda g, w: (w == 0) & (g.abs() > 1e-6)),
    (HINT + 24, "{who} should be minus infinity at some places: it is {got} at {at} in one case.",
     lambda g, w: hidden(w) & ~hidden(g)),
    (HINT + 20, "{who} is minus infinity where a number belongs, at {at} in one case.",
     lambda g, w: hidden(g) & ~hidden(w)),
    (HINT + 18, "{who} is 0 where another number belongs, at {at} in one case.",
     lambda g, w: (g == 0) & (w.abs() > 1e-6)),
]  # fmt: skip

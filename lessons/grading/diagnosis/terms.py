"""A term or a factor is missing or stands there twice, and it is one of the arguments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lessons.grading.diagnosis.finding import EXACT, TERM, Finding, family
from lessons.grading.diagnosis.relations import agree
from lessons.grading.diagnosis.scalars import alike, identify
from lessons.grading.diagnosis.series import Point, all_series, as_tensor, enough, point
from lessons.grading.diagnosis.words import number, subject

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial


def spread(argument: torch.Tensor, like: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yields an argument in the shape of an answer: broadcast, or transposed first."""
    tries = [argument]
    if argument.dim() == 2 and argument.size(0) != argument.size(1):
        tries.append(argument.T)
    for x in tries:
        try:
            yield x.double().broadcast_to(like.shape)
        except RuntimeError:
            continue


def argument_of(trial: Trial, name: str, p: Point) -> torch.Tensor | None:
    """Returns an argument's numbers in the shape of the answer."""
    x = as_tensor(trial.named.get(name, trial.applied.get(name)))
    if x is None or x.dtype == torch.bool or x.numel() == 0:
        return None
    return next(spread(x, p.want), None)


def share(p: Point, x: torch.Tensor, rtol: float) -> float | None:
    """Returns k where got = want + k x; None if there is none."""
    off = p.got.double() - p.want.double()
    if not off.isfinite().all() or float(x.square().sum()) == 0:
        return None
    k = float((off * x).sum() / x.square().sum())
    if abs(k) < 1e-6:
        return None
    scale = torch.stack([p.want.double().square().mean(), x.square().mean()]).max().sqrt()
    return k if bool(((off - k * x).abs() <= 8 * rtol * scale).all()) else None


@family
def terms(experiment: Experiment) -> Iterator[Finding]:
    """got = want + k argument, with one k for all inputs."""
    for place, points in all_series(experiment):
        if points[0].want.dtype == torch.bool or not enough(points):
            continue
        who = subject(place, points[0].want)
        for name in (*points[0].trial.named, *points[0].trial.applied):
            ks = []
            for p in points:
                x = argument_of(p.trial, name, p)
                k = None if x is None else share(p, x, experiment.tolerance(p.got, p.want))
                if k is None:
                    break
                ks.append(k)
            if len(ks) < len(points):
                continue
            if max(ks) - min(ks) < 2e-2 * abs(ks[0]):
                yield term(experiment, place, who, name, ks[0])
            elif len(ks) >= 3:
                yield from scaled_term(experiment, place, points, name, ks)


def scaled_term(
    experiment: Experiment, place: tuple, points: list[Point], name: str, ks: list[float]
) -> Iterator[Finding]:
    """Yields that a term that is added once comes in so many times, and the number has a name."""
    rtol = max(1e-3, *(8 * experiment.tolerance(p.got, p.want) for p in points))
    if sum(p.want.numel() > 1 for p in points) < 2:
        return  # one number is always so many times another
    known = identify([1 + k for k in ks], [p.trial for p in points], rtol)
    if known is None or known.constant:
        return

    def holds(trial: Trial) -> bool | None:
        p = point(trial, place)
        x = None if p is None else argument_of(trial, name, p)
        if p is None or x is None or not trial.wrong:
            return None
        k, wanted = share(p, x, experiment.tolerance(p.got, p.want)), known.of(trial)
        return None if wanted is None else k is not None and alike(1 + k, wanted, 10 * rtol)

    who = subject(place, points[0].want)
    extra = identify(ks, [p.trial for p in points], rtol)
    text = f"{who} is what it should be plus {extra.name if extra else ks[0]} times {name}."
    if all(is_added(experiment, p, place, name) for p in points[:3]):
        text = f"{name} comes in times {known.name}, where it should be added as it is."
    yield Finding("term scaled", EXACT, text, holds)


def is_added(experiment: Experiment, p: Point, place: tuple, name: str) -> bool:
    """Returns whether the right answer grows by as much as an argument does."""
    slot = next((s for s in p.trial.slots if s.name == name), None)
    if slot is None or not isinstance(slot.value, torch.Tensor):
        return False
    want = experiment.want(slot.put(slot.value + 1))
    grown = None if want is None else point(replace(p.trial, want=want), place)
    return grown is not None and agree(grown.want - 1, p.want, 1e-3)


def term(experiment: Experiment, place: tuple, who: str, name: str, k: float) -> Finding:
    """Returns the finding that so many times an argument is too much."""

    def holds(trial: Trial) -> bool | None:
        p = point(trial, place)
        x = None if p is None else argument_of(trial, name, p)
        if p is None or x is None or not trial.wrong:
            return None
        found = share(p, x, experiment.tolerance(p.got, p.want))
        return found is not None and abs(found - k) < 3e-2 * abs(k)

    kind = "term missing" if k < 0 else "term too much"
    if abs(k + 1) < 2e-2:
        text = f"{who} is what it should be minus {name}: {name} is not added."
    elif abs(k - 1) < 2e-2:
        text = f"{who} is what it should be plus {name}: {name} is added once too often."
    elif abs(k + 2) < 2e-2:
        text = f"{who} is too small by 2 {name}: {name} is taken off where it should be added."
    elif abs(k - 2) < 2e-2:
        text = f"{who} is too large by 2 {name}: {name} is added where it should be taken off."
    else:
        sign = "plus" if k > 0 else "minus"
        text = f"{who} is what it should be {sign} {number(abs(k))} times {name}."
    return Finding(kind, EXACT + 4 if abs(k + 1) < 2e-2 else TERM + 6, text, holds)


@family
def multiples(experiment: Experiment) -> Iterator[Finding]:
    """got = want times an argument, or divided by it, element by element; or it is the argument."""
    for place, points in all_series(experiment):
        if points[0].want.dtype == torch.bool or not enough(points):
            continue
        who = subject(place, points[0].want)
        for name in (*points[0].trial.named, *points[0].trial.applied):
            for kind, (rank, text) in KINDS.items():

                def holds(
                    trial: Trial, place: tuple = place, name: str = name, kind: str = kind
                ) -> bool | None:
                    p = point(trial, place)
                    x = None if p is None else argument_of(trial, name, p)
                    if p is None or x is None or not trial.wrong:
                        return None
                    rtol = 4 * experiment.tolerance(p.got, p.want)
                    got, want = p.got.double(), p.want.double()
                    if kind == "argument returned":
                        return agree(got, x, rtol)
                    if kind == "factor too much":
                        return agree(got, want * x, rtol)
                    return agree(got * x, want, rtol)

                if not all(holds(p.trial) for p in points):
                    continue
                arguments = [argument_of(p.trial, name, p) for p in points]
                varied = sum(x is not None and x.unique().numel() > 1 for x in arguments)
                if varied >= (1 if kind == "argument returned" else 2):
                    said = text.format(who=who, name=name)
                    if place[0] == "after" and place[1].partition("[")[0] == name:
                        said = f"{who} is as it was before; it has to be changed in place."
                    yield Finding(kind, rank, said, holds)


KINDS = {
    "argument returned": (EXACT + 4, "{who} is just {name}, as it came in."),
    "factor too much": (
        TERM + 5,
        "{who} is multiplied by {name} once too often, element by element.",
    ),
    "factor missing": (TERM + 5, "{who} is not multiplied by {name}, element by element."),
}

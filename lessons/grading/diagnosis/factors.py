"""Every number is so many times what it should be, or too large by so much."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch

from lessons.grading.diagnosis.finding import EXACT, HINT, Finding, Test, family
from lessons.grading.diagnosis.scalars import CONSTANTS, Known, alike, coefficient, identify
from lessons.grading.diagnosis.series import Point, all_series, point
from lessons.grading.diagnosis.words import number, subject, times

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

Fit = Callable[["Experiment", torch.Tensor, torch.Tensor], float | None]


def factor_of(experiment: Experiment, got: torch.Tensor, want: torch.Tensor) -> float | None:
    """Returns c where got = c want throughout; None if there is none."""
    ours, theirs = got.double(), want.double()
    if want.numel() == 0 or not (ours.isfinite().all() and theirs.isfinite().all()):
        return None
    largest = theirs.abs().max()
    if largest == 0 or ours.abs().max() == 0:
        return None
    heavy = theirs.abs() >= 0.1 * largest
    c = float((ours[heavy] / theirs[heavy]).median())
    return c if c != 0 and near(ours, c * theirs, 4 * experiment.tolerance(got, want)) else None


def shift_of(experiment: Experiment, got: torch.Tensor, want: torch.Tensor) -> float | None:
    """Returns d where got = want + d throughout; None if there is none."""
    ours, theirs = got.double(), want.double()
    if want.numel() == 0 or not (ours.isfinite().all() and theirs.isfinite().all()):
        return None
    d = float((ours - theirs).median())
    return d if d != 0 and near(ours, theirs + d, 4 * experiment.tolerance(got, want)) else None


def near(got: torch.Tensor, want: torch.Tensor, rtol: float) -> bool:
    """Compares two fp64 tensors, relative to the root mean square."""
    return bool(((got - want).abs() <= rtol * want.square().mean().sqrt()).all())


def slack(experiment: Experiment, points: list[Point]) -> float:
    """Returns how far a fitted number may be from what it is taken for."""
    return max(1e-4, *(4 * experiment.tolerance(p.got, p.want) for p in points))


def fine(points: list[Point]) -> list[Point]:
    """Returns the points in fp32 and better, or all if there is none: bf16 fits many a name."""
    coarse = (torch.bfloat16, torch.float16)
    return [p for p in points if p.got.dtype not in coarse and p.want.dtype not in coarse] or points


def fits(
    experiment: Experiment, points: list[Point], fit: Fit
) -> tuple[list[float], Known | None] | None:
    """Returns the number for each point and what it is; None if a point has none."""
    values = []
    for p in points:
        value = fit(experiment, p.got, p.want)
        if value is None:
            return None
        values.append(value)
    if fit is factor_of and not is_factor(values, slack(experiment, points)):
        return None
    rich = sum(int((p.want != 0).sum() > 1) for p in points)
    known = identify(values, [p.trial for p in points], slack(experiment, points))
    if rich < 2 and (known is None or len(points) < 4):
        return None  # one number is always so many times another
    return values, known


def is_factor(values: list[float], slack: float) -> bool:
    """Returns whether factors are more than rounding, and where all are near 1 one and the same."""
    off = [value - 1 for value in values]
    if max(map(abs, off)) > 1e-2:
        return True
    return min(map(abs, off)) > 2 * slack or (alike(min(off), max(off), 0.1) and abs(off[0]) > 1e-5)


def where_wrong(experiment: Experiment, place: tuple) -> bool:
    """Returns whether some right answers show that a factor or shift is not there always."""
    found = [point(trial, place) for trial in experiment.passing]
    return any(p is not None and bool(p.want.double().any()) for p in found)


def holding(experiment: Experiment, place: tuple, fit: Fit, known: Known | None) -> Test:
    """Returns the test of a new trial: its number is the one that is known."""
    partly = where_wrong(experiment, place)

    def holds(trial: Trial) -> bool | None:
        found = point(trial, place)
        if found is None or (partly and not trial.wrong):
            return None
        value = fit(experiment, found.got, found.want)
        if value is None:
            return False if trial.wrong else None
        if known is None:
            return True
        expected = known.of(trial)
        if expected is None:
            return None
        return alike(value, expected, slack(experiment, [found]))

    return holds


def example(known: Known) -> str:
    """Returns " (4 in one case, 3 in another)", as the proof of a name."""
    different = list(dict.fromkeys(number(value) for value in known.values))
    return f" ({' in one case, '.join(different[:2])} in another)" if len(different) > 1 else ""


@family
def factors(experiment: Experiment) -> Iterator[Finding]:
    """Everything is a constant times what it should be; the constant has a name."""
    for place, points in all_series(experiment):
        if any(p.want.dtype == torch.bool for p in points):
            continue
        found = fits(experiment, fine(points), factor_of)
        if found is None:
            continue
        values, known = found
        holds = holding(experiment, place, factor_of, known)
        who = subject(place, points[0].want)
        if known is None:
            low, high = number(min(values)), number(max(values))
            text = (
                f"{who} is multiplied by one number too many, another for each input: it lies "
                f"between {low} and {high} in the inputs tried."
            )
            yield Finding("unnamed factor", HINT + 15, text, holds)
        elif known.constant and alike(known.values[0], -1, 1e-3):
            yield Finding("sign", EXACT + 5, f"{who} has the wrong sign.", holds)
        elif known.constant and alike(known.values[0], 1, 1e-3):
            continue  # it is not wrong by a factor but by rounding
        elif known.constant:
            text = f"{who} is {times(known.values[0])}"
            text += "" if where_wrong(experiment, place) else ", whatever the input"
            text += f": {known.name}." if known.name[0].isalpha() or "/" in known.name else "."
            yield restricted("factor", EXACT + 3, text, holds, where_wrong(experiment, place))
        else:
            if where_wrong(experiment, place) and max(p.want.numel() for p in points) < 2:
                continue  # for some single numbers there is always something that fits
            text = f"{who} is multiplied by {known.name} once too often{example(known)}."
            if known.name.startswith("1 / "):
                name = known.name[4:]
                text = f"{who} is divided by {name} once too often: multiply by it and it is right."
            yield restricted("factor", EXACT + 4, text, holds, where_wrong(experiment, place))


def restricted(kind: str, rank: float, text: str, holds: Test, partly: bool) -> Finding:
    """Returns a finding, or a lower one about the wrong answers alone."""
    if partly:
        rank, text = rank - 12, f"Where it is wrong: {text[0].lower()}{text[1:]}"
    return Finding(kind, rank, text, holds, least=5 if partly else 3)


@family
def shifts(experiment: Experiment) -> Iterator[Finding]:
    """Everything is too large or too small by one number; the number has a name."""
    for place, points in all_series(experiment):
        if any(p.want.dtype == torch.bool for p in points):
            continue
        found = fits(experiment, fine(points), shift_of)
        if found is None:
            continue
        values, known = found
        holds = holding(experiment, place, shift_of, known)
        who = subject(place, points[0].want)
        way = "large" if values[0] > 0 else "small"
        if known is None:
            if len({value > 0 for value in values}) == 1 and any(
                p.want.numel() > 2 for p in points
            ):
                text = f"{who} is too {way} by one number, another for each input."
                yield Finding("unnamed shift", HINT + 10, text, holds)
        elif known.constant and abs(known.values[0]) > 1e30:
            continue  # the largest number there is, for something special
        elif known.constant:
            size = number(abs(known.values[0]))
            partly = where_wrong(experiment, place)
            whole = all(not p.want.dtype.is_floating_point for p in points)
            off = ": off by one" if size == "1" and whole else ""
            text = f"{who} is too {way} by {size}{'' if partly else ', whatever the input'}{off}."
            yield restricted("shift", EXACT + 2, text, holds, partly)
        else:
            name = known.name
            text = f"{who} is too large by {name}{example(known)}: that is added once too often."
            if all(value < 0 for value in values):
                flipped = identify([-v for v in values], [p.trial for p in points])
                name = flipped.name if flipped else f"-({name})"
                text = f"{who} is too small by {name}."
            yield restricted("shift", EXACT + 1, text, holds, where_wrong(experiment, place))


def power_of(experiment: Experiment, got: torch.Tensor, want: torch.Tensor) -> float | None:
    """Returns c where got = want^c throughout, for positive numbers; None if there is none."""
    ours, theirs = got.double(), want.double()
    if want.numel() == 0 or not bool((ours > 0).all() and (theirs > 0).all()):
        return None
    if not (ours.isfinite().all() and theirs.isfinite().all()):
        return None
    heavy = theirs.log().abs() > 0.05
    if not heavy.any():
        return None
    c = float((ours[heavy].log() / theirs[heavy].log()).median())
    close = near(ours, theirs**c, 8 * experiment.tolerance(got, want))
    return c if abs(c) > 1e-3 and abs(c - 1) > 1e-3 and close else None


@family
def powers(experiment: Experiment) -> Iterator[Finding]:
    """Everything is the right answer to some power; the exponent has a name."""
    for place, points in all_series(experiment):
        if any(p.want.dtype == torch.bool for p in points):
            continue
        points = [p for p in points if power_of(experiment, p.got, p.want) or not is_one(p)]
        if len(points) < 3 or (found := fits(experiment, fine(points), power_of)) is None:
            continue
        known = found[1]
        if known is None or (known.constant and known.name in ("2", "-1", "1/2", "0.5")):
            continue  # squares and inverses have sentences of their own
        if known.constant and not coefficient(known.values[0]) and known.name not in CONSTANTS:
            continue
        who = subject(place, points[0].want)
        text = f"{who} is y^({known.name}) where y is right: look at the exponent or the logarithm."
        yield Finding("power", EXACT, text, holding(experiment, place, power_of, known))


def is_one(p: Point) -> bool:
    """Returns whether the right numbers are all so near 1 that powers do not show."""
    return bool((p.want.double() - 1).abs().max() < 0.05) if p.want.numel() else True


@family
def expressions(experiment: Experiment) -> Iterator[Finding]:
    """The answer is a number that has a name among the inputs: sys_len / ref_len."""
    for place, points in all_series(experiment):
        if place != ("result",) or any(p.want.numel() != 1 for p in points) or len(points) < 4:
            continue
        values = [float(p.got) for p in points]
        trials = [p.trial for p in points]
        if len(set(values)) < 3 or not all(map(math.isfinite, values)):
            continue
        known = identify(values, trials, 1e-6 if points[0].got.dtype == torch.float64 else 1e-5)
        if known is None or known.constant:
            continue
        text = f"Your answer is {known.name}."
        if experiment.passing:
            text = f"Where it is wrong, your answer is {known.name}."
        least = 8 if experiment.passing and float(values[0]).is_integer() else 3
        holds = names_answer(place, known)
        yield Finding("formula", EXACT + 1.5, text, holds, least=least)


def names_answer(place: tuple, known: Known) -> Test:
    """Returns the test that a trial's answer is a known number."""

    def holds(trial: Trial) -> bool | None:
        p = point(trial, place)
        value = known.of(trial) if p is not None and trial.wrong else None
        return None if p is None or value is None else alike(float(p.got), value, 1e-4)

    return holds

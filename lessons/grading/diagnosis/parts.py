"""Which argument the mistake belongs to: with it at zero or one the answer is right.

If so, what the argument adds to {to} is looked at alone: it may be so many times too large,
have the wrong sign, be transposed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from lessons.grading.diagnosis.factors import factor_of, fine
from lessons.grading.diagnosis.finding import HINT, TERM, Finding, Test, family
from lessons.grading.diagnosis.rows import row_numbers
from lessons.grading.diagnosis.scalars import Known, alike, identify
from lessons.grading.diagnosis.series import (
    Point,
    as_tensor,
    fingerprint,
    point,
    series,
    wrong_places,
)
from lessons.grading.diagnosis.words import number, times

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial


class Neutral(NamedTuple):
    """A value of an argument at which it does nothing, or little."""

    phrase: str  # "bias is all zeros"
    change: Callable[[Any], Any]
    nothing: bool  # whether the argument's whole part of the answer is gone


def neutrals(name: str, value: Any) -> Iterator[Neutral]:
    """Yields the neutral values of an argument."""
    if isinstance(value, torch.Tensor) and value.dtype.is_floating_point and value.numel():
        yield Neutral(f"{name} is all zeros", torch.zeros_like, True)
        yield Neutral(f"{name} is all ones", torch.ones_like, False)
    elif isinstance(value, float):
        yield Neutral(f"{name} is 0", lambda v: 0.0, True)
        yield Neutral(f"{name} is 1", lambda v: 1.0, False)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield Neutral(f"{name} is 0", lambda v: 0, False)
        yield Neutral(f"{name} is 1", lambda v: 1, False)
    elif isinstance(value, torch.Tensor) and value.dtype == torch.bool:
        yield Neutral(f"{name} is True everywhere", torch.ones_like, False)


def without(experiment: Experiment, trial: Trial, name: str, neutral: Neutral) -> Trial | None:
    """Asks a trial's case again with one argument neutral; None if it is so already."""
    for slot in trial.slots:
        if slot.name == name and slot.value is not None:
            return experiment.ask(slot.put(neutral.change(slot.value)))
    return None


def is_neutral(trial: Trial, name: str, neutral: Neutral) -> bool:
    """Returns whether an argument has the neutral value."""
    value = trial.named.get(name)
    if value is None:
        return True
    same = neutral.change(value) == value
    return bool(same.all()) if isinstance(same, torch.Tensor) else bool(same)


@family
def parts(experiment: Experiment) -> Iterator[Finding]:
    """The answer is right as soon as one argument is neutral."""
    failing = [trial for trial in experiment.failing if not trial.stopped]
    places = wrong_places(experiment)
    if len(failing) < 2 or not places:
        return
    chosen = spread_out(failing, 3 if experiment.task.triton else 5)
    for slot in chosen[0].slots:
        for neutral in neutrals(slot.name, slot.value):
            if any(is_neutral(t, slot.name, neutral) for t in failing):
                continue  # it fails there as well
            pairs = []
            for trial in chosen:
                other = without(experiment, trial, slot.name, neutral)
                if other is None or other.wrong:
                    break
                pairs.append((trial, other))
            if len(pairs) < len(chosen) or not telling([other for _, other in pairs]):
                continue
            rank = HINT + (20 if neutral.nothing else 12)
            rank += 5 if isinstance(slot.value, float) else 0
            if neutral.nothing and not adds_something(chosen[0], slot.name):
                continue  # all of the answer may be gone with it
            yield right_there(experiment, slot.name, neutral, rank)
            if neutral.nothing:
                for place in places:
                    yield from part(experiment, place, slot.name, pairs)


def telling(trials: list[Trial]) -> bool:
    """Returns whether right answers say something: they differ from case to case and are not 0."""
    varied = 0
    for trial in trials:
        x = as_tensor(trial.want.get("result"))
        if x is None and isinstance(trial.want.get("result"), (tuple, list)):
            x = as_tensor((trial.want["result"] or [None])[0])
        if x is not None:
            varied += x.numel() > 0 and bool(x.any()) and (x.numel() == 1 or x.unique().numel() > 1)
    answers = {fingerprint(trial.want.get("result")) for trial in trials}
    return varied > len(trials) / 2 and len(answers) > len(trials) / 2


def adds_something(trial: Trial, name: str) -> bool:
    """Returns whether an argument is not the first, and belongs to an answer of floats."""
    tensors = [p.want for place in trial.pairs if (p := point(trial, place)) is not None]
    return name != trial.slots[0].name and any(x.dtype.is_floating_point for x in tensors)


def spread_out(trials: list[Trial], n: int) -> list[Trial]:
    """Returns n of the trials from the whole list."""
    return (
        trials if len(trials) <= n else [trials[i * (len(trials) - 1) // (n - 1)] for i in range(n)]
    )


def right_there(experiment: Experiment, name: str, neutral: Neutral, rank: float) -> Finding:
    """Returns the plain finding that a neutral value makes the answer right."""

    def holds(trial: Trial) -> bool | None:
        if not trial.wrong or trial.stopped:
            return None
        if is_neutral(trial, name, neutral):
            return False
        other = without(experiment, trial, name, neutral)
        return None if other is None else not other.wrong

    text = f"The answer is right as soon as {neutral.phrase}: look at what {name} does."
    if neutral.nothing:
        text = (
            f"The answer is right as soon as {neutral.phrase}: the mistake is in the part of it "
            f"that {name} belongs to."
        )
    return Finding("right where neutral", rank, text, holds, "where")


def part(
    experiment: Experiment, place: tuple, name: str, pairs: list[tuple[Trial, Trial]]
) -> Iterator[Finding]:
    """Yields what is wrong with the part of the answer that an argument adds."""
    to = "the answer" if place[0] == "result" else f"the gradient of {place[1]}"
    points = []
    for trial, other in pairs:
        p, zero = point(trial, place), point(other, place)
        if p is None or zero is None or p.want.dtype == torch.bool or p.got.shape != zero.got.shape:
            return
        points.append(
            Point(trial, p.got.double() - zero.got.double(), p.want.double() - zero.want.double())
        )
    rtol = 1e-3 if all(p.got.dtype == torch.float32 for p in series(experiment, place)) else 1e-2
    if any(not (p.got.isfinite().all() and p.want.isfinite().all()) for p in points):
        return
    if all(
        float(p.got.abs().max()) <= rtol * float(p.want.abs().max())
        for p in points
        if p.want.numel()
    ):
        text = f"What {name} adds to {to} is missing: {name} has no effect."
        yield Finding("part missing", TERM + 4, text, part_missing(experiment, place, name, rtol))
        return
    factors = [loose_factor(experiment, p) for p in fine(points)]
    ratios = [c for c in factors if c is not None]
    if len(ratios) < len(factors):
        if all(p.want.dim() and row_numbers(p, -1, "factor", rtol / 8) is not None for p in points):
            text = (
                f"What {name} adds to {to} is right in each row but for one factor: the rows "
                "are scaled in another way."
            )
            yield Finding("part row factor", HINT + 23, text)
        return
    if sum(int((p.want != 0).sum() > 1) for p in points) < 2:
        return
    if all(alike(c, 1, 10 * rtol) for c in ratios):
        return  # rounding
    known = identify(ratios, [p.trial for p in fine(points)], rtol)
    holds = part_holds(experiment, place, name, known, rtol)
    if known is None:
        c = number(ratios[0])
        text = f"What {name} adds to {to} is {c} times what it should be in one case."
        yield Finding("unnamed part factor", HINT + 19, text, holds)
    elif known.constant and alike(known.values[0], -1, rtol):
        yield Finding("part sign", TERM + 4, f"What {name} adds to {to} has the wrong sign.", holds)
    elif known.constant:
        yield Finding(
            "part factor",
            TERM + 2,
            f"What {name} adds to {to} is {times(known.values[0])}.",
            holds,
        )
    else:
        text = f"What {name} adds to {to} is multiplied by {known.name} once too often"
        if known.name.startswith("1 / "):
            text = f"What {name} adds to {to} is divided by {known.name[4:]} once too often"
        proof = " and ".join(dict.fromkeys(number(v) for v in known.values[:3]))
        yield Finding("part factor", TERM + 4, f"{text} (by {proof} in different cases).", holds)


def loose_factor(experiment: Experiment, p: Point) -> float | None:
    """Returns c where got = c want, for differences of rounded answers."""
    heavy = p.want.abs() >= 0.2 * p.want.abs().max() if p.want.numel() else p.want.bool()
    if not heavy.any() or float(p.want.abs().max()) == 0:
        return None
    c = float((p.got[heavy] / p.want[heavy]).median())
    rough = 1e-3 * p.want.square().mean().sqrt() * max(abs(c), 1.0)
    return (
        c
        if c and bool(((p.got - c * p.want).abs() <= rough).all())
        else factor_of(experiment, p.got, p.want)
    )


def part_of(experiment: Experiment, trial: Trial, place: tuple, name: str) -> Point | None:
    """Returns what an argument adds, here and in the right answer: asks without it."""
    p = point(trial, place)
    if p is None or p.got.dtype in (torch.bfloat16, torch.float16):
        return None
    neutral = next((n for n in neutrals(name, trial.named.get(name)) if n.nothing), None)
    other = None if neutral is None else without(experiment, trial, name, neutral)
    zero = None if other is None else point(other, place)
    if zero is None or zero.got.shape != p.got.shape:
        return None
    return Point(trial, p.got.double() - zero.got.double(), p.want.double() - zero.want.double())


def part_missing(experiment: Experiment, place: tuple, name: str, rtol: float) -> Test:
    """Returns the test that an argument adds nothing where it should, in right answers too."""

    def holds(trial: Trial) -> bool | None:
        alone = part_of(experiment, trial, place, name)
        if alone is None or not alone.want.numel():
            return None
        got, want = float(alone.got.abs().max()), float(alone.want.abs().max())
        return got <= rtol * want if want > rtol and math.isfinite(want) else None

    return holds


def part_holds(
    experiment: Experiment, place: tuple, name: str, known: Known | None, rtol: float
) -> Test:
    """Returns the test of a new trial: asks for it without the argument."""

    def holds(trial: Trial) -> bool | None:
        alone = part_of(experiment, trial, place, name) if trial.wrong else None
        if alone is None:
            return None
        c = loose_factor(experiment, alone)
        if c is None or known is None:
            return (
                None
                if c is None and float(alone.want.abs().max() if alone.want.numel() else 0) == 0
                else c is not None
            )
        expected = known.of(trial)
        return None if expected is None else alike(c, expected, 10 * rtol)

    return holds

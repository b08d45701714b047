"""NaN and infinity where numbers belong, and answers that are right to a few digits only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch

from lessons.grading.diagnosis.finding import FORM, HINT, Finding, Test, family
from lessons.grading.diagnosis.series import Point, point

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

REASONS = {
    "NaN": "0 / 0, infinity minus infinity or the logarithm of a negative number",
    "infinity": "a division by 0, the logarithm of 0, or a number too large for its dtype",
}
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
# Between which relative errors an answer lies that was rounded to a dtype on the way.
ERRORS = (("fp32", 1e-10, 1e-6), ("fp16", 1e-6, 2e-3), ("bf16", 4e-5, 1.5e-2))


def float_points(trial: Trial) -> list[Point]:
    """Returns the places of an answer where floats of one shape stand."""
    found = [point(trial, place) for place in trial.pairs]
    return [
        p
        for p in found
        if p is not None and p.got.dtype.is_floating_point and p.want.dtype.is_floating_point
    ]


def strange_number(p: Point) -> str | None:
    """Returns "NaN" or "infinity" if one stands where it does not belong."""
    if bool((p.got.isnan() & ~p.want.isnan()).any()):
        return "NaN"
    return "infinity" if bool((p.got.isinf() & p.want.isfinite()).any()) else None


@family
def not_finite(experiment: Experiment) -> Iterator[Finding]:
    """NaN or infinity comes out where a number belongs."""
    everything = [p for trial in experiment.trials for p in float_points(trial)]
    if any(bool(p.want.isinf().any()) for p in everything):
        return  # infinity has its place here: places.py looks at that
    kinds = [
        None
        if trial.fault and trial.fault.kind == "fact"  # not everything was written
        else next((k for p in float_points(trial) if (k := strange_number(p))), None)
        for trial in experiment.failing
    ]
    found = [kind for kind in kinds if kind is not None]
    if not found:
        return
    kind = max(REASONS, key=found.count)
    n, of = found.count(kind), len(experiment.trials)
    reason = REASONS[kind]
    if kind == "NaN" and experiment.task.triton:  # a kernel's outputs hold NaN before the launch
        reason = "0 / 0, or read from an output, which holds NaN until it is written"
    text = f"It gives {kind} in {n} of {of} inputs tried: {reason}."
    yield Finding("not finite", FORM + 2 if len(found) == len(kinds) else HINT + 8, text)


def error_of(trial: Trial) -> float | None:
    """Returns the largest error, relative to the answer's root mean square; None if not finite."""
    worst = None
    for p in float_points(trial):
        if not bool((p.got.isfinite() | ~p.want.isfinite()).all()):
            return None
        ours, theirs = p.got.double(), p.want.double()
        scale = torch.where(theirs.isfinite(), theirs, 0.0).square().mean().sqrt()
        if float(scale) > 0:
            off = torch.where(theirs.isfinite(), ours - theirs, 0.0).abs().max()
            worst = max(worst or 0.0, float(off / scale))
    return worst


@family
def precision(experiment: Experiment) -> Iterator[Finding]:
    """The answer is right to a few digits: computed in a coarser dtype than it should be."""
    errors = [error_of(trial) for trial in experiment.failing]
    worst = [error for error in errors if error]
    if len(worst) < 2 or len(worst) < len(errors):
        return
    for name, low, high in ERRORS:
        if all(low < error < high for error in worst):
            text = (
                f"It is nearly right: the error is up to {max(worst):.0e} of the answer's size, as "
                f"it comes from rounding to {name} on the way, a constant with too few digits or a "
                "small term that is missing."
            )
            yield Finding("precision", FORM + 1, text, below(2 * high))
            return


@family
def rounded(experiment: Experiment) -> Iterator[Finding]:
    """All numbers are among those of a coarser dtype, and the right ones are not."""
    points = [p for trial in experiment.failing for p in float_points(trial)]
    for name, dtype in DTYPES.items():

        def fits(x: torch.Tensor, dtype: torch.dtype = dtype) -> torch.Tensor:
            return (x.to(dtype).to(x.dtype) == x) | x.isnan()

        def holds(trial: Trial, dtype: torch.dtype = dtype, fits: Callable = fits) -> bool | None:
            finer = [p for p in float_points(trial) if p.got.dtype.itemsize > dtype.itemsize]
            if not trial.wrong or not finer:
                return None
            return all(bool(fits(p.got).all()) for p in finer)

        finer = [p for p in points if p.got.dtype.itemsize > dtype.itemsize]
        telling = sum(int((~fits(p.want) & p.got.isfinite()).sum() > 3) for p in finer)
        if telling < 3 or telling < 0.5 * len(experiment.failing):
            continue
        if all(bool(fits(p.got).all()) for p in finer):
            text = (
                f"Every number of the answer is one that {name} can hold: it was rounded to {name} "
                "on the way."
            )
            yield Finding("precision", FORM + 6, text, holds)
            return


def below(high: float) -> Test:
    """Returns the test that a wrong answer's error is below a number."""

    def holds(trial: Trial) -> bool | None:
        if not trial.wrong or trial.stopped:
            return None
        error = error_of(trial)
        return error is not None and error < high

    return holds

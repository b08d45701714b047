"""Each row of the answer is multiplied or shifted by a number of its own, which has a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch

from lessons.grading.diagnosis.finding import HINT, TERM, Finding, family
from lessons.grading.diagnosis.series import Point, all_series, as_tensor, point
from lessons.grading.diagnosis.words import axis_name, subject

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

Row = Callable[[torch.Tensor], torch.Tensor]


def unbiased_deviation(x: torch.Tensor) -> torch.Tensor:
    """Returns the standard deviation with n - 1 in the denominator; 0 of a single number."""
    n = x.size(-1)
    return (x.var(-1, correction=0) * n / max(n - 1, 1)).sqrt()


# What a row of numbers has: name and function of [..., n] fp64 -> [...].
STATISTICS: dict[str, Row] = {
    "sum": lambda x: x.sum(-1),
    "mean": lambda x: x.mean(-1),
    "largest number": lambda x: x.amax(-1),
    "smallest number": lambda x: x.amin(-1),
    "largest absolute value": lambda x: x.abs().amax(-1),
    "mean absolute value": lambda x: x.abs().mean(-1),
    "norm": lambda x: x.norm(dim=-1),
    "squared norm": lambda x: x.square().sum(-1),
    "root mean square": lambda x: x.square().mean(-1).sqrt(),
    "standard deviation (n in the denominator)": lambda x: x.std(-1, correction=0),
    "standard deviation (n - 1 in the denominator)": unbiased_deviation,
    "variance": lambda x: x.var(-1, correction=0),
    "log of the sum of exponentials": lambda x: x.logsumexp(-1),
    "sum of exponentials": lambda x: x.exp().sum(-1),
    "range": lambda x: x.amax(-1) - x.amin(-1),
}


def row_numbers(p: Point, axis: int, way: str, rtol: float) -> torch.Tensor | None:
    """Returns each row's factor or shift, [...] without the axis; None if a row has none."""
    got, want = p.got.double().movedim(axis, -1), p.want.double().movedim(axis, -1)
    if want.size(-1) < 2 or not (got.isfinite().all() and want.isfinite().all()):
        return None
    if way == "shift":
        numbers = (got - want).median(-1).values
        fitted = want + numbers[..., None]
    else:
        heavy = want.abs().argmax(-1, keepdim=True)
        numbers = (got.gather(-1, heavy) / want.gather(-1, heavy)).squeeze(-1)
        fitted = want * numbers[..., None]
    size = torch.maximum(
        want.square().mean(-1, keepdim=True), got.square().mean(-1, keepdim=True)
    ).sqrt()
    ok = bool(((got - fitted).abs() <= 8 * rtol * size).all()) and bool(numbers.isfinite().all())
    return numbers if ok else None


FORMS: dict[str, Row] = {
    "the {statistic} {source}": lambda v: v,
    "1 / the {statistic} {source}": lambda v: 1 / v,
    "the square root of the {statistic} {source}": torch.sqrt,
    "minus the {statistic} {source}": lambda v: -v,
}


def sources(p: Point, axis: int) -> dict[str, torch.Tensor]:
    """Returns what has the rows of an answer: itself and arguments, [..., n] fp64."""
    found = {"of the right answer": p.want.double().movedim(axis, -1)}
    for name, value in p.trial.named.items():
        x = as_tensor(value)
        if x is not None and x.dim() >= 1 and x.dtype != torch.bool and x.numel():
            if x.shape == p.want.shape:
                found[f"of {name}"] = x.double().movedim(axis, -1)
            elif x.dim() == p.want.dim() and x.shape[:-1] == p.want.shape[:-1]:
                found[f"of {name}"] = x.double()
    return found


def explaining(
    p: Point, axis: int, numbers: torch.Tensor, rtol: float, names: set[str] | None
) -> set[str]:
    """Returns the names of what equals the rows' numbers, among names or all if that is None."""
    found: set[str] = set()
    for source, x in sources(p, axis).items():
        for statistic, of in STATISTICS.items():
            forms = {f.format(statistic=statistic, source=source): g for f, g in FORMS.items()}
            wanted = [name for name in forms if names is None or name in names]
            values = of(x) if wanted else numbers
            for name in wanted if values.shape == numbers.shape else ():
                near = (forms[name](values) - numbers).abs() <= rtol * numbers.abs() + 1e-12
                if bool(near.all()):
                    found.add(name)
    return found


def has_weight(want: torch.Tensor, axis: int) -> bool:
    """Returns whether most rows have more than one number that counts."""
    size = want.double().abs()
    return bool(((size > 0.02 * size.amax(axis, keepdim=True)).sum(axis) > 1).double().mean() > 0.5)


def is_near(numbers: torch.Tensor | None, neutral: float, experiment: Experiment, p: Point) -> bool:
    """Returns whether rows' factors are all 1, or their shifts 0, but for some rounding errors."""
    scale = 1.0 if neutral else float(p.want.double().square().mean().sqrt())
    rtol = 20 * experiment.tolerance(p.got, p.want)
    return numbers is not None and bool(((numbers - neutral).abs() <= rtol * scale).all())


def is_one_number(numbers: torch.Tensor | None) -> bool:
    """Returns whether all rows have the same number."""
    return numbers is None or bool(((numbers - numbers.mean()).abs() < 1e-3 * numbers.abs()).all())


@family
def rows(experiment: Experiment) -> Iterator[Finding]:
    """Rows are right up to a factor or a shift of their own."""
    for place, points in all_series(experiment):
        dims = {p.want.dim() for p in points}
        if len(dims) != 1 or max(dims) < 1 or points[0].want.dtype == torch.bool:
            continue
        for axis in range(max(dims)):
            for way in ("factor", "shift"):
                found = by_rows(experiment, place, points, axis, way)
                if found is not None:
                    yield found


def by_rows(
    experiment: Experiment, place: tuple, points: list[Point], axis: int, way: str
) -> Finding | None:
    """Returns the finding for one axis, None if the rows are not right up to a number."""

    def numbers_of(p: Point) -> torch.Tensor | None:
        if p.want.dim() <= axis:
            return None
        return row_numbers(p, axis, way, experiment.tolerance(p.got, p.want))

    long = [p for p in points if p.want.size(axis) > 1]
    fitted = [(p, numbers_of(p)) for p in long]
    if len(fitted) < 2 or any(numbers is None for _, numbers in fitted):
        return None
    if not any(numbers is not None and numbers.numel() > 1 for _, numbers in fitted):
        return None  # one row a trial: factors.py looks at that
    if sum(way == "shift" or has_weight(p.want, axis) for p, _ in fitted) < 2:
        return None  # a row with one number of any size is always so many times another
    neutral = 1.0 if way == "factor" else 0.0
    if all(is_near(numbers, neutral, experiment, p) for p, numbers in fitted):
        return None
    names: set[str] | None = None
    for p, numbers in fitted:
        if numbers is not None and (names is None or names):
            rtol = 20 * experiment.tolerance(p.got, p.want)
            names = explaining(p, axis, numbers, rtol, names)
    dims = points[0].want.dim()
    axes = axis_name(experiment.task.axes, "->", axis, dims)
    lines = "Each row" if dims == 2 and axis == 1 else f"Each line along {axes}"
    who = subject(place, points[0].want)
    name = min(names, key=len) if names else None
    if name is not None and all(is_one_number(numbers) for _, numbers in fitted):
        name = None  # such as the sum of a softmax's row

    def holds(trial: Trial) -> bool | None:
        p = point(trial, place)
        if p is None or not trial.wrong or p.want.dim() <= axis or p.want.size(axis) < 2:
            return None
        numbers = numbers_of(p)
        if numbers is None:
            return False
        if name is None:
            return True
        rtol = 20 * experiment.tolerance(p.got, p.want)
        return bool(explaining(p, axis, numbers, rtol, {name}))

    change = "multiplied by" if way == "factor" else "shifted by"
    if name is not None:
        if way == "shift" and name.startswith("minus the"):
            text = f"{lines} is too small by {name.removeprefix('minus ')}."
        elif way == "shift":
            text = f"{lines} is too large by {name}."
        elif name.startswith("1 / "):
            text = f"{lines} is divided by {name[4:]} once too often."
        else:
            text = f"{lines} is multiplied by {name} once too often: divide by it and it is right."
        text = text if place == ("result",) else f"{who}: {text[0].lower()}{text[1:]}"
        return Finding(f"row {way}", TERM + 3, text, holds)
    text = f"{lines} is right but for one number: it is {change} a number of its own."
    text = text if place == ("result",) else f"{who}: {text[0].lower()}{text[1:]}"
    return Finding(f"unnamed row {way}", HINT + 18, text, holds)

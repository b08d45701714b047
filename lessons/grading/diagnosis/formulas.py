"""What a function makes of the callables that it gets, as a formula.

A learner reads that x + attn(x) is computed, and not x + attn(ln_1(x)).

The formulas that are tried are a chain, a sum of two or three chains of x, and such a sum h with
one more step: chain(h) or h + chain(h). The reference is one of them where this finds anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from lessons.grading.diagnosis.finding import EXACT, Finding, Test, family
from lessons.grading.diagnosis.relations import agree
from lessons.grading.diagnosis.series import Point, all_series, point

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

Tensors = dict[str, torch.Tensor]
DEEPEST = 2  # functions in a chain that begins with a sum


@family
def formulas(experiment: Experiment) -> Iterator[Finding]:
    """The answer is a formula of the callables."""
    for place, points in all_series(experiment):
        usable = [p for p in points if p.trial.functions and p.got.dtype.is_floating_point]
        if place != ("result",) or len(usable) < 3 or len(usable) < len(points):
            continue
        first = min(usable, key=lambda p: p.got.numel() if p.got.numel() > 7 else 1 << 30)
        for name in fitting(experiment, first):
            holds = holding(experiment, place, name)
            if all(holds(p.trial) for p in points):
                text = f"Your answer is {name}: that is not the formula."
                yield Finding("formula", EXACT + 5, text, holds)
                return


def holding(experiment: Experiment, place: tuple, name: str) -> Test:
    """Returns the test that a trial's answer is a formula."""

    def holds(trial: Trial) -> bool | None:
        p = point(trial, place)
        if p is None or not trial.wrong:
            return None
        value = evaluate(name, p)
        rtol = experiment.loose * experiment.tolerance(p.got, p.want)
        return value is not None and agree(p.got, value, rtol)

    return holds


def evaluate(name: str, p: Point) -> torch.Tensor | None:
    """Returns the value of a formula that `fitting` named, for another trial."""
    formula, _, definition = name.partition(" with h = ")
    space = {**{n: x for n, x in p.trial.named.items() if n.isidentifier()}, **p.trial.functions}
    try:
        if definition:
            space["h"] = eval(definition, {"__builtins__": {}}, space)  # our own text
        return eval(formula, {"__builtins__": {}}, space)
    except Exception:  # not every formula suits every trial's shapes
        return None


def start(p: Point) -> Tensors:
    """Returns the tensor that the answer begins with: the first argument of its shape."""
    return next(
        (
            {n: x}
            for n, x in p.trial.named.items()
            if isinstance(x, torch.Tensor) and x.shape == p.got.shape
        ),
        {},
    )


def fitting(experiment: Experiment, p: Point) -> Iterator[str]:
    """Yields the formulas that give the answer of one trial, the short ones first."""
    x = start(p)
    terms = {**x, **p.trial.chains(x, 4)}
    terms = {n: t.double() for n, t in terms.items() if t.shape == p.got.shape}
    if not terms:
        return
    rtol = experiment.loose * experiment.tolerance(p.got, p.want)
    yield from sums(terms, p.got.double(), rtol)
    for name, value in in_two_steps(p.trial, x):
        if experiment.late:
            return
        if value.shape == p.got.shape and agree(p.got, value, rtol):
            yield name


def in_two_steps(trial: Trial, x: Tensors) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields formulas with a first sum h: chain(h), h + chain(h), and f(h + chain(h))."""
    short = {**x, **trial.chains(x, DEEPEST)}
    for (a, one), (b, other) in itertools.combinations_with_replacement(short.items(), 2):
        try:
            first = {f"{a} + {b}": one + other}
        except RuntimeError:
            continue
        firsts = {**first, **(trial.chains(first, 1) if a in x else {})}
        for h_name, h in firsts.items():
            for name, y in trial.chains({"h": h}, DEEPEST).items():
                end = f" with h = {h_name}"
                yield name + end, y
                if y.shape != h.shape:
                    continue
                yield f"h + {name}{end}", h + y
                for n, t in x.items():
                    yield f"{n} + {name}{end}", t + y
                if a in x:
                    for outer, z in trial.chains({f"h + {name}": h + y}, 1).items():
                        yield outer + end, z


def sums(terms: Tensors, target: torch.Tensor, rtol: float) -> Iterator[str]:
    """Yields the terms, and the sums of two and three of them, that are the target.

    All are first compared by a random projection to one number each.
    """
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(target.shape, generator=generator, dtype=torch.float64)
    names = list(terms)
    shadows = torch.stack([(t * weights).sum() for t in terms.values()])
    size = float(weights.norm() * target.norm()) or 1.0
    shadow = (target * weights).sum()
    for count in (1, 2, 3):
        combos = torch.combinations(torch.arange(len(names)), count, with_replacement=count == 2)
        near = (shadows[combos].reshape(-1, count).sum(-1) - shadow).abs() <= rtol * size
        for combo in combos.reshape(-1, count)[near].tolist():
            if agree(target, sum((terms[names[i]] for i in combo), torch.zeros(())), rtol):
                yield " + ".join(names[i] for i in combo)

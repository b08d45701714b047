"""What all right answers have and this one lacks: rows that sum to 1, no negative numbers.

Each property is first tried on the right answers: only one that all of them have is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch

from lessons.grading.diagnosis.finding import BROKEN, Finding, family
from lessons.grading.diagnosis.series import point, wrong_places
from lessons.grading.diagnosis.words import number

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

Property = Callable[[torch.Tensor], "torch.Tensor | bool"]


def row_sums(x: torch.Tensor) -> bool:
    """Returns whether the last axis sums to 1 everywhere."""
    return bool(((x.sum(-1) - 1).abs() < 1e-2).all())


PROPERTIES: dict[str, tuple[Property, str]] = {
    "each row sums to 1": (row_sums, "yours sum to {sum} in one case"),
    "there is no negative number": (lambda x: (x >= 0).all(), "yours has {low}"),
    "no number is above 1": (lambda x: (x <= 1).all(), "yours has {high}"),
    "all numbers are whole": (lambda x: (x == x.round()).all(), "yours has {odd}"),
    "no number is NaN": (lambda x: (~x.isnan()).all(), "yours has some"),
    "each row is in ascending order": (lambda x: (x.diff(dim=-1) >= 0).all(), "yours is not"),
    "each row is in descending order": (lambda x: (x.diff(dim=-1) <= 0).all(), "yours is not"),
    "each row has mean 0": (lambda x: (x.mean(-1).abs() < 1e-3).all(), "yours has {mean}"),
    "nothing stands above the diagonal": (
        lambda x: x.triu(1).eq(0).all(),
        "yours has something there",
    ),
    "it is symmetric": (lambda x: torch.allclose(x, x.transpose(-1, -2)), "yours is not"),
}


def has(property: Property, x: torch.Tensor) -> bool | None:
    """Returns whether a tensor has a property; None where it means nothing."""
    if x.numel() < 2 or x.dim() == 0:
        return None
    try:
        return bool(property(x.double()))
    except (RuntimeError, IndexError):
        return None


@family
def invariants(experiment: Experiment) -> Iterator[Finding]:
    """A property of every right answer is broken in a wrong one."""
    for place in wrong_places(experiment):
        points = [p for t in experiment.trials if (p := point(t, place)) is not None]
        if len(points) < 4 or points[0].want.dtype == torch.bool:
            continue
        for name, (property, proof) in PROPERTIES.items():
            rights = [has(property, p.want) for p in points]
            if sum(r is True for r in rights) < 4 or any(r is False for r in rights):
                continue
            broken = [p for p in points if has(property, p.got) is False]
            if len(broken) < 2 or len(broken) < 0.5 * len(experiment.failing):
                continue
            bad = broken[0].got.double()
            odd = bad[bad != bad.round()]
            said = proof.format(
                sum=number(float(worst_sum(bad))),
                low=number(float(bad.min())),
                high=number(float(bad.max())),
                mean=number(float(bad.mean(-1).reshape(-1)[0])),
                odd=number(float(odd[0])) if odd.numel() else "",
            )
            text = f"In a right answer {name}; {said}."

            def holds(
                trial: Trial, place: tuple = place, property: Property = property
            ) -> bool | None:
                p = point(trial, place)
                return None if p is None else has(property, p.want) is not False

            yield Finding("property broken", BROKEN, text, holds)


def worst_sum(x: torch.Tensor) -> torch.Tensor:
    """Returns the row sum that is furthest from 1."""
    sums = x.sum(-1).reshape(-1)
    return sums[(sums - 1).abs().argmax()]

"""The answer is a known function of the right one: its negative, transposed, sorted, rounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from lessons.grading.diagnosis.finding import HINT, Finding, family
from lessons.grading.diagnosis.known_changes import Relation, known_changes
from lessons.grading.diagnosis.series import Point, all_series, enough, is_wrong, point
from lessons.grading.diagnosis.words import subject

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial


def related(experiment: Experiment, relation: Relation, p: Point) -> bool:
    """Returns whether a point is of this relation."""
    try:
        if relation.mends:
            changed, target = relation.change(p.got), p.want
        else:
            changed, target = relation.change(p.want), p.got
    except (RuntimeError, LookupError, TypeError):
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
    """Returns whether both sides are whole numbers or truth values."""
    return not (p.got.dtype.is_floating_point or p.want.dtype.is_floating_point)


@family
def relations(experiment: Experiment) -> Iterator[Finding]:
    """The whole answer is a known function of the right one."""
    for place, points in all_series(experiment):
        if not enough(points, numbers=4 if whole(points[0]) else 3):
            continue
        who = subject(place, points[0].want)
        dims = {p.want.dim() for p in points}
        truth = points[0].want.dtype == torch.bool
        same_dims = dims.pop() if len(dims) == 1 else None
        for relation in known_changes(truth, whole(points[0]), same_dims, experiment.task.axes):
            axis = relation.axis
            if axis is not None and sum(p.want.size(axis) > 1 for p in points) < 2:
                continue  # of a single number a softmax is 1, whatever it is
            cut = relation.kind == "clipped"  # a constant may be anything that is cut
            if cut and sum(p.got.unique().numel() > 1 for p in points) < 2:
                continue
            if not all(related(experiment, relation, p) for p in points):
                continue

            def holds(
                trial: Trial, place: tuple = place, relation: Relation = relation
            ) -> bool | None:
                p = point(trial, place)
                if p is None or not trial.wrong or not is_wrong(experiment, p):
                    return None
                return related(experiment, relation, p)

            yield Finding(relation.kind, relation.rank, relation.sentence.format(who=who), holds)
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

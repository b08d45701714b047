"""An elementwise function that is nearly right: where along x it is off, and by how much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from lessons.grading.diagnosis.finding import HINT, Finding, family
from lessons.grading.diagnosis.series import Point, all_series
from lessons.grading.diagnosis.words import number

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment


@family
def profile(experiment: Experiment) -> Iterator[Finding]:
    """Each number of the answer belongs to one number of x: says where it is most wrong."""
    for place, points in all_series(experiment):
        if place != ("result",) or not points[0].want.dtype.is_floating_point:
            continue
        for slot in points[0].trial.slots:
            numbers = elementwise(points, slot.name)
            if numbers is None or not all(
                is_alone(experiment, p, slot.name) for p in points[:: max(1, len(points) // 4)]
            ):
                continue
            x, got, want = numbers
            off = (got - want).abs()
            worst = int(off.argmax())
            text = (
                f"As a function of {slot.name} it is most wrong near {number(float(x[worst]))}: "
                f"{number(float(got[worst]))} for {number(float(want[worst]))}"
            )
            small = off <= 1e-5 * want.abs().clamp(min=1e-3)
            yield Finding("profile", HINT + 12, f"{text}{right_parts(x, small)}.")
            return


def is_alone(experiment: Experiment, p: Point, name: str) -> bool:
    """Returns whether the right answer to the last number stays when all others are changed."""
    slot = next((s for s in p.trial.slots if s.name == name), None)
    if slot is None or p.want.numel() < 2:
        return True
    changed = (slot.value.double() * 0.7 - 0.3).to(slot.value.dtype).reshape(-1)
    changed[-1] = slot.value.reshape(-1)[-1]
    want = experiment.want(slot.put(changed.reshape(slot.value.shape)))
    right = None if want is None else want["result"]
    if not isinstance(right, torch.Tensor) or right.shape != p.want.shape:
        return False
    return experiment.close(right.reshape(-1)[-1], p.want.reshape(-1)[-1])


def elementwise(
    points: list[Point], name: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
    """Returns x, got and want, sorted by x, if the answer is a function of x alone."""
    parts = []
    for p in points:
        x = p.trial.named.get(name)
        if not isinstance(x, torch.Tensor) or x.shape != p.want.shape or x.dtype == torch.bool:
            return None
        parts.append(torch.stack([side.double().flatten() for side in (x, p.got, p.want)]))
    numbers = torch.cat(parts, dim=1)
    if not bool(numbers.isfinite().all()):
        return None
    x, got, want = numbers[:, numbers[0].argsort()]
    if x.numel() < 12 or x.unique().numel() < 8:
        return None
    near = x.diff() <= 0.02 * (x.max() - x.min())
    steep = (want.diff().abs() > 0.2 * (want.max() - want.min())) & near
    return None if bool(steep.any()) else (x, got, want)


def right_parts(x: torch.Tensor, small: torch.Tensor) -> str:
    """Returns where it is right: below, above or around some number; empty if nowhere."""
    if not small.any() or small.all():
        return ""
    wrong = x[~small]
    ends = []
    if small[0]:
        ends.append(f"below {number(float(wrong.min()))}")
    if small[-1]:
        ends.append(f"above {number(float(wrong.max()))}")
    return f"; it is right {' and '.join(ends)}" if ends else ""

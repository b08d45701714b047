"""Answers as tensors, side by side: what the families that compare numbers look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial


class Point(NamedTuple):
    """One trial's numbers at one place, of one shape."""

    trial: Trial
    got: torch.Tensor
    want: torch.Tensor


def as_tensor(value: Any) -> torch.Tensor | None:
    """Returns numbers as a tensor: of a tensor, an array, a number, or an even list of them."""
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, bool):
        return torch.tensor(value)
    if isinstance(value, (int, float)):
        fits = isinstance(value, float) or abs(value) < 1 << 62
        return (
            torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
            if fits
            else None
        )
    if isinstance(value, (list, tuple)) and value:
        parts = [as_tensor(item) for item in value]
        if any(isinstance(item, torch.Tensor) for item in value) or any(p is None for p in parts):
            return None
        tensors = [part for part in parts if part is not None]
        same = {(part.shape, part.dtype) for part in tensors}
        if len({shape for shape, _ in same}) == 1 and (
            len(same) == 1 or not any(dtype == torch.bool for _, dtype in same)
        ):
            dtype = torch.float64 if len(same) > 1 else tensors[0].dtype
            return torch.stack([part.to(dtype) for part in tensors])
    return None


def point(trial: Trial, place: tuple) -> Point | None:
    """Returns the numbers of a trial at a place, None unless both sides have one shape."""
    if place not in trial.pairs:
        return None
    got, want = (as_tensor(side) for side in trial.pairs[place])
    if got is None or want is None or got.shape != want.shape:
        return None
    if got.is_complex() or (got.dtype == torch.bool) != (want.dtype == torch.bool):
        return None
    return Point(trial, got, want)


def is_wrong(experiment: Experiment, found: Point) -> bool:
    """Returns whether the two sides of a point differ."""
    return bool(experiment.wrong_elements(found.got, found.want).any())


def wrong_places(experiment: Experiment) -> list[tuple]:
    """Returns the places where numbers of one shape are wrong, in the order of the answer."""
    places: dict[tuple, None] = {}
    for trial in experiment.failing:
        for place in trial.pairs:
            found = point(trial, place)
            if found is not None and is_wrong(experiment, found):
                places[place] = None
    if any(place[0] == "result" for place in places):  # whose gradients are wrong because of it
        places = {place: None for place in places if place[0] != "gradient"}
    order = {"result": 0, "after": 1, "gradient": 2}
    return sorted(places, key=lambda place: (order[place[0]], str(place[1:])))[:3]


def series(experiment: Experiment, place: tuple) -> list[Point]:
    """Returns the wrong numbers at a place; none if other shapes or types are the mistake there."""
    points = []
    for trial in experiment.failing:
        if place not in trial.pairs:
            continue
        if (found := point(trial, place)) is None:
            return []
        if is_wrong(experiment, found):
            points.append(found)
    return points


def all_series(experiment: Experiment) -> list[tuple[tuple, list[Point]]]:
    """Returns each place with its wrong numbers."""
    key = "all series", len(experiment.trials)
    if key not in experiment.memory:
        found = [(place, series(experiment, place)) for place in wrong_places(experiment)]
        experiment.memory[key] = [(place, points) for place, points in found if points]
    return experiment.memory[key]


def enough(points: list[Point], numbers: int = 4) -> bool:
    """Returns whether there is so much that a relation cannot be chance."""
    return len(points) >= 2 and sum(p.want.numel() for p in points) >= numbers


def fingerprint(value: Any) -> Any:
    """Returns something hashable that is equal for equal answers; quicker than a repr."""
    if isinstance(value, torch.Tensor):
        flat = value.detach().contiguous().reshape(-1)
        return str(value.dtype), tuple(value.shape), flat.view(torch.uint8).numpy().tobytes()
    if isinstance(value, np.ndarray):
        return fingerprint(torch.from_numpy(value))
    if isinstance(value, (list, tuple)):
        return tuple(fingerprint(item) for item in value)
    return repr(value)

"""The result has the wrong type, length, shape or dtype, and what would make it right."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from lessons.grading.diagnosis.finding import EXACT, FORM, Finding, family
from lessons.grading.diagnosis.relations import agree
from lessons.grading.diagnosis.series import as_tensor
from lessons.grading.diagnosis.words import axis_name, listing, sizes, subject

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment, Trial

TYPES = {
    "Tensor": "a tensor",
    "ndarray": "a numpy array",
    "Lazy": "a generator",
    "NoneType": "None",
}


def type_name(value: Any) -> str:
    """Returns what a value is: "a tensor", "an int"."""
    name = type(value).__name__
    if name == "Strange":
        name = value.type
    return TYPES.get(name, f"{'an' if name[:1] in 'aeiou' else 'a'} {name}")


def places_of(
    experiment: Experiment, wrong: Callable[[Any, Any], bool]
) -> dict[tuple, list[Trial]]:
    """Returns the trials by the places where (got, want) is wrong in that way."""
    found: dict[tuple, list[Trial]] = {}
    for trial in experiment.failing:
        for place, (got, want) in trial.pairs.items():
            if wrong(got, want):
                found.setdefault(place, []).append(trial)
    return found


@family
def types(experiment: Experiment) -> Iterator[Finding]:
    """Nothing, or another type, comes back."""
    answered = [trial for trial in experiment.failing if not trial.stopped]
    typed = [t for t in answered if t.fault is not None and t.fault.kind == "type"]
    if not typed:
        return
    every = len(typed) == len(experiment.trials)
    none = [t for t in typed if t.got is None and t.want["result"] is not None]
    if len(none) == len(typed):

        def nothing(trial: Trial) -> bool | None:
            return None if trial.stopped else (trial.got is None) if every else None

        text = "It returns None: is a return missing?"
        if not every:
            text = f"It returns None for {len(none)} of {len(experiment.trials)} inputs that have an answer."
        yield Finding("returns None", EXACT + 6 if every else FORM + 5, text, nothing)
        return
    for trial in typed[:1]:
        got, want = trial.got, trial.want["result"]
        if type(got) is type(want) and isinstance(got, (list, tuple, dict)):
            yield from inner_types(typed)
            continue
        text = f"It returns {type_name(got)} and should return {type_name(want)}"
        if isinstance(want, (tuple, list)) and not isinstance(got, (tuple, list)):
            index = next((i for i, item in enumerate(want) if same_values(got, item)), None)
            if index is not None:
                text += f": only what should be the {('first', 'second', 'third')[index]} of {len(want)} results"
        elif isinstance(got, (tuple, list)) and any(same_values(item, want) for item in got):
            text += ": the right one is among them"
        elif same_values(got, want):
            text += ", with the right numbers in it"
        wrong_type = type_name(got)

        def holds(trial: Trial) -> bool | None:
            if trial.stopped or trial.fault is None or trial.fault.kind != "type":
                return None
            return type_name(trial.got) == wrong_type or None

        yield Finding("type", FORM + 4, f"{text}.", holds)


def inner_types(typed: list[Trial]) -> Iterator[Finding]:
    """Yields which type an entry has."""
    found = typed[0].fault.difference if typed[0].fault else None
    if found is not None:
        text = f"In the result, {found.path} is {type_name(found.got)} and should be {type_name(found.expected)}"
        same = ", with the right value" if same_values(found.got, found.expected) else ""
        yield Finding("type", FORM + 2, f"{text}{same}.")


def same_values(got: Any, want: Any) -> bool:
    """Tells whether two values hold the same numbers or items, whatever they are kept in."""
    ours, theirs = as_tensor(got), as_tensor(want)
    if (
        ours is not None
        and theirs is not None
        and ours.numel() == theirs.numel()
        and theirs.numel()
    ):
        return agree(ours.reshape(-1), theirs.reshape(-1), 1e-4)
    try:
        return list(got) == list(want)
    except (TypeError, RuntimeError):
        return False


@family
def dtypes(experiment: Experiment) -> Iterator[Finding]:
    """The dtype is another one; the numbers may be right."""

    def wrong(got: Any, want: Any) -> bool:
        both = isinstance(got, torch.Tensor) and isinstance(want, torch.Tensor)
        return both and got.shape == want.shape and got.dtype != want.dtype

    if not experiment.task.same_dtype:
        return
    for place, trials in places_of(experiment, wrong).items():
        if place[0] == "gradient":
            continue
        pairs = {(t.pairs[place][0].dtype, t.pairs[place][1].dtype) for t in trials}
        names = [
            tuple(str(d).removeprefix("torch.") for d in pair) for pair in sorted(pairs, key=str)
        ]
        if all(t.pairs[place][1].dtype == torch.bool for t in trials):
            yield from truth_values(place, [t.pairs[place] for t in trials])
            continue
        right = all(
            agree(t.pairs[place][0], t.pairs[place][1], 4 * experiment.tolerance(*t.pairs[place]))
            for t in trials
        )
        who = subject(place) if len(place) > 1 else "The result"
        said = listing([f"{got} where it should be {want}" for got, want in names[:3]])
        text = f"{who} has dtype {said}; {'the numbers are right' if right else 'the numbers are wrong, too'}."

        def holds(trial: Trial, place: tuple = place, pairs: set = pairs) -> bool | None:
            if place not in trial.pairs or not wrong(*trial.pairs[place]):
                return None
            return (trial.pairs[place][0].dtype, trial.pairs[place][1].dtype) in pairs or None

        yield Finding("dtype", FORM + 3 if right else FORM - 14, text, holds)


def truth_values(place: tuple, pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[Finding]:
    """Yields what numbers stand for where True and False are asked for."""
    who = subject(place) if len(place) > 1 else "The result"
    kind = str(pairs[0][0].dtype).removeprefix("torch.")
    readings: list[tuple[str, Callable[[torch.Tensor], torch.Tensor]]] = [
        ("it is right if 1 is read as True and 0 as False", lambda g: g != 0),
        (
            "it is right if 0 is read as True and all else as False, as in a mask that is added",
            lambda g: g == 0,
        ),
        ("it is right if what is above 0 is read as True", lambda g: g > 0),
    ]
    for said, reading in readings:
        if all(bool((reading(got) == want).all()) for got, want in pairs):
            yield Finding(
                "dtype", FORM + 3, f"{who} has dtype {kind} where it should be bool; {said}."
            )
            return
    yield Finding(
        "dtype", FORM - 14, f"{who} has dtype {kind} where it should be bool, and is wrong besides."
    )


@family
def shapes(experiment: Experiment) -> Iterator[Finding]:
    """The shape is another one; transposing, a missing or an extra dimension may explain it."""

    def wrong(got: Any, want: Any) -> bool:
        ours, theirs = as_tensor(got), as_tensor(want)
        return ours is not None and theirs is not None and ours.shape != theirs.shape

    for place, trials in places_of(experiment, wrong).items():
        pairs = []
        for t in trials:
            ours, theirs = (as_tensor(side) for side in t.pairs[place])
            if ours is not None and theirs is not None:
                pairs.append((ours, theirs))
        if not pairs or not all(isinstance(t.pairs[place][1], torch.Tensor) for t in trials):
            continue
        who = f"{subject(place)} has" if len(place) > 1 else "The result has"
        first = f"{who} shape {sizes(pairs[0][0].shape)} and should have {sizes(pairs[0][1].shape)}"
        for kind, said, change in mendings(pairs, experiment.task.axes):
            if all(becomes(change, got, want) for got, want in pairs):
                values = all(
                    agree(change(got, want), want, 4 * experiment.tolerance(got, want))
                    for got, want in pairs
                )
                right = "and it is right" if values else "though the numbers are wrong even then"

                def holds(
                    trial: Trial, place: tuple = place, change: Callable = change
                ) -> bool | None:
                    if place not in trial.pairs or not wrong(*trial.pairs[place]):
                        return None
                    got, want = (as_tensor(side) for side in trial.pairs[place])
                    return got is not None and want is not None and becomes(change, got, want)

                yield Finding(
                    kind, EXACT + 3 if values else FORM, f"{first}: {said} {right}.", holds
                )
        yield Finding("shape", FORM - 2, f"{first}.")


def mendings(
    pairs: list[tuple[torch.Tensor, torch.Tensor]], axes: dict[str, str]
) -> Iterator[tuple[str, str, Callable]]:
    """Yields what would give the right shape."""
    got, want = pairs[0]
    for order in itertools.permutations(range(got.dim())) if got.dim() <= 4 else ():
        if list(order) != sorted(order) and got.dim() == want.dim():
            swapped = [i for i, axis in enumerate(order) if i != axis]
            if len(swapped) == 2:
                names = [axis_name(axes, "->", i, want.dim()) for i in swapped]
                said = f"{names[0]} and {names[1]} have changed places; transpose them"
            else:
                said = f"its axes are in another order; permute it with {list(order)}"
            yield "shape: transposed", said, lambda x, w, o=order: x.permute(o)
    for axis in range(max(got.dim(), want.dim())):
        if got.dim() == want.dim() + 1:
            yield (
                "shape: one dimension too many",
                f"axis {axis}, of size 1, is one too many; squeeze it",
                lambda x, w, a=axis: x.squeeze(a),
            )
            yield (
                "shape: not reduced",
                f"it still has axis {axis}; take the sum along it",
                lambda x, w, a=axis: x.sum(a),
            )
            yield (
                "shape: not reduced",
                f"it still has axis {axis}; take the mean along it",
                lambda x, w, a=axis: x.double().mean(a),
            )
            yield (
                "shape: not reduced",
                f"axis {axis} is one too many; take its first entry",
                lambda x, w, a=axis: x.select(a, 0),
            )
            yield (
                "shape: not reduced",
                f"axis {axis} is one too many; take its last entry",
                lambda x, w, a=axis: x.select(a, -1),
            )
        if got.dim() == want.dim() - 1:
            yield (
                "shape: a dimension is missing",
                f"axis {axis}, of size 1, is missing (keepdim or unsqueeze)",
                lambda x, w, a=axis: x.unsqueeze(a),
            )
        if got.dim() == want.dim():
            yield from resized(got, want, axis, axis_name(axes, "->", axis, want.dim()))
    if want.dim() == 0:
        yield (
            "shape: not reduced",
            "it is not reduced to one number; take the mean",
            lambda x, w: x.double().mean(),
        )
        yield (
            "shape: not reduced",
            "it is not reduced to one number; take the sum",
            lambda x, w: x.sum(),
        )
    if all(g.numel() == w.numel() for g, w in pairs):
        yield "shape: not reshaped", "reshape it", lambda x, w: x.reshape(w.shape)


def resized(
    got: torch.Tensor, want: torch.Tensor, axis: int, name: str
) -> Iterator[tuple[str, str, Callable]]:
    """Yields what is too long or too short along one axis."""
    n, m = got.size(axis), want.size(axis)
    if 0 < n - m <= 2:
        few = f"{n - m} too many"
        yield (
            "shape: too long",
            f"{few} along {name}; without its end",
            lambda x, w, k=n - m: x.narrow(axis, 0, max(x.size(axis) - k, 0)),
        )
        yield (
            "shape: too long",
            f"{few} along {name}; without its beginning",
            lambda x, w, k=n - m: x.narrow(axis, k, max(x.size(axis) - k, 0)),
        )
    if m == 1 and n > 1:
        yield (
            "shape: not reduced",
            f"it is not summed along {name}; sum it with keepdim",
            lambda x, w: x.sum(axis, keepdim=True),
        )
        yield (
            "shape: not reduced",
            f"it is not averaged along {name}; take the mean with keepdim",
            lambda x, w: x.double().mean(axis, keepdim=True),
        )


def becomes(change: Callable, got: torch.Tensor, want: torch.Tensor) -> bool:
    """Tells whether a change gives the wanted shape."""
    try:
        return change(got, want).shape == want.shape
    except (RuntimeError, IndexError):
        return False

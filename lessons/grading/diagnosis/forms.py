"""The result has the wrong type or dtype, and what would make it right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from lessons.grading.diagnosis.finding import EXACT, FORM, Finding, family
from lessons.grading.diagnosis.relations import agree
from lessons.grading.diagnosis.series import as_tensor
from lessons.grading.diagnosis.words import kind_of, listing, ordinal, subject

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial


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
    none = [t for t in typed if t.got is None and t.want["result"] is not None]
    if len(none) == len(typed):
        yield nothing(len(none), len(experiment.trials))
        return
    got, want = typed[0].got, typed[0].want["result"]
    if type(got) is type(want) and isinstance(got, (list, tuple, dict)):
        yield from inner_types(typed)
        return
    text = f"It returns {kind_of(got)} and should return {kind_of(want)}"
    if isinstance(want, (tuple, list)) and not isinstance(got, (tuple, list)):
        index = next((i for i, item in enumerate(want) if same_values(got, item)), None)
        if index is not None:
            text += f": only what should be the {ordinal(index)} of {len(want)} results"
    elif isinstance(got, (tuple, list)) and any(same_values(item, want) for item in got):
        text += ": the right one is among them"
    elif same_values(got, want):
        text += ", with the right numbers in it"
    wrong_kind = kind_of(got)

    def holds(trial: Trial) -> bool | None:
        if trial.stopped or trial.fault is None or trial.fault.kind != "type":
            return None
        return kind_of(trial.got) == wrong_kind or None

    yield Finding("type", FORM + 4, f"{text}.", holds)


def nothing(n: int, of: int) -> Finding:
    """Returns the finding that None comes back in n of so many trials."""
    if n < of:
        text = f"It returns None for {n} of {of} inputs that have an answer."
        return Finding("returns None", FORM + 5, text)

    def holds(trial: Trial) -> bool | None:
        return None if trial.stopped else trial.got is None

    return Finding("returns None", EXACT + 6, "It returns None: is a return missing?", holds)


def inner_types(typed: list[Trial]) -> Iterator[Finding]:
    """Yields which type an entry has."""
    found = typed[0].fault.difference if typed[0].fault else None
    if found is not None:
        got, want = kind_of(found.got), kind_of(found.expected)
        text = f"In the result, {found.path} is {got} and should be {want}"
        same = ", with the right value" if same_values(found.got, found.expected) else ""
        yield Finding("type", FORM + 2, f"{text}{same}.")


def same_values(got: Any, want: Any) -> bool:
    """Returns whether two values hold the same numbers or items, whatever they are kept in."""
    ours, theirs = as_tensor(got), as_tensor(want)
    if ours is not None and theirs is not None:
        if ours.numel() != theirs.numel() or not theirs.numel():
            return False
        return agree(ours.reshape(-1), theirs.reshape(-1), 1e-4)
    try:
        return list(got) == list(want)
    except (TypeError, RuntimeError):
        return False


@family
def fractions(experiment: Experiment) -> Iterator[Finding]:
    """A float comes back where a whole number is asked for, of the same value."""

    def same_number(trial: Trial) -> bool | None:
        got, want = trial.got, trial.want["result"]
        if not trial.wrong or trial.stopped:
            return None
        return type(got) is float and type(want) is int and got == want

    found = [same_number(trial) for trial in experiment.failing]
    if len(found) >= 2 and all(found):
        text = "It returns a float and should return an int: the number is right."
        yield Finding("type", FORM + 4, text, same_number)


@family
def gradients(experiment: Experiment) -> Iterator[Finding]:
    """No gradient reaches an argument."""
    trials_at = places_of(
        experiment, lambda got, want: got is None and isinstance(want, torch.Tensor)
    )
    names = [place[1] for place in trials_at if place[0] == "gradient"]
    if names:
        text = (
            f"No gradient reaches {listing(names)}: it is cut off on the way (detach, .data, "
            "no_grad, or numbers taken out of the tensors)."
        )
        yield Finding("no gradient", EXACT + 5, text)


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
        tensors = [trial.pairs[place] for trial in trials]
        who = subject(place) if len(place) > 1 else "The result"
        if all(want.dtype == torch.bool for _, want in tensors):
            yield truth_values(who, tensors)
            continue
        right = all(agree(g, w, 4 * experiment.tolerance(g, w)) for g, w in tensors)
        pairs = {(got.dtype, want.dtype) for got, want in tensors}
        names = [[str(d).removeprefix("torch.") for d in pair] for pair in sorted(pairs, key=str)]
        said = listing([f"{got} where it should be {want}" for got, want in names[:3]])
        numbers = "the numbers are right" if right else "the numbers are wrong, too"

        def holds(trial: Trial, place: tuple = place, pairs: set = pairs) -> bool | None:
            if place not in trial.pairs or not wrong(*trial.pairs[place]):
                return None
            return (trial.pairs[place][0].dtype, trial.pairs[place][1].dtype) in pairs or None

        text = f"{who} has dtype {said}; {numbers}."
        yield Finding("dtype", FORM + 3 if right else FORM - 14, text, holds)


READINGS: list[tuple[str, Callable[[torch.Tensor], torch.Tensor]]] = [
    ("it is right if 1 is read as True and 0 as False", lambda g: g != 0),
    ("it is right if 0 is read as True and all else as False, as in a mask that is added",
     lambda g: g == 0),
    ("it is right if what is above 0 is read as True", lambda g: g > 0),
]  # fmt: skip


def truth_values(who: str, pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> Finding:
    """Returns what numbers stand for where True and False are asked for."""
    kind = str(pairs[0][0].dtype).removeprefix("torch.")
    start = f"{who} has dtype {kind} where it should be bool"
    for said, reading in READINGS:
        if all(bool((reading(got) == want).all()) for got, want in pairs):
            return Finding("dtype", FORM + 3, f"{start}; {said}.")
    return Finding("dtype", FORM - 14, f"{start}, and is wrong besides.")

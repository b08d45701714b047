"""How the function behaves: it changes its arguments, remembers, draws, always says the same."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from lessons.grading.diagnosis.finding import EXACT, FORM, Finding, family
from lessons.grading.diagnosis.series import as_tensor, fingerprint
from lessons.grading.diagnosis.words import listing, ordinal, value

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial


@family
def changed_arguments(experiment: Experiment) -> Iterator[Finding]:
    """An argument is another after the call, and must not be."""
    changed = [t for t in experiment.failing if t.fault is not None and t.fault.kind == "argument"]
    if not changed:
        return
    names: dict[str, None] = {}
    for trial in changed:
        path = trial.fault.difference.path if trial.fault and trial.fault.difference else ""
        inside = path[1:-1].split("][")
        if inside[0] == "0" and len(inside) > 1:
            index = int(inside[1])
            known = [slot.name for slot in trial.whole_slots]
            names[known[index] if index < len(known) else f"argument {index + 1}"] = None
        elif len(inside) > 1:
            names[inside[1].strip("'")] = None
    who = listing(list(names)) or "an argument"
    text = (
        f"The result is right, but the call changes {who}, which belongs to the caller; "
        "work on a copy."
    )
    yield Finding("changes an argument", EXACT + 6, text)


@family
def facts(experiment: Experiment) -> Iterator[Finding]:
    """Something that must be so is not: it stands before what it makes of the results."""
    failing = [t.fault for t in experiment.failing if t.fault is not None]
    false = [fault for fault in failing if fault.kind == "fact"]
    for fault in {f.sentence: f for f in false}.values():
        rank = EXACT + 7 if len(false) == len(failing) else FORM + 1
        yield Finding("fact", rank, fault.sentence)


@family
def same_answer_always(experiment: Experiment) -> Iterator[Finding]:
    """Whatever comes in, the same comes out: zeros, NaN, an empty list."""
    answered = [t for t in experiment.trials if not t.stopped]
    answered = [t for t in answered if t.fault is None or t.fault.kind != "fact"]
    if len(answered) < 4 or not experiment.failing:
        return

    def one_number(got: Any) -> float | None:
        x = as_tensor(got)
        if x is None or x.numel() == 0:
            return None
        x = x.double().reshape(-1)
        if bool(x.isnan().all()):
            return float("nan")
        return float(x[0]) if bool((x == x[0]).all()) else None

    numbers = [one_number(t.got) for t in answered]
    wants = {fingerprint(t.want["result"]) for t in answered}
    known = {repr(number) for number in numbers}
    if len(known) == 1 and numbers[0] is not None and len(wants) > 1:
        said = "NaN" if numbers[0] != numbers[0] else value(numbers[0])
        kind = as_tensor(answered[0].got)
        if kind is not None and kind.dtype == torch.bool:
            said = str(bool(numbers[0]))
        if kind is not None and kind.dim():
            said += " everywhere"

        def holds(trial: Trial) -> bool | None:
            return None if trial.stopped else repr(one_number(trial.got)) in known

        yield Finding("constant", EXACT + 5, f"The answer is {said} whatever comes in.", holds)
        return
    if len({fingerprint(t.got) for t in answered}) == 1 and len(wants) > 1:
        yield Finding(
            "constant", EXACT + 5, f"The answer is {value(answered[0].got)} whatever comes in."
        )


@family
def exchanged_results(experiment: Experiment) -> Iterator[Finding]:
    """Several results come back, all right, in another order."""

    def exchanged(trial: Trial) -> bool | None:
        got, want = trial.got, trial.want["result"]
        if not trial.wrong or not isinstance(got, (tuple, list)) or not isinstance(want, tuple):
            return None
        if len(got) != len(want) or not 2 <= len(want) <= 4:
            return None
        return any(
            all(same(experiment, got[i], want[j]) for i, j in enumerate(order))
            for order in list(itertools.permutations(range(len(want))))[1:]
        )

    found = [exchanged(trial) for trial in experiment.failing]
    if len(found) >= 2 and all(found):
        text = "The results are right and come back in the wrong order."
        yield Finding("results exchanged", EXACT + 6, text, exchanged)


@family
def one_for_another(experiment: Experiment) -> Iterator[Finding]:
    """One of several results is what another should be."""
    failing = [t for t in experiment.failing if not t.stopped]
    for i, j in itertools.permutations(range(4), 2):

        def holds(trial: Trial, i: int = i, j: int = j) -> bool | None:
            if not trial.wrong or ("result", j) not in trial.pairs:
                return None
            got, want = trial.pairs.get(("result", i), (None, None))
            if got is None or same(experiment, got, want):
                return None
            return same(experiment, got, trial.pairs[("result", j)][1])

        found = [verdict for t in failing if (verdict := holds(t)) is not None]
        if len(found) >= 2 and all(found):
            text = f"The {ordinal(i)} result is what should be the {ordinal(j)}."
            yield Finding("one result for another", EXACT + 3, text, holds)


# What one of three results may be made of by the other two.
COMBINATIONS: list[tuple[str, Callable[[float, float], float]]] = [
    ("the mean", lambda a, b: (a + b) / 2),
    ("the root of the product", lambda a, b: math.sqrt(a * b)),
    ("the product", lambda a, b: a * b),
    ("the sum", lambda a, b: a + b),
    ("the smaller", min),
    ("the larger", max),
    ("the harmonic mean", lambda a, b: 2 * a * b / (a + b)),
    ("half the harmonic mean", lambda a, b: a * b / (a + b)),
]


@family
def combined(experiment: Experiment) -> Iterator[Finding]:
    """Of three numbers the last is made of the others in another way than it should be."""
    for said, combine in COMBINATIONS:

        def holds(trial: Trial, combine: Callable = combine) -> bool | None:
            got = trial.got
            if not trial.wrong or not isinstance(got, (tuple, list)) or len(got) != 3:
                return None
            if not all(isinstance(x, float) for x in got) or not got[0] * got[1]:
                return None
            want = trial.want["result"]
            if abs(want[2] - combine(*want[:2])) <= 1e-6 * abs(want[2]):
                return None if want[0] * want[1] == 0 else False  # the right one is made so, too
            return abs(got[2] - combine(*got[:2])) <= 1e-9 * abs(got[2])

        found = [v for t in experiment.failing if (v := holds(t)) is not None]
        if len(found) >= 3 and all(found):
            text = f"Your third result is {said} of the first two, and should not be."
            yield Finding("combined results", EXACT, text, holds)


@family
def remembers(experiment: Experiment) -> Iterator[Finding]:
    """The same case asked twice gets two answers: state or random numbers."""
    again = [t for t in experiment.failing if t.fault is not None and t.fault.kind == "again"]
    others = [t for t in experiment.failing if not t.stopped and t not in again]
    if again:
        text = (
            "The answers were right at first, and another came when the same question was asked "
            "again: something is kept between two calls, or random numbers are drawn."
        )
        yield Finding("keeps state", EXACT + 6, text)
        return
    differing = 0
    for trial in others[:3]:
        first, second = experiment.ask(trial.case), experiment.ask(trial.case)
        if first is None or second is None or first.stopped or second.stopped:
            continue
        answers = [experiment.viewed(t.got) for t in (trial, first, second)]
        alike = all(same(experiment, answers[0], other) for other in answers[1:])
        differing += first.wrong != trial.wrong or not alike
    if differing and experiment.task.check is None:
        text = (
            "The same question gets another answer each time: something is kept between two calls "
            "(a default argument that is changed, a global), or random numbers are drawn."
        )
        yield Finding("keeps state", EXACT + 6, text)


def same(experiment: Experiment, one: Any, other: Any) -> bool:
    """Returns whether two answers are the same but for rounding."""
    a, b = as_tensor(one), as_tensor(other)
    if a is not None and b is not None:
        return a.shape == b.shape and experiment.close(a, b, 10)
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(same(experiment, x, y) for x, y in pairs)
    return repr(one) == repr(other)

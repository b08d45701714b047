"""The wrong answer is the right one for other inputs: as if eps were 0, as if q were k."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import NoneType
from typing import TYPE_CHECKING, Any

import torch

from lessons.grading.diagnosis.finding import EXACT, TERM, Finding, family
from lessons.grading.diagnosis.other_lists import for_dict, for_list, for_text
from lessons.grading.diagnosis.other_numbers import for_flag, for_number
from lessons.grading.diagnosis.other_tensors import for_tensor
from lessons.grading.diagnosis.relations import agree
from lessons.grading.diagnosis.series import is_wrong, point, wrong_places
from lessons.grading.diagnosis.substitute import Substitute, with_value
from lessons.grading.diagnosis.words import subject

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.slots import Slot
    from lessons.grading.trial import Trial

# Kinds of faults that a result for other inputs can have.
ABOUT_RESULTS = ("value", "check", "length", "keys", "shape", "type", "dtype")


def substitutes(trial: Trial) -> Iterator[Substitute]:
    """Yields what may stand instead of the arguments of such trials."""
    for slot in trial.slots:
        name, value = slot.name, slot.value
        if isinstance(value, bool):
            yield from for_flag(name)
        elif isinstance(value, (int, float)):
            yield from for_number(name, value, trial)
        elif isinstance(value, torch.Tensor):
            yield from for_tensor(name, value, trial)
        elif isinstance(value, (list, tuple)):
            yield from for_list(name, list(value))
            yield from for_entries(name, value)
        elif isinstance(value, dict):
            yield from for_dict(name)
        elif isinstance(value, str):
            yield from for_text(name)
        if slot.given and (slot.default is None or isinstance(slot.default, (bool, int, float))):
            yield left_out(name, slot.default)
    yield from swaps(trial)


def for_entries(name: str, value: Any) -> Iterator[Substitute]:
    """Yields for the numbers of a short tuple, such as betas."""
    if not isinstance(value, tuple) or len(value) > 4:
        return
    for i in range(len(value)) if all(isinstance(item, float) for item in value) else ():
        for said, change in ENTRIES:

            def changed(v: Any, trial: Trial, i: int = i, change: Callable = change) -> Any:
                return (*v[:i], change(v[i]), *v[i + 1 :])

            phrase = f"{name}[{i}] were {said.format(x=f'{name}[{i}]')}"
            yield Substitute("other value", phrase, with_value(name, changed), bonus=2.5)


ENTRIES: list[tuple[str, Callable[[float], float]]] = [
    ("always 0", lambda v: 0.0),
    ("1 - {x}", lambda v: 1 - v),
    ("its square", lambda v: v * v),
    ("its square root", lambda v: v**0.5),
]


def left_out(name: str, default: Any) -> Substitute:
    """Returns an argument left at its default."""
    said = "not given" if default is None else f"its default, {default}"
    made = with_value(name, lambda value, trial: default)
    return Substitute("ignored", f"{name} were {said}", made, bonus=4)


def swaps(trial: Trial) -> Iterator[Substitute]:
    """Yields two arguments of one kind in each other's place, and one in the place of another."""

    def kind(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return "tensor", value.dtype.is_floating_point, value.dim()
        return float if type(value) is int else type(value)

    for one, other in itertools.combinations(trial.whole_slots, 2):
        a, b = one.name, other.name
        alike = kind(one.value) == kind(other.value)
        if not alike or one.value is None or isinstance(one.value, bool):
            continue
        yield Substitute("swapped", f"{a} and {b} had changed places", exchange(a, b), bonus=2)
        if not isinstance(one.value, (int, float)):  # other_numbers.py mixes those
            yield Substitute("mixed up", f"{a} were {b}", copy_of(a, b), bonus=1)
            yield Substitute("mixed up", f"{b} were {a}", copy_of(b, a), bonus=1)


def exchange(a: str, b: str) -> Callable[[Trial], Any]:
    """Returns the maker of the case with two arguments exchanged."""

    def case_of(trial: Trial) -> Any:
        named = {slot.name: slot for slot in trial.whole_slots}
        if a not in named or b not in named:
            return None
        swapped = replace(trial, case=named[a].put(named[b].value))
        again = {slot.name: slot for slot in swapped.whole_slots}
        return again[b].put(named[a].value)

    return case_of


def copy_of(a: str, b: str) -> Callable[[Trial], Any]:
    """Returns the maker of the case in which a is what b is."""

    def case_of(trial: Trial) -> Any:
        named = {slot.name: slot for slot in trial.whole_slots}
        return named[a].put(named[b].value) if a in named and b in named else None

    return case_of


def answers(experiment: Experiment, trial: Trial, other: Substitute) -> bool | None:
    """Returns whether a trial's answer is right for the other inputs; None if that says nothing."""
    if trial.wrong and not is_about_result(trial):
        return None
    nothing = False if trial.wrong else None  # a wrong answer needs other inputs to be right for
    case = other.case_of(trial)
    want = None if case is None else experiment.want(case)
    if want is None:
        return None if experiment.late else nothing
    if other.after is not None:
        try:
            want = {**want, "result": other.after(want["result"], trial)}
        except (RuntimeError, TypeError, AttributeError, LookupError):
            return nothing
        case = trial.case
    return experiment.answers_as(trial, case, want)


@family
def as_if(experiment: Experiment) -> Iterator[Finding]:
    """One other input explains every wrong answer."""
    failing = [t for t in experiment.failing if is_about_result(t)]
    if len(failing) < max(2, 0.6 * len(experiment.failing)):
        return
    if any(t.stopped for t in experiment.failing):
        return
    failing.sort(key=lambda trial: -len(trial.slots))
    seen: set[str] = set()
    for trial in (failing[0], failing[-1]):  # one may have arguments that the other lacks
        for other in sorted(substitutes(trial), key=lambda other: -other.bonus):
            if other.phrase in seen or experiment.late:
                continue
            seen.add(other.phrase)
            if explains(experiment, failing, other):
                experiment.memory["as if"] = True
                found = finding(experiment, other)
                if not (other.kind == "one for all" and found.sentence.startswith("Where")):
                    yield found  # else a tie of large numbers looks the same


@family
def of_parts(experiment: Experiment) -> Iterator[Finding]:
    """One of several results is right for another input, one that is plain."""
    failing = [t for t in experiment.failing if is_about_result(t)]
    if len(failing) < 2 or not isinstance(failing[0].want["result"], tuple):
        return
    places = [] if "as if" in experiment.memory else wrong_places(experiment)
    plain = [s for s in substitutes(failing[0]) if s.bonus >= 0.5 and s.after is None]
    for place in [place for place in places[::-1] if place[0] == "result"]:
        wrong = [t for t in failing if (p := point(t, place)) and is_wrong(experiment, p)]
        for other in plain if len(wrong) > 1 else ():

            def holds(trial: Trial, place: tuple = place, other: Substitute = other) -> bool | None:
                return part_answers(experiment, trial, place, other)

            if experiment.late:
                return
            verdicts = map(holds, wrong)
            if next(verdicts) and all(v is not False for v in verdicts):
                text = f"{subject(place)} is as if {other.phrase}."
                yield Finding(f"as if: {other.kind}", EXACT - 3 + other.bonus, text, holds)


def part_answers(
    experiment: Experiment, trial: Trial, place: tuple, other: Substitute
) -> bool | None:
    """Returns whether one result is right for the other inputs; None if that says nothing."""
    p = None if other.after is not None else point(trial, place)
    case = None if p is None else other.case_of(trial)
    want = None if case is None else experiment.want(case)
    changed = None if want is None else point(replace(trial, want=want), place)
    if p is None or changed is None:
        return False if other.after is not None else None
    rtol = experiment.loose * experiment.tolerance(p.got, p.want)
    if not agree(p.got, changed.want, rtol):
        return False
    return None if agree(p.want, changed.want, rtol) else True


def is_about_result(trial: Trial) -> bool:
    """Returns whether a result is wrong, and in a way that other inputs may explain."""
    fault = trial.fault
    return fault is not None and fault.where == "result" and fault.kind in ABOUT_RESULTS


def explains(experiment: Experiment, failing: list[Trial], other: Substitute) -> bool:
    """Returns whether other inputs explain all wrong answers, and at least two surely."""
    sure = 0
    for trial in failing:
        verdict = answers(experiment, trial, other)
        if verdict is False:
            return False
        sure += verdict is True
    return sure >= 2


def finding(experiment: Experiment, other: Substitute) -> Finding:
    """Returns the finding: it holds everywhere, or where the answer is wrong."""
    everywhere = all(answers(experiment, t, other) is not False for t in experiment.passing)
    few = all(type(t.want["result"]) in (bool, int, NoneType) for t in experiment.failing)

    def holds(trial: Trial) -> bool | None:
        return answers(experiment, trial, other) if trial.wrong or everywhere else None

    rank = EXACT + other.bonus - (0 if everywhere else 8)
    start = "You answer" if everywhere else "Where it is wrong, you answer"
    text = f"{start} as if {other.phrase}."
    least = 8 if few and not everywhere else 3  # of a few whole numbers many agree by chance
    return Finding(f"as if: {other.kind}", rank, text, holds, least=least)


def is_telling(experiment: Experiment, own: Slot, trial: Trial) -> bool:
    """Returns whether it says something that the right function makes one answer of another.

    A projection, such as the choice of the largest numbers, makes the right answer of many wrong
    ones; a list that grows shorter step by step does so only of one on the way.
    """
    want = trial.want["result"]
    if isinstance(want, (list, tuple, str, bytes)):
        return len(want) > 0
    again = experiment.want(own.put(want))
    return again is not None and not experiment.answers_as(
        trial.with_answer(again), trial.case, trial.want
    )


@family
def unfinished(experiment: Experiment) -> Iterator[Finding]:
    """The right function makes the right answer of the wrong one: it stopped too early."""
    failing = [t for t in experiment.failing if is_about_result(t)]
    if len(failing) < 2:
        return
    for slot in failing[0].slots:
        if type(slot.value) is not type(failing[0].got) or isinstance(
            slot.value, (bool, int, float)
        ):
            continue

        def holds(trial: Trial, name: str = slot.name) -> bool | None:
            own = next((s for s in trial.slots if s.name == name), None)
            if not trial.wrong or trial.stopped or own is None:
                return None
            want = experiment.want(own.put(trial.got))
            if want is None or not is_telling(experiment, own, trial):
                return False
            return experiment.answers_as(trial.with_answer(want), trial.case, trial.want)

        if all(holds(t) for t in failing):
            text = (
                "The answer is not finished: where it is wrong, the right function makes the "
                f"right answer of yours, given as {slot.name} once more."
            )
            yield Finding("unfinished", TERM - 4, text, holds)

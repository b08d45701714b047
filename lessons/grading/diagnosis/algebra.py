"""Laws that the reference obeys and the submission breaks: what a change of an input may change.

Each law is tried on the reference first, and only one that holds there in every trial is asked of
the submission: adding a constant to logits changes nothing, twice x gives twice the answer, rows in
another order give the same rows in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from lessons.grading.diagnosis.dependence import differs
from lessons.grading.diagnosis.finding import BROKEN, Finding, family

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial


class Law(NamedTuple):
    """What happens to the answer when an argument is changed.

    Attributes:
        text: "adding 3 to all of {x} changes nothing".
        change: the argument's change; None for arguments that it does not suit.
        then: the answer's change.
    """

    text: str
    change: Callable[[Any], Any]
    then: Callable[[Any], Any]


def is_float(x: Any) -> bool:
    """Returns whether x is a tensor of floats with numbers in it."""
    return isinstance(x, torch.Tensor) and x.dtype.is_floating_point and x.numel() > 0


def same(y: Any) -> Any:
    """Returns the answer as it is."""
    return y


def twice(x: Any) -> Any:
    """Returns twice a number or a tensor of floats."""
    return 2 * x if is_float(x) or (type(x) in (int, float) and x) else None


def halved(y: Any) -> Any:
    """Returns half the answer."""
    return y / 2


def doubled(y: Any) -> Any:
    """Returns twice the answer."""
    return 2 * y


def turned(y: Any) -> Any:
    """Returns an answer, or an argument, with its rows (or entries) in reverse order."""
    return y.flip(0) if isinstance(y, torch.Tensor) else y[::-1]


LAWS = [
    Law("adding 3 to all of {x} changes nothing", lambda x: x + 3 if is_float(x) else None, same),
    Law("multiplying {x} by 2 changes nothing", twice, same),
    Law("twice {x} gives twice the answer", twice, doubled),
    Law("twice {x} gives half the answer", twice, halved),
    Law("the order of the rows of {x} does not matter",
        lambda x: turned(x) if isinstance(x, torch.Tensor) and x.dim() > 0 else None, same),
    Law("the order of the entries of {x} does not matter",
        lambda x: turned(x) if isinstance(x, (list, tuple)) and len(x) > 1 else None, same),
    Law("the rows of {x} in another order give the rows of the answer in that order",
        lambda x: turned(x) if isinstance(x, torch.Tensor) and x.dim() > 1 else None, turned),
]  # fmt: skip


def obeys(experiment: Experiment, law: Law, one: Any, other: Any) -> bool:
    """Returns whether an answer and the one after the change are as the law says."""
    try:
        return not differs(experiment, law.then(experiment.viewed(one)), experiment.viewed(other))
    except (RuntimeError, TypeError, LookupError):
        return False


@family
def algebra(experiment: Experiment) -> Iterator[Finding]:
    """A law of the reference is broken."""
    trials = [t for t in experiment.failing if not t.stopped]
    trials = trials[:: max(1, len(trials) // 4)][:4]
    if len(trials) < 2:
        return
    for slot in trials[0].slots:
        for law in LAWS:
            asked = list(changed_cases(experiment, law, slot.name, trials))
            if len(asked) < 2:
                continue
            if sum(breaks(experiment, law, trial, case) for trial, case in asked) >= 2:
                text = f"In a right function {law.text.format(x=slot.name)}; in yours it is not so."
                yield Finding("law broken", BROKEN + 3, text)


def changed_cases(
    experiment: Experiment, law: Law, name: str, trials: list[Trial]
) -> Iterator[tuple[Trial, Any]]:
    """Yields the changed cases on which the reference obeys a law; none if it ever does not."""
    found = []
    others = experiment.passing[:: max(1, len(experiment.passing) // 6)][:6]
    for trial in [*others, *trials]:
        slot = next((s for s in trial.slots if s.name == name), None)
        changed = None if slot is None else law.change(slot.value)
        if slot is None or changed is None or loses_order(slot.value, changed):
            continue
        case = slot.put(changed)
        want = experiment.want(case)
        if want is None or not obeys(experiment, law, trial.want["result"], want["result"]):
            return
        if trial.wrong and differs(experiment, changed, slot.value):
            found.append((trial, case))
    yield from found


def loses_order(x: Any, changed: Any) -> bool:
    """Returns whether x ascends and the changed x does not: x may be of a kind that must ascend."""
    if not isinstance(x, torch.Tensor) or x.dim() != 1 or x.numel() < 3:
        return False
    return bool((x.diff() >= 0).all()) and not bool((changed.diff() >= 0).all())


def breaks(experiment: Experiment, law: Law, trial: Trial, case: Any) -> bool:
    """Returns whether the submission breaks a law on a changed case."""
    other = experiment.ask(case)
    if other is None or other.stopped:
        return False
    return not obeys(experiment, law, trial.got, other.got)

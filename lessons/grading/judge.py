"""One task's verdict: is the submission right, and if not, what does it compute?

The submission runs elsewhere: `ask` hands it one case and brings back an `Outcome`. Nothing it says
is believed; what it returns is compared with what the reference returns here.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from lessons.grading.compare import Difference, differ
from lessons.grading.diagnosis import Finding, diagnose
from lessons.grading.experiment import Experiment
from lessons.grading.faults import Fault, examine
from lessons.grading.mistakes import Asked, Recognised, Repeat, recognise, same
from lessons.grading.outcome import Answered, Outcome, Stopped
from lessons.grading.slots import slots
from lessons.grading.task import Case, Task
from lessons.grading.trial import Trial
from lessons.grading.trusted import expected

Ask = Callable[[Case], Outcome]

LOOKS_LIKE = "Where it is wrong, your answer is that of a known mistake:"


@dataclass
class Verdict:
    """What is said of one task.

    Attributes:
        id, name: the task's.
        status: passed, failed, error (it raised), timeout, memory, crashed, forbidden, not_started,
            missing, or unchecked: a kernel where there is no Triton.
        mistake: the name of the known mistake, None if it is none.
        message: what the learner reads; empty if it passed.
        seconds: how long the judging took.
        case: the smallest failing case; arguments are its arguments by name.
        expected, got: the right result for it and the submission's, None if that gave none.
        difference: the first part of the two that differs, None if they are not compared.
        printed: what the submission printed; whoever runs it fills this in.
        kinds: what sort of findings the message is made of.
        findings: those of the diagnosis among them; problems: families that failed on these
            answers, which no learner sees.
    """

    id: str
    name: str
    status: str
    mistake: str | None = None
    message: str = ""
    seconds: float = 0.0
    case: Case | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    expected: Any = None
    got: Any = None
    difference: Difference | None = None
    printed: str = ""
    kinds: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    problems: list[tuple[str, Exception]] = field(default_factory=list)


def judge_task(task: Task, ask: Ask, seed: int = 0, explained: bool = True) -> Verdict:
    """Returns the verdict on a submission of one task.

    Args:
        task: the exercise.
        ask: runs the submission on a case, apart from this process.
        seed: decides the random cases.
        explained: False finds out no more than the status.
    """
    started = time.perf_counter()
    with warnings.catch_warnings():  # of what is tried here, which no learner wrote
        warnings.simplefilter("ignore")
        verdict = _judge(task, ask, seed, explained)
    verdict.seconds = time.perf_counter() - started
    return verdict


def _judge(task: Task, ask: Ask, seed: int, explained: bool) -> Verdict:
    trials = list(first_round(task, ask, seed))
    failing = [trial for trial in trials if trial.wrong]
    if not failing:
        trials += second_round(task, ask, trials)
        failing = [trial for trial in trials if trial.wrong]
    if not failing:
        return Verdict(task.id, task.name, "passed")
    status = failing[0].stopped.status if failing[0].stopped else "failed"
    verdict = Verdict(task.id, task.name, status)
    last = trials[-1].stopped
    if last is not None and last.status != "error":
        verdict.status, verdict.message = last.status, last.message
        verdict.kinds = (f"stopped: {last.status}",)
        show(verdict, failing[-1])
        return verdict
    if not explained:
        return verdict
    try:
        find_out(verdict, trials, task, ask, seed)
    except Exception as error:  # a bug of ours there changes nothing about the status
        if os.environ.get("MINIGPT_DEBUG"):
            raise
        fault = failing[0].fault
        verdict.mistake, verdict.message = None, fault.sentence if fault else ""
        verdict.kinds, verdict.problems = ("value",), [("judge", error)]
        show(verdict, failing[0])
    return verdict


def find_out(verdict: Verdict, trials: list[Trial], task: Task, ask: Ask, seed: int) -> None:
    """Fills in what a wrong submission computes."""
    asked = [Asked(trial.case, trial.outcome, trial.wrong) for trial in trials]
    known = recognise(task, asked, 3.0 if task.triton else 0.8)
    experiment = Experiment(
        task, ask, trials, seed, *((40, 2.5) if task.triton else (160, 1.1))
    )  # fmt: skip
    if known is not None and not known.sure and not looks_like(known, experiment):
        known = None
    explain(verdict, known, experiment)
    show(verdict, smallest(experiment))


def first_round(task: Task, ask: Ask, seed: int) -> Iterable[Trial]:
    """Yields the trials of the task's cases and of the seed's random ones."""
    known = expected(task, seed)
    for drawn, pairs in ((False, known.fixed), (True, known.drawn)):
        for case, want in pairs:
            outcome = ask(case)
            fault = examine(task, case, outcome, want)
            yield Trial(task, case, outcome, want, fault, drawn)
            if isinstance(outcome, Stopped) and outcome.status != "error":
                return


def second_round(task: Task, ask: Ask, trials: list[Trial]) -> Iterable[Trial]:
    """Yields the trials of the same cases in reverse order: nothing may be kept between calls."""
    again = trials[:1] if task.triton else trials[::-1][:: 1 + len(trials) // 8] + trials[:1]
    for before in again:
        outcome = ask(before.case)
        fault = examine(task, before.case, outcome, before.want)
        if fault is None and task.check is None:
            fault = changed(task, before, outcome)
        if fault is not None:
            fault = Fault("again", "result", "The same case got another answer when asked again.")
        yield Trial(task, before.case, outcome, before.want, fault, before.drawn)


def changed(task: Task, before: Trial, outcome: Outcome) -> Fault | None:
    """Returns a fault if the answer is another than before by more than rounding."""
    if not (isinstance(outcome, Answered) and isinstance(before.outcome, Answered)):
        return None
    one, other = before.outcome.answer, outcome.answer
    found = differ(other.get("result"), one.get("result"), task.compare, task.same_dtype)
    return Fault("again", "result", "", found) if found and task.view is None else None


def looks_like(known: Recognised, experiment: Experiment) -> bool:
    """Returns whether a mistake gives the same wrong answers to further cases as well.

    It must be wrong hardly anywhere else, or its sentence says too much; that something is not
    refused, or an exception, tells nothing of how it came about.
    """
    task = experiment.task
    repeat = Repeat(task, known.mistake)
    agreed = elsewhere = 0
    for i in range(8 if task.triton else 24):
        trial = experiment.ask(experiment.draw((1, 2, 4)[i % 3]), drawn=True)
        if trial is None or agreed == 6:
            break
        experiment.trials.append(trial)
        theirs = repeat.answer(i, trial.case)
        if trial.fault is None:
            elsewhere += examine(task, trial.case, theirs, trial.want) is not None
        elif not same(task, Asked(trial.case, trial.outcome, True), theirs):
            return False
        else:
            agreed += trial.fault.kind not in ("fact", "stopped")
    return agreed >= (2 if task.triton else 4) and elsewhere <= 0.2 * agreed


def explain(verdict: Verdict, known: Recognised | None, experiment: Experiment) -> None:
    """Fills in the mistake, the message and its kinds."""
    if known is not None and known.sure:
        verdict.mistake, verdict.message = known.mistake.name, known.mistake.sentence
        verdict.kinds = ("known mistake",)
        return
    verdict.findings = diagnose(experiment)
    verdict.problems = experiment.problems
    if known is not None:
        del verdict.findings[1:]
    sentences = [finding.sentence for finding in verdict.findings]
    verdict.kinds = tuple(finding.kind for finding in verdict.findings)
    if known is not None:
        sentences.insert(0, f"{LOOKS_LIKE} {known.mistake.sentence}")
        verdict.kinds = ("looks like", *verdict.kinds)
    verdict.message = " ".join(sentences)


def smallest(experiment: Experiment) -> Trial:
    """Returns a failing trial with as few numbers as possible; small random ones are tried."""
    found = min(experiment.failing, key=weight)
    for i in range(6):
        if weight(found) <= 3 or experiment.asks_left <= 0:
            break
        trial = experiment.ask(experiment.draw(1 + i % 2), drawn=True)
        if trial is None:
            break
        if trial.wrong and weight(trial) < weight(found):
            found = trial
    return found


def weight(trial: Trial) -> int:
    """Returns how much there is to read in a trial's arguments and its right answer."""
    return sum(_weight(slot.value) for slot in trial.slots) + _weight(trial.want.get("result"))


def _weight(value: Any) -> int:
    if hasattr(value, "numel"):
        return int(value.numel()) + int(value.numel() == 0)
    if isinstance(value, dict):
        return 1 + sum(_weight(k) + _weight(v) for k, v in value.items())
    if isinstance(value, (list, tuple, set)):
        return 1 + sum(map(_weight, value))
    return len(value) if isinstance(value, (str, bytes)) else 1


def show(verdict: Verdict, trial: Trial) -> None:
    """Fills in the failing case."""
    verdict.case = trial.case
    verdict.arguments = {
        slot.name: slot.value for slot in slots(trial.task, trial.case) if slot.given
    }
    verdict.expected, verdict.got = trial.want.get("result"), trial.got
    verdict.difference = trial.fault.difference if trial.fault else None

"""Recognises a known mistake: one of the bank whose answers are the submission's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from lessons.grading.compare import differ
from lessons.grading.outcome import Outcome, Stopped
from lessons.grading.task import Case, Mistake, Task
from lessons.grading.trusted import Same, load, run

ENOUGH = 10  # questions that tell one kernel's mistake from another, if half the answers are wrong


class Asked(NamedTuple):
    """A case that the submission was asked, in the order of the questions."""

    case: Case
    outcome: Outcome
    wrong: bool


class Recognised(NamedTuple):
    """A mistake of the bank.

    Attributes:
        mistake: which.
        sure: its answers are the submission's everywhere; else only where those are wrong.
    """

    mistake: Mistake
    sure: bool


class Repeat:
    """A mistake's answers to the questions of a submission, each computed when it is needed.

    A mistake may keep something between its calls, so the answers in turn and those out of turn
    come from two copies of it.
    """

    def __init__(self, task: Task, mistake: Mistake) -> None:
        self.task, self.mistake = task, mistake
        self.f = self.out_of_turn = load(task, mistake.code)
        self.known: list[tuple[Case, Outcome]] = []
        self.others: dict[int, Outcome] = {}

    def answer(self, i: int, case: Case) -> Outcome:
        """Returns the answer to question number i."""
        if i == len(self.known):
            self.known.append((case, run(self.task, self.f, case)))
        if i < len(self.known):
            return self.known[i][1]
        if self.out_of_turn is self.f:
            self.out_of_turn = load(self.task, self.mistake.code)
        if i not in self.others:
            self.others[i] = run(self.task, self.out_of_turn, case)
        return self.others[i]

    def fits(self, asked: Sequence[Asked]) -> bool:
        """Returns whether the questions that it knows are these."""
        return all(case is a.case for (case, _), a in zip(self.known, asked, strict=False))


@lru_cache(maxsize=1024)
def kept(task: Same, mistake: Mistake) -> Repeat:
    """Returns a mistake's answers to a task's cases; many submissions are asked the same."""
    return Repeat(task.task, mistake)


def repeat_for(task: Task, mistake: Mistake, asked: Sequence[Asked]) -> Repeat:
    """Returns a mistake's answers to these questions."""
    found = kept(Same(task), mistake)
    found.others.clear()  # questions of another submission
    return found if found.fits(asked) else Repeat(task, mistake)


def recognise(task: Task, asked: Sequence[Asked], seconds: float = 1.5) -> Recognised | None:
    """Returns the mistake that a submission makes.

    One that gives the same answers to all questions is it. If there is none, one that gives the
    same wrong answers, and others where the submission is right, is what it looks like.

    Args:
        task: whose bank is searched.
        asked: all questions to the submission, with its answers.
        seconds: when to give up; the mistakes are tried in the order of the bank.
    """
    deadline = time.perf_counter() + seconds
    telling = list(enumerate(asked))
    if task.triton and sum(a.wrong for a in asked[:ENOUGH]) >= ENOUGH // 2:
        telling = telling[:ENOUGH]  # each run of a kernel takes the interpreter a while
    repeats = []
    for mistake in task.bank.mistakes:
        if mistake.equivalent is not None:
            continue
        if time.perf_counter() > deadline:
            break
        try:
            repeat = repeat_for(task, mistake, asked)
        except Exception:  # a broken entry of the bank must not stop a learner; the audit finds it
            continue
        if all(same(task, a, repeat.answer(i, a.case)) for i, a in telling):
            return Recognised(mistake, True)
        repeats.append(repeat)
    wrong = [(i, a) for i, a in enumerate(asked) if a.wrong]
    if len(wrong) < 2:
        return None
    for repeat in repeats:
        if time.perf_counter() > deadline:
            break
        if all(same(task, a, repeat.answer(i, a.case)) for i, a in wrong):
            return Recognised(repeat.mistake, False)
    return None


def same(task: Task, asked: Asked, other: Outcome) -> bool:
    """Returns whether another outcome of a case is that of the submission."""
    ours = asked.outcome
    if isinstance(ours, Stopped) or isinstance(other, Stopped):
        if not (isinstance(ours, Stopped) and isinstance(other, Stopped)):
            return False
        return ours.exception == other.exception
    one, two = dict(ours.answer), dict(other.answer)
    if one.get("facts", {}) != two.get("facts", {}):
        return False
    close = None if asked.case.exact else task.compare
    if task.view is not None:
        try:
            one["result"], two["result"] = task.view(one["result"]), task.view(two["result"])
        except Exception:  # what cannot be viewed is compared as it is
            one, two = dict(ours.answer), dict(other.answer)
    return all(
        differ(one.get(part), two.get(part), close, task.same_dtype) is None
        for part in ("result", "after", "gradients")
    )

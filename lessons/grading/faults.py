"""Says whether one answer is right, and if not, what is wrong first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lessons.grading.compare import Difference, differ
from lessons.grading.diagnosis.words import kind_of
from lessons.grading.outcome import Outcome, Stopped
from lessons.grading.task import Case, Task
from lessons.grading.trusted import untouched


@dataclass
class Fault:
    """What is wrong with one answer.

    Attributes:
        kind: "stopped", "fact", "check" (the task's own check), "type", "length", "keys", "shape",
            "dtype", "value", "argument" (changed though it must not be), "again" (another answer to
            the same case).
        where: "result", "after" (an argument the task changes) or "gradient".
        sentence: the plain fact.
        difference: the first part that differs, where there is one.
    """

    kind: str
    where: str
    sentence: str
    difference: Difference | None = None


def examine(task: Task, case: Case, outcome: Outcome, want: dict[str, Any]) -> Fault | None:
    """Returns the first fault of an outcome, given the right answer of the driver."""
    if isinstance(outcome, Stopped):
        return Fault("stopped", "result", outcome.message)
    got = outcome.answer
    for sentence, true in got.get("facts", {}).items():
        if not true:
            return Fault("fact", "result", f"This should be so and is not: {sentence}.")
    if fault := examine_result(task, case, got.get("result"), want["result"]):
        return fault
    before = untouched(case)
    if task.changes:
        found = differ(got["after"], want["after"], task.compare)
    else:
        found = differ(got["after"], before, None)
    if found:
        return Fault("value" if task.changes else "argument", "after", fact(found), found)
    found = differ(got.get("gradients"), want.get("gradients"), task.compare, same_dtype=False)
    if found:
        return Fault("value", "gradient", fact(found), found)
    return None


def examine_result(task: Task, case: Case, got: Any, want: Any) -> Fault | None:
    """Judges the result alone."""
    close = None if case.exact else task.compare
    if task.check is not None:
        try:
            sentence = task.check(case, got, want)
        except Exception:  # a check need not foresee every type
            found = differ(got, want, close, task.same_dtype)
            sentence = fact(found) if found else "The result is not of the kind that is asked for."
        if sentence:
            found = differ(got, want, close, task.same_dtype)
            kind = found.kind if found and found.kind != "value" else "check"
            return Fault(kind, "result", sentence, found)
        return None
    if task.view is not None and differ(got, want, close, task.same_dtype):
        try:
            viewed = task.view(got)
        except Exception:
            found = differ(got, want, close, task.same_dtype)
            return Fault(found.kind if found else "type", "result", fact(found), found)
        got, want = viewed, task.view(want)
    if found := differ(got, want, close, task.same_dtype):
        return Fault(found.kind, "result", fact(found), found)
    return None


def fact(found: Difference | None) -> str:
    """Returns the difference as a short sentence."""
    if found is None:
        return "The result is not of the kind that is asked for."
    if found.kind in ("shape", "dtype"):
        got, want = (str(getattr(x, found.kind)) for x in (found.got, found.expected))
        got, want = (text.removeprefix("torch.Size(").removesuffix(")") for text in (got, want))
        got, want = (text.removeprefix("torch.") for text in (got, want))
        return f"The {found.kind}{place(found)} is {got} and should be {want}."
    if found.kind == "length":
        lengths = len(found.got), len(found.expected)
        return f"The result{place(found)} has {lengths[0]} entries and should have {lengths[1]}."
    if found.kind == "type":
        got, want = kind_of(found.got), kind_of(found.expected)
        return f"The result{place(found)} is {got} and should be {want}."
    if found.wrong is not None and found.wrong.dim():
        wrong, n = int(found.wrong.sum()), found.wrong.numel()
        return f"{wrong} of {n} numbers{place(found)} are wrong."
    return f"The result{place(found)} is {found.got!r:.60} and should be {found.expected!r:.60}."


def place(found: Difference) -> str:
    """Returns " in [1]['a']", or nothing where the whole differs."""
    return f" in {found.path}" if found.path else ""

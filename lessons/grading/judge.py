"""Stand-in."""

from __future__ import annotations
import time, dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from lessons.grading.compare import Difference
from lessons.grading.faults import examine
from lessons.grading.outcome import Outcome, Stopped
from lessons.grading.slots import slots
from lessons.grading.task import Case, Task
from lessons.grading.trusted import expected, load, run


@dataclass
class Verdict:
    id: str
    name: str
    status: str
    mistake: str | None = None
    message: str = ""
    seconds: float = 0.0
    case: Case | None = None
    arguments: dict = dataclasses.field(default_factory=dict)
    expected: Any = None
    got: Any = None
    difference: Difference | None = None
    printed: str = ''


def judge_task(task: Task, ask: Callable[[Case], Outcome], seed: int = 0) -> Verdict:
    started = time.perf_counter()
    e = expected(task, seed)
    for case, want in [*e.fixed, *e.drawn]:
        outcome = ask(case)
        if fault := examine(task, case, outcome, want):
            status = outcome.status if isinstance(outcome, Stopped) else "failed"
            mistake, message = None, fault.sentence
            if status == "failed":
                for m in task.bank.mistakes:
                    f = load(task, m.code)
                    o = run(task, f, case)
                    if (
                        not isinstance(o, Stopped)
                        and examine(task, case, outcome, o.answer) is None
                    ):
                        mistake, message = m.name, m.sentence
                        break
            got = None if isinstance(outcome, Stopped) else outcome.answer["result"]
            return Verdict(
                task.id,
                task.name,
                status,
                mistake,
                message,
                time.perf_counter() - started,
                case,
                {s.name: s.value for s in slots(task, case) if s.given},
                want["result"],
                got,
                fault.difference,
            )
    return Verdict(task.id, task.name, "passed", None, "", time.perf_counter() - started)

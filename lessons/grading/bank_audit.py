"""Tries the grader on itself: every wrong solution of the bank, every right one, and trivial ones.

Each is a whole submission and goes the whole way, through the child process and the judge. What is
asked for: every wrong one rejected, 95% of them by their names, every right one accepted, and no
pass for the stub, for zeros, for a copy of the input, for NaN everywhere, or for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from lessons.grading.check import OURS, check_text, lacks_triton
from lessons.grading.many import N_PROCESSES, sandbox_for, start_processes
from lessons.grading.registry import lessons, task_of, tasks_of
from lessons.grading.trivial import submission_of, trivial_solutions

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lessons.grading.judge import Verdict

NAMED = 0.95  # the share of the mistakes that must be called by their names


@dataclass
class TaskAudit:
    """What became of one task's solutions.

    Attributes:
        mistakes, answers, trivial: how many were tried; mistakes that no input can show count as
            answers, since they must pass.
        named: how many mistakes were rejected by their names.
        accepted: the wrong ones that passed.
        unnamed: {mistake: what it was called instead} of those that were rejected.
        refused: {right solution: why}.
        broken: {solution: how the grader itself failed on it}; it counts as neither.
        seconds: what it took.
    """

    id: str
    name: str
    mistakes: int = 0
    answers: int = 0
    trivial: int = 0
    named: int = 0
    accepted: list[str] = field(default_factory=list)
    unnamed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def audit_task(number: str, seed: int = 0) -> TaskAudit:
    """Tries every solution of one task's bank, in this process's sandbox."""
    task = task_of(number)
    outcome = TaskAudit(task.id, task.name)

    def verdict_of(name: str, code: str, explained: bool = True) -> Verdict:
        sandbox = sandbox_for(task.lesson)
        (verdict,) = check_text(code, [task], seed, sandbox=sandbox, explained=explained)
        outcome.seconds += verdict.seconds
        if verdict.message.startswith(OURS):
            outcome.broken[name] = verdict.message
        return verdict

    def expect_passed(name: str, code: str) -> None:
        outcome.answers += 1
        verdict = verdict_of(name, submission_of(task, code))
        if verdict.status != "passed":
            outcome.refused[name] = f"{verdict.status}: {verdict.message}"

    for i, answer in enumerate(task.bank.answers, start=1):
        expect_passed(f"right answer {i}", answer)
    for wrong in task.bank.mistakes:
        if wrong.equivalent is not None:
            expect_passed(wrong.name, wrong.code)
            continue
        outcome.mistakes += 1
        verdict = verdict_of(wrong.name, submission_of(task, wrong.code))
        if verdict.status == "passed":
            outcome.accepted.append(wrong.name)
        elif verdict.mistake == wrong.name:
            outcome.named += 1
        else:
            outcome.unnamed[wrong.name] = verdict.mistake or f"{verdict.status}: {verdict.message}"
    for name, code in trivial_solutions(task).items():
        outcome.trivial += 1
        if verdict_of(name, code, explained=False).status == "passed":
            outcome.accepted.append(name)
    return outcome


def audit(
    numbers: Iterable[int] | None = None,
    seed: int = 0,
    on_done: Callable[[TaskAudit], None] | None = None,
) -> list[TaskAudit]:
    """Tries the banks of some lessons, or of all, in two processes; returns an outcome a task.

    Kernels are left out where there is no Triton: what cannot be run is neither right nor wrong.
    """
    ids, _ = ids_here(numbers)
    found: dict[str, TaskAudit] = {}
    with start_processes(min(N_PROCESSES, len(ids))) as pool:
        slowest_first = sorted(ids, key=lambda number: not task_of(number).triton)
        jobs = [pool.submit(audit_task, number, seed) for number in slowest_first]
        for job in as_completed(jobs):
            outcome = job.result()
            found[outcome.id] = outcome
            if on_done is not None:
                on_done(outcome)
    return [found[number] for number in ids]


def ids_here(numbers: Iterable[int] | None = None) -> tuple[list[str], list[str]]:
    """Returns which tasks of some lessons, or of all, are tried here, and which are left out."""
    chosen = lessons() if numbers is None else numbers
    tasks = [task for number in chosen for task in tasks_of(number)]
    left_out = [task.id for task in tasks if lacks_triton(task)]
    return [task.id for task in tasks if task.id not in left_out], left_out


class Total(NamedTuple):
    """The counts over all tasks: how many solutions there are, and how many are judged as they
    should be.
    """

    tasks: int
    wrong: int
    rejected: int
    mistakes: int
    named: int
    right: int
    accepted: int
    broken: int
    seconds: float

    @property
    def good(self) -> bool:
        """Returns whether the goals are reached."""
        all_judged = self.rejected == self.wrong and self.accepted == self.right
        return all_judged and self.broken == 0 and self.named >= NAMED * self.mistakes


def total(outcomes: Sequence[TaskAudit]) -> Total:
    """Adds up the counts of some tasks."""
    mistakes, right = (sum(o.mistakes for o in outcomes), sum(o.answers for o in outcomes))
    wrong = mistakes + sum(o.trivial for o in outcomes)
    return Total(
        tasks=len(outcomes),
        wrong=wrong,
        rejected=wrong - sum(len(o.accepted) for o in outcomes),
        mistakes=mistakes,
        named=sum(o.named for o in outcomes),
        right=right,
        accepted=right - sum(len(o.refused) for o in outcomes),
        broken=sum(len(o.broken) for o in outcomes),
        seconds=round(sum(o.seconds for o in outcomes), 1),
    )


def as_json(outcomes: Sequence[TaskAudit], left_out: Sequence[str] = ()) -> str:
    """Returns the outcomes, their total and which tasks were left out as one JSON object."""
    found = total(outcomes)
    whole = {
        "total": {**found._asdict(), "good": found.good},
        "left_out": list(left_out),
        "tasks": list(map(asdict, outcomes)),
    }
    return json.dumps(whole, ensure_ascii=False, indent=1)


def print_table(
    outcomes: Sequence[TaskAudit], console: Console, left_out: Sequence[str] = ()
) -> None:
    """Prints a row a task, what went wrong below, which tasks were left out, and the total."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for i, column in enumerate(("task", "wrong rejected", "by name", "right accepted", "seconds")):
        table.add_column(column, justify="left" if i == 0 else "right")
    for part in outcomes:
        add_row(table, f"{part.id} {part.name}", total([part]))
    table.add_section()
    whole = total(outcomes)
    add_row(table, f"{whole.tasks} tasks", whole)
    console.print(table)
    for outcome in outcomes:
        for name in outcome.accepted:
            console.print(f"{outcome.id}: {name!r} passes and should not")
        for kind, found in (
            ("is not named but", outcome.unnamed),
            ("is refused:", outcome.refused),
        ):
            for name, why in found.items():
                console.print(f"{outcome.id}: {name!r} {kind} {why}")
    if left_out:
        console.print(f"Left out, as Triton is not installed here: {', '.join(left_out)}.")
    console.print(
        f"{share(whole.rejected, whole.wrong)} of the wrong ones are rejected (goal 100%), "
        f"{share(whole.named, whole.mistakes)} of the mistakes named rightly (goal {NAMED:.0%}), "
        f"{share(whole.accepted, whole.right)} of the right ones accepted (goal 100%): "
        f"{'good' if whole.good else 'SHORT OF THE GOALS'}"
    )


def add_row(table: Table, name: str, part: Total) -> None:
    """Adds a row of counts."""
    table.add_row(
        name,
        f"{part.rejected}/{part.wrong}",
        f"{part.named}/{part.mistakes}",
        f"{part.accepted}/{part.right}",
        f"{part.seconds:.1f}",
    )


def share(part: int, whole: int) -> str:
    """Returns a percentage that is 100% for all of them only."""
    return f"{int(1000 * part / max(whole, 1)) / 10:g}%"

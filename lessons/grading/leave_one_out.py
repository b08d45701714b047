"""Measures the diagnosis: every mistake of the banks, with its own entry left out of the bank.

    python -m lessons.grading.leave_one_out [LESSON or TASK ...] [--quiet]

Prints for each mistake whether it is rejected and what is said, then the share of messages that say
more than which number is wrong. Each sentence is tested on further inputs; one they refute is
counted as false.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple

import torch

from lessons import exercises
from lessons.grading.judge import Verdict, judge_task
from lessons.grading.outcome import Outcome
from lessons.grading.task import Bank, Case, Mistake, Task
from lessons.grading.trusted import load, run

# Kinds that say no more than a comparison does.
PLAIN = {"value", "length", "keys", "shape", "direction", "only one result", "only gradients"}


class Result(NamedTuple):
    """One mistake, judged."""

    task: Task
    mistake: Mistake
    verdict: Verdict

    @property
    def useful(self) -> bool:
        """Tells whether the message says more than that a value is wrong."""
        return bool(self.verdict.kinds) and self.verdict.kinds[0] not in PLAIN


def asking(task: Task, code: str) -> Callable[[Case], Outcome]:
    """Returns an `ask` that runs trusted code in this process."""
    f = load(task, code)
    return lambda case: run(task, f, case)


def left_out(task: Task, mistake: Mistake) -> Task:
    """Returns the task with a bank that lacks one mistake."""
    bank = Bank()
    bank.answers = task.bank.answers
    bank.mistakes = [other for other in task.bank.mistakes if other is not mistake]
    return replace(task, bank=bank)


def measure(task: Task) -> Iterator[Result]:
    """Yields the result for each mistake of a task."""
    for mistake in task.bank.mistakes:
        if mistake.equivalent is None:
            smaller = left_out(task, mistake)
            yield Result(task, mistake, judge_task(smaller, asking(task, mistake.code)))


def tasks_of(names: Iterable[str]) -> Iterator[Task]:
    """Yields the tasks of lessons ("8") or of ids ("8.3"); all if there are no names."""
    wanted = list(names)
    for module in iter_modules(exercises.__path__):
        if not module.name.startswith("lesson_"):
            continue
        lesson = str(int(module.name.removeprefix("lesson_")))
        if wanted and not any(name.split(".")[0] == lesson for name in wanted):
            continue
        for task in import_module(f"lessons.exercises.{module.name}").TASKS:
            if not wanted or lesson in wanted or task.id in wanted:
                yield task


def main(arguments: list[str]) -> int:
    """Prints the table."""
    started, results = time.perf_counter(), []
    for task in tasks_of(a for a in arguments if not a.startswith("-")):
        for result in measure(task):
            results.append(result)
            verdict = result.verdict
            mark = "ACCEPTED" if verdict.status == "passed" else " " if result.useful else "plain"
            print(
                f"{task.id} {mark:8} {result.mistake.name} [{', '.join(verdict.kinds)}] {verdict.seconds:.1f} s"
            )
            print(f"      {verdict.message}", flush=True)
    kinds = Counter(result.verdict.kinds[0] for result in results if result.verdict.kinds)
    print("\nkinds:", ", ".join(f"{kind} {n}" for kind, n in kinds.most_common()))
    n = max(len(results), 1)
    useful = sum(result.useful for result in results)
    accepted = sum(result.verdict.status == "passed" for result in results)
    slow = max((result.verdict.seconds for result in results), default=0.0)
    print(
        f"{len(results)} mistakes, {accepted} accepted, {useful} useful ({100 * useful / n:.0f} %), "
        f"slowest {slow:.1f} s, all {time.perf_counter() - started:.0f} s"
    )
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(sys.argv[1:]))

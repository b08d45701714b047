"""Measures the diagnosis: every mistake of the banks, with its own entry left out of the bank.

    python -m lessons.grading.leave_one_out [LESSON or TASK ...] [--short]

Prints for each mistake whether it is rejected and what is said, then the share of messages that say
more than which numbers are wrong. What is said is tested on further random inputs as well, and
counted as refuted if they contradict it. --short leaves out the messages.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch

from lessons.grading.faults import examine
from lessons.grading.judge import Verdict, judge_task
from lessons.grading.outcome import Outcome
from lessons.grading.registry import lessons, task_of, tasks_of
from lessons.grading.task import Bank, Case, Draw, Mistake, Task
from lessons.grading.trial import Trial
from lessons.grading.trusted import load, reference_answer, run

# Findings that say no more than a comparison does, or only a little.
PLAIN = {
    *("value", "length", "keys", "shape", "direction", "only one result", "only gradients"),
    *("list: length", "size condition"),
}
FURTHER = 24  # inputs on which a message is tested


class Result(NamedTuple):
    """One mistake, judged; refuted holds the sentences that further inputs contradict."""

    task: Task
    mistake: Mistake
    verdict: Verdict
    refuted: list[str]

    @property
    def useful(self) -> bool:
        """Returns whether the message says more than that a value is wrong."""
        kinds = self.verdict.kinds
        return bool(kinds) and kinds[0] not in PLAIN and not self.refuted


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
            ask = asking(task, mistake.code)
            verdict = judge_task(left_out(task, mistake), ask)
            yield Result(task, mistake, verdict, list(contradicted(task, ask, verdict)))


def contradicted(task: Task, ask: Callable[[Case], Outcome], verdict: Verdict) -> Iterator[str]:
    """Yields the sentences of a verdict that some further input refutes."""
    trials = []
    for i in range(4 if task.triton else FURTHER):
        case = task.sample(Draw(770_000 + i, (1, 2, 3, 4)[i % 4]))
        if (want := reference_answer(task, case)) is not None:
            outcome = ask(case)
            fault = examine(task, case, outcome, want)
            trials.append(Trial(task, case, outcome, want, fault, True))
    for finding in verdict.findings:
        if finding.holds is not None and any(finding.holds(trial) is False for trial in trials):
            yield finding.sentence


def chosen_tasks(names: Iterable[str]) -> Iterator[Task]:
    """Yields the tasks of lessons ("8") or of ids ("8.3"); all if there are no names."""
    for name in list(names) or map(str, lessons()):
        yield from [task_of(name)] if "." in name else tasks_of(int(name))


def show(result: Result, short: bool) -> None:
    """Prints one line of the table, and what is said."""
    verdict = result.verdict
    mark = "" if result.useful else "plain"
    mark = "REFUTED" if result.refuted else mark
    mark = "ACCEPTED" if verdict.status == "passed" else mark
    kinds = ", ".join(verdict.kinds)
    name = f"{result.task.id:5} {mark:8} {result.mistake.name}"
    print(f"{name} [{kinds}] {verdict.seconds:.1f} s", flush=True)
    if not short:
        print(f"               {verdict.message}")
    for family, error in verdict.problems:
        print(f"               {family} failed: {type(error).__name__}: {error}")


def main(arguments: list[str]) -> int:
    """Prints the table; returns 1 if a mistake is accepted."""
    started, results = time.perf_counter(), []
    for task in chosen_tasks(a for a in arguments if not a.startswith("-")):
        for result in measure(task):
            results.append(result)
            show(result, "--short" in arguments)
    kinds = Counter(result.verdict.kinds[0] for result in results if result.verdict.kinds)
    print("\nfirst:", ", ".join(f"{kind} {n}" for kind, n in kinds.most_common()))
    n = max(len(results), 1)
    useful = sum(result.useful for result in results)
    refuted = sum(bool(result.refuted) for result in results)
    accepted = sum(result.verdict.status == "passed" for result in results)
    slowest = max((result.verdict.seconds for result in results), default=0.0)
    print(
        f"{len(results)} mistakes: {accepted} accepted, {useful} told something useful "
        f"({100 * useful / n:.0f} %), {refuted} something refuted; slowest {slowest:.1f} s, "
        f"all {time.perf_counter() - started:.0f} s"
    )
    return int(accepted > 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(sys.argv[1:]))

"""Checks a file of solutions: each exercise apart from the others, in a child process.

A solution may call another exercise of the file. It is judged alone all the same: the exercises
that it reaches are checked first, and where one of them did not pass, the reference stands in its
place. Only exercises in front of it count, so none can be solved by calling what comes later.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib.util
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from lessons.grading.judge import Verdict, judge_task
from lessons.grading.needs import reached_names
from lessons.grading.outcome import Stopped
from lessons.grading.registry import defined_in, tasks_of
from lessons.grading.source_closure import source_closure
from lessons.grading.submission import Submission
from lessons.grading.worker import Sandbox

if TYPE_CHECKING:
    from lessons.grading.task import Task

OURS = "The grader itself failed here, which is not your fault"
NO_TRITON = "A kernel needs Triton, which is not installed here; it is made for Linux."


class Checked(NamedTuple):
    """A file, the lesson and seed it was checked for, and a verdict a task."""

    file: str
    lesson: int
    seed: int
    verdicts: list[Verdict]

    @property
    def passed(self) -> bool:
        """Returns whether every task passed."""
        return all(verdict.status == "passed" for verdict in self.verdicts)


def check_submission(
    submission: Submission,
    seed: int = 0,
    only: Iterable[str] | None = None,
    on_verdict: Callable[[Verdict], None] | None = None,
    sandbox: Sandbox | None = None,
) -> Checked:
    """Checks a file that has been read; the arguments are check_text's."""
    tasks = tasks_of(submission.lesson)
    if submission.problem:
        checker = Checker("", tasks, seed, None, submission.problem)
        verdicts = checker.run(only, on_verdict)
    else:
        verdicts = check_text(submission.code, tasks, seed, only, on_verdict, sandbox)
    return Checked(submission.file, submission.lesson, seed, verdicts)


def check_text(
    code: str,
    tasks: Sequence[Task],
    seed: int = 0,
    only: Iterable[str] | None = None,
    on_verdict: Callable[[Verdict], None] | None = None,
    sandbox: Sandbox | None = None,
    before: Iterable[Verdict] = (),
    explained: bool = True,
) -> list[Verdict]:
    """Checks the text of a file and returns a verdict for each task, in the tasks' order.

    Args:
        tasks: the tasks of a lesson.
        seed: unseen cases follow from it.
        only: ids of the tasks to check; None for all.
        on_verdict: called with each verdict as soon as it is there.
        sandbox: one that is open and stays so; None opens one.
        before: verdicts that still hold, of tasks that are not to be checked again.
        explained: False finds out no more than each task's status.
    """
    if sandbox is None:
        with open_sandbox(tasks) as opened:
            checker = Checker(code, tasks, seed, opened, explained=explained)
            return checker.run(only, on_verdict, before)
    return Checker(code, tasks, seed, sandbox, explained=explained).run(only, on_verdict, before)


class Checker:
    """Checks the tasks of one text.

    Args:
        problem: why no task can be judged; found out if it is empty and the text does not parse.
        explained: False finds out no more than each task's status.
    """

    def __init__(
        self,
        code: str,
        tasks: Sequence[Task],
        seed: int,
        sandbox: Sandbox | None,
        problem: str = "",
        explained: bool = True,
    ) -> None:
        self.code, self.tasks, self.seed, self.sandbox = code, tasks, seed, sandbox
        self.explained = explained
        self.tree, found = parsed(code)
        self.problem, self.status = problem or found, "error"
        self.verdicts: dict[str, Verdict] = {}

    def run(
        self,
        only: Iterable[str] | None = None,
        on_verdict: Callable[[Verdict], None] | None = None,
        before: Iterable[Verdict] = (),
    ) -> list[Verdict]:
        """Returns the verdicts of all tasks, or of those that `only` names."""
        chosen = {task.id for task in self.tasks} if only is None else set(only)
        self.verdicts = {verdict.id: verdict for verdict in before if verdict.id not in chosen}
        wanted = [task for task in self.tasks if task.id in chosen]
        for task in wanted:
            verdict = self.verdict(task)
            if on_verdict is not None:
                on_verdict(verdict)
        return [self.verdicts[task.id] for task in wanted]

    def verdict(self, task: Task) -> Verdict:
        """Returns a task's verdict; each is judged once."""
        if task.id not in self.verdicts:
            if self.problem:
                found = Verdict(task.id, task.name, self.status, message=self.problem)
            elif lacks_triton(task):
                found = Verdict(task.id, task.name, "unchecked", message=NO_TRITON)
            else:
                found = self.judge(task)
            self.verdicts[task.id] = found
        return self.verdicts[task.id]

    def judge(self, task: Task) -> Verdict:
        """Runs a task's code, with the reference for each helper that did not pass."""
        replaced = {
            helper.name: text
            for helper in self.helpers(task)
            if self.verdict(helper).status != "passed" and (text := source_closure(helper))
        }

        def alone(explained: bool) -> tuple[Verdict, Stopped | None]:
            assert self.sandbox is not None
            return judge_alone(self.sandbox, self.code, task, self.seed, replaced, explained)

        try:
            verdict, broken = alone(self.explained)
        except Exception as error:  # a bug of ours must not cost the other tasks
            if os.environ.get("MINIGPT_DEBUG"):
                raise
            why = f"{type(error).__name__}: {error}"
            failed = Verdict(task.id, task.name, "error", message=f"{OURS} ({why}).")
            verdict, broken = failed, None
            if self.explained:  # whether it is right is known without a reason
                with contextlib.suppress(Exception):
                    verdict, broken = alone(False)
                if verdict is not failed and verdict.status != "passed" and not verdict.message:
                    verdict.message = f"This is wrong; the grader could not find out why ({why})."
        if broken is not None:  # it would end the same way for every task
            self.status, self.problem = broken.status, cannot_be_run(broken)
            found = Verdict(task.id, task.name, self.status, message=self.problem)
            return replace(found, seconds=verdict.seconds, printed=verdict.printed)
        if verdict.status == "missing" and (near := self.nearly(task)):
            asked = f"{verdict.message} There is {near}: is it meant to be {task.name}?"
            return replace(verdict, message=asked)
        return verdict

    def helpers(self, task: Task) -> list[Task]:
        """Returns the tasks in front of this one that its code reaches."""
        earlier = self.tasks[: self.tasks.index(task)]
        reached = reached_names(self.tree, task.name)
        return [other for other in earlier if other.name in reached]

    def nearly(self, task: Task) -> str:
        """Returns a name of the file that is nearly a task's, "" if there is none."""
        others = defined_in(self.code) - {other.name for other in self.tasks}
        return "".join(difflib.get_close_matches(task.name, others, n=1, cutoff=0.8))


def judge_alone(
    sandbox: Sandbox,
    code: str,
    task: Task,
    seed: int,
    helpers: dict[str, str],
    explained: bool = True,
) -> tuple[Verdict, Stopped | None]:
    """Runs one task of a text in the sandbox and judges it.

    Args:
        helpers: {name: text} of what takes the place of the learner's own functions.
        explained: False finds out no more than the status.

    Returns:
        the verdict; and why the file itself cannot be run, whatever the task, None if it can.
    """
    with sandbox.submission(
        code, task.name, task.drive, task.drive_options, task.forbidden, helpers
    ) as running:
        verdict = judge_task(task, running.ask, seed, explained)
        verdict.printed = running.printed
        unusable = running.unusable
    of_the_task = unusable is None or unusable.status in ("missing", "not_started", "forbidden")
    return verdict, None if of_the_task else unusable


def cannot_be_run(broken: Stopped) -> str:
    """Returns what a learner reads whose file ends in an error before any task is asked."""
    where = f" beyond line {broken.line}" if broken.line else ""
    return f"The file itself cannot be run{where}: {broken.message}"


def lacks_triton(task: Task) -> bool:
    """Returns whether a task is a kernel and there is no Triton here to run it."""
    return task.triton and importlib.util.find_spec("triton") is None


def open_sandbox(tasks: Iterable[Task]) -> Sandbox:
    """Returns a sandbox in which these tasks can run; use it in a with statement."""
    return Sandbox(triton=any(task.triton for task in tasks))


def parsed(code: str) -> tuple[ast.Module, str]:
    """Returns the text parsed and "", or an empty module and what is wrong with the text."""
    empty = ast.Module([], [])
    try:
        tree = ast.parse(code)
        ast.dump(tree)  # as deep as we shall ever go into it
    except SyntaxError as error:
        where = f"Line {error.lineno}" if error.lineno else "The file"
        text = (error.text or "").strip()
        return empty, f"{where} is not Python: {error.msg}" + (f": {text:.80}" if text else ".")
    except (ValueError, RecursionError, MemoryError) as error:
        return empty, f"The file cannot be parsed: {str(error) or type(error).__name__}."
    return tree, ""

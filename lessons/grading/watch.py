"""Checks a file again whenever it is saved, and of it only what a change touches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from lessons.grading.check import Checker, open_sandbox, parsed
from lessons.grading.needs import fingerprint
from lessons.grading.registry import tasks_of
from lessons.grading.submission import read_submission
from lessons.grading.worker import Sandbox

if TYPE_CHECKING:
    from lessons.grading.judge import Verdict
    from lessons.grading.report import Report


def saves_of(path: Path) -> Iterator[None]:
    """Yields once for each time that a file is saved, however the editor does it.

    Raises:
        ImportError: watchfiles is missing; the error says what to install.
    """
    try:
        from watchfiles import watch as watch_folder
    except ImportError:
        raise ImportError("watching a file needs watchfiles: pip install watchfiles") from None

    def is_it(_change: object, changed: str) -> bool:
        return Path(changed).name == path.name

    for _ in watch_folder(
        path.parent,
        watch_filter=is_it,
        debounce=200,  # milliseconds that saves are collected
        recursive=False,
        rust_timeout=2000,
        yield_on_timeout=True,  # a save may come before we watch
    ):
        yield


class Watcher:
    """Keeps the verdicts of one file as it changes.

    Args:
        lesson: whose exercises it holds; None lets its name or content say.
    """

    def __init__(self, path: Path, lesson: int | None, seed: int, sandbox: Sandbox) -> None:
        self.path, self.lesson, self.seed, self.sandbox = path, lesson, seed, sandbox
        self.verdicts: dict[str, Verdict] = {}  # of the last version that could be parsed
        self.prints: dict[str, str] = {}
        self.problem = ""  # why this version cannot be
        self.broken: list[Verdict] = []

    def check(self, on_verdict: Callable[[Verdict], None] | None = None) -> list[str]:
        """Checks the tasks whose code has changed; returns the ids of those with news.

        While the file does not parse, all tasks have the same error; what was known before holds
        again once it does.
        """
        submission = read_submission(self.path, self.lesson)
        self.lesson = submission.lesson
        tasks = tasks_of(submission.lesson)
        tree, problem = parsed(submission.code)
        before, self.problem = self.problem, submission.problem or problem
        checker = Checker(submission.code, tasks, self.seed, self.sandbox, submission.problem)
        if self.problem:
            self.broken = checker.run(None, on_verdict)
            return [task.id for task in tasks] if self.problem != before else []
        prints = {task.id: fingerprint(tree, task.name) for task in tasks}
        changed = [task.id for task in tasks if prints[task.id] != self.prints.get(task.id)]
        kept = [verdict for id, verdict in self.verdicts.items() if id not in changed]
        found = checker.run(changed, on_verdict, kept)
        self.verdicts |= {verdict.id: verdict for verdict in found}
        self.prints = prints
        return [task.id for task in tasks] if before else changed

    def in_order(self) -> list[Verdict]:
        """Returns the verdicts of all tasks as they are now."""
        if self.problem:
            return self.broken
        return [self.verdicts[task.id] for task in tasks_of(self.lesson or 0)]


def watch(
    path: Path,
    lesson: int | None,
    seed: int,
    report: Report,
    on_round: Callable[[list[Verdict]], None],
    saves: Iterable[None] | None = None,
) -> None:
    """Checks a file and prints the report, now and after each save, until it is interrupted.

    Args:
        on_round: called with all verdicts after each round.
        saves: yields after each save; None watches the file.
    """
    tasks = tasks_of(read_submission(path, lesson).lesson)
    report.line((f"Checking {path} ...", "dim"))
    with open_sandbox(tasks) as sandbox:
        watcher = Watcher(path, lesson, seed, sandbox)
        for _ in chain([None], saves_of(path) if saves is None else saves):
            try:
                changed = watcher.check()
            except FileNotFoundError:  # an editor is about to write another in its place
                continue
            if changed:
                show_round(report, watcher, changed)
                on_round(watcher.in_order())


def show_round(report: Report, watcher: Watcher, changed: list[str]) -> None:
    """Prints the report of a round in place of the one before."""
    if report.console.is_terminal:
        report.console.clear()
    verdicts = watcher.in_order()
    some = ", ".join(changed) if len(changed) < len(verdicts) else "all"
    report.line((f"{watcher.path}, {time.strftime('%H:%M:%S')}: checked {some}", "dim"))
    report.show(verdicts)
    report.summary(watcher.lesson or 0, verdicts)
    report.line(("Waiting for the next save; Ctrl-C ends.", "dim"))

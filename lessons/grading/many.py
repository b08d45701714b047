"""Checks many files at once, each in one of a few processes that keep their sandbox warm."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from lessons.grading.check import OURS, Checked, check_submission
from lessons.grading.registry import tasks_of
from lessons.grading.submission import Submission
from lessons.grading.worker import Sandbox

N_PROCESSES = 2


def check_submissions(
    submissions: Sequence[Submission],
    seed: int = 0,
    only: Iterable[str] | None = None,
    processes: int = N_PROCESSES,
    on_done: Callable[[Checked], None] | None = None,
) -> list[Checked]:
    """Checks files and returns what came out, in their order.

    Args:
        on_done: called with each file as soon as it is checked.
    """
    ids = None if only is None else list(only)
    n = 1 if strangers_here() else min(processes, len(submissions))
    found: dict[int, Checked] = {}
    several = at_once(submissions, seed, ids, n) if n > 1 else in_turn(submissions, seed, ids)
    for i, checked in several:
        found[i] = checked
        if on_done is not None:
            on_done(checked)
    return [found[i] for i in range(len(submissions))]


def in_turn(
    submissions: Sequence[Submission], seed: int, only: list[str] | None
) -> Iterator[tuple[int, Checked]]:
    """Checks files one after the other in this process; yields (index, what came out)."""
    for i, submission in enumerate(submissions):
        yield i, check_one(submission, seed, only)


def at_once(
    submissions: Sequence[Submission], seed: int, only: list[str] | None, processes: int
) -> Iterator[tuple[int, Checked]]:
    """Checks files in several processes; yields (index, what came out) as it is there."""
    with start_processes(processes) as pool:
        jobs = {pool.submit(check_one, s, seed, only): i for i, s in enumerate(submissions)}
        for job in as_completed(jobs):
            i = jobs[job]
            try:
                yield i, job.result()
            except Exception as error:  # a bug of ours must not cost the other files
                yield i, failed_here(submissions[i], seed, only, error)


def failed_here(
    submission: Submission, seed: int, only: list[str] | None, error: Exception
) -> Checked:
    """Returns what is said of a file at which the grader itself failed."""
    problem = f"{OURS} ({type(error).__name__}: {error})."
    return check_submission(submission._replace(problem=problem), seed, only)


def strangers_here() -> list[str]:
    """Returns the files here that a new process would take for Python's own modules.

    They may be what somebody has handed in. From Python 3.11 on no process does, as
    minigpt/__main__.py sees to it.
    """
    if os.environ.get("PYTHONSAFEPATH") and sys.version_info >= (3, 11):
        return []
    return sorted(path.name for path in Path().iterdir() if path.stem in sys.stdlib_module_names)


def start_processes(n: int) -> ProcessPoolExecutor:
    """Returns a pool of n processes."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n, context, initializer=use_one_thread)


def use_one_thread() -> None:
    """Keeps torch to one thread, since there is a process a core."""
    import torch

    torch.set_num_threads(1)


@cache
def sandbox_for(lesson: int) -> Sandbox:
    """Returns this process's sandbox for a lesson; lessons without kernels share one.

    It is closed when the process ends.
    """
    return sandbox_of(any(task.triton for task in tasks_of(lesson)))


@cache
def sandbox_of(triton: bool) -> Sandbox:
    """Returns this process's sandbox with or without Triton."""
    sandbox = Sandbox(triton=triton).__enter__()
    atexit.register(sandbox.__exit__, None, None, None)
    return sandbox


def check_one(submission: Submission, seed: int, only: list[str] | None) -> Checked:
    """Checks one file in this process; the evidence, which can be large, stays here."""
    checked = check_submission(submission, seed, only, sandbox=sandbox_for(submission.lesson))
    nothing: dict[str, Any] = {
        "case": None, "arguments": {}, "expected": None, "got": None, "difference": None,
        "findings": [], "problems": [],
    }  # fmt: skip
    bare = [replace(verdict, **nothing) for verdict in checked.verdicts]
    return checked._replace(verdicts=bare)

"""Checks many files at once, each in one of a few processes that keep their sandbox warm."""

from __future__ import annotations

import atexit
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace

from lessons.grading.check import Checked, check_submission
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
    with start_processes(min(processes, len(submissions))) as pool:
        jobs = {pool.submit(check_one, s, seed, ids): i for i, s in enumerate(submissions)}
        found: dict[int, Checked] = {}
        for job in as_completed(jobs):
            found[jobs[job]] = job.result()
            if on_done is not None:
                on_done(found[jobs[job]])
    return [found[i] for i in range(len(submissions))]


def start_processes(n: int) -> ProcessPoolExecutor:
    """Returns a pool of n processes with a sandbox each."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n, context, initializer=open_sandbox)


_sandbox: Sandbox | None = None


def open_sandbox() -> None:
    """Opens this process's sandbox, which is closed at its end."""
    import torch

    global _sandbox
    torch.set_num_threads(1)  # there is a process a core
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _sandbox = Sandbox().__enter__()
    atexit.register(_sandbox.__exit__, None, None, None)


def sandbox() -> Sandbox:
    """Returns this process's sandbox."""
    if _sandbox is None:
        open_sandbox()
    assert _sandbox is not None
    return _sandbox


def check_one(submission: Submission, seed: int, only: list[str] | None) -> Checked:
    """Checks one file in this process; the evidence, which can be large, stays here."""
    checked = check_submission(submission, seed, only, sandbox=sandbox())
    bare = [
        replace(v, case=None, expected=None, got=None, difference=None) for v in checked.verdicts
    ]
    return checked._replace(verdicts=bare)

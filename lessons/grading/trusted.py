"""Runs code that is trusted in this process: references, and the mistakes of the banks.

A submission never runs here; it runs in a child. Inputs and answers are packed and unpacked as they
are on the way to a child and back, so that both sides see the same.
"""

from __future__ import annotations

import linecache
import signal
import threading
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch

from lessons.grading import drivers, objects, values
from lessons.grading.outcome import Answered, Outcome, Stopped
from lessons.grading.task import HEADER, TRITON_HEADER, Case, Draw, Task

LONGEST = 1.0  # seconds that a reference may take for inputs such as no task gives
SAMPLES = (1, 2, 4, 1, 2, 4)  # sizes of the seed's unseen cases


def fresh(case: Case) -> tuple[tuple, dict]:
    """Returns a case's arguments as a child gets them: copies, with its objects made."""
    args, kwargs = values.handed_over([list(case.args), case.kwargs], objects.make)
    return tuple(args), kwargs


def untouched(case: Case) -> list:
    """Returns a case's arguments as they come back if nothing changes them: [args, kwargs]."""
    args, kwargs = fresh(case)
    return values.handed_over([list(args), kwargs])


def run(task: Task, f: Any, case: Case, arguments_too: bool = True) -> Outcome:
    """Runs f on a case by the task's driver.

    Args:
        task, f, case: what is run, on what.
        arguments_too: whether the answer says what the arguments are after the call.
    """
    torch.default_generator.manual_seed(0)  # manual_seed would take 2 ms to think of GPUs
    try:
        args, kwargs = fresh(case)
        answer = drivers.DRIVERS[task.drive](f, args, kwargs, **task.drive_options)
        if not arguments_too:
            answer.pop("after", None)
        return Answered(values.handed_over(answer))
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename.startswith("<bank ")]
        return Stopped("error", f"{type(error).__name__}: {error}", lines[-1] if lines else None)


def load(task: Task, code: str) -> Any:
    """Returns the function or class of the task's name that code defines."""
    space: dict[str, Any] = {"__name__": "submission"}
    exec(HEADER + (TRITON_HEADER if task.triton else ""), space)
    file = f"<bank {task.id} {zlib.crc32(code.encode()):08x}>"
    # triton.jit asks for a function's text.
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    exec(compile(code, file, "exec", dont_inherit=True), space)
    return space[task.name]


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in what runs longer; does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(number: int, frame: object) -> None:
        raise TimeoutError(f"ran longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    remaining, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, remaining)
        signal.signal(signal.SIGALRM, before)


def reference_answer(task: Task, case: Case) -> dict[str, Any] | None:
    """Returns the right answer, or None for inputs that the reference refuses.

    The inputs may be such as no task gives, a block size of 0: an endless loop ends, too.
    """
    with limited(LONGEST):
        outcome = run(task, task.reference, case, arguments_too=bool(task.changes))
    return outcome.answer if isinstance(outcome, Answered) else None


class Expected:
    """The cases a task is judged by for one seed, with the right answers.

    Attributes:
        fixed: the task's cases and their answers.
        drawn: unseen cases and theirs.
    """

    def __init__(self, task: Task, seed: int) -> None:
        self.fixed = [(case, self.answer(task, case)) for case in task.cases(Draw(seed))]
        draws = [Draw(1000 * seed + 17 * i + 1, size) for i, size in enumerate(SAMPLES)]
        samples = [task.sample(draw) for draw in draws[: 3 if task.triton else None]]
        self.drawn = [(case, self.answer(task, case)) for case in samples]

    @staticmethod
    def answer(task: Task, case: Case) -> dict[str, Any]:
        """Returns the right answer; AssertionError if there is none, since the case is ours."""
        outcome = run(task, task.reference, case)
        if isinstance(outcome, Stopped):
            raise AssertionError(f"{task.id}: the reference fails: {outcome.message}")
        return outcome.answer


class Same:
    """A task as the key of a cache: it is the same only if it is the same object."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __hash__(self) -> int:
        return id(self.task)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.task is self.task


def expected(task: Task, seed: int) -> Expected:
    """Returns the cases and right answers of a task and a seed; computed once."""
    return _expected(Same(task), seed)


@lru_cache(maxsize=256)
def _expected(key: Same, seed: int) -> Expected:
    return Expected(key.task, seed)

"""The grader's side of a submission: starts it, asks it, limits it, ends it.

    with Sandbox() as sandbox:
        with sandbox.submission(code, "merge", "call", {}) as running:
            outcome = running.ask(case, limit=5.0)

An outcome is `Answered` or `Stopped`, see outcome.py. The submission runs in a process of its own
and sees only arguments; its answers are data, which the grader compares. Whatever it does, `ask`
returns.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lessons.grading import values
from lessons.grading.channel import BLINK, Channel, ClosedError, ExpiredError, GarbledError
from lessons.grading.outcome import Answered, Outcome, Stopped
from lessons.grading.processes import FORKS, Early, Forked, Fresh, Process, Zygote, early
from lessons.grading.shortcuts import SHORTCUTS
from lessons.grading.task import Case

STATUSES = ("error", "memory", "crashed", "forbidden", "missing", "not_started")
IDLING = 3  # times the limit that an answer may take by the clock
STARTING = 60.0  # seconds that a new Python may take to import torch


class Running:
    """A submission that is asked again and again. Use `Sandbox.submission` to get one.

    Its process starts with the first question, and anew after one that ended it.

    Attributes:
        unusable: why the file cannot be run, whatever is asked; None if it can.
        printed: all that it has printed so far, at most 64 KiB of it.
    """

    def __init__(self, sandbox: Sandbox, start: dict[str, Any], loading: float) -> None:
        self.sandbox, self.start, self.loading = sandbox, start, loading
        self.channel: Channel | None = None
        self.process: Process | None = None
        self.unusable: Stopped | None = None
        self.printed = ""

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self, case: Case, limit: float = 5.0) -> Outcome:
        """Calls the learner's function with a case's arguments.

        Args:
            case: only its arguments leave the grader.
            limit: seconds of processor time; three times as long by the clock, since others may
                be using the processor. A process's first call has twice as long: torch imports
                some of its parts when they are first used.
        """
        if self.unusable is not None:
            return self.unusable
        if self.channel is None:
            self.channel, self.process = self.sandbox.start(self.start["forbidden"])
            limit_here = self.loading + (0.0 if self.sandbox.forks else STARTING)
            outcome = self.exchange(values.dumps(self.start), limit_here, read_ready)
            if isinstance(outcome, Stopped):
                self.close()
                self.unusable = outcome  # it would end the same way again
                return outcome
            limit *= 2
        return self.exchange(values.dumps([list(case.args), case.kwargs]), limit, read_answer)

    def exchange(self, message: bytes, limit: float, read: Callable[[Any], Outcome]) -> Outcome:
        """Sends a message and makes an outcome of what comes back, or does not."""
        assert self.channel is not None
        try:
            outcome = read(values.loads(self.channel.exchange(message, self.clock(limit))))
        except ExpiredError:
            return self.ended("timeout", f"It had not finished after {limit:g} seconds.")
        except ClosedError:
            return self.ended()
        except GarbledError as error:
            return self.ended("crashed", f"It was stopped: {error}.")
        except ValueError:
            return self.ended("crashed", "It was stopped: what it sent is not an answer.")
        if isinstance(outcome, Stopped) and outcome.status == "memory":
            return self.ended("memory", outcome.message, outcome.line)  # little is left for more
        self.printed = self.channel.printed()
        return outcome

    def clock(self, limit: float) -> Callable[[], bool]:
        """Returns a function that says whether the time is over that starts now."""
        assert self.process is not None
        process, used = self.process, self.process.seconds()
        waited, last = 0.0, time.monotonic()

        def expired() -> bool:
            nonlocal waited, last
            now = time.monotonic()
            # It is asked all the time; a longer pause means that the whole machine slept.
            waited, last = waited + min(now - last, 10 * BLINK), now
            return waited > limit and (waited > IDLING * limit or process.seconds() - used > limit)

        return expired

    def ended(
        self, status: str | None = None, message: str = "", line: int | None = None
    ) -> Stopped:
        """Ends the process and returns the outcome that says why, by how it ended if not given."""
        code = self.close()
        if status is None:
            status, message = how_it_ended(code)
        return Stopped(status, message, line)

    def close(self) -> int | None:
        """Ends the process, if there is one, and returns how it ended."""
        process, channel, code = self.process, self.channel, None
        self.process = self.channel = None
        if process is not None:
            with contextlib.suppress(OSError):  # the zygote is gone, and the process with it
                code = process.end()
        if channel is not None:
            channel.drain()
            self.printed = channel.printed()
            channel.close()
        return code


def how_it_ended(code: int | None) -> tuple[str, str]:
    """Returns status and sentence of a process that ended before it answered."""
    if code is None:
        return "crashed", "The process that ran your code is gone."
    if code >= 0xC0000000:  # on Windows, which has no signals
        return (
            "crashed",
            f"Python itself crashed while your code ran (status 0x{code:X} of Windows).",
        )
    if code >= 0:
        return "crashed", f"Your code ended Python with exit status {code} instead of returning."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGXCPU":
        return "timeout", "It used more processor time than all calls together may."
    if name == "SIGKILL":
        return "crashed", "Your code broke off the talk with the grader, or took too much memory."
    if name == "SIGSEGV":
        return "crashed", (
            "Python itself crashed while your code ran (SIGSEGV): a recursion without an end in C, "
            "or memory that was not its own."
        )
    return "crashed", f"Python itself crashed while your code ran ({name})."


def read_ready(reply: Any) -> Outcome:
    """Returns what the reply to the first message says; ValueError if it is not one."""
    return Answered({}) if reply == ["ready"] else read_stopped(reply)


def read_answer(reply: Any) -> Outcome:
    """Returns what the reply to a question says; ValueError if it is not one.

    The submission may have written it instead of serve.py: it can say nothing but another answer.
    """
    match reply:
        case ["answered", {"result": _, **others} as answer]:
            facts = others.get("facts", {})
            if not isinstance(facts, dict) or not all(
                isinstance(sentence, str) and isinstance(true, bool)
                for sentence, true in facts.items()
            ):
                raise ValueError("the facts are not sentences")
            if not all(isinstance(name, str) for name in answer):
                raise ValueError("an answer has other parts")
            return Answered(answer)
    return read_stopped(reply)


def read_stopped(reply: Any) -> Stopped:
    """Returns the Stopped that a reply holds; ValueError if it holds none."""
    match reply:
        case ["stopped", str(status), str(sentence), int() | None as line] if status in STATUSES:
            return Stopped(status, sentence[:1000], line)
    raise ValueError("it is not a reply")


class Sandbox:
    """Where submissions run. Several threads may use one, each with submissions of its own.

    Args:
        triton: for lessons with kernels: Triton is there, in its interpreter.
        forks: whether processes are forked from one that has imported torch; None does so where
            the system can. The first submission takes the seconds that importing torch takes.
    """

    def __init__(self, triton: bool = False, forks: bool | None = None) -> None:
        self.triton, self.forks = triton, FORKS if forks is None else forks
        self.early: Early | None = None
        if self.forks and early and early[0].triton == triton:
            self.early = early.pop()
        self.folder = (
            self.early.folder if self.early else tempfile.TemporaryDirectory(prefix="minigpt-")
        )
        self.zygote: Zygote | None = None
        self.spare: tuple[Channel, Process] | None = None
        self.lock = threading.Lock()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *error: object) -> None:
        if self.early is not None:  # nobody has asked for it
            with contextlib.suppress(OSError, RuntimeError):
                self.zygote = self.early.zygote()
        if self.zygote is not None:
            self.zygote.close()
        if self.spare is not None:
            channel, process = self.spare
            process.end()
            channel.close()
        self.folder.cleanup()

    def submission(
        self,
        code: str,
        name: str,
        drive: str = "call",
        drive_options: Mapping[str, Any] | None = None,
        forbidden: Sequence[str] = (),
        helpers: Mapping[str, str] | None = None,
        loading: float = 20.0,
    ) -> Running:
        """Returns a submission that can be asked; close it, or use it in a with statement.

        Args:
            code: the whole file.
            name: the function or class that the task is about.
            drive, drive_options: the task's: a driver, see drivers.py, and its keywords.
            forbidden: the task's shortcuts, by their names in shortcuts.py.
            helpers: {name: source} of functions that take the place of the learner's own: each
                source is a file of its own that defines the name.
            loading: seconds that running the file itself may take.

        Raises:
            KeyError: a name in forbidden is not a shortcut's.
        """
        for shortcut in forbidden:
            SHORTCUTS[shortcut]
        return Running(
            self,
            {
                "code": code,
                "name": name,
                "drive": drive,
                "options": dict(drive_options or {}),
                "forbidden": list(forbidden),
                "helpers": dict(helpers or {}),
            },
            loading,
        )

    def start(self, forbidden: Sequence[str]) -> tuple[Channel, Process]:
        """Starts a process for a submission and returns the grader's way to it."""
        if not self.forks:
            with self.lock:
                channel, process = self.spare or self.fresh()
                self.spare = self.fresh()  # imports torch while this one computes
            return channel, process
        channel = Channel()
        zygote = self.ready_zygote()
        try:
            process = Forked(zygote, channel.far, forbidden)
        except OSError:  # it was ended, by a machine without memory perhaps
            zygote.close()
            process = Forked(self.ready_zygote(), channel.far, forbidden)
        channel.close_far()
        return channel, process

    def ready_zygote(self) -> Zygote:
        """Returns the zygote; starts one if there is none."""
        with self.lock:
            if self.early is not None:
                begun, self.early = self.early, None
                self.zygote = begun.zygote()
            if self.zygote is None or self.zygote.ended():
                self.zygote = Zygote(self.triton, self.folder.name)
            return self.zygote

    def fresh(self) -> tuple[Channel, Process]:
        """Starts a Python for one submission."""
        channel = Channel()
        process = Fresh(self.triton, self.folder.name, channel.far)
        channel.close_far()
        return channel, process

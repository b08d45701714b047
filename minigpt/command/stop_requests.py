"""Ctrl-C while a command waits for a process that it has started."""

from __future__ import annotations

import signal
import subprocess
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

LOOK = 0.5  # seconds between two looks at whether it has ended
GRACE = 30.0  # seconds that a lesson has after Ctrl-C to finish a training step and save it


class StopRequests:
    """In the with-block, Ctrl-C and SIGTERM end the lesson that runs, and the course after it.

    A terminal sends Ctrl-C to the lesson's process, too, which finishes its training step, and its
    record. If it still runs GRACE seconds later, it is ended.

    Attributes:
        signal: the signal that came; 0 for none.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> StopRequests:
        for number in (signal.SIGINT, signal.SIGTERM):
            self.before[number] = signal.signal(number, self.note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Takes a signal."""
        self.signal = self.signal or number
        if self.process is not None:
            end = threading.Timer(GRACE if number == signal.SIGINT else 0.0, self.process.terminate)
            end.daemon = True
            end.start()

    def wait_for(self, process: subprocess.Popen[bytes]) -> int:
        """Returns the exit status of a lesson's process when it has ended."""
        self.process = process
        if self.signal:  # it came while the process was being started
            process.terminate()
        while True:
            with suppress(subprocess.TimeoutExpired):  # Windows notes no signal within a wait
                return process.wait(LOOK)

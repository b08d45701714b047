"""Ctrl-C in the middle of training: finish the step, save, then stop.

An update changes millions of weights one after the other. A KeyboardInterrupt raised somewhere in
between would leave a model that belongs to no step, so while training runs the signal only raises a
flag, and the loop looks at the flag between steps.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class TrainingInterrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C or SIGTERM after a whole step; str() says how to go on.

    Attributes:
        step: updates made so far.
    """

    def __init__(self, step: int, message: str) -> None:
        super().__init__(message)
        self.step = step


class StopRequest:
    """In the with-block, the first Ctrl-C or SIGTERM sets .requested and does nothing else.

    A second one acts as it would have before: for the impatient, Ctrl-C twice stops at once, and
    the last checkpoint is where the run goes on from. Outside the main thread, where Python allows
    no signal handlers, signals are left alone.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

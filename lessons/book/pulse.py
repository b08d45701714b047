"""Shows that a cell is still at work when nothing has been printed for a while.

    with Pulse() as pulse:      # listens to what is printed
        pulse.begin("in this cell")
        ...

After PATIENCE seconds of silence the progress bar of the moment is drawn again; where there is
none, "  ... 10 s in this cell" appears on standard error. In a terminal that is one line, which is
rewritten and makes room for the next thing printed; in a file it is a line each time. It is written
past those who listen to what a lesson prints, so no page has it.
"""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from minigpt.text.bars import refresh_bars

PATIENCE = 4.0  # seconds; so nobody waits five for a sign of life, also on a busy machine


class Tee(io.TextIOBase):
    """A stream that tells a listener what is written before it passes it on."""

    def __init__(self, stream: TextIO, listener: Callable[[str], None]) -> None:
        self.stream, self.listener = stream, listener

    def write(self, text: str) -> int:
        """Writes text to the stream and to the listener."""
        self.listener(text)
        return self.stream.write(text)

    def flush(self) -> None:
        """Flushes the stream."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Returns whether the stream is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Returns the number of the stream's file; a bar asks it how wide the terminal is."""
        return self.stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Returns the stream's encoding."""
        return self.stream.encoding


class Pulse:
    """Listens to the standard streams in a with-block, and breaks long silences.

    Args:
        doing: what begins now.
        patience: how many seconds of silence are too long; None for PATIENCE.
    """

    def __init__(self, doing: str = "loading", patience: float | None = None) -> None:
        self.doing = doing
        self.patience = PATIENCE if patience is None else patience
        self.begun = self.heard = time.monotonic()
        self.standing = 0  # characters of ours at the end of the terminal, to be wiped out
        self.within_line = False
        self.lock = threading.RLock()  # what is printed may be collected garbage that prints
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> Pulse:
        self.out, self.err = sys.stdout, sys.stderr
        self.thread.start()
        sys.stdout, sys.stderr = Tee(self.out, self.hear), Tee(self.err, self.hear)
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.ended.set()
            self.thread.join()
            with suppress(OSError):  # the terminal may be gone
                self.wipe()
        finally:
            sys.stdout, sys.stderr = self.out, self.err

    def begin(self, doing: str) -> None:
        """Starts the clock of something new, such as "in this cell"."""
        self.doing, self.begun = doing, time.monotonic()

    def hear(self, text: str) -> None:
        """Makes room for a text that is about to be printed."""
        with self.lock:
            self.wipe()
            self.heard = time.monotonic()
            if text:
                self.within_line = not text.endswith(("\n", "\r"))

    def watch(self) -> None:
        """Waits for silences; runs in a thread of its own."""
        while not self.ended.wait(max(0.0, self.heard + self.patience - time.monotonic())):
            if time.monotonic() - self.heard >= self.patience:
                with suppress(OSError):  # a stream may be a pipe that nobody reads any more
                    if not refresh_bars():
                        self.beat()
                self.heard = time.monotonic()

    def beat(self) -> None:
        """Says how long it has been at work."""
        with self.lock:
            self.out.flush()  # a line that was begun is to be seen
            said = f"  ... {time.monotonic() - self.begun:.0f} s {self.doing}"
            if self.err.isatty():
                start = "\n" if self.within_line and not self.standing else "\r"
                self.err.write(start + said)
                self.standing = len(said)
            else:
                self.err.write(said + "\n")
            self.err.flush()

    def wipe(self) -> None:
        """Wipes out the line of ours that stands in the terminal."""
        if self.standing:
            self.err.write("\r" + " " * self.standing + "\r")
            self.err.flush()
            self.standing = 0

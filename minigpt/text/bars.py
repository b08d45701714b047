"""Shows how far a long task is: a bar in a terminal, a line now and then in a file.

    with progress_bar(260, "step") as advance:
        for step in range(260):
            ...
            advance(note=f"loss {loss:.3f}")

A bar redraws itself in its place. A file or a pipe would keep each drawing, thousands of them, so
there a plain line comes instead, once in ten seconds, or when `refresh_bars` asks for one:

    120 of 260 steps, loss 3.104, 31 s

A notebook gets neither: it marks the cell that runs, and keeps what is printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm

INTERVAL = 10.0  # seconds between two lines in a file


class Advance(Protocol):
    """Counts n more as done, and shows a note beside the count until the next one."""

    def __call__(self, n: int = 1, note: str = "") -> None: ...


class Shown(Protocol):
    """What shows one task: a bar or lines."""

    def advance(self, n: int = 1, note: str = "") -> None: ...
    def refresh(self) -> None: ...
    def close(self) -> None: ...


shown_now: list[Shown] = []  # the innermost task last


@contextmanager
def progress_bar(
    total: int | None,
    unit: str,
    what: str = "",
    *,
    done: int = 0,
    show: bool = True,
    leave: bool = True,
    scale: bool = False,
) -> Iterator[Advance]:
    """Shows on standard error how far a task is, in a with-block; yields what to call as it goes.

    Args:
        total: how many there are to do; None if nobody knows.
        unit: of what, in the singular.
        what: stands before the bar.
        done: how many were done before.
        show: whether anything is shown.
        leave: whether the last state stays to be seen.
        scale: whether 12,000,000 is written as 12.0M.
    """
    if not show or "ipykernel" in sys.modules:
        yield nothing
        return
    kind = Bar if sys.stderr.isatty() else Lines
    shown = kind(total, unit, what, done, leave, scale)
    shown_now.append(shown)
    try:
        yield shown.advance
    finally:
        shown_now.remove(shown)
        shown.close()


def nothing(n: int = 1, note: str = "") -> None:
    """Shows nothing."""


def refresh_bars() -> bool:
    """Shows the innermost task that is shown now once more, with its time; tells if there is one.

    It may be called from another thread, when a single step takes long.
    """
    innermost = shown_now[-1:]
    for shown in innermost:
        shown.refresh()
    return bool(innermost)


class Bar:
    """A bar in a terminal."""

    def __init__(
        self, total: int | None, unit: str, what: str, done: int, leave: bool, scale: bool
    ) -> None:
        self.bar = tqdm(
            total=total, initial=done, unit=unit, unit_scale=scale, desc=what or None, leave=leave
        )

    def advance(self, n: int = 1, note: str = "") -> None:
        """Counts n more, and draws the bar unless it has just been drawn."""
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(n)

    def refresh(self) -> None:
        """Draws the bar."""
        self.bar.refresh()

    def close(self) -> None:
        """Draws the bar for the last time, or wipes it out."""
        self.bar.close()


class Lines:
    """Lines in a file; a task that is over before the first is due writes none."""

    def __init__(
        self, total: int | None, unit: str, what: str, done: int, leave: bool, scale: bool
    ) -> None:
        self.total, self.unit, self.what, self.leave, self.scale = total, unit, what, leave, scale
        self.done, self.note, self.closed = done, "", False
        self.started = self.written = time.monotonic()

    def advance(self, n: int = 1, note: str = "") -> None:
        """Counts n more, and writes a line if one is due."""
        self.done += n
        self.note = note
        if time.monotonic() - self.written >= INTERVAL:
            self.refresh()

    def refresh(self) -> None:
        """Writes a line, unless the task is over: another thread may ask just then."""
        if self.closed:
            return
        self.written = time.monotonic()
        print(self.line(self.written - self.started), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Writes the last line if there were others before."""
        if self.leave and self.written > self.started:
            self.refresh()
        self.closed = True

    def line(self, seconds: float) -> str:
        """Returns "120 of 260 steps, loss 3.104, 31 s"."""
        numbers = [n for n in (self.done, self.total) if n is not None]
        if self.scale:
            count = " of ".join(tqdm.format_sizeof(n, self.unit) for n in numbers)
        else:
            count = f"{' of '.join(map(str, numbers))} {self.unit}s"
        before = f"{self.what}: " if self.what else ""
        return before + ", ".join(filter(None, [count, self.note, f"{seconds:.0f} s"]))

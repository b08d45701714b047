"""Two sockets to a submission's process: its messages, and what it prints.

Nothing here waits without an end, and nothing grows without one, whatever comes from the other
side: it may send rubbish, too much, too early, or nothing at all.
"""

from __future__ import annotations

import re
import selectors
import socket
from collections.abc import Callable

from lessons.grading.values import LONGEST_ARRAYS, LONGEST_TEXT

PRINTED = 1 << 16  # bytes that are kept of what a submission prints
BLINK = 0.05  # seconds between two looks at the clock
# Colors and other orders to a terminal, all control characters but the line's end and the tab.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class ExpiredError(Exception):
    """The time was over."""


class ClosedError(Exception):
    """The other side has closed its end, or ended."""


class GarbledError(Exception):
    """What came is not a message."""


class Channel:
    """The grader's ends of the two sockets.

    Attributes:
        far: the two ends that the process gets; the grader closes them once it has them.
    """

    def __init__(self) -> None:
        self.data, far_data = socket.socketpair()
        self.prints, far_prints = socket.socketpair()
        self.far = [far_data, far_prints]
        self.kept = bytearray()
        self.data.setblocking(False)
        self.prints.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.prints, selectors.EVENT_READ)
        self.selector.register(self.data, selectors.EVENT_READ)

    def close_far(self) -> None:
        """Closes the ends that the process has by now."""
        for end in self.far:
            end.close()

    def close(self) -> None:
        """Closes everything."""
        self.selector.close()
        for end in (*self.far, self.data, self.prints):
            end.close()

    def exchange(self, message: bytes, expired: Callable[[], bool]) -> bytes:
        """Sends a message and returns the one that comes back.

        Raises:
            ExpiredError: expired() says so.
            ClosedError: the other side has closed its end.
            GarbledError: something else than one message came.
        """
        if self.readable():
            raise GarbledError("it wrote to the grader without being asked")
        received = bytearray()
        rest = memoryview(message)
        self.selector.modify(self.data, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while (length := whole_length(received)) is None or len(received) < length:
            if expired():
                raise ExpiredError
            for key, events in self.selector.select(BLINK):
                if key.fileobj is self.prints:
                    self.drain(1)
                    continue
                if events & selectors.EVENT_WRITE and rest:
                    rest = rest[self.write(rest) :]
                if not rest:
                    self.selector.modify(self.data, selectors.EVENT_READ)
                if events & selectors.EVENT_READ:
                    received += self.read(self.data)
        if len(received) > length or rest:
            raise GarbledError("it wrote more to the grader than an answer")
        self.drain()
        return bytes(received)

    def readable(self) -> bool:
        """Returns whether something has come that was not asked for."""
        try:
            return len(self.data.recv(1, socket.MSG_PEEK)) > 0
        except (BlockingIOError, ConnectionError):
            return False

    def read(self, end: socket.socket) -> bytes:
        """Returns what is there, at most a MiB; ClosedError if nothing will come any more."""
        try:
            found = end.recv(1 << 20)
        except BlockingIOError:
            return b""
        except ConnectionError:
            raise ClosedError from None
        if not found:
            raise ClosedError
        return found

    def write(self, rest: memoryview) -> int:
        """Sends as much as goes now; returns how much."""
        try:
            return self.data.send(rest[: 1 << 20])
        except BlockingIOError:
            return 0
        except ConnectionError:
            raise ClosedError from None

    def drain(self, reads: int = 8) -> None:
        """Reads what was printed, and keeps the beginning of it; a thread may print without end."""
        try:
            for _ in range(reads):
                self.kept += self.read(self.prints)[: PRINTED - len(self.kept)]
        except ClosedError:
            if self.prints in self.selector.get_map():
                self.selector.unregister(self.prints)

    def printed(self) -> str:
        """Returns what was printed so far, without orders to a terminal."""
        return CONTROL.sub("", self.kept.decode(errors="replace"))


def whole_length(received: bytearray) -> int | None:
    """Returns how long the message will be that begins so; None while its first line is not there.

    Raises:
        GarbledError: it is not a message, or is too long for one.
    """
    head, found, _ = received[:64].partition(b"\n")
    if not found:
        if len(received) >= 64:
            raise GarbledError("it wrote something else to the grader than an answer")
        return None
    if not re.fullmatch(rb"\d{1,10} \d{1,10}", head):
        raise GarbledError("it wrote something else to the grader than an answer")
    n_text, n_arrays = map(int, head.split())
    if n_text > LONGEST_TEXT or n_arrays > LONGEST_ARRAYS:
        raise GarbledError("its answer is far too long")
    return len(head) + 1 + n_text + n_arrays

"""How a lesson ended: what its process and its record say, and what to do about it.

outcome = outcome_of(4, status, record)
outcome.word       # "done", "failed", "killed (SIGKILL)"
outcome.why        # "ZeroDivisionError: division by zero"
"""

from __future__ import annotations

import re
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from lessons.book.record import Record, counts, read_table
from lessons.verdicts import Kind

NO_MEMORY = "memory ran out; end other programs and run it again"
CRASH = "a part in compiled code crashed; `minigpt doctor` looks for the cause"
SIGNALS = {
    "SIGKILL": f"the system ended it, most likely because {NO_MEMORY}",
    "SIGTERM": f"somebody ended it, or a program that guards the memory: perhaps {NO_MEMORY}",
    "SIGHUP": "its terminal was closed",
    "SIGXCPU": "it used up the processor time that it is allowed (`ulimit -t`)",
    **dict.fromkeys(("SIGSEGV", "SIGBUS", "SIGILL", "SIGABRT", "SIGFPE"), CRASH),
}
WINDOWS = {  # exit statuses of processes that Windows has ended
    0xC0000017: NO_MEMORY,
    0xC000012D: NO_MEMORY,
    0xC0000005: CRASH,
    0xC000001D: CRASH,
    0xC00000FD: CRASH,
    0xC0000409: CRASH,
    0xC000013A: "its window was closed, or Ctrl-C was pressed",
}
OUT_OF_MEMORY = r"MemoryError|out of memory|not enough memory|allocate memory"
SHORT = {Kind.WRONG: "source wrong", Kind.UNKNOWN: "unknown", Kind.FAILS: "fails"}


@dataclass
class Outcome:
    """How a lesson of the course went.

    Attributes:
        word: "done", "done before", "interrupted", "failed", "failed (...)" or "killed (...)".
        why: what went wrong, and what to do.
    """

    number: int
    word: str
    why: str = ""
    seconds: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)

    @property
    def good(self) -> bool:
        """Returns whether there are results."""
        return self.word.startswith("done")


def outcome_of(number: int, status: int, record: Record | None) -> Outcome:
    """Returns how a lesson ended.

    Args:
        status: its process's exit status, or -signal.
        record: of this very run; None if it left none.
    """
    if status == 0:
        return Outcome(number, "done")
    if status < 0:
        names = {int(known): known.name for known in signal.Signals}
        name = names.get(-status, f"signal {-status}")
        return Outcome(number, f"killed ({name})", SIGNALS.get(name, "the system ended it"))
    if status in WINDOWS:
        return Outcome(number, f"killed (0x{status:X})", WINDOWS[status])
    if record is None:
        return Outcome(number, f"failed ({status})", "it did not begin; what it said stands above")
    if record.status == "running":
        why = f"its process was ended from outside, or the disk is full; perhaps {NO_MEMORY}"
        return Outcome(number, f"killed ({status})", why)
    if record.status == "interrupted":
        why = "something told this lesson, and not the course, to stop"
        return Outcome(number, "interrupted", why)
    why = record.error or "what it said stands above"
    return Outcome(number, "failed", f"{NO_MEMORY} ({why})" if no_memory(why) else why)


def no_memory(error: str) -> bool:
    """Tells whether an error says that something found no room in memory."""
    return re.search(OUT_OF_MEMORY, error) is not None


def verdicts_of(folder: Path) -> Counter[str]:
    """Returns how often a lesson that is done gave each verdict, in the order of `Kind`.

    Without closing tables that can be read there are none; the lesson's page says so.
    """
    try:
        rows = read_table(folder)["rows"]
    except ValueError:
        return Counter()
    return Counter({short(kind): n for kind, n in counts(rows)})


def short(kind: Kind) -> str:
    """Returns a verdict in a word or two."""
    return SHORT.get(kind, kind.value)


def in_a_line(verdicts: Counter[str]) -> str:
    """Returns counts of verdicts in a line: "3 reproduced, 1 source wrong"."""
    return ", ".join(f"{n} {word}" for word, n in verdicts.items())

"""Memory: how much there is, and how much is free for this process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding

LESSON = 1.6e9  # bytes: lesson 7 takes 1.5 GB, more than any other
QUICK = 0.9e9  # bytes: what is enough for a lesson with --quick


def total_memory() -> int | None:
    """Returns the machine's memory in bytes; None where nothing says, as on Windows."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_memory(torch: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Yields what is to be said of memory.

    Args:
        torch: what torch's process found to be free; None if torch cannot be imported.
    """
    yield judge_memory(total_memory(), torch["free_memory"] if torch else None)


def judge_memory(total: int | None, free: int | None) -> Finding:
    """Returns what is to be said of this much memory.

    Args:
        total: bytes in the machine; None if nothing says.
        free: bytes that this process may still take, by the machine, its container and its limits
            (minigpt.device.free_memory); None if nothing says.
    """
    known = "" if total is None else f"{total / 1e9:.1f} GB; nothing says how much of it is free"
    if free is None:
        return Finding("memory", NOTE, known or "unknown: this system does not tell")
    of = "" if total is None else f" of {total / 1e9:.1f}"
    # On macOS free_memory returns all that is in the machine.
    said = known if free == total else f"{free / 1e9:.1f}{of} GB can be used"
    if free < LESSON:
        said += f"; lessons take up to {LESSON / 1e9:.1f} GB, with --quick {QUICK / 1e9:.1f}"
        remedy = "end other programs, or raise the limit (docker run --memory, ulimit -v)"
        return Finding("memory", NOTE if free >= QUICK else PROBLEM, said, remedy)
    return Finding("memory", OK, said if free == total else f"{said}, enough for every lesson")

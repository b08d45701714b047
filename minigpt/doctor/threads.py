"""Threads against the cores that this process may use, and against other programs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any, NamedTuple

from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding, setting, unsetting
from minigpt.fast.threads import ROOT, quotas, usable_cores

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
BUSY = 0.5  # of all processors, kept busy by other programs, is worth a note


class Room(NamedTuple):
    """How much of the machine this process may use.

    Attributes:
        processors: those of the machine; two may share a core.
        allowed: those that the process may run on (its affinity).
        quota: how many of them its control groups let it keep busy; None without a quota.
        cores: the cores that are left by both, on which as many threads are quickest.
        asked: the variables of the environment that ask for a number of threads.
    """

    processors: int
    allowed: int
    quota: float | None
    cores: int
    asked: Mapping[str, str]


def room_here() -> Room:
    """Returns how much of this machine this process may use."""
    processors = os.cpu_count() or 1
    affinity = getattr(os, "sched_getaffinity", None)
    return Room(
        processors,
        len(affinity(0)) if affinity else processors,
        min(quotas(ROOT), default=None),
        usable_cores(),
        {name: os.environ[name] for name in VARIABLES if name in os.environ},
    )


def check_threads(torch: Mapping[str, Any] | None, load: float | None) -> Iterator[Finding]:
    """Yields what is to be said of threads.

    Args:
        torch: what torch says; None if it cannot be imported.
        load: how many processes wanted a processor in the last minute; None if nothing says.
    """
    room = room_here()
    if torch is not None:
        yield judge_threads(torch["threads"], room)
    if load is not None:
        yield judge_load(load, room.processors)


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun: "1 thread", "2 threads"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def judge_threads(threads: int, room: Room) -> Finding:
    """Returns what is to be said of this number of torch's threads."""
    quota = "" if room.quota is None else f", a quota of {room.quota:g}"
    said = (
        f"torch uses {counted(threads, 'thread')}; {counted(room.processors, 'processor')}, "
        f"{room.allowed} allowed{quota}, {counted(room.cores, 'core')} to use"
    )
    others = [f"{name}={value}" for name, value in room.asked.items() if value != str(room.cores)]
    if others:
        said += f"; {', '.join(others)}"
    name = others[0].partition("=")[0] if others else VARIABLES[0]
    remedy = setting(name, room.cores)
    if others:
        remedy += f", or {unsetting(name)}"
    if threads > ceil(min(room.allowed, room.quota or room.allowed)):
        said += ": its threads wait for each other, and everything takes longer"
        return Finding("threads", PROBLEM, said, remedy)
    if threads != room.cores:
        return Finding("threads", NOTE, f"{said}; as many threads as cores are quickest", remedy)
    if others:
        return Finding("threads", NOTE, f"{said}, which torch does not follow", remedy)
    return Finding("threads", OK, said)


def load_now() -> float | None:
    """Returns how many processes wanted a processor in the last minute; None on Windows."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def judge_load(load: float, processors: int) -> Finding:
    """Returns what is to be said of the work that other programs do."""
    said = f"kept {min(load, processors):.1f} of {processors} processors busy in the last minute"
    if load > BUSY * processors:
        return Finding("other programs", NOTE, f"{said}: lessons take longer than they say")
    return Finding("other programs", OK, said)

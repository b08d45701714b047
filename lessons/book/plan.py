"""Plans a course: which lessons are done already, and how long the others will take.

todo = [n for n in scripts if not_done(last_record(folders[n]), scripts[n], settings)]
clock = Clock(times_of(quick=False, large=False))
clock.learn(1, 12.0)                    # lesson 1 took 12 s here
in_words(clock.estimate(4))             # "about 1 minute"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lessons.book.record import Record, fingerprint, read_record, read_table

# Seconds that the lessons took, one after the other, on 2 cores of Zen 4 (which have AVX-512 and
# bf16), as `minigpt course` prints them at its end; and the processor seconds of each
# `minigpt lesson N --quick` with one thread on the same machine.
NORMAL = (11, 47, 7, 64, 49, 8, 153, 147, 52, 28, 23, 131, 155)
QUICK = (6, 10, 8, 12, 10, 7, 17, 16, 11, 12, 12, 13, 14)


def times_of(quick: bool, large: bool) -> dict[int, float]:
    """Returns the seconds that each lesson took where they were measured.

    Nobody has measured all lessons with large settings, which take hours.
    """
    return {} if large else dict(enumerate(QUICK if quick else NORMAL, start=1))


class Clock:
    """Estimates how long lessons will take here.

    One that has run here will take as long again. For the others there are the times of another
    machine, times how much slower this one was at those that have run.
    """

    def __init__(self, elsewhere: Mapping[int, float]) -> None:
        self.elsewhere = elsewhere
        self.here: dict[int, float] = {}

    def learn(self, number: int, seconds: float) -> None:
        """Takes notice of a lesson that has run here."""
        self.here[number] = seconds

    def estimate(self, number: int) -> float | None:
        """Returns the seconds that a lesson will take; None if there is nothing to go by."""
        if number in self.here:
            return self.here[number]
        if number not in self.elsewhere:
            return None
        known = self.here.keys() & self.elsewhere.keys()
        there = sum(self.elsewhere[n] for n in known)
        slower = sum(self.here[n] for n in known) / there if there else 1.0
        return slower * self.elsewhere[number]

    def sum(self, numbers: Iterable[int]) -> float | None:
        """Returns the seconds that several lessons will take; None if one cannot be estimated."""
        seconds = [self.estimate(number) for number in numbers]
        known = [second for second in seconds if second is not None]
        return sum(known) if len(known) == len(seconds) else None


def in_words(seconds: float) -> str:
    """Returns a time as people say it: "about 20 seconds", "about 3 minutes"."""
    if seconds < 7:
        return "a few seconds"
    if seconds < 50:
        return f"about {max(10, 10 * round(seconds / 10))} seconds"
    if seconds < 90 * 60:
        minutes = max(1, round(seconds / 60))
        return f"about {minutes} minute{'s' * (minutes > 1)}"
    return f"about {seconds / 3600:.1f} hours"


def last_record(folder: Path) -> Record | None:
    """Returns the record of a lesson's last run, or None if there is none that can be read."""
    try:
        return read_record(folder)
    except (OSError, ValueError):
        return None


def not_done(record: Record | None, script: Path, settings: Mapping[str, Any]) -> str:
    """Returns why a lesson has to run; "" if it is done.

    Args:
        settings: with which it is to run: "seed", "asked" (the device, or auto), "quick", "full".
    """
    if record is None:
        return "it has not run yet"
    if record.status != "done":
        ends = {"failed": "failed", "running": "did not come to its end"}
        return f"the last time it {ends.get(record.status, f'was {record.status}')}"
    if record.script != fingerprint(script):
        return "its script has changed"
    for name in ("seed", "quick", "full"):
        if record.settings[name] != settings[name]:
            return f"the last time it ran with {name} {record.settings[name]}"
    if not same_device(record, str(settings["asked"])):
        return f"the last time it ran on the device {record.settings['device']}"
    return ""


def without_tables(folder: Path) -> str:
    """Returns that a lesson's closing tables cannot be read; "" if they can."""
    try:
        read_table(folder)
    except ValueError:
        return "its closing tables cannot be read"
    return ""


def took_as_long(record: Record, settings: Mapping[str, Any]) -> bool:
    """Tells whether a run took as long as one will take with these settings."""
    return record.status == "done" and same_device(record, str(settings["asked"]))


def same_device(record: Record, asked: str) -> bool:
    """Tells whether a lesson ran on the device that is asked for now."""
    if asked in (record.settings["asked"], record.settings["device"]):
        return True
    from minigpt.device import pick_device  # loads torch

    return str(pick_device(asked)) == record.settings["device"]

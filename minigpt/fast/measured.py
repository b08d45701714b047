"""Chooses between ways to compute the same by timing them on this machine.

Which of two ways is faster depends on the processor: what doubles the speed of one makes another
slower. So nobody decides that in advance. The ways are timed in turn, once in a process, for some
milliseconds, and the plain way stays unless another is clearly faster.

The ways round in different orders, so their results differ in the last bits. A training run
therefore keeps its choices (training/loop.py), and

    MINIGPT_WAYS="products=onednn rows=plain token=plain dtype=float32" minigpt train

makes choices itself. `minigpt bench` prints what is chosen here, beside the plain way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import RLock

import torch

VARIABLE = "MINIGPT_WAYS"
KINDS = ("products", "rows", "token", "dtype")  # linear.py twice, one_token.py, device.py
LEAST, ENOUGH = 3, 0.02  # rounds and seconds of a measurement
MARGIN = 0.05  # of the plain way's time that another has to save
LOCKS = {os.getpid(): RLock()}  # by process: a fork would inherit one that nobody can open


@dataclass(frozen=True)
class Choice:
    """A choice between ways to compute the same.

    Attributes:
        what: the kind of choice, by which MINIGPT_WAYS makes it.
        where: what it was measured on, such as the shape of a product.
        chosen: the name of the way.
        seconds: the shortest time of each way, the plain one first; {} if nothing was measured.
    """

    what: str
    where: str
    chosen: str
    seconds: Mapping[str, float]

    @property
    def gain(self) -> float:
        """Returns how many times as fast as the plain way the chosen one is; 1 if not measured."""
        if self.chosen not in self.seconds:
            return 1.0
        return next(iter(self.seconds.values())) / self.seconds[self.chosen]


MADE: dict[tuple[str, str], Choice] = {}  # by what and where


def choose(
    what: str,
    where: str,
    ways: Mapping[str, Callable[[], object]],
    margin: float = MARGIN,
    enough: float = ENOUGH,
) -> str:
    """Returns the name of the fastest way; the next call with the same what and where, the same.

    Args:
        ways: by name, the plain one first. They are called in turn, without gradients or autocast,
            at least LEAST times and for `enough` seconds, and the shortest time of each counts.
        margin: the share of the plain way's time that another must save.

    Raises:
        ValueError: MINIGPT_WAYS asks for a way or a choice that there is not.
    """
    with LOCKS.setdefault(os.getpid(), RLock()):  # two at once would disturb each other
        if (what, where) not in MADE:
            asked = asked_for(what)
            if asked is not None and asked not in ways:
                raise ValueError(f"{VARIABLE} must ask for {' or '.join(ways)}, got {what}={asked}")
            seconds = {} if asked or len(ways) == 1 else time_in_turn(ways, enough)
            plain = next(iter(ways))
            chosen = asked or min(seconds, key=seconds.__getitem__, default=plain)
            if seconds and seconds[chosen] > (1 - margin) * seconds[plain]:
                chosen = plain
            MADE[what, where] = Choice(what, where, chosen, seconds)
        return MADE[what, where].chosen


def asked_for(what: str) -> str | None:
    """Returns the way that MINIGPT_WAYS asks for, or None.

    Raises:
        ValueError: it asks for a choice that there is not.
    """
    pairs = (pair.partition("=") for pair in os.environ.get(VARIABLE, "").split())
    asked = {name: way for name, _, way in pairs}
    for name in asked:
        if name not in KINDS:
            raise ValueError(
                f"{VARIABLE} chooses {', '.join(KINDS)}, each as NAME=WAY, got {name!r}"
            )
    return asked.get(what)


def time_in_turn(ways: Mapping[str, Callable[[], object]], enough: float) -> dict[str, float]:
    """Returns the shortest time of each way in seconds."""
    seconds = dict.fromkeys(ways, float("inf"))
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        begun, rounds = time.perf_counter(), 0
        while rounds < LEAST or time.perf_counter() - begun < enough:
            rounds += 1
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds

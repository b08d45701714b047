"""Times contenders in turn: a time in seconds says more about the machine than about the code.

In every round each contender does the same work, one after the other, and the median of the rounds'
ratios is reported: when the machine slows down for a moment, it slows down for all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch

from minigpt.text.bars import progress_bar

Ratio = tuple[str, float, float | None]  # what, measured, goal


def time_in_turn(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    before: Callable[[], object] | None = None,
) -> dict[str, list[float]]:
    """Returns the seconds of each contender in each round, after one round that is not counted.

    `before` is called before each timing and is not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    with progress_bar(rounds + 1, "round", leave=False) as advance:
        for turn in range(rounds + 1):
            for name, work in contenders.items():
                if before is not None:
                    before()
                started = time.perf_counter()
                work()
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                if turn > 0:
                    seconds[name].append(time.perf_counter() - started)
            advance()
    return seconds


def ratio(seconds: dict[str, list[float]], slower: str, faster: str) -> float:
    """Returns how many times as fast `faster` is as `slower`: the median over rounds."""
    return statistics.median(s / f for s, f in zip(seconds[slower], seconds[faster], strict=True))

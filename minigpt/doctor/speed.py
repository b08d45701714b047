"""What the speed switches chose on this machine, and how that compares with the plain way.

Which of two ways is faster is measured on each machine (fast/measured.py), and these measurements
are shown. What is computed in another way than the plain one on every machine is timed here, in few
rounds. `minigpt bench choices` times all of it again, and longer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from minigpt.doctor.child import answer
from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding, unsetting

VARIABLE = "MINIGPT_WAYS"  # of fast/measured.py, which loads torch
LEAST = 0.97  # of the plain way's speed
ROUNDS, MORE = 3, 9  # what seems to be slower than that is timed again
SECONDS = 180  # the time limit; on two free cores it takes about 6
# The kind of choice, in fast/measured.py, that each row of `minigpt bench choices` belongs to.
KINDS = {
    "products of a token": "rows",
    "products in training": "products",
    "format in training": "dtype",
    "a token": "token",
}


def measure() -> dict[str, Any]:
    """Makes all choices and times what is not chosen; to be called in a child process.

    Returns:
        "rows" has [what is computed, the way that is chosen, how many times as fast as the plain
        one]; "refused" is what is wrong with MINIGPT_WAYS, "" if nothing is.
    """
    import torch

    from minigpt.bench.choices import switches

    torch.manual_seed(0)
    rows: list[tuple[str, str, float]] = []
    try:
        for switch in switches():  # a choice is made when its row is asked for
            is_chosen = switch.what.partition(",")[0] in KINDS
            gain = gain_of(switch.what) if is_chosen else time_again(switch)
            rows.append((switch.what, switch.chosen, gain))
    except ValueError as error:
        return {"refused": str(error), "rows": []}
    return {"refused": "", "rows": rows}


def gain_of(what: str) -> float:
    """Returns the gain of the choice that was just made for a row; 1 if nothing was measured."""
    from minigpt.fast.measured import MADE

    kind = KINDS[what.partition(",")[0]]
    gains = [choice.gain for choice in MADE.values() if choice.what == kind]
    return gains[-1] if gains else 1.0


def time_again(switch: Any) -> float:
    """Returns how many times as fast as the plain way the other is, by the shortest times."""
    from minigpt.bench.timing import time_in_turn

    gain = 0.0
    for rounds in (ROUNDS, MORE):
        seconds = time_in_turn({"plain": switch.plain, "fast": switch.fast}, rounds)
        gain = max(gain, min(seconds["plain"]) / min(seconds["fast"]))
        if gain >= LEAST:
            break
    return gain


def check_speed(busy: bool) -> Iterator[Finding]:
    """Yields what is to be said of the speed switches.

    Args:
        busy: whether other programs keep the processors busy, so that little can be said.
    """
    measured, failure = answer(measure, seconds=SECONDS)
    measured = measured or {"refused": "", "rows": []}
    yield from judge_asked(os.environ.get(VARIABLE, ""), measured["refused"])
    yield from judge_rows(measured["rows"], busy)
    if failure:
        yield judge_failure(failure, busy)


def judge_asked(asked: str, refused: str) -> Iterator[Finding]:
    """Yields what is to be said of the variable MINIGPT_WAYS.

    Args:
        asked: its value.
        refused: what is wrong with that, "" if nothing is.
    """
    if refused:
        remedy = f"{unsetting(VARIABLE)}, or set it to what is allowed"
        yield Finding(VARIABLE, PROBLEM, refused, remedy)
    elif asked:
        said = f"{asked!r} makes these choices, and nothing is measured for them"
        yield Finding(VARIABLE, NOTE, said, unsetting(VARIABLE))


def judge_rows(rows: Iterable[tuple[str, str, float]], busy: bool) -> Iterator[Finding]:
    """Yields a finding for each row that `measure` returns."""
    for what, chosen, gain in rows:
        said = chosen if gain == 1 else f"{chosen}, {gain:.2f} times as fast as the plain way"
        if gain >= LEAST:
            yield Finding(what, OK, said)
        elif busy:
            yield Finding(what, NOTE, f"{said}, while other programs were at work")
        else:
            remedy = (
                "end other programs and type `minigpt bench choices`; if it says so too, report it "
                "where you got minigpt"
            )
            yield Finding(what, PROBLEM, said, remedy)


def judge_failure(failure: str, busy: bool) -> Finding:
    """Returns what is to be said if nothing could be measured."""
    said = f"could not be measured: {failure}"
    if busy and "took longer" in failure:
        return Finding("speed", NOTE, f"{said}, while other programs were at work")
    return Finding("speed", PROBLEM, said, "type `minigpt bench choices` to see more")

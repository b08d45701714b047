"""What the speed switches chose on this machine, and how that compares with the plain way.

Which of two ways is faster is measured on each machine (fast/measured.py). `minigpt bench choices`
shows the same table, in more rounds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from minigpt.doctor.child import answer
from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding

VARIABLE = "MINIGPT_WAYS"  # of fast/measured.py, which loads torch
ROUNDS = 3  # `minigpt bench choices` takes 9
LEAST = 0.97  # of the plain way's speed; what is slower is measured again, and then named


def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    """Returns the rows of `minigpt bench choices`; to be called in a child process.

    "rows" has [what is computed, the way that is chosen, how many times as fast as the plain one];
    "refused" is what is wrong with MINIGPT_WAYS, "" if nothing is.
    """
    from minigpt.bench.choices import bench_choices

    seed = 0
    try:
        gains = {what: gain for what, gain, _ in bench_choices(seed, rounds)}
        if min(gains.values()) < LEAST:
            for what, gain, _ in bench_choices(seed, 3 * rounds):
                gains[what] = max(gain, gains.get(what, gain))
    except ValueError as error:
        return {"refused": str(error), "rows": []}
    return {"refused": "", "rows": [[*what.rsplit(": ", 1), gain] for what, gain in gains.items()]}


def check_speed(busy: bool) -> Iterator[Finding]:
    """Yields what is to be said of the speed switches.

    Args:
        busy: whether other programs keep the processors busy, so that little can be said.
    """
    measured, failure = answer(measure)
    measured = measured or {"refused": "", "rows": []}
    yield from judge_asked(os.environ.get(VARIABLE, ""), measured["refused"])
    yield from judge_rows(measured["rows"], busy)
    if failure:
        remedy = "type `minigpt bench choices` to see it happen"
        yield Finding("speed", PROBLEM, f"measuring it {failure}", remedy)


def judge_asked(asked: str, refused: str) -> Iterator[Finding]:
    """Yields what is to be said of the variable MINIGPT_WAYS.

    Args:
        asked: its value.
        refused: what is wrong with that, "" if nothing is.
    """
    if refused:
        yield Finding(VARIABLE, PROBLEM, refused, f"unset {VARIABLE}, or set it to what is allowed")
    elif asked:
        said = f"{asked!r} makes choices; they are not measured"
        yield Finding(VARIABLE, NOTE, said, f"unset {VARIABLE}")


def judge_rows(rows: Iterable[tuple[str, str, float]], busy: bool) -> Iterator[Finding]:
    """Yields a finding for each row that `measure` returns."""
    for what, chosen, gain in rows:
        said = chosen if gain == 1 else f"{chosen}, {gain:.2f} times as fast as the plain way"
        if gain >= LEAST:
            yield Finding(what, OK, said)
        elif busy:
            yield Finding(what, NOTE, f"{said}, while other programs were at work")
        else:
            remedy = f"choose the plain way: {VARIABLE}, in minigpt/fast/measured.py"
            yield Finding(what, PROBLEM, said, remedy)

"""How a lesson judges a figure: each verdict is computed from what was measured.

same_figure("0.89", 0.8889, otherwise="...")     # does it round to the published figure?
is_more(2.1, error=0.4)                          # is a difference more than chance?
no_worse(0.3, error=0.1, allowed=1)              # is a loss less than what counts, beyond chance?
holds(a == b)                                    # is a property there?

A verdict keeps the function and the values that it was computed from, and other values that must
turn it, so that a test can see that it could have come out otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np


class Kind(str, Enum):
    """What a verdict says, as the table prints it and as table.json holds it."""

    REPRODUCED = "reproduced"
    DIFFERS = "differs"
    WRONG = "the published figure is wrong"
    UNKNOWN = "not reproduced, and nobody knows why"
    UNDECIDED = "undecided"
    HOLDS = "holds"
    FAILS = "does not hold"


Judged = tuple[Kind, str]  # and the words after it; "" for none


@dataclass(frozen=True)
class Verdict:
    """The outcome of judging some values.

    Attributes:
        judge: maps values to what the verdict says of them.
        values: what was measured.
        turning: values for which `judge` must come to another kind.
    """

    judge: Callable[..., Judged]
    values: tuple[Any, ...]
    turning: tuple[Any, ...]

    @property
    def kind(self) -> Kind:
        """Returns what the measured values come to."""
        return self.judge(*self.values)[0]

    def __str__(self) -> str:
        kind, words = self.judge(*self.values)
        if not words:
            return kind.value
        joint = " because " if kind in (Kind.DIFFERS, Kind.WRONG) else "; "
        return kind.value + joint + words

    def turned(self) -> Kind:
        """Returns what the turning values come to."""
        return self.judge(*self.turning)[0]


def last_place(printed: str) -> float:
    """Returns the value of a figure's last printed digit: 0.01 for "0.89", 1 for "117"."""
    exponent = Decimal(printed.replace(",", "")).as_tuple().exponent
    assert isinstance(exponent, int), f"{printed!r} is not a finite number"
    return 10.0**exponent


def same_figure(
    printed: str,
    measured: float,
    otherwise: str,
    *,
    kind: Kind = Kind.DIFFERS,
    remark: str = "",
    within: float | None = None,
) -> Verdict:
    """Judges whether a number comes out as the figure that was printed.

    Args:
        printed: the published figure as it stands there, "0.89" or "1,542".
        measured: the number that was computed or measured here.
        otherwise: why it differs or is wrong, in case it does not come out.
        kind: what it is then: DIFFERS, WRONG or UNKNOWN.
        remark: what to add in case it does.
        within: the largest difference that still counts; None is half of the last printed digit.
    """
    published = float(printed.replace(",", ""))
    # A number that lies half way may be rounded either way, and is rarely exact in binary.
    allowed = last_place(printed) / 2 * (1 + 1e-9) if within is None else within

    def judge(measured: float) -> Judged:
        near = abs(measured - published) <= allowed
        return (Kind.REPRODUCED, remark) if near else (kind, otherwise)

    away = published + 3 * allowed + last_place(printed)
    turning = away if judge(measured)[0] is Kind.REPRODUCED else published
    return Verdict(judge, (measured,), (turning,))


def is_more(
    difference: float,
    error: float | None = None,
    *,
    yes: str = "",
    no: str = "it is the other way round here",
    unit: str = "",
    places: int = 2,
    at_least: float = 0.0,
    checked: bool = False,
) -> Verdict:
    """Judges the claim that a difference is positive, or that a number is more than at_least.

    It is undecided where it lies within two standard errors of that limit, and where a difference
    of 0 was measured with an error of 0: records that all agree are still only a sample.

    Args:
        difference: what was measured, positive where the claim is right.
        error: its standard error; None where there is no chance in it.
        yes: what to add if the claim is right.
        no: why it may be that it is not.
        unit: of the difference and its error, in words that may follow a number, such as " BLEU".
        places: how many decimals of both are printed.
        at_least: the limit.
        checked: the claim is ours and nobody has published it.
    """

    def judge(difference: float, error: float | None) -> Judged:
        spread = f" ± {error:.{places}f}" if error else ""
        sign = "" if at_least else "+"  # only a difference has one
        found = f"{difference:{sign}.{places}f}{spread}{unit}"
        margin = difference - at_least
        if not math.isfinite(margin) or not math.isfinite(error or 0):
            return Kind.UNDECIDED, "it could not be measured"
        if error == margin == 0:
            return Kind.UNDECIDED, "no difference was seen in this sample"
        if error and abs(margin) < 2 * error:
            close = f"is too near {at_least:g} to tell" if at_least else "may be chance"
            return Kind.UNDECIDED, f"{found} {close}"
        if margin > 0:
            return Kind.HOLDS if checked else Kind.REPRODUCED, found + (f": {yes}" if yes else "")
        return Kind.FAILS if checked else Kind.DIFFERS, f"{no} ({found})"

    right = judge(difference, error)[0] in (Kind.REPRODUCED, Kind.HOLDS)
    certain = math.isfinite(difference) and math.isfinite(error or 0)
    # As far on the other side of the limit, and in any case beyond chance.
    away = max(abs(difference - at_least), 3 * (error or 0) + 10.0**-places) if certain else 1.0
    turning = at_least + (-away if right else away), error if certain else 0.0
    return Verdict(judge, (difference, error), turning)


def no_worse(
    behind: float,
    error: float,
    allowed: float,
    otherwise: str = "it costs more than that",
    *,
    unit: str = "",
    places: int = 2,
    checked: bool = False,
) -> Verdict:
    """Judges the claim that one thing is as good as another, or that something costs nothing.

    Equality cannot be proved, but a loss above some limit can be ruled out. The claim holds if the
    loss and two standard errors are still within what is allowed, fails if the loss less two is
    beyond it, and is undecided between.

    Args:
        behind: how much worse it is; below zero if it is better.
        error: the standard error of that.
        allowed: how much worse still counts as no difference.
        otherwise: why it may be worse.
        unit: of all three, in words that may follow a number, such as " BLEU".
        places: how many decimals are printed.
        checked: the claim is ours and nobody has published it.
    """

    def judge(behind: float, error: float) -> Judged:
        if not (math.isfinite(behind) and math.isfinite(error)):
            return Kind.UNDECIDED, "it could not be measured"
        found = f"{'better' if behind < 0 else 'worse'} by {abs(behind):.{places}f}"
        found += f" ± {error:.{places}f}{unit}"
        limit = f"up to {allowed:g}{unit} counts as equal"
        if behind + 2 * error <= allowed:
            return (Kind.HOLDS if checked else Kind.REPRODUCED), f"{found}; {limit}"
        if behind - 2 * error > allowed:
            return (Kind.FAILS if checked else Kind.DIFFERS), f"{otherwise} ({found}; {limit})"
        return Kind.UNDECIDED, f"{found}, too near the limit to tell: {limit}"

    right = judge(behind, error)[0] in (Kind.REPRODUCED, Kind.HOLDS)
    spread = error if math.isfinite(error) else 0.0
    away = 3 * spread + 10.0**-places
    return Verdict(judge, (behind, error), (allowed + away if right else allowed - away, spread))


def holds(
    condition: bool,
    *,
    yes: str = "",
    no: str = "",
    published: bool = False,
    kind: Kind = Kind.DIFFERS,
) -> Verdict:
    """Judges a property that a value has or lacks: equality to the bit, a count that must agree.

    Args:
        condition: what was found, computed from the run.
        yes, no: what to add in either case.
        published: the property is a source's claim, and not a check of our own.
        kind: what a published claim is that does not hold: DIFFERS, WRONG or UNKNOWN.
    """

    def judge(condition: bool) -> Judged:
        if condition:
            return (Kind.REPRODUCED if published else Kind.HOLDS), yes
        return (kind if published else Kind.FAILS), no

    return Verdict(judge, (bool(condition),), (not condition,))


def error_of_mean(values: Sequence[float] | np.ndarray, at_least: float = 0.0) -> float:
    """Returns the standard error of a mean; nan for fewer than two values.

    Args:
        at_least: the smallest error to report. Where few values happen to agree, their spread of 0
            says little about the next one.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return math.nan
    return max(float(values.std(ddof=1) / math.sqrt(len(values))), at_least)


def error_of_share(share: float, n: int) -> float:
    """Returns the standard error of a share of n, which is never quite 0 (Agresti and Coull 1998).

    Two successes and two failures are added to what was seen, so that 0 or n of n do not pretend to
    be certain.
    """
    padded = (share * n + 2) / (n + 4)
    return math.sqrt(padded * (1 - padded) / (n + 4))


def bootstrap_difference(
    score: Callable[[np.ndarray], float],
    other: Callable[[np.ndarray], float],
    n: int,
    *,
    draws: int = 300,
    seed: int = 0,
) -> float:
    """Returns the standard error of score - other on a test set of n records.

    Both are computed for the same records, drawn again and again with replacement: the paired
    bootstrap of Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation".

    Args:
        score, other: map the numbers [n] of the records drawn to a score of the corpus.
    """
    dice = np.random.default_rng(seed)
    drawn = [dice.integers(n, size=n) for _ in range(draws)]
    return float(np.std([score(rows) - other(rows) for rows in drawn], ddof=1))

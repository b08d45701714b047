"""Judges what number formats cost, for the tables of lessons 9 to 11.

no_worse(0.0002, 0.0001, allowed=0.001)            # is a loss below a limit, beyond chance?
as_expected(0.07281, 0.00001, expected=0.07280)    # does a mean agree with its expectation?
near_size("3.9", 3.87)                             # does a model's size come out?
"""

from __future__ import annotations

import math

from lessons.verdicts import Judged, Kind, Verdict, last_place, same_figure


def no_worse(
    lost: float,
    error: float,
    allowed: float,
    *,
    unit: str = " bits a byte",
    places: int = 4,
    published: bool = False,
) -> Verdict:
    """Judges the claim that a format loses nothing that counts.

    It holds if the loss and two standard errors stay below what is allowed, and fails if the loss
    less two standard errors is above it. In between it is undecided.

    Args:
        lost: how much worse it is; below zero if it is better.
        error: the standard error of lost.
        allowed: how much worse still counts as no loss.
        unit: of all three, in words that may follow a number.
        places: how many decimals are printed.
        published: the claim is a source's, and not a check of our own.
    """

    def judge(lost: float, error: float) -> Judged:
        found = f"{lost:+.{places}f} ± {error:.{places}f}{unit}"
        if not math.isfinite(lost) or not math.isfinite(error):
            return Kind.UNDECIDED, "it could not be measured"
        if lost + 2 * error < allowed:
            kind = Kind.REPRODUCED if published else Kind.HOLDS
            return kind, f"{found}, where up to {allowed:g} counts as nothing"
        if lost - 2 * error > allowed:
            kind = Kind.DIFFERS if published else Kind.FAILS
            return kind, f"it is {found}, more than the {allowed:g} that count as nothing"
        return Kind.UNDECIDED, f"{found} may be on either side of {allowed:g}"

    holds = judge(lost, error)[0] in (Kind.REPRODUCED, Kind.HOLDS)
    spread = error if math.isfinite(error) else 0.0
    away = 3 * spread + 10.0**-places
    return Verdict(judge, (lost, error), (allowed + away if holds else allowed - away, spread))


def as_expected(measured: float, error: float, expected: float, *, places: int = 5) -> Verdict:
    """Judges whether a mean of random numbers agrees with its expectation.

    It does if the two lie within three standard errors.

    Args:
        error: the standard error of measured.
        expected: what it should be, computed in another way.
    """

    def judge(measured: float, error: float) -> Judged:
        if not math.isfinite(measured) or not math.isfinite(error):
            return Kind.UNDECIDED, "it could not be measured"
        errors = abs(measured - expected) / error if error else math.inf
        near = errors <= 3 or measured == expected
        found = f"{measured:.{places}f} ± {error:.{places}f} for {expected:.{places}f}"
        return (Kind.HOLDS if near else Kind.FAILS), found

    certain = math.isfinite(measured) and math.isfinite(error)
    spread = error if certain else 0.0
    turned = judge(measured, error)[0] is Kind.HOLDS
    away = expected + 6 * spread + 10.0**-places
    return Verdict(judge, (measured, error), (away if turned else expected, spread))


def rounded_up(printed: str, measured: float) -> bool:
    """Returns whether a number is the printed one when it is rounded up to the same last digit."""
    place = last_place(printed)
    return math.ceil(measured / place - 1e-9) == round(float(printed) / place)


def near_size(printed: str, gigabytes: float, otherwise: str) -> Verdict:
    """Judges whether a model's size in GB lies within 2% of a printed one.

    Printed sizes carry two or three digits, and are sometimes rounded up.

    Args:
        otherwise: why it differs, in case it does.
    """
    off = 100 * (gigabytes / float(printed) - 1)
    remark = f"within 2% ({round(off, 1) + 0.0:+.1f}%)"  # + 0.0: no "-0.0"
    if rounded_up(printed, gigabytes):
        remark += ", and to the last digit when rounded up"
    otherwise = f"{otherwise} ({off:+.1f}%)"
    return same_figure(printed, gigabytes, otherwise, remark=remark, within=0.02 * float(printed))

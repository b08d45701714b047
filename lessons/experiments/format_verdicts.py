"""Judges what number formats cost, for the tables of lessons 9 to 11.

as_expected(0.07281, 0.00001, expected=0.07280)    # does a mean agree with its expectation?
near_size("3.9", 3.87)                             # does a model's size come out?
"""

from __future__ import annotations

import math

from lessons.verdicts import Judged, Kind, Verdict, last_place, same_figure


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

"""The uncertainty of a share of n: lessons 5 and 6 draw error bars between 0 and 100%."""

from __future__ import annotations

import math


def share_interval(share: float, n: int, z: float = 2.0) -> tuple[float, float]:
    """Returns Wilson's interval for a share of n, z standard errors to each side.

    It holds every true share p for which the one that was seen is at most z standard errors of p
    away, so it never leaves the range from 0 to 1, and 0 of n does not pretend to be certain.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))  # rounding

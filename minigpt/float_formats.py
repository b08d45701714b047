"""Floating-point numbers bit by bit: fp32, fp16, bf16 and fp8.

A floating-point number is written like 1.5 * 2^3: a sign, a fraction between 1 and 2 (the mantissa)
and an exponent. The formats differ in how many bits they give to the last two: the exponent decides
how large and small a number can be, the mantissa how close together the numbers lie.

Sources: IEEE 754-2019 (section 3.4: fp32 and fp16); Kalamkar et al. 2019, "A Study of BFLOAT16 for
Deep Learning Training"; Micikevicius et al. 2022, "FP8 Formats for Deep Learning".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class FloatFormat:
    """Says how a format divides its bits: one sign, then the exponent, then the mantissa.

    Attributes:
        has_infinity: whether the largest exponent is kept for infinity and NaN, as in IEEE 754. fp8
            E4M3 cannot spare it: only exponent and mantissa all ones are NaN, and it has no
            infinity.
    """

    exponent_bits: int
    mantissa_bits: int
    has_infinity: bool = True

    @property
    def bias(self) -> int:
        """Returns what is subtracted from the exponent's bits: 2^(exponent bits - 1) - 1."""
        return 2 ** (self.exponent_bits - 1) - 1

    @property
    def largest(self) -> float:
        """Returns (2 - 2^-m) 2^bias, or (2 - 2 * 2^-m) 2^(bias + 1) if there is no infinity."""
        if self.has_infinity:
            return (2 - self.epsilon) * 2.0**self.bias
        return (2 - 2 * self.epsilon) * 2.0 ** (self.bias + 1)

    @property
    def smallest_normal(self) -> float:
        """Returns 2^(1 - bias), the smallest number above 0 with all its mantissa bits."""
        return 2.0 ** (1 - self.bias)

    @property
    def smallest_subnormal(self) -> float:
        """Returns 2^(1 - bias - m), the smallest number above 0."""
        return self.smallest_normal * self.epsilon

    @property
    def epsilon(self) -> float:
        """Returns 2^-m, the distance from 1 to the next larger number."""
        return 2.0**-self.mantissa_bits


FP32 = FloatFormat(exponent_bits=8, mantissa_bits=23)
FP16 = FloatFormat(exponent_bits=5, mantissa_bits=10)
BF16 = FloatFormat(exponent_bits=8, mantissa_bits=7)
FP8_E4M3 = FloatFormat(exponent_bits=4, mantissa_bits=3, has_infinity=False)


class FloatBits(NamedTuple):
    """The three parts of a floating-point number, each as a whole number of 0 or more."""

    sign: int
    exponent: int
    mantissa: int


def float_bits(value: float, format: FloatFormat) -> FloatBits:
    """Returns the bits of the number of `format` nearest to value, a tie going to the even one.

    Between 2^e and 2^(e+1) the format's numbers are 2^(e-m) apart, so value is a whole number of
    such steps, rounded. Below the smallest normal number e stays at 1 - bias (subnormals). Too
    large a value becomes infinity, or NaN where there is none (some programs make it the largest
    number instead).
    """
    e_min, m = 1 - format.bias, format.mantissa_bits
    not_finite = (2**format.exponent_bits - 1) << m  # the exponent all ones: infinity
    if not format.has_infinity:
        not_finite += 2**m - 1  # the only NaN
    magnitude = abs(value)
    if math.isnan(value):
        code = not_finite | 1 << (m - 1)
    elif math.isinf(value):
        code = not_finite
    else:
        e = max(e_min, math.frexp(magnitude)[1] - 1) if magnitude else e_min
        steps = round(math.ldexp(magnitude, m - e))  # up to 2^(m+1)
        # A normal number has 2^m steps or more, and these add the 1 that its exponent lacks here;
        # steps rounded up to the next power of two carry over into the exponent in the same way.
        code = min(((e - e_min) << m) + steps, not_finite)
    return FloatBits(int(math.copysign(1, value) < 0), code >> m, code & (2**m - 1))


def float_value(bits: FloatBits, format: FloatFormat) -> float:
    """Returns the number that the bits stand for; m is the number of mantissa bits.

    exponent above 0:    (-1)^sign 2^(exponent - bias) (1 + mantissa / 2^m)
    exponent 0:          (-1)^sign 2^(1 - bias) (mantissa / 2^m)           a subnormal, or zero
    exponent all ones:   infinity if mantissa is 0, else NaN (without infinity see FloatFormat)
    """
    sign = -1.0 if bits.sign else 1.0
    fraction = bits.mantissa * format.epsilon
    if bits.exponent == 2**format.exponent_bits - 1:
        if format.has_infinity:
            return math.nan if bits.mantissa else sign * math.inf
        if bits.mantissa == 2**format.mantissa_bits - 1:
            return math.nan
    if bits.exponent == 0:
        return sign * format.smallest_normal * fraction
    return sign * 2.0 ** (bits.exponent - format.bias) * (1 + fraction)

"""Floating-point formats agree with C's, as struct packs them, and with torch's."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from minigpt.float_formats import (
    BF16,
    FP8_E4M3,
    FP16,
    FP32,
    FloatBits,
    FloatFormat,
    float_bits,
    float_value,
)

FORMATS = {
    FP32: torch.float32,
    FP16: torch.float16,
    BF16: torch.bfloat16,
    FP8_E4M3: torch.float8_e4m3fn,
}


def joined(bits: FloatBits, format: FloatFormat) -> int:
    """Returns the three parts side by side as one whole number."""
    exponent = bits.sign << format.exponent_bits | bits.exponent
    return exponent << format.mantissa_bits | bits.mantissa


def parts(code: int, format: FloatFormat) -> FloatBits:
    """Undoes joined."""
    rest, mantissa = divmod(code, 2**format.mantissa_bits)
    sign, exponent = divmod(rest, 2**format.exponent_bits)
    return FloatBits(sign, exponent, mantissa)


@pytest.mark.parametrize(("format", "dtype"), FORMATS.items(), ids=map(str, FORMATS.values()))
def test_ranges_are_those_of_torch(format: FloatFormat, dtype: torch.dtype) -> None:
    info = torch.finfo(dtype)
    assert 1 + format.exponent_bits + format.mantissa_bits == info.bits
    assert format.largest == info.max
    assert format.smallest_normal == info.smallest_normal
    assert format.epsilon == info.eps


def test_smallest_subnormals_are_the_number_after_zero() -> None:
    assert np.finfo(np.float32).smallest_subnormal == FP32.smallest_subnormal
    assert np.finfo(np.float16).smallest_subnormal == FP16.smallest_subnormal
    assert torch.tensor(1, dtype=torch.int16).view(torch.bfloat16).item() == BF16.smallest_subnormal
    one = torch.tensor(1, dtype=torch.uint8).view(torch.float8_e4m3fn)
    assert one.float().item() == FP8_E4M3.smallest_subnormal


@pytest.mark.parametrize("format", [FP16, BF16, FP8_E4M3], ids=["fp16", "bf16", "fp8"])
def test_every_pattern_has_the_value_that_torch_gives_it(format: FloatFormat) -> None:
    if format is FP8_E4M3:
        values = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    else:
        patterns = torch.arange(2**16, dtype=torch.int32).to(torch.int16)  # wraps around
        values = patterns.view(FORMATS[format])
    for code, theirs in enumerate(values.double().tolist()):
        ours = float_value(parts(code, format), format)
        assert ours == theirs or (math.isnan(ours) and math.isnan(theirs))
        assert math.copysign(1, ours) == math.copysign(1, theirs) or math.isnan(ours)
        if not math.isnan(ours):
            assert joined(float_bits(ours, format), format) == code


@given(st.floats())
@example(0.0)
@example(-0.0)
@example(65519.99)  # rounds to fp16's largest
@example(65520.0)  # half-way to the next power of two: infinity
@example(2.0**-25)  # half of fp16's smallest subnormal: a tie, to zero
@example(2.0**-149)
@example(1e-320)
@example(1 + 2.0**-11 + 2.0**-40)  # above a tie in fp16, a tie once it has been through fp32
def test_nearest_numbers_are_those_of_struct(value: float) -> None:
    for format, letter in ((FP32, "f"), (FP16, "e")):
        try:
            packed = struct.pack(f">{letter}", value)
        except OverflowError:
            packed = struct.pack(f">{letter}", math.copysign(math.inf, value))
        bits = float_bits(value, format)
        if math.isnan(value):
            assert math.isnan(float_value(bits, format))
        else:
            assert joined(bits, format) == int.from_bytes(packed, "big")


@given(st.floats(width=32, allow_nan=False))
def test_nearest_bf16_is_torch_s(value: float) -> None:
    theirs = torch.tensor(value, dtype=torch.float32).bfloat16().view(torch.int16).item()
    assert joined(float_bits(value, BF16), BF16) == theirs % 2**16


@given(st.floats(-464, 464, width=32))  # from there on torch's answer depends on its version
def test_nearest_fp8_is_torch_s(value: float) -> None:
    theirs = torch.tensor(value, dtype=torch.float32).to(torch.float8_e4m3fn)
    assert joined(float_bits(value, FP8_E4M3), FP8_E4M3) == theirs.view(torch.uint8).item()


def test_fp8_has_nan_instead_of_infinity() -> None:
    for value in (464.1, 1e30, math.inf, -math.inf, math.nan):
        bits = float_bits(value, FP8_E4M3)
        assert bits == FloatBits(int(value < 0), 15, 7)
        assert math.isnan(float_value(bits, FP8_E4M3))

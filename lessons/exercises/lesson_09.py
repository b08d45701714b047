"""Lesson 9, quantization: numbers in few bits.

Sources: Dettmers et al. 2022, "LLM.int8()" (arXiv 2208.07339, section 2: absmax and zero-point);
Bengio et al. 2013 (arXiv 1308.3432, straight-through); IEEE 754-2019 (section 3.4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lessons.exercises import bank_09 as banks
from lessons.grading.task import Case, Close, Draw, Task
from minigpt import float_formats, quantization

# Cases keep away from numbers halfway between two codes, where c x, x / max|x| Q and x / (max|x| /
# Q) may be rounded to different sides. Where a tie is meant, all of these give exactly the half.


def settled(steps: Tensor) -> bool:
    """Returns whether none of these numbers, whole ones being codes, is near a half."""
    return bool(((steps - steps.floor() - 0.5).abs() > 1e-3).all())


def ties(steps: list[float], one: float = 1.0) -> Tensor:
    """Returns numbers that lie at these steps; the size of a step is a power of two."""
    return torch.tensor(steps) * one


# 9.1 quantize_absmax


def quantize_absmax_reference(x: Tensor, bits: int = 8) -> tuple[Tensor, Tensor]:
    """Rounds x to whole numbers from -Q to Q, where Q = 2^(bits-1) - 1, which is 127 for 8 bits.

        c = Q / max|x|        q = round(c x), a tie going to the even number

    One c serves the whole tensor. Zeros are allowed: where all of x is zero the codes are 0, and c
    is the largest number that fp32 holds.

    Args:
        x: any shape, fp32.
        bits: from 2 to 8.

    Returns:
        codes q, int8 in the shape of x (one a byte, whatever the number of bits), and c, fp32 [1].
    """
    return quantization.quantize_absmax(x, bits)


def absmax_case(
    draw: Draw, shape: tuple[int, ...], bits: int | None = None, size: float = 1.0, note: str = ""
) -> Case:
    """Returns a case of 9.1 and 9.4; bits None leaves them out."""
    while True:
        x = size * draw.normal(*shape)
        top = 2 ** ((bits or 8) - 1) - 1
        if settled(top * x.double() / x.double().abs().max()):
            return Case((x,) if bits is None else (x, bits), note=note)


def absmax_ties(bits: int) -> Iterator[Case]:
    """Yields cases of 9.1 and 9.4 with numbers halfway between two codes."""
    note = "a number lies halfway between two codes"
    yield Case((ties([0.5, -0.5, 1.5, 127.0, -1.5, 2.5, -2.5, 3.5, 0.0]), bits), note=note)
    yield Case((ties([-127.0, 0.5, 1.5, -2.5, -3.5, 5.5], 0.25).reshape(2, 3), bits), note=note)


def absmax_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 9.1."""
    yield Case((torch.tensor([-2.5]),), note="x is a single number")
    yield absmax_case(draw, (4,))
    x = torch.tensor([[0.3, -3.0, 1.1], [2.0, 0.0, -0.7]])
    yield Case((x,), note="the number that is largest in size is negative")
    yield Case((-x,))
    yield Case((torch.zeros(2, 3),), note="all of x is zero")
    yield Case((torch.zeros(4), 4), note="all of x is zero")
    yield absmax_case(draw, (3, 5), 4, note="bits is 4")
    yield absmax_case(draw, (2, 2, 3), 2, note="bits is 2")
    yield Case(absmax_case(draw, (3, 4), 6).args[:1], {"bits": 6}, "bits is 6")
    yield absmax_case(draw, (2, 3, 4), 8, size=3e4, note="the numbers are large")
    yield absmax_case(draw, (7,), 8, size=1e-6, note="the numbers are small")
    yield from absmax_ties(8)
    yield Case(
        (ties([1.5, -3.0, 0.5, -0.5, -1.5]), 3), note="a number lies halfway between two codes"
    )
    rows = torch.tensor([[0.011], [1.0], [30.0]])
    yield Case((rows * torch.tensor([0.9, -0.33, 0.52, -0.74]),), note="one row is far larger")
    x = absmax_case(draw, (5, 3)).args[0]
    yield Case((x.T,), note="x is a transposed view")


def absmax_sample(draw: Draw) -> Case:
    """Returns a random case of 9.1."""
    if draw.integer(0, 9) == 0:
        return Case((torch.zeros(draw.size, 2), draw.integer(2, 8)), note="all of x is zero")
    shape = tuple(draw.integer(1, draw.size + 1) for _ in range(draw.integer(1, 3)))
    return absmax_case(draw, shape, draw.choice([8, 8, 2, 3, 4, 7]), draw.choice([1.0, 0.01, 50.0]))


QUANTIZE_ABSMAX = Task(
    id="9.1",
    name="quantize_absmax",
    reference=quantize_absmax_reference,
    idea="Eight bits hold 256 whole numbers. Scaled so that the number that is largest in size "
    "becomes 127, a tensor is rounded to those, and one scale is kept to undo it.",
    example=">>> quantize_absmax(torch.tensor([1.0, -4.0, 0.25]))\n"
    "(tensor([  32, -127,    8], dtype=torch.int8), tensor([31.7500]))",
    hints=(
        "Which number must become 127 or -127, and what is every number multiplied by for that?",
        "c = Q / max|x| becomes infinite for zeros: limit it to torch.finfo(torch.float32).max.",
        "codes = torch.round(c * x).to(torch.int8)",
    ),
    cases=absmax_cases,
    sample=absmax_sample,
    bank=banks.absmax,
    compare=Close(rtol=2e-6),
)

# 9.2 dequantize_absmax


def dequantize_absmax_reference(codes: Tensor, c: Tensor) -> Tensor:
    """Returns x ~ q / c: what the codes of quantize_absmax stand for.

    Args:
        codes: q, int8 of any shape.
        c: fp32 [1].

    Returns:
        fp32, in the shape of codes.
    """
    return codes.float() / c


def codes_case(draw: Draw, shape: tuple[int, ...], top: int, c: float, note: str = "") -> Case:
    """Returns a case of 9.2 with codes from -top to top."""
    codes = draw.integers(-top, top, *shape).to(torch.int8)
    return Case((codes, torch.tensor([c])), note=note)


def dequantize_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 9.2."""
    yield Case(
        (torch.tensor([-3], dtype=torch.int8), torch.tensor([0.7])), note="there is one code"
    )
    yield codes_case(draw, (5,), 127, 31.75)
    yield codes_case(draw, (3, 4), 127, 0.0173, "c is below 1")
    yield codes_case(draw, (2, 3, 4), 7, 3.3, "codes have three dimensions")
    yield codes_case(draw, (3, 3), 127, 1234.567, "c is large")
    largest = torch.tensor([torch.finfo(torch.float32).max])
    yield Case((torch.zeros(2, 3, dtype=torch.int8), largest), note="all codes are zero")
    every = torch.arange(-127, 128, dtype=torch.int8)[torch.tensor(draw.shuffled(range(255)))]
    yield Case((every, torch.tensor([77.77])), note="every code occurs")
    codes = draw.integers(-127, 127, 5, 3).to(torch.int8).T
    yield Case((codes, torch.tensor([12.5])), note="codes is a transposed view")


def dequantize_sample(draw: Draw) -> Case:
    """Returns a random case of 9.2."""
    shape = tuple(draw.integer(1, draw.size + 1) for _ in range(draw.integer(1, 3)))
    c = float(draw.uniform(1, low=0.05, high=2.0)) * draw.choice([1.0, 0.01, 100.0])
    return codes_case(draw, shape, draw.choice([127, 7]), c)


DEQUANTIZE_ABSMAX = Task(
    id="9.2",
    name="dequantize_absmax",
    reference=dequantize_absmax_reference,
    idea="What was multiplied by c is divided by c. The result is not x: it is the nearest of the "
    "values that codes can express.",
    example=">>> codes = torch.tensor([32, -127], dtype=torch.int8)\n"
    ">>> dequantize_absmax(codes, torch.tensor([31.75]))\n"
    "tensor([ 1.0079, -4.0000])",
    hints=(
        "quantize_absmax computed q = c x. What is x, then?",
        "Whole numbers become fp32 when they are divided by fp32.",
        "return codes.float() / c",
    ),
    cases=dequantize_cases,
    sample=dequantize_sample,
    bank=banks.dequantize,
    compare=Close(rtol=1e-6, per="element"),
)

# 9.3 quantize_zero_point


def quantize_zero_point_reference(x: Tensor, bits: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """Rounds x to whole numbers from 0 to N = 2^bits - 1, one of which, z, means exactly 0.

        low = min(0, min x)             high = max(0, max x)
        s = (high - low) / N            z = round(-low / s)
        q = round(x / s) + z, kept within 0 and N               x ~ s (q - z)

    All codes lie between the smallest and the largest number, however lopsided x is. s is above 0
    even where all of x is zero.

    Args:
        x: any shape, fp32.
        bits: from 2 to 8.

    Returns:
        codes q, uint8 in the shape of x; s, fp32 [1]; z, a whole number [1].
    """
    return quantization.quantize_zero_point(x, bits)


def zero_point_view(answer: Any) -> tuple[Tensor, Tensor | str, Tensor]:
    """Returns an answer of 9.3 with z as fp64, and of zeros only whether s can be a scale."""
    codes, s, z = answer
    z = z.double()
    if bool((codes.double() == z).all()):  # all numbers are 0, and any s does
        s = "above 0" if bool((s > 0).all() & s.isfinite().all()) else "not above 0"
    return codes, s, z


def zero_point_case(
    draw: Draw,
    shape: tuple[int, ...],
    bits: int | None = None,
    size: float = 1.0,
    middle: float = 0.0,
    note: str = "",
) -> Case:
    """Returns a case of 9.3 with numbers around `middle`."""
    while True:
        x = size * draw.normal(*shape) + middle
        low, high = min(0.0, x.min().item()), max(0.0, x.max().item())
        s = (high - low) / (2 ** (bits or 8) - 1)
        if settled(x.double() / s) and settled(torch.tensor([-low / s])):
            return Case((x,) if bits is None else (x, bits), note=note)


def zero_point_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 9.3."""
    yield Case((torch.tensor([-2.5]),), note="x is a single number")
    yield zero_point_case(draw, (4,), middle=0.5)
    yield zero_point_case(draw, (3, 4), middle=0.7)
    yield zero_point_case(draw, (3, 4), middle=5.0, note="all numbers are positive")
    yield zero_point_case(draw, (2, 5), middle=-6.0, note="all numbers are negative")
    yield Case((torch.full((2, 2), 3.3),), note="all numbers are the same")
    yield Case((torch.zeros(2, 3),), note="all of x is zero")
    yield zero_point_case(draw, (3, 5), 4, middle=-0.4, note="bits is 4")
    yield zero_point_case(draw, (2, 2, 4), 2, note="bits is 2")
    yield Case(zero_point_case(draw, (3, 4), 6, middle=0.6).args[:1], {"bits": 6}, "bits is 6")
    yield zero_point_case(draw, (2, 3, 3), 8, 3e4, 1e4, "the numbers are large")
    yield zero_point_case(draw, (6,), 8, 1e-6, note="the numbers are small")
    note = "a number lies halfway between two codes"
    yield Case((ties([0.5, 1.5, 255.0, 2.5, 3.5, 0.0, 5.5], 0.25),), note=note)
    yield Case((ties([-1.5, 1.5, 0.0, 1.0], 2.0), 2), note="rounding leads beyond the last code")
    x = torch.tensor([[0.02, -0.01, 0.013], [1.7, -0.9, 0.6], [-12.0, 25.0, 3.0]])
    yield Case((x,), note="one row is far larger")
    yield Case(
        (zero_point_case(draw, (5, 3), middle=0.5).args[0].T,), note="x is a transposed view"
    )


def zero_point_sample(draw: Draw) -> Case:
    """Returns a random case of 9.3."""
    if draw.integer(0, 9) == 0:
        return Case((torch.zeros(draw.size, 2), draw.integer(2, 8)), note="all of x is zero")
    shape = tuple(draw.integer(1, draw.size + 1) for _ in range(draw.integer(1, 3)))
    bits, size = draw.choice([8, 8, 2, 3, 4, 7]), draw.choice([1.0, 0.01, 50.0])
    return zero_point_case(draw, shape, bits, size, size * draw.choice([0.0, 0.5, -0.5, 5.0, -5.0]))


QUANTIZE_ZERO_POINT = Task(
    id="9.3",
    name="quantize_zero_point",
    reference=quantize_zero_point_reference,
    idea="Where most numbers are on one side of zero, absmax leaves half of its codes unused. Here "
    "the codes reach from the smallest number to the largest, and one of them means exactly 0.",
    example=">>> quantize_zero_point(torch.tensor([0.0, 3.0, -1.0]), bits=2)[0]\n"
    "tensor([1, 3, 0], dtype=torch.uint8)",
    hints=(
        "Which code must 0 have, if low has code 0 and the codes are s apart?",
        "low is at most 0 and high at least 0, so that 0 lies between them; z has to be whole.",
        "codes = (torch.round(x / s) + z).clamp(0, N).to(torch.uint8)",
    ),
    cases=zero_point_cases,
    sample=zero_point_sample,
    bank=banks.zero_point,
    view=zero_point_view,
    compare=Close(rtol=2e-6),
)

# 9.4 FakeQuantize


class FakeQuantizeReference(torch.autograd.Function):
    """Rounds x to what bits can express, and lets the gradient through as if it had not.

    FakeQuantize.apply(x, bits) computes, for the whole tensor x,

        Q = 2^(bits-1) - 1        c = Q / max|x|        round(c x) / c

    The derivative of a staircase is 0 nearly everywhere and training would stand still, so backward
    takes it to be 1.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: int) -> Tensor:
        """Returns the rounded x, in its shape and dtype; zeros stay zeros."""
        codes, c = quantize_absmax_reference(x, bits)
        return dequantize_absmax_reference(codes, c)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Returns a gradient for each argument of forward: that of x is grad, bits has none."""
        return grad, None


def fake_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 9.4."""
    yield Case((torch.tensor([-2.5]), 8), note="x is a single number")
    yield absmax_case(draw, (4,), 4)
    yield absmax_case(draw, (3, 5), 8, note="bits is 8")
    yield absmax_case(draw, (2, 2, 3), 2, note="bits is 2")
    x = torch.tensor([[0.3, -3.0, 1.1], [2.0, 0.0, -0.7]])
    yield Case((x, 4), note="the number that is largest in size is negative")
    yield Case((torch.zeros(2, 3), 4), note="all of x is zero")
    yield absmax_case(draw, (3, 4), 5, size=40.0, note="the numbers are large")
    yield absmax_case(draw, (3, 4), 6, size=1e-5, note="the numbers are small")
    yield from absmax_ties(8)
    rows = torch.tensor([[0.011], [1.0], [30.0]])
    yield Case((rows * torch.tensor([0.9, -0.33, 0.52, -0.74]), 8), note="one row is far larger")
    x = absmax_case(draw, (5, 3), 4).args[0]
    yield Case((x.T, 4), note="x is a transposed view")


def fake_sample(draw: Draw) -> Case:
    """Returns a random case of 9.4."""
    if draw.integer(0, 9) == 0:
        return Case((torch.zeros(draw.size, 2), draw.integer(2, 8)), note="all of x is zero")
    shape = tuple(draw.integer(1, draw.size + 1) for _ in range(draw.integer(1, 3)))
    return absmax_case(draw, shape, draw.integer(2, 8), draw.choice([1.0, 0.01, 50.0]))


FAKE_QUANTIZE = Task(
    id="9.4",
    name="FakeQuantize",
    reference=FakeQuantizeReference,
    idea="A model that will be rounded can be trained with rounded weights already. Forward "
    "computes with what the codes can express; backward pretends that nothing was rounded.",
    example=">>> x = torch.tensor([1.0, -3.0, 0.4], requires_grad=True)\n"
    ">>> y = FakeQuantize.apply(x, 3)\n"
    ">>> y.sum().backward()\n"
    ">>> y.detach(), x.grad\n"
    "(tensor([ 1., -3.,  0.]), tensor([1., 1., 1.]))",
    hints=(
        "What is the derivative of torch.round, and what would gradient descent do with it?",
        "backward gets the gradient of the result and returns one for every argument of forward.",
        "return grad, None",
    ),
    cases=fake_cases,
    sample=fake_sample,
    bank=banks.fake,
    drive="class_call",
    drive_options={"gradients": (0,)},
    compare=Close(rtol=2e-6, per="element"),
    forbidden=("fake_quantize",),
    points=2,
)

# 9.5 float_bits


def float_bits_reference(value: float) -> tuple[int, int, int]:
    """Returns the three parts of value as fp32: sign, exponent field and fraction field.

    fp32 has 1 bit for the sign, 8 for the exponent and 23 for the fraction:

        exponent field 1 to 254    (-1)^sign 2^(exponent - 127) (1 + fraction / 2^23)
        exponent field 0           (-1)^sign 2^-126 (fraction / 2^23)        a subnormal, or zero
        exponent field 255         infinity, with fraction 0

    Args:
        value: a number in fp32's range or an infinity. What fp32 cannot hold is rounded to the
            nearest number that it can, a tie going to the even fraction. Zero has a sign: -0.0.

    Returns:
        three whole numbers, the fields as they are stored.
    """
    return float_formats.float_bits(value, float_formats.FP32)


def float_bits_view(answer: Any) -> list[Any]:
    """Returns an answer of 9.5 with a sign that is True or False as a number."""
    return [int(part) if isinstance(part, bool) else part for part in answer]


# What is special about a number, and numbers of this kind.
SPECIAL = {
    "": (1.0, -2.5, 6.0, -0.15625, 3.0e38, 123456.789, -math.pi),
    "value is zero": (0.0, -0.0),
    "value has to be rounded": (0.1, -0.3, 1.1, 1 / 3, 16777219.0),
    "value lies halfway between two numbers of fp32": (1 + 2**-24, 1 + 3 * 2**-24, -16777217.0),
    "rounding leads to the next power of two": (2 - 2**-25, -(1 - 2**-26), 2.0**-126 - 2.0**-151),
    "value is infinite": (math.inf, -math.inf),
    "value is the largest or smallest of its kind": (
        *(3.4028234663852886e38, -(2.0**-126), 2.0**-149, 2.0**-126 - 2.0**-149),
    ),
    "value is subnormal": (1e-40, -3.3e-42, 2.0**-140, -5 * 2.0**-149),
}


def float_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 9.5."""
    for note, numbers in SPECIAL.items():
        for value in numbers:
            yield Case((value,), note=note)


def float_sample(draw: Draw) -> Case:
    """Returns a random case of 9.5."""
    if draw.integer(0, 3) == 0:
        note = draw.choice(list(SPECIAL))
        return Case((draw.choice(SPECIAL[note]),), note=note)
    exponent = draw.integer(-149, 126) if draw.size > 2 else draw.integer(-9, 9)
    size = (1 + draw.uniform(1, dtype=torch.float64).item()) * 2.0**exponent
    return Case(
        (draw.choice([1, -1]) * size,), note="value is subnormal" if exponent < -126 else ""
    )


FLOAT_BITS = Task(
    id="9.5",
    name="float_bits",
    reference=float_bits_reference,
    idea="A floating-point number is written like 1.5 x 2^3: a sign, an exponent and a fraction. "
    "How many bits the last two get decides how far and how finely a format reaches.",
    example=">>> tuple(float_bits(-6.0))  # -1.5 x 2^2, and 129 = 2 + 127\n(1, 129, 4194304)",
    hints=(
        "How can the 32 bits of a float be read as a whole number?",
        "struct.pack('>f', value) gives its 4 bytes; shift and mask what struct.unpack reads "
        "there.",
        "code >> 31, code >> 23 & 0xFF, code & 0x7FFFFF",
    ),
    cases=float_cases,
    sample=float_sample,
    bank=banks.floats,
    view=float_bits_view,
)

TASKS = [QUANTIZE_ABSMAX, DEQUANTIZE_ABSMAX, QUANTIZE_ZERO_POINT, FAKE_QUANTIZE, FLOAT_BITS]

"""Lesson 10, NF4: levels, codes, bytes, and the kernels that make and read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from kernels import nf4, reference
from lessons.exercises import bank_10
from lessons.grading import drivers, kernel_drivers
from lessons.grading.task import BF16_STEP, Bank, Case, Close, Draw, Task

drivers.DRIVERS.update(kernel_drivers.DRIVERS)
HAS_TRITON = find_spec("triton") is not None

# 10.1 derive_levels


def levels_cases(draw: Draw) -> Iterator[Case]:
    """Yields the only case of 10.1."""
    yield Case(())


DERIVE_LEVELS = Task(
    id="10.1",
    name="derive_levels",
    reference=nf4.derive_levels,
    idea="Weights look like numbers from a normal distribution, so NF4 puts its 16 levels where "
    "such numbers are: at quantiles of the normal curve. One level is exactly 0.",
    example=">>> derive_levels()[6:10]\ntensor([-0.0911,  0.0000,  0.0796,  0.1609])",
    hints=(
        "Below which value are 3/4 of the numbers of a normal distribution, and what has it to do "
        "with statistics.NormalDist().inv_cdf?",
        "Take 8 quantiles at equal steps of probability from o towards 0.5 for the right side, 7 "
        "for the left, put 0 between them, and divide by the largest.",
        "[NormalDist().inv_cdf(p) for p in torch.linspace(0.9677083, 0.5, 9)[:-1].tolist()]",
    ),
    cases=levels_cases,
    sample=lambda draw: Case(()),
    bank=bank_10.levels,
    compare=Close(rtol=2e-6),  # 1e-6, as the levels' root mean square is 0.53
    same_dtype=False,
    axes={"->": "level"},
)

# 10.2 block_absmax


def absmax_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 10.2."""
    short, nan = "the last block is short", "the numbers contain NaN"
    yield Case((torch.tensor([0.5, -2.0, 1.0, 0.25]), 2), note="the largest number is negative")
    yield Case((draw.normal(1), 4), note="there is a single number")
    yield Case((draw.normal(6), 3))
    yield Case((draw.normal(5), 1), note="a block is a single number")
    yield Case((draw.normal(7) / 8, 4), note=short)
    yield Case((draw.normal(16, dtype=torch.float64), 4), note="the numbers are in fp64")
    yield Case((-draw.uniform(32, low=0.1), 8), note="all numbers are negative")
    x = draw.normal(24)
    x[[2, 13, 14]] = torch.nan
    yield Case((x, 6), note=nan)
    x = draw.normal(150)
    x[77] = torch.inf
    yield Case((x, 32), note="a number is infinite")
    x = draw.normal(70)
    x[64:] = 0
    yield Case((x, 64), note="a block is all zeros")
    yield Case((draw.normal(200) * 1e-3, 64), note=short)
    rising = torch.tensor([0.5, -1.0, 1.5, -2.0, 2.5, -3.0, 3.5, -4.0])
    yield Case((rising, 3), note="the numbers grow, so that a block's largest is its last")


def absmax_sample(draw: Draw) -> Case:
    """Returns a random case of 10.2."""
    block_size = draw.choice([1, 2, 3, 5, 8, 64])
    dtype = draw.choice([torch.float32, torch.float64])
    x = draw.normal(draw.integer(1, 20 * draw.size), dtype=dtype) / 4
    if draw.integer(0, 2) == 0:
        x[draw.integer(0, len(x) - 1)] = torch.nan
    return Case((x, block_size))


BLOCK_ABSMAX = Task(
    id="10.2",
    name="block_absmax",
    reference=reference.block_absmax,
    stub='''\
def block_absmax(x: Tensor, block_size: int) -> Tensor:
    """absmax[j] = max |x[i]| over block j: the elements from j * block_size on.

    Args:
        x: [n]. The last block is short where n is not a multiple of block_size. NaN comes through.
        block_size: elements in a block.

    Returns:
        absmax [ceil(n / block_size)], in the dtype of x.
    """
''',
    idea="A block of weights shares one scale, its largest absolute value. Divided by it, all of "
    "them lie between -1 and 1, and a huge weight spoils its own block only.",
    example=">>> block_absmax(torch.tensor([1.0, -2.0, 0.5, 0.25, -0.75]), 2)\n"
    "tensor([2.0000, 0.5000, 0.7500])",
    hints=(
        "How many numbers are missing until the last block is full, and which number can stand in "
        "for them without being noticed?",
        "Fill up with zeros, lay the blocks out as rows, and take the largest of each row.",
        "F.pad(x, (0, -x.numel() % block_size)).view(-1, block_size).abs().amax(dim=1)",
    ),
    cases=absmax_cases,
    sample=absmax_sample,
    bank=bank_10.absmaxes,
    axes={"x": "element", "->": "block"},
)

# 10.3 encode


def encode_reference(y: Tensor, thresholds: Tensor) -> Tensor:
    """code = how many thresholds are below y.

    Args:
        y: of any shape; after the division by absmax between -1 and 1.
        thresholds: [15] in y's dtype, ascending: they lie between the 16 levels. A y that equals
            one does not pass it.

    Returns:
        uint8, 0 to 15, in the shape of y.
    """
    return (y[..., None] > thresholds).sum(dim=-1).to(torch.uint8)


def neighbours(thresholds: Tensor) -> Tensor:
    """Returns each threshold, the number before it and the one after it, [45]."""
    ends = torch.full_like(thresholds, torch.inf)
    around = [torch.nextafter(thresholds, -ends), thresholds, torch.nextafter(thresholds, ends)]
    return torch.stack(around, dim=1).flatten()


def encode_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 10.3."""
    own, tie = nf4.THRESHOLDS, "a number equals a threshold"
    yield Case((torch.tensor([-0.8, 0.0, 0.6]), own))
    yield Case((torch.tensor([-0.3]), own), note="there is a single number")
    yield Case((own[[3, 7, 12]], own), note=tie)
    yield Case((draw.uniform(2, 5, low=-1), own), note="y has two dimensions")
    yield Case((neighbours(own), own), note=tie)
    yield Case((torch.cat([nf4.LEVELS, -nf4.LEVELS]), own), note="the numbers are levels")
    outside = torch.tensor([-torch.inf, -1.5, -1.0, 1.0, 3.0, torch.inf])
    yield Case((outside, own), note="numbers are beyond all thresholds")
    yield Case((draw.uniform(3, 2, 4, low=-1), own), note="y has three dimensions")
    yield Case((draw.uniform(6, 4, low=-1).T, own), note="y is a transposed view")
    yield Case((draw.uniform(30, low=-1, dtype=torch.float64), own.double()), note="y is in fp64")
    other = draw.uniform(15, low=-1).sort().values
    yield Case(
        (draw.uniform(4, 15, low=-1.2, high=1.2), other), note="the thresholds are not NF4's"
    )
    yield Case((neighbours(other).view(5, 9), other), note=tie)
    fine = own.double() + draw.uniform(15, low=1e-9, high=4e-9, dtype=torch.float64)
    yield Case((neighbours(fine), fine), note="y is in fp64")


def encode_sample(draw: Draw) -> Case:
    """Returns a random case of 10.3."""
    dtype = draw.choice([torch.float32, torch.float64])
    thresholds = nf4.THRESHOLDS.to(dtype)
    if draw.integer(0, 1):
        thresholds = draw.uniform(15, low=-1, dtype=dtype).sort().values
    shape = [draw.integer(1, draw.size + 2) for _ in range(draw.integer(1, 3))]
    y = draw.uniform(*shape, low=-1.1, high=1.1, dtype=dtype)
    tied = draw.uniform(*shape) < 0.3
    return Case((torch.where(tied, thresholds[draw.integers(0, 14, *shape)], y), thresholds))


ENCODE = Task(
    id="10.3",
    name="encode",
    reference=encode_reference,
    idea="A number gets the code of a level near it. Thresholds lie between the levels, so the "
    "code is the number of thresholds that it has passed.",
    example=">>> thresholds = torch.linspace(-0.875, 0.875, 15)\n"
    ">>> encode(torch.tensor([-1.0, 0.0, 0.1, 1.0]), thresholds)\n"
    "tensor([ 0,  7,  8, 15], dtype=torch.uint8)",
    hints=(
        "How many thresholds does the lowest level have below it, and how many the highest?",
        "Compare every number with all 15 thresholds and add up what is true.",
        "(y[..., None] > thresholds).sum(dim=-1).to(torch.uint8)",
    ),
    cases=encode_cases,
    sample=encode_sample,
    bank=bank_10.encodes,
    axes={"thresholds": "threshold"},
)

# 10.4 pack


def all_pairs(draw: Draw) -> Tensor:
    """Returns codes, uint8 [512]: every pair of two, in random order."""
    pairs = torch.tensor(draw.shuffled([(a, b) for a in range(16) for b in range(16)]))
    return pairs.flatten().to(torch.uint8)


def every_code(draw: Draw) -> Tensor:
    """Returns codes, uint8 [32]: each once at an even place and once at an odd one."""
    codes = torch.tensor([draw.shuffled(range(16)), draw.shuffled(range(16))])
    return codes.T.flatten().to(torch.uint8)


def random_codes(draw: Draw, n: int) -> Tensor:
    """Returns n codes, uint8."""
    return draw.integers(0, 15, n).to(torch.uint8)


def pack_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 10.4."""
    odd = "the number of codes is odd"
    yield Case((torch.tensor([12, 0], dtype=torch.uint8),))
    yield Case((torch.tensor([9], dtype=torch.uint8),), note=odd)
    yield Case((torch.tensor([3, 14, 8], dtype=torch.uint8),), note=odd)
    yield Case((random_codes(draw, 6),))
    yield Case((random_codes(draw, 11),), note=odd)
    yield Case((torch.full((4,), 15, dtype=torch.uint8),), note="all codes are 15")
    yield Case((all_pairs(draw),), note="every pair of codes is there")
    yield Case((all_pairs(draw)[:-1],), note=odd)


PACK = Task(
    id="10.4",
    name="pack",
    reference=reference.pack,
    idea="A code has 4 bits and the smallest thing that memory holds has 8. So two codes share a "
    "byte, the first in its high half.",
    example=">>> packed = pack(torch.tensor([12, 0, 8], dtype=torch.uint8))\n"
    ">>> [f'{byte:02x}' for byte in packed.tolist()]\n"
    "['c0', '87']",
    hints=(
        "What do you multiply a number by to move it to the left by one hexadecimal digit?",
        "Fill an odd number of codes up with a 7, then join codes 0, 2, 4 ... with 1, 3, 5 ...",
        "16 * codes[0::2] + codes[1::2]",
    ),
    cases=pack_cases,
    sample=lambda draw: Case((random_codes(draw, draw.integer(1, 12 * draw.size)),)),
    bank=bank_10.packs,
    apart=lambda packed: reference.unpack(packed, 2 * len(packed)),
    axes={"codes": "element", "->": "half byte"},
)

# 10.5 unpack


def random_bytes(draw: Draw, n: int) -> Tensor:
    """Returns the bytes of n random codes, uint8 [ceil(n / 2)]; an odd end is filled with 7."""
    return reference.pack(random_codes(draw, n))


def unpack_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 10.5."""
    odd = "the number of codes is odd"
    yield Case((torch.tensor([0xC0], dtype=torch.uint8), 2))
    yield Case((torch.tensor([0xA7], dtype=torch.uint8), 1), note=odd)
    yield Case((torch.tensor([0x3E, 0x87], dtype=torch.uint8), 3), note=odd)
    yield Case((torch.tensor([0xC7], dtype=torch.uint8), 2), note="the last code is 7 itself")
    yield Case((random_bytes(draw, 6), 6))
    yield Case((random_bytes(draw, 13), 13), note=odd)
    yield Case((torch.full((3,), 255, dtype=torch.uint8), 6), note="all codes are 15")
    yield Case((torch.tensor(draw.shuffled(range(256)), dtype=torch.uint8), 512))
    yield Case((random_bytes(draw, 99), 99), note=odd)


def unpack_sample(draw: Draw) -> Case:
    """Returns a random case of 10.5."""
    n = draw.integer(1, 12 * draw.size)
    return Case((random_bytes(draw, n), n))


UNPACK = Task(
    id="10.5",
    name="unpack",
    reference=reference.unpack,
    idea="The way back: each byte gives two codes, its high half first. The number of codes is "
    "given, as the last half byte may be a filling.",
    example=">>> unpack(torch.tensor([0xC0, 0x87], dtype=torch.uint8), 3)\n"
    "tensor([12,  0,  8], dtype=torch.uint8)",
    hints=(
        "Which operation drops the four low bits of a byte, and which keeps only them?",
        "Make the high halves and the low halves, then let them alternate, and cut to n.",
        "torch.stack([packed >> 4, packed & 15], dim=1).flatten()[:n]",
    ),
    cases=unpack_cases,
    sample=unpack_sample,
    bank=bank_10.unpacks,
    axes={"packed": "byte", "->": "element"},
)

# 10.6 dequantize_kernel


def dequantize_reference(
    codes_ptr: Tensor,
    absmax_ptr: Tensor,
    levels_ptr: Tensor,
    out_ptr: Tensor,
    n: int,
    BLOCK_SIZE: int,
    SIZE: int,
) -> None:
    """out[i] = levels[code[i]] * absmax[i // BLOCK_SIZE], in fp32, rounded once to out's dtype."""
    levels = levels_ptr[reference.unpack(codes_ptr, n).int()]
    out_ptr.copy_(levels * absmax_ptr.repeat_interleave(BLOCK_SIZE)[:n])


DEQUANTIZE_STUB = '''\
@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    """out[i] = levels[code[i]] * absmax[i // BLOCK_SIZE] for i from 0 to n - 1.

    Program p writes elements p * SIZE to (p + 1) * SIZE - 1, those below n. More programs than
    needed may run.

    Args:
        codes_ptr: to uint8 [ceil(n / 2)]: two codes a byte, code[2i] in the high half of byte i.
        absmax_ptr: to fp32 [ceil(n / BLOCK_SIZE)].
        levels_ptr: to fp32 [16].
        out_ptr: to fp32, fp16 or bf16 [n]; tl.store rounds to its dtype.
        n: how many elements there are; it may be odd.
        BLOCK_SIZE: elements that share a scale, an even number. It need not divide SIZE or n.
        SIZE: elements of a program, a power of two from 32.
    """
'''


def dequantize_case(
    draw: Draw,
    n: int,
    block_size: int,
    size: int = 32,
    dtype: torch.dtype = torch.float32,
    note: str = "",
    **kwargs: Any,
) -> Case:
    """Returns a case of 10.6; absmax is positive, of another size for every block.

    In fp16 it is exact: any order of two factors gives the same product, which is rounded once.
    """
    absmax = draw.uniform(-(-n // block_size), low=0.1, high=3.0)
    out = torch.full((n,), torch.nan, dtype=dtype)
    args = random_bytes(draw, n), absmax, nf4.LEVELS, out, n, block_size, size
    return Case(args, kwargs, note, exact=dtype is torch.float16)


def with_other_levels(draw: Draw, case: Case, place: int = 2, low: float = -1) -> Case:
    """Returns the case with random levels, ascending from low, for its argument of this number."""
    levels = draw.uniform(case.args[place].numel(), low=low).sort().values
    return replace(case, args=(*case.args[:place], levels, *case.args[place + 1 :]))


def dequantize_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 10.6."""
    odd, more = "n is odd", "more programs run than are needed"
    yield dequantize_case(draw, 32, 32)
    yield dequantize_case(draw, 64, 64, note="two programs share a block")
    yield dequantize_case(draw, 6, 4, note="n is below SIZE")
    yield dequantize_case(draw, 1, 2, note=odd)
    yield dequantize_case(draw, 64, 8, note="a program has several blocks")
    yield dequantize_case(draw, 37, 8, note=odd)
    yield dequantize_case(draw, 100, 14, note="BLOCK_SIZE is not a power of two")
    yield dequantize_case(draw, 34, 16, note=more, more_programs=2)
    yield dequantize_case(draw, 97, 10, 64, note=more, more_programs=1)
    other = dequantize_case(draw, 50, 6, note="the levels are not NF4's")
    yield with_other_levels(draw, other)
    yield dequantize_case(draw, 71, 6, dtype=torch.float16, note="out is in fp16")
    case = dequantize_case(draw, 64, 32, dtype=torch.float16, note="absmax is beyond fp16")
    case.args[0].copy_(torch.tensor([0x68, 0x59], dtype=torch.uint8).repeat(16))  # small levels
    case.args[1].mul_(3e4).add_(66_000)
    yield case
    yield dequantize_case(draw, 75, 32, 64, dtype=torch.bfloat16, note="out is in bf16")
    reverse = "the programs run in another order"
    yield dequantize_case(draw, 110, 22, note=reverse, order=[3, 1, 0, 2])
    every = dequantize_case(draw, 32, 8, 128, note="SIZE is above 64")
    every.args[0].copy_(reference.pack(every_code(draw)))
    yield every
    yield dequantize_case(draw, 601, 2, 1024, note="there are more than 256 blocks")


def dequantize_sample(draw: Draw) -> Case:
    """Returns a random case of 10.6."""
    n, block_size = draw.integer(1, 40 * draw.size), 2 * draw.integer(1, 40)
    dtype = draw.choice([torch.float32, torch.float16, torch.bfloat16])
    size, more = draw.choice([32, 64, 128]), draw.integer(0, 1)
    order = draw.shuffled(range(-(-n // size) + more))
    kwargs: dict[str, Any] = {"more_programs": more, "order": order}
    case = dequantize_case(draw, n, block_size, size, dtype, **kwargs)
    return case if draw.integer(0, 2) else with_other_levels(draw, case)


# 10.7 quantize_kernel


def quantize_reference(
    x_ptr: Tensor,
    thresholds_ptr: Tensor,
    codes_ptr: Tensor,
    absmax_ptr: Tensor,
    n: int,
    BLOCK_SIZE: int,
) -> None:
    """Writes absmax and packed codes of x, as quantize_plainly does in kernels/reference.py."""
    absmax = reference.block_absmax(x_ptr, BLOCK_SIZE)
    y = reference.normalise(x_ptr, absmax, BLOCK_SIZE)
    absmax_ptr.copy_(absmax)
    codes_ptr.copy_(reference.pack(encode_reference(y, thresholds_ptr)))


QUANTIZE_STUB = '''\
@triton.jit
def quantize_kernel(x_ptr, thresholds_ptr, codes_ptr, absmax_ptr, n, BLOCK_SIZE: tl.constexpr):
    """Quantizes block p of x in program p:

        absmax[p] = max |x[i]| over the block
        code[i]   = how many of the 15 thresholds are below x[i] / absmax[p]
        byte[i]   = 16 * code[2i] + code[2i + 1]

    In a block of zeros every code is 7, the level 0: mind what 0 / 0 is.

    Args:
        x_ptr: to fp32 [n].
        thresholds_ptr: to fp32 [15], ascending.
        codes_ptr: to uint8 [n / 2], the bytes.
        absmax_ptr: to fp32 [ceil(n / BLOCK_SIZE)].
        n: how many elements there are, an even number; the last block may be short.
        BLOCK_SIZE: elements of a block, a power of two.
    """
'''


def clear_of_thresholds(x: Tensor, block_size: int, thresholds: Tensor = nf4.THRESHOLDS) -> Tensor:
    """Returns x without numbers that x / absmax and x * (1 / absmax) might code differently."""
    x = x.clone()
    while True:
        absmax = reference.block_absmax(x.double(), block_size)
        y = reference.normalise(x.double(), absmax, block_size)
        near = ((y[:, None] - thresholds.double()).abs() < 1e-5).any(dim=1)
        if not near.any():
            return x
        x[near] *= 0.9


def other_thresholds(draw: Draw) -> Tensor:
    """Returns 15 thresholds that are not NF4's; 7 are below 0 as well, so that 0 has code 7."""
    sides = -draw.uniform(7, low=0.02), draw.uniform(8, low=0.02)
    return torch.cat(sides).sort().values


def quantize_case(draw: Draw, x: Tensor, block_size: int, note: str = "", **kwargs: Any) -> Case:
    """Returns a case of 10.7 for x as it is."""
    codes = torch.zeros(len(x) // 2, dtype=torch.uint8)
    absmax = torch.full((-(-len(x) // block_size),), torch.nan)
    return Case((x, nf4.THRESHOLDS, codes, absmax, len(x), block_size), kwargs, note)


def weights(draw: Draw, n: int, block_size: int, thresholds: Tensor = nf4.THRESHOLDS) -> Tensor:
    """Returns fp32 [n], each block of another size."""
    blocks = draw.uniform(-(-n // block_size), low=0.05, high=4.0)
    x = draw.normal(n) * blocks.repeat_interleave(block_size)[:n]
    return clear_of_thresholds(x, block_size, thresholds)


def odd_thresholds_case(draw: Draw, n: int, block_size: int, **kwargs: Any) -> Case:
    """Returns a case of 10.7 whose thresholds are not NF4's."""
    thresholds = other_thresholds(draw)
    case = quantize_case(draw, weights(draw, n, block_size, thresholds), block_size, **kwargs)
    return replace(case, args=(case.args[0], thresholds, *case.args[2:]))


def quantize_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 10.7."""
    short, tie = "the last block is short", "a number equals a threshold times absmax"
    zeros, tiny = "a block is all zeros", "all numbers of a block are tiny"
    yield quantize_case(draw, torch.tensor([1.0, -2.0, 0.25, 0.0, 0.5, -0.75, 1.5, -1.75]), 8)
    yield quantize_case(draw, weights(draw, 16, 8), 8)
    yield quantize_case(draw, torch.zeros(8), 8, zeros)
    yield quantize_case(draw, weights(draw, 2, 8), 8, short)
    yield quantize_case(draw, weights(draw, 22, 16) / 8, 16, short)
    x = torch.cat([neighbours(nf4.THRESHOLDS), torch.tensor([-1.0, 0.5, 1.0])])
    yield quantize_case(draw, 4 * x, 64, tie)
    x = weights(draw, 26, 16)
    x[:16] = 0
    yield quantize_case(draw, x, 16, zeros)
    yield quantize_case(draw, weights(draw, 12, 8) * 1e-12, 8, tiny)
    yield quantize_case(draw, weights(draw, 8, 8) * 1e12, 8, "all numbers are huge")
    yield quantize_case(draw, -weights(draw, 14, 8).abs(), 8, "all numbers are negative")
    reverse = "the programs run in another order"
    yield quantize_case(draw, weights(draw, 44, 16), 16, reverse, order=[1, 2, 0])
    every = clear_of_thresholds(nf4.LEVELS[every_code(draw).int()] * 3.7, 32)
    yield quantize_case(draw, every, 32)
    yield odd_thresholds_case(draw, 60, 32, note="the thresholds are not NF4's")


def quantize_sample(draw: Draw) -> Case:
    """Returns a random case of 10.7."""
    block_size, n = draw.choice([8, 16, 32]), 2 * draw.integer(1, 4 * draw.size)
    order = draw.shuffled(range(-(-n // block_size)))
    if draw.integer(0, 3) == 0:
        return odd_thresholds_case(draw, n, block_size, order=order)
    x = weights(draw, n, block_size)
    if draw.integer(0, 3) == 0:
        x[:block_size] = 0
    return quantize_case(draw, x, block_size, order=order)


def codes_apart(result: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Returns what 10.7 writes with one code for each element instead of two to a byte."""
    codes, absmax = result
    return {
        "codes_ptr (one code each)": reference.unpack(codes, 2 * len(codes)),
        "absmax_ptr": absmax,
    }


dequantizes, quantizes = Bank(), Bank()
if HAS_TRITON:
    from lessons.exercises import bank_10_kernels

    dequantizes, quantizes = bank_10_kernels.dequantizes, bank_10_kernels.quantizes

DEQUANTIZE_KERNEL = Task(
    id="10.6",
    name="dequantize_kernel",
    reference=kernel_drivers.Plainly(dequantize_reference),
    stub=DEQUANTIZE_STUB,
    idea="Many programs run at once, each for its own SIZE elements: fetch the codes, look the "
    "levels up, multiply by the scales. Masks keep the last program inside the memory.",
    example=">>> codes = torch.tensor([0xC0, 0x87], dtype=torch.uint8)\n"
    ">>> absmax, levels, out = torch.tensor([2.0]), torch.arange(16.0) - 7, torch.empty(4)\n"
    ">>> dequantize_kernel[(1,)](codes, absmax, levels, out, 4, BLOCK_SIZE=4, SIZE=32)\n"
    ">>> out\n"
    "tensor([ 10., -14.,   2.,   0.])",
    hints=(
        "Which byte holds element i, in which half, and which block does it belong to?",
        "Number the program's elements with tl.arange and compute the addresses of byte, scale and "
        "output from that number; mask everything with i < n.",
        "code = tl.where(i % 2 == 0, byte >> 4, byte & 15)",
    ),
    cases=dequantize_cases,
    sample=dequantize_sample,
    bank=dequantizes,
    drive="dequantize_kernel",
    outputs=("out_ptr",),
    compare=Close(per="element", bf16=BF16_STEP),
    axes={"codes_ptr": "byte", "absmax_ptr": "block", "levels_ptr": "code", "->": "element"},
    triton=True,
    points=2,
)

QUANTIZE_KERNEL = Task(
    id="10.7",
    name="quantize_kernel",
    reference=kernel_drivers.Plainly(quantize_reference),
    stub=QUANTIZE_STUB,
    idea="Program p quantizes block p: the largest absolute value first, then each element's code, "
    "then two codes to a byte. A block of zeros must not divide by zero.",
    example=">>> x = torch.tensor([1.0, -2.0, 0.25, 0.0])\n"
    ">>> thresholds = torch.linspace(-0.875, 0.875, 15)\n"
    ">>> codes, absmax = torch.empty(2, dtype=torch.uint8), torch.empty(1)\n"
    ">>> quantize_kernel[(1,)](x, thresholds, codes, absmax, 4, BLOCK_SIZE=4)\n"
    ">>> codes, absmax\n"
    "(tensor([176, 135], dtype=torch.uint8), tensor([2.]))",
    hints=(
        "How do you get the even elements of the block, and how the odd ones, with two loads?",
        "Load elements 2j and 2j + 1 separately. Both halves of a byte are then at the same place "
        "of two tensors, and the block's maximum is that of the two together.",
        "tl.store(codes_ptr + i // 2, (16 * even_code + odd_code).to(tl.uint8), mask=i < n)",
    ),
    cases=quantize_cases,
    sample=quantize_sample,
    bank=quantizes,
    drive="quantize_kernel",
    outputs=("codes_ptr", "absmax_ptr"),
    apart=codes_apart,
    axes={"x_ptr": "element", "thresholds_ptr": "threshold"},
    triton=True,
    points=2,
)

TASKS = [
    *(DERIVE_LEVELS, BLOCK_ABSMAX, ENCODE, PACK, UNPACK),
    *(DEQUANTIZE_KERNEL, QUANTIZE_KERNEL),
]

"""Lesson 11, double quantization: the scales of NF4 in 8 bits as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from kernels import nf4, reference
from lessons.exercises import bank_11
from lessons.exercises.lesson_10 import HAS_TRITON, every_code, random_bytes, with_other_levels
from lessons.grading import kernel_drivers
from lessons.grading.task import BF16_STEP, Bank, Case, Close, Draw, Task

# 11.1 quantize_scales


def quantize_reference(
    absmax: Tensor, block_size: int, dynamic_map: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Double quantization: stores the scales of the blocks in 8 bits each.

        offset   = mean of absmax
        centred  = absmax - offset
        scale[k] = max |centred[j]| over nested block k
        code[j]  = the number of the value of dynamic_map that is nearest to centred[j] / scale[k]

    Args:
        absmax: fp32 [b], the scales; in no nested block are all of them the mean.
        block_size: scales in a nested block; the last may be short.
        dynamic_map: fp32 [256], from -1 to 1, ascending.

    Returns:
        codes uint8 [b], scale fp32 [ceil(b / block_size)], offset fp32 scalar.
    """
    offset = reference.mean(absmax)
    centred = absmax - offset
    scale = reference.block_absmax(centred, block_size)
    y = reference.normalise(centred, scale, block_size)
    midpoints = (dynamic_map[:-1] + dynamic_map[1:]) * 0.5
    return torch.bucketize(y, midpoints).to(torch.uint8), scale, offset


def undecided(absmax: Tensor, block_size: int, dynamic_map: Tensor) -> Tensor:
    """Returns which scales another order of the arithmetic might code differently, bool [b]."""
    centred = absmax.double() - absmax.double().mean()
    scale = reference.block_absmax(centred, block_size)
    y = reference.normalise(centred, scale, block_size)
    noise = 1e-6 * (1 + absmax.max() / scale).repeat_interleave(block_size)[: len(absmax)]
    midpoints = ((dynamic_map[:-1] + dynamic_map[1:]) * 0.5).double()
    return (y[:, None] - midpoints).abs().amin(dim=1) < noise


def scales(
    draw: Draw,
    b: int,
    block_size: int,
    dynamic_map: Tensor = nf4.DYNAMIC_MAP,
    size: float = 1.0,
    last: float | None = None,
) -> Tensor:
    """Returns b scales, fp32, whose codes no rounding decides; b is at least 2."""
    near = torch.ones(b, dtype=torch.bool)
    absmax = torch.zeros(b)
    while near.any():
        absmax = torch.where(near, draw.uniform(b, low=0.2, high=3.0) * size, absmax)
        if last is not None:
            absmax[-1] = last
        near = undecided(absmax, block_size, dynamic_map)
    return absmax


def other_map(draw: Draw) -> Tensor:
    """Returns another map than the library's, fp32 [256], ascending."""
    steps = draw.uniform(256, low=0.5, high=1.5).cumsum(0)
    return 2 * (steps - steps[0]) / (steps[-1] - steps[0]) - 1


def quantize_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 11.1."""
    own, short = nf4.DYNAMIC_MAP, "the last block is short"
    yield Case((torch.tensor([1.0, 4.0, 2.0, 3.0]), 4, own))
    yield Case((scales(draw, 2, 4), 4, own), note=short)
    yield Case((scales(draw, 8, 4), 4, own))
    yield Case((scales(draw, 6, 4), 4, own), note=short)
    low = "the smallest scale is farthest from the mean"
    yield Case((torch.tensor([2.5, 2.25, 2.0, 0.125, 2.375, 1.0]), 3, own), note=low)
    huge = "one scale is far above the others"
    yield Case((scales(draw, 12, 4, last=90.0), 4, own), note=huge)
    yield Case((scales(draw, 21, 8), 8, own), note=short)
    yield Case((scales(draw, 24, 6), 6, own), note="block_size is not a power of two")
    yield Case((scales(draw, 20, 5, size=1e-4), 5, own), note="all scales are tiny")
    table = other_map(draw)
    yield Case((scales(draw, 30, 8, table), 8, table), note="the map is not the library's")
    yield Case((scales(draw, 300, 256), 256, own), note=short)


def quantize_sample(draw: Draw) -> Case:
    """Returns a random case of 11.1."""
    block_size, b = draw.choice([2, 4, 7, 16]), draw.integer(3, 4 + 12 * draw.size)
    dynamic_map = draw.choice([nf4.DYNAMIC_MAP, other_map(draw)])
    return Case((scales(draw, b, block_size, dynamic_map), block_size, dynamic_map))


def with_plain_offset(answer: Any) -> Any:
    """Makes an offset that is a number, or a tensor of one, a scalar tensor."""
    codes, scale, offset = answer
    return codes, scale, torch.as_tensor(offset, dtype=torch.float32).reshape(())


QUANTIZE_SCALES = Task(
    id="11.1",
    name="quantize_scales",
    reference=quantize_reference,
    idea="The scales are numbers too, and many of them: quantize them in their turn. They are all "
    "positive, so their mean is subtracted first.",
    example=">>> absmax = torch.tensor([1.0, 4.0, 2.0, 3.0])\n"
    ">>> quantize_scales(absmax, 4, torch.linspace(-1, 1, 256))\n"
    "(tensor([  0, 255,  85, 170], dtype=torch.uint8), tensor([1.5000]), tensor(2.5000))",
    hints=(
        "Which part of the range from -1 to 1 would be empty if you did not subtract the mean?",
        "Centre, then treat the centred scales as 10.2 treats weights; a code counts the midpoints "
        "between the map's values that are below.",
        "codes = torch.bucketize(y, (dynamic_map[:-1] + dynamic_map[1:]) / 2).to(torch.uint8)",
    ),
    cases=quantize_cases,
    sample=quantize_sample,
    bank=bank_11.quantizes,
    compare=Close(),
    view=with_plain_offset,
    axes={"absmax": "block", "dynamic_map": "code"},
)

# 11.2 dequantize_scales


def dequantize_reference(
    codes: Tensor, scale: Tensor, offset: Tensor, block_size: int, dynamic_map: Tensor
) -> Tensor:
    """absmax[j] = dynamic_map[code[j]] * scale[j // block_size] + offset.

    Args:
        codes: uint8 [b].
        scale: fp32 [ceil(b / block_size)]: block_size codes share one, the last block may be short.
        offset: fp32 scalar.
        block_size: codes in a nested block.
        dynamic_map: fp32 [256].

    Returns:
        absmax, fp32 [b].
    """
    values = dynamic_map[codes.int()]
    return values * scale.repeat_interleave(block_size)[: len(codes)] + offset


def dequantize_case(
    draw: Draw, b: int, block_size: int, note: str = "", dynamic_map: Tensor = nf4.DYNAMIC_MAP
) -> Case:
    """Returns a case of 11.2 with b codes."""
    codes = draw.integers(0, 255, b).to(torch.uint8)
    scale = draw.uniform(-(-b // block_size), low=0.1, high=1.5)
    offset = draw.uniform(1, low=1.6, high=3.0)[0]
    return Case((codes, scale, offset, block_size, dynamic_map), note=note)


def dequantize_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 11.2."""
    short = "the last block is short"
    yield dequantize_case(draw, 4, 4)
    yield dequantize_case(draw, 1, 4, short)
    yield dequantize_case(draw, 6, 2)
    yield dequantize_case(draw, 7, 3, short)
    high = dequantize_case(draw, 8, 4, "codes are 128 and more")
    high.args[0].bitwise_or_(128)
    yield high
    yield dequantize_case(draw, 9, 3, "the map is not the library's", other_map(draw))
    below = dequantize_case(draw, 10, 4, "some values are below 0")
    below.args[2].copy_(torch.tensor(0.25))
    yield below
    every = dequantize_case(draw, 256, 16)
    every.args[0].copy_(torch.tensor(draw.shuffled(range(256)), dtype=torch.uint8))
    yield every
    yield dequantize_case(draw, 300, 256, short)


DEQUANTIZE_SCALES = Task(
    id="11.2",
    name="dequantize_scales",
    reference=dequantize_reference,
    idea="The way back: a code gives a value of the map, its nested block a scale, and the offset "
    "is added at the end.",
    example=">>> codes = torch.tensor([0, 255, 255], dtype=torch.uint8)\n"
    ">>> scale, offset = torch.tensor([1.5, 0.5]), torch.tensor(2.5)\n"
    ">>> dequantize_scales(codes, scale, offset, 2, torch.linspace(-1, 1, 256))\n"
    "tensor([1., 4., 3.])",
    hints=(
        "Which scale belongs to code j?",
        "Repeat each scale block_size times, cut to the number of codes, multiply, and add.",
        "dynamic_map[codes.int()] * scale.repeat_interleave(block_size)[: len(codes)] + offset",
    ),
    cases=dequantize_cases,
    sample=lambda draw: dequantize_case(draw, draw.integer(1, 15 * draw.size), draw.integer(1, 9)),
    bank=bank_11.dequantizes,
    compare=Close(),
    axes={"codes": "block", "scale": "nested block", "dynamic_map": "code", "->": "block"},
)

# 11.3 bits_per_parameter


def bits_reference(block_size: int, nested_block_size: int | None = None) -> float:
    """Returns the bits that a parameter takes, with its share of the scales.

        one level:    4 + 32 / block
        two levels:   4 + 8 / block + 32 / (block nested)

    Args:
        block_size: parameters that share a scale.
        nested_block_size: scales that share a second one; None: they stay in fp32.
    """
    if nested_block_size is None:
        return 4 + 32 / block_size
    return 4 + 8 / block_size + 32 / (block_size * nested_block_size)


def bits_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 11.3."""
    double = "the scales are quantized too"
    yield Case((64,))
    yield Case((64, 256), note=double)
    yield Case((32,))
    yield Case((128,), {"nested_block_size": None})
    yield Case((96, 40), note=double)
    yield Case((64, 1), note="a nested block is a single scale")
    yield Case((4096,), {"nested_block_size": 64}, note=double)
    yield Case((50,))
    yield Case((33, 7), note=double)
    yield Case((1,))
    yield Case((1, 1), note=double)


def bits_sample(draw: Draw) -> Case:
    """Returns a random case of 11.3."""
    block_size, nested = draw.integer(1, 1000), draw.choice([1, draw.integer(2, 500)])
    return draw.choice([Case((block_size,)), Case((block_size, nested))])


BITS_PER_PARAMETER = Task(
    id="11.3",
    name="bits_per_parameter",
    reference=bits_reference,
    idea="What a format costs: the 4 bits of the code and a share of every scale above it. Double "
    "quantization brings 4.5 bits down to 4.127.",
    example=">>> bits_per_parameter(64)\n4.5\n>>> bits_per_parameter(64, 256)\n4.126953125",
    hints=(
        "How many parameters share one scale, and how many of these share a second one?",
        "Divide the bits of each scale by the number of parameters that it serves, and add.",
        "4 + 8 / block_size + 32 / (block_size * nested_block_size)",
    ),
    cases=bits_cases,
    sample=bits_sample,
    bank=bank_11.bits,
    compare=Close(rtol=1e-9),
)

# 11.4 double_dequantize_kernel


def double_reference(
    codes_ptr: Tensor,
    absmax_codes_ptr: Tensor,
    absmax_scale_ptr: Tensor,
    absmax_offset_ptr: Tensor,
    levels_ptr: Tensor,
    map_ptr: Tensor,
    out_ptr: Tensor,
    n: int,
    BLOCK_SIZE: int,
    NESTED_BLOCK_SIZE: int,
    SIZE: int,
) -> None:
    """Writes levels[code] * absmax, and absmax as in 11.2; fp32, rounded once to out's dtype."""
    absmax = dequantize_reference(
        absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr, NESTED_BLOCK_SIZE, map_ptr
    )
    levels = levels_ptr[reference.unpack(codes_ptr, n).int()]
    out_ptr.copy_(levels * absmax.repeat_interleave(BLOCK_SIZE)[:n])


DOUBLE_STUB = '''\
@triton.jit
def double_dequantize_kernel(
    codes_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr, levels_ptr, map_ptr, out_ptr,
    n, BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    """Dequantizes both levels in one launch, for i from 0 to n - 1 and block j = i // BLOCK_SIZE:

        absmax[j] = map[absmax_code[j]] * absmax_scale[j // NESTED_BLOCK_SIZE] + absmax_offset
        out[i]    = levels[code[i]] * absmax[j]

    Program p writes elements p * SIZE to (p + 1) * SIZE - 1, those below n. More programs than
    needed may run.

    Args:
        codes_ptr: to uint8 [ceil(n / 2)]: two codes a byte, code[2i] in the high half of byte i.
        absmax_codes_ptr: to uint8 [b], b = ceil(n / BLOCK_SIZE).
        absmax_scale_ptr: to fp32 [ceil(b / NESTED_BLOCK_SIZE)].
        absmax_offset_ptr: to one fp32 number.
        levels_ptr, map_ptr: to fp32 [16] and [256].
        out_ptr: to fp32, fp16 or bf16 [n]; tl.store rounds to its dtype.
        n: how many elements there are; it may be odd.
        BLOCK_SIZE: elements that share an absmax, an even number. It need not divide SIZE or n.
        NESTED_BLOCK_SIZE: blocks that share an absmax_scale.
        SIZE: elements of a program, a power of two from 32.
    """
'''


def double_case(
    draw: Draw,
    n: int,
    block_size: int,
    nested: int,
    size: int = 32,
    dtype: torch.dtype = torch.float32,
    note: str = "",
    **kwargs: Any,
) -> Case:
    """Returns a case of 11.4; every absmax is above 0.1."""
    b = -(-n // block_size)
    absmax_codes, scale, offset, *_ = dequantize_case(draw, b, nested).args
    out = torch.full((n,), torch.nan, dtype=dtype)
    numbers = n, block_size, nested, size
    codes, tables = random_bytes(draw, n), (nf4.LEVELS, nf4.DYNAMIC_MAP)
    return Case((codes, absmax_codes, scale, offset, *tables, out, *numbers), kwargs, note)


def double_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 11.4."""
    odd, more = "n is odd", "more programs run than are needed"
    yield double_case(draw, 32, 16, 2)
    yield double_case(draw, 6, 4, 4, note="n is below SIZE")
    yield double_case(draw, 1, 2, 2, note=odd)
    yield double_case(draw, 64, 64, 8, note="two programs share a block")
    yield double_case(draw, 96, 8, 3, note="a program has several blocks")
    yield double_case(draw, 69, 8, 4, note=odd)
    yield double_case(draw, 100, 6, 5, note="BLOCK_SIZE is not a power of two")
    yield double_case(draw, 40, 4, 1, note="a nested block is a single block")
    yield double_case(draw, 34, 16, 2, note=more, more_programs=2)
    yield double_case(draw, 97, 10, 4, 64, note=more, more_programs=1)
    other = "levels and map are not NF4's"
    case = with_other_levels(draw, double_case(draw, 50, 6, 4, note=other), place=4)
    yield with_other_levels(draw, case, place=5, low=0)  # absmax stays positive
    yield double_case(draw, 71, 6, 4, dtype=torch.float16, note="out is in fp16")
    case = double_case(draw, 64, 32, 2, dtype=torch.float16, note="absmax is beyond fp16")
    case.args[0].copy_(torch.tensor([0x68, 0x59], dtype=torch.uint8).repeat(16))  # small levels
    case.args[2].mul_(1e4)
    case.args[3].mul_(5e4)
    yield case
    yield double_case(draw, 75, 32, 2, 64, dtype=torch.bfloat16, note="out is in bf16")
    reverse = "the programs run in another order"
    yield double_case(draw, 110, 22, 3, note=reverse, order=[3, 1, 0, 2])
    below = double_case(draw, 44, 6, 3, note="absmax is below 0")
    below.args[1].copy_(draw.integers(0, 20, 8))  # the map's values are near -1
    below.args[2].add_(1)
    below.args[3].copy_(torch.tensor(0.1))
    yield below
    every = double_case(draw, 128, 2, 16, 128, note="SIZE is above 64")
    every.args[0].copy_(reference.pack(every_code(draw)).repeat(4))
    every.args[1].copy_(torch.tensor(draw.shuffled(range(3, 256, 4)), dtype=torch.uint8))
    yield every


def double_sample(draw: Draw) -> Case:
    """Returns a random case of 11.4."""
    n, block_size, nested = (
        draw.integer(1, 40 * draw.size),
        2 * draw.integer(1, 20),
        draw.integer(1, 9),
    )
    dtype = draw.choice([torch.float32, torch.float16, torch.bfloat16])
    size, more = draw.choice([32, 64]), draw.integer(0, 1)
    order = draw.shuffled(range(-(-n // size) + more))
    kwargs: dict[str, Any] = {"more_programs": more, "order": order}
    case = double_case(draw, n, block_size, nested, size, dtype, **kwargs)
    return case if draw.integer(0, 2) else with_other_levels(draw, case, 5, low=0)


doubles = Bank()
if HAS_TRITON:
    from lessons.exercises import bank_11_kernels

    doubles = bank_11_kernels.doubles

DOUBLE_DEQUANTIZE_KERNEL = Task(
    id="11.4",
    name="double_dequantize_kernel",
    reference=kernel_drivers.Plainly(double_reference),
    stub=DOUBLE_STUB,
    idea="Both levels in one launch: the program decodes the scale of its blocks on the way, so "
    "that no scale in fp32 is ever written to memory and read again.",
    example=">>> codes, absmax_codes = torch.tensor([[0xC0, 0x87], [0, 255]], dtype=torch.uint8)\n"
    ">>> scale, offset = torch.tensor([1.0]), torch.tensor(3.0)\n"
    ">>> levels, dynamic_map = torch.arange(16.0) - 7, torch.linspace(-1, 1, 256)\n"
    ">>> out = torch.empty(4)\n"
    ">>> double_dequantize_kernel[(1,)](\n"
    "...     codes, absmax_codes, scale, offset, levels, dynamic_map, out, 4, 2, 2, 32)\n"
    ">>> out\n"
    "tensor([ 10., -14.,   4.,   0.])",
    hints=(
        "Element i is in which block, and that block in which nested block?",
        "Start from 10.6 and replace the load of absmax by three: the block's code, the map's "
        "value, the nested block's scale.",
        "absmax = tl.load(map_ptr + absmax_code) * nested_scale + tl.load(absmax_offset_ptr)",
    ),
    cases=double_cases,
    sample=double_sample,
    bank=doubles,
    drive="double_dequantize_kernel",
    outputs=("out_ptr",),
    compare=Close(per="element", bf16=BF16_STEP),
    axes={"codes_ptr": "byte", "absmax_codes_ptr": "block", "absmax_scale_ptr": "nested block"}
    | {"levels_ptr": "code", "map_ptr": "code", "->": "element"},
    triton=True,
    points=2,
)

TASKS = [QUANTIZE_SCALES, DEQUANTIZE_SCALES, BITS_PER_PARAMETER, DOUBLE_DEQUANTIZE_KERNEL]

"""Quantizes to NF4 on a GPU, in plain kernels that are made to be read.

    absmax[j] = max |x[i]| over block j
    code[i]   = how many of the 15 thresholds are below x[i] * (1 / absmax[block])
    byte[i]   = 16 * code[2i] + code[2i + 1]

How to read a kernel: the GPU runs many copies of it at once, called *programs*, and each learns
from `tl.program_id(0)` which one it is. A program works on small tensors: `tl.arange` numbers the
elements that are its own, `tl.load` and `tl.store` move them, and `mask` leaves out those that do
not exist. The comment behind a line gives the shape of its tensor.

The steps are those of kernels/reference.py, to the last bit. launch.py calls the kernels, and
quantize_fast.py makes the same bytes sooner.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

LARGEST = tl.constexpr(torch.finfo(torch.float32).max)


@triton.jit
def row_max(x):
    """Returns the maximum of each row of numbers from 0 on; NaN if the row contains one.

    tl.max would skip NaN. But read as integers, the bits of such numbers are in the same order, and
    those of NaN are above all.
    """
    return tl.max(x.to(tl.int32, bitcast=True), axis=1).to(tl.float32, bitcast=True)


@triton.jit
def reciprocal(absmax):
    """Returns 1 / absmax, rounded to nearest and at most LARGEST: so a block of zeros stays 0."""
    return tl.minimum(tl.div_rn(1.0, tl.where(absmax > 0, absmax, 1.0)), LARGEST)


@triton.jit
def quantize_kernel(
    x_ptr, thresholds_ptr, codes_ptr, absmax_ptr, n,
    BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Quantizes x [n]. Program p takes elements p * SIZE to (p + 1) * SIZE - 1: whole blocks.

    Elements that the last block lacks count as zeros.
    """
    BLOCKS: tl.constexpr = SIZE // BLOCK_SIZE
    first = tl.program_id(0).to(tl.int64) * BLOCKS  # int64, as element numbers may pass 2^31
    block = first + tl.arange(0, BLOCKS)  # (BLOCKS,)
    pair = tl.arange(0, BLOCK_SIZE // 2)
    i = block[:, None] * BLOCK_SIZE + 2 * pair[None, :]  # (BLOCKS, BLOCK_SIZE / 2), all even
    even = tl.load(x_ptr + i, mask=i < n, other=0).to(tl.float32)  # x[i]
    odd = tl.load(x_ptr + i + 1, mask=i + 1 < n, other=0).to(tl.float32)  # x[i + 1]

    larger = tl.maximum(tl.abs(even), tl.abs(odd), propagate_nan=tl.PropagateNan.ALL)
    absmax = row_max(larger)  # (BLOCKS,)
    tl.store(absmax_ptr + block, absmax, mask=block * BLOCK_SIZE < n)
    even *= reciprocal(absmax)[:, None]
    odd *= reciprocal(absmax)[:, None]

    even_code = tl.zeros(even.shape, tl.int32)
    odd_code = tl.zeros(odd.shape, tl.int32)
    for k in range(15):
        threshold = tl.load(thresholds_ptr + k)
        even_code += (even > threshold).to(tl.int32)
        odd_code += (odd > threshold).to(tl.int32)
    byte = 16 * even_code + odd_code  # the even element goes into the upper half of the byte
    tl.store(codes_ptr + i // 2, byte.to(tl.uint8), mask=i < n)


@triton.jit
def quantize_scales_kernel(
    absmax_ptr, offset_ptr, midpoints_ptr, codes_ptr, scale_ptr, b, BLOCK_SIZE: tl.constexpr
):
    """Double quantization: stores absmax [b] in 8 bits each. Program p takes nested block p.

        centred  = absmax - offset
        scale[p] = max |centred| over nested block p
        code     = how many of the 255 midpoints are below centred * (1 / scale[p])

    The midpoints are sorted, so a binary search of 8 steps counts them.
    """
    j = tl.program_id(0) * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)  # (BLOCK_SIZE,)
    centred = tl.load(absmax_ptr + j, mask=j < b, other=0.0) - tl.load(offset_ptr)
    centred = tl.where(j < b, centred, 0.0)
    scale = tl.max(tl.abs(centred), axis=0)
    tl.store(scale_ptr + tl.program_id(0), scale)
    y = centred * reciprocal(scale)
    code = tl.zeros([BLOCK_SIZE], tl.int32)
    for k in tl.static_range(8):
        step = 128 >> k  # 128, 64, ... 1
        code += tl.where(y > tl.load(midpoints_ptr + code + (step - 1)), step, 0)
    tl.store(codes_ptr + j, code.to(tl.uint8), mask=j < b)

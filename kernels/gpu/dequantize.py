"""Dequantizes NF4 on a GPU, in a plain kernel that is made to be read.

    weight = LEVELS[code] * absmax[block]
    absmax = DYNAMIC_MAP[absmax_code] * absmax_scale[nested block] + absmax_offset

The second line is for double quantization: the kernel computes absmax as it goes, so the weight is
there after one launch. quantize.py explains how to read a kernel.

The steps are those of kernels/reference.py, to the last bit: products and sums are fp32, each
rounded once, and tl.store rounds to the dtype of the output. launch.py calls the kernel, and
dequantize_fast.py writes the same numbers sooner.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl


class Scales(NamedTuple):
    """Pointers to the scales of the blocks.

    They point to absmax [b], or with double quantization to the other four, which are absmax_codes
    [b], absmax_scale, absmax_offset and DYNAMIC_MAP. The rest is None.
    """

    absmax: Any
    absmax_codes: Any = None
    absmax_scale: Any = None
    absmax_offset: Any = None
    dynamic_map: Any = None


@triton.jit
def block_scale(block, mask, scales, NESTED_BLOCK_SIZE: tl.constexpr):
    """Returns the absmax of each block in `block`.

    NESTED_BLOCK_SIZE is None without double quantization.
    """
    if NESTED_BLOCK_SIZE is None:
        scale = tl.load(scales.absmax + block, mask=mask, other=0.0)
    else:
        code = tl.load(scales.absmax_codes + block, mask=mask, other=0)
        nested = tl.load(scales.absmax_scale + block // NESTED_BLOCK_SIZE, mask=mask, other=0.0)
        scale = tl.load(scales.dynamic_map + code) * nested + tl.load(scales.absmax_offset)
    return scale


@triton.jit(do_not_specialize=["n"])
def dequantize_kernel(
    codes_ptr, levels_ptr, scales, out_ptr, n,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Writes out [n]. Program p writes elements p * SIZE to (p + 1) * SIZE - 1."""
    first = tl.program_id(0).to(tl.int64) * SIZE  # int64, as element numbers may pass 2^31
    i = first + tl.arange(0, SIZE)  # (SIZE,)
    byte = tl.load(codes_ptr + i // 2, mask=i < n, other=0)
    code = tl.where(i % 2 == 0, byte >> 4, byte & 15)  # even elements are in the upper half
    scale = block_scale(i // BLOCK_SIZE, i < n, scales, NESTED_BLOCK_SIZE)
    tl.store(out_ptr + i, tl.load(levels_ptr + code) * scale, mask=i < n)

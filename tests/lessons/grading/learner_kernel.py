"""A kernel as a learner hands it in, with a kernel and two constants that it calls."""

from __future__ import annotations

HEAD = "import triton\nimport triton.language as tl\n\n"
KERNEL = """
HALF: tl.constexpr = 4
MASK = 15


@triton.jit
def nibble(byte, i):
    return tl.where(i % 2 == 0, byte >> HALF, byte & MASK)


@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    i = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    byte = tl.load(codes_ptr + i // 2, mask=i < n, other=0).to(tl.int32)
    scale = tl.load(absmax_ptr + i // BLOCK_SIZE, mask=i < n, other=0.0)
    tl.store(out_ptr + i, tl.load(levels_ptr + nibble(byte, i)) * scale, mask=i < n)
"""

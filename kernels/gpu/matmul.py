"""Multiplies by a weight in NF4 on a GPU, in a plain kernel that is made to be read.

    y[m, o] = sum over k of x[m, k] * w[o, k],  where  w[o, k] = LEVELS[code[o, k]] * scale[o, k]

When a language model writes, one token at a time, each of its matrices is multiplied by one row x,
or by a few, and the time goes into reading the weight. In 4 bits that is a quarter of what it is in
16. With many rows it pays to dequantize once and to leave the product to the GPU's library.

The kernel dequantizes the weight tile by tile and multiplies each tile as it goes. quantize.py
explains how to read it, launch.py calls it, and matmul_fast.py does the same sooner.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.dequantize import block_scale


@triton.jit
def matmul_kernel(
    x_ptr, codes_ptr, levels_ptr, scales, y_ptr, rows, out_features, in_features,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr,
    TILE_M: tl.constexpr, TILE_O: tl.constexpr, TILE_K: tl.constexpr,
):  # fmt: skip
    """Computes y [rows, out_features] = x [rows, in_features] W^T, with shapes of any size.

    Program (p, q) computes outputs p * TILE_O to (p + 1) * TILE_O - 1 of TILE_M rows, from
    q * TILE_M on.
    """
    o = tl.program_id(0) * TILE_O + tl.arange(0, TILE_O)
    m = tl.program_id(1) * TILE_M + tl.arange(0, TILE_M)
    total = tl.zeros([TILE_M, TILE_O], tl.float32)
    for start in range(0, in_features, TILE_K):
        k = start + tl.arange(0, TILE_K)
        x_mask = (m < rows)[:, None] & (k < in_features)[None, :]
        x_index = m.to(tl.int64)[:, None] * in_features + k[None, :]  # int64: may pass 2^31
        x = tl.load(x_ptr + x_index, mask=x_mask, other=0)  # (TILE_M, TILE_K)

        i = o.to(tl.int64)[None, :] * in_features + k[:, None]  # element of the flat weight
        mask = (o < out_features)[None, :] & (k < in_features)[:, None]
        byte = tl.load(codes_ptr + i // 2, mask=mask, other=0)
        code = tl.where(i % 2 == 0, byte >> 4, byte & 15)  # even elements are in the upper half
        scale = block_scale(i // BLOCK_SIZE, mask, scales, NESTED_BLOCK_SIZE)
        w = tl.load(levels_ptr + code) * scale  # (TILE_K, TILE_O)
        total = tl.dot(x, w.to(x.dtype), total, input_precision="ieee")
    y_mask = (m < rows)[:, None] & (o < out_features)[None, :]
    tl.store(y_ptr + m.to(tl.int64)[:, None] * out_features + o[None, :], total, mask=y_mask)

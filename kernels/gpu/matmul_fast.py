"""The fast forms of matmul.py: levels from registers, and one multiplication by a scale for many.

All elements of a block share a scale, so it can wait until their products are summed:

    y[m, o] = sum over blocks b of scale[o, b] * (sum over k in b of LEVELS[code[o, k]] * x[m, k])

`matvec_fast_kernel` is for one row x. Its levels and sums are fp32, so it is also the most exact.
`matmul_fast_kernel` is for more rows, of 16-bit numbers, and for tensor cores: its levels are
rounded to the dtype of x, its sums are fp32. In both, the length of a row is a multiple of 32, so
that a group of 32 neighbours lies in one row and in one block. They look levels up as
dequantize_fast.py does; warp.py explains what a warp, a lane and a word are.
`python -m kernels.machine_code` counts the instructions of all three kernels.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.dequantize import block_scale
from kernels.gpu.eight_elements import (
    GROUP,
    dot_eight,
    join_eight,
    join_four,
    load_eight,
    load_words,
    split_four,
)
from kernels.gpu.warp import look_up, own_lane

OUTPUTS = 4  # of a program of matvec_fast_kernel, which writes them out one by one


@triton.jit
def add_row(
    total, o, out_features, x_0, x_1, x_2, x_3, group, groups, codes_ptr, levels_ptr, scales, level,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr, SHUFFLE: tl.constexpr,
):  # fmt: skip
    """Returns total + each thread's part of (row o of W) * x: of the 32 elements of its group."""
    o += tl.zeros(group.shape, tl.int32)
    mask = (group < groups) & (o < out_features)
    group += o.to(tl.uint32) * groups  # now the number of the group in the flat weight
    word_0, word_1, word_2, word_3 = load_words(codes_ptr, group, mask)
    scale = block_scale(group // (BLOCK_SIZE // GROUP), mask, scales, NESTED_BLOCK_SIZE)
    part = tl.zeros(total.shape, tl.float32)
    part = dot_eight(part, look_up(word_0, level, levels_ptr, SHUFFLE), x_0)
    part = dot_eight(part, look_up(word_1, level, levels_ptr, SHUFFLE), x_1)
    part = dot_eight(part, look_up(word_2, level, levels_ptr, SHUFFLE), x_2)
    part = dot_eight(part, look_up(word_3, level, levels_ptr, SHUFFLE), x_3)
    return tl.fma(part, scale, total)


@triton.jit
def matvec_fast_kernel(
    x_ptr, codes_ptr, levels_ptr, scales, y_ptr, out_features, groups,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr, THREADS: tl.constexpr,
    SHUFFLE: tl.constexpr,
):  # fmt: skip
    """Program (p, q) computes outputs 4 p to 4 p + 3 of row q of x, which has 32 * groups elements.

    In each iteration a thread handles the same group of four rows of W, so it loads x once for all
    four. The rows are written out one by one: as one tensor of four rows, Triton 3.6 would send x
    through shared memory to give it the rows' layout.
    """
    thread = tl.arange(0, THREADS)
    o = tl.program_id(0) * 4
    x_ptr += tl.program_id(1).to(tl.int64) * groups * GROUP
    level = thread.to(tl.float32)  # not used without SHUFFLE
    if SHUFFLE:
        level = tl.load(levels_ptr + (own_lane(thread) & 15))
    total_0 = tl.zeros([THREADS], tl.float32)
    total_1 = tl.zeros([THREADS], tl.float32)
    total_2 = tl.zeros([THREADS], tl.float32)
    total_3 = tl.zeros([THREADS], tl.float32)
    for start in range(0, groups, THREADS):
        group = start + thread
        mask = group < groups
        group_ptr = x_ptr + group * GROUP
        x_0 = load_eight(group_ptr, THREADS, mask)
        x_1 = load_eight(group_ptr + 8, THREADS, mask)
        x_2 = load_eight(group_ptr + 16, THREADS, mask)
        x_3 = load_eight(group_ptr + 24, THREADS, mask)
        total_0 = add_row(
            total_0, o, out_features, x_0, x_1, x_2, x_3, group, groups, codes_ptr, levels_ptr,
            scales, level, BLOCK_SIZE, NESTED_BLOCK_SIZE, SHUFFLE,
        )  # fmt: skip
        total_1 = add_row(
            total_1, o + 1, out_features, x_0, x_1, x_2, x_3, group, groups, codes_ptr, levels_ptr,
            scales, level, BLOCK_SIZE, NESTED_BLOCK_SIZE, SHUFFLE,
        )  # fmt: skip
        total_2 = add_row(
            total_2, o + 2, out_features, x_0, x_1, x_2, x_3, group, groups, codes_ptr, levels_ptr,
            scales, level, BLOCK_SIZE, NESTED_BLOCK_SIZE, SHUFFLE,
        )  # fmt: skip
        total_3 = add_row(
            total_3, o + 3, out_features, x_0, x_1, x_2, x_3, group, groups, codes_ptr, levels_ptr,
            scales, level, BLOCK_SIZE, NESTED_BLOCK_SIZE, SHUFFLE,
        )  # fmt: skip
    total = tl.reshape(join_four(total_0, total_1, total_2, total_3), [THREADS, 4])
    o += tl.arange(0, 4)
    y_ptr += tl.program_id(1).to(tl.int64) * out_features
    tl.store(y_ptr + o, tl.sum(total, axis=0), mask=o < out_features)


@triton.jit
def levels_of_word(word, level, levels_ptr, SHUFFLE: tl.constexpr):
    """Returns the levels of the eight codes in each word, fp32, in one more dimension of 8."""
    values = join_eight(look_up(word, level, levels_ptr, SHUFFLE))
    return tl.reshape(values, [word.shape[0], word.shape[1], word.shape[2], 8])


@triton.jit
def matmul_fast_kernel(
    x_ptr, codes_ptr, levels_ptr, scales, y_ptr, rows, out_features, groups,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr,
    TILE_M: tl.constexpr, TILE_O: tl.constexpr, TILE_K: tl.constexpr, SLICES: tl.constexpr,
    SHUFFLE: tl.constexpr,
):  # fmt: skip
    """Computes y = x W^T, for rows of x with 32 * groups elements.

    Program (p, q) computes TILE_O outputs, from p * TILE_O on, of TILE_M rows, from q * TILE_M on.

    In each iteration SLICES slices of TILE_K elements, none of which crosses the end of a block,
    are multiplied side by side, each by a warp of its own. Their sums are added up at the end.
    """
    dtype: tl.constexpr = x_ptr.dtype.element_ty
    PARTS: tl.constexpr = TILE_K // GROUP  # groups in a slice
    o = tl.program_id(0) * TILE_O + tl.arange(0, TILE_O)
    m = tl.program_id(1) * TILE_M + tl.arange(0, TILE_M)
    place = tl.arange(0, SLICES * TILE_O * PARTS)
    level = place.to(tl.float32)  # not used without SHUFFLE
    if SHUFFLE:
        level = tl.load(levels_ptr + (own_lane(place) & 15))
    level = tl.reshape(level, [SLICES, TILE_O, PARTS])
    total = tl.zeros([SLICES, TILE_O, TILE_M], tl.float32)
    for start in range(0, groups, SLICES * PARTS):
        first = start + tl.arange(0, SLICES) * PARTS  # (SLICES,), the first group of each slice
        k = first[:, None, None] * GROUP + tl.arange(0, TILE_K)[None, :, None]
        x_mask = (m < rows)[None, None, :] & (first < groups)[:, None, None]
        x_index = m.to(tl.int64)[None, None, :] * groups * GROUP + k
        x = tl.load(x_ptr + x_index, mask=x_mask, other=0)  # (SLICES, TILE_K, TILE_M)

        mask = (o < out_features)[None, :] & (first < groups)[:, None]
        group = o.to(tl.uint32)[None, :] * groups + first[:, None]  # (SLICES, TILE_O), in W
        scale = block_scale(group // (BLOCK_SIZE // GROUP), mask, scales, NESTED_BLOCK_SIZE)
        word = group.to(tl.int64)[:, :, None] * 4 + tl.arange(0, TILE_K // 8)[None, None, :]
        word_ptr = codes_ptr.to(tl.pointer_type(tl.int32)) + word
        words = tl.load(word_ptr, mask=mask[:, :, None])  # (SLICES, TILE_O, TILE_K / 8)
        word_0, word_1, word_2, word_3 = split_four(
            tl.reshape(words, [SLICES, TILE_O, PARTS, 2, 2])
        )
        w_0 = levels_of_word(word_0, level, levels_ptr, SHUFFLE).to(dtype)
        w_1 = levels_of_word(word_1, level, levels_ptr, SHUFFLE).to(dtype)
        w_2 = levels_of_word(word_2, level, levels_ptr, SHUFFLE).to(dtype)
        w_3 = levels_of_word(word_3, level, levels_ptr, SHUFFLE).to(dtype)
        # Axis 3 is the element in its word, 4 and 5 the word in its group, which has to come first.
        w = tl.permute(join_four(w_0, w_1, w_2, w_3), [0, 1, 2, 4, 5, 3])
        w = tl.reshape(w, [SLICES, TILE_O, TILE_K])
        zeros = tl.zeros([SLICES, TILE_O, TILE_M], tl.float32)
        part = tl.dot(w, x, zeros, input_precision="ieee")
        total = tl.fma(part, scale[:, :, None], total)
    y = tl.sum(total, axis=0)  # (TILE_O, TILE_M)
    y_ptr += m.to(tl.int64)[None, :] * out_features + o[:, None]
    tl.store(y_ptr, y, mask=(m < rows)[None, :] & (o < out_features)[:, None])

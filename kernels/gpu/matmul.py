"""Products with a weight in NF4, straight from its 4-bit codes: y = x W^T for few rows of x.

When a language model writes, one token at a time, each of its matrices is multiplied with one row,
or with a few, and the time goes into reading the weight. Read in 4 bits that is a quarter of what
it is in 16. With many rows it pays to dequantize once and leave the product to the GPU's library.

`matmul_kernel` is the one to read first, and takes any shape: it dequantizes a tile of the weight
and multiplies it. The fast kernels, for rows of the weight that are multiples of 32, look levels up
in the registers of a warp, as `dequantize_fast_kernel` does, and leave the scale out until the
products of a block, or of 32 elements of one, are summed:

    y[m, o] = sum over blocks b of scale[o, b] * (sum over k in b of level[o, k] * x[m, k])

`matvec_fast_kernel` is for one row; levels and sums are fp32, so it is also the most exact.
`matmul_fast_kernel` is for more rows of 16-bit numbers and for tensor cores: levels are rounded to
the type of x, sums are fp32. `python -m kernels.machine_code` counts what each costs.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.gpu.dequantize import OPTIONS, block_scale, pointers, round_to
from kernels.gpu.eight_elements import dot_eight, load_eight
from kernels.gpu.warp import look_up, own_lane
from kernels.nf4 import NF4Tensor

GROUP = tl.constexpr(32)  # elements a thread takes at a time: 16 bytes of codes, one scale
AMPERE = 80  # the compute capability, times 10, from which Triton multiplies batches of matrices
PLAIN = {"M": 16, "OUT": 32, "K": 32}  # rows of x, outputs, and elements of a turn in a program
OUTPUTS = 4  # of a program of matvec_fast_kernel: it loads a number of x once for four products
TENSOR_CORES = {"M": 16, "OUT": 32, "SLICES": 8}  # of a program of matmul_fast_kernel


@triton.jit
def matmul_kernel(
    x_ptr, codes_ptr, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr,
    levels_ptr, map_ptr, out_ptr, rows, out_features, in_features,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr, M: tl.constexpr, OUT: tl.constexpr,
    K: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """Program (p, q): outputs p * OUT on, for the rows of x from q * M on."""
    out = tl.program_id(0) * OUT + tl.arange(0, OUT)
    m = tl.program_id(1) * M + tl.arange(0, M)
    total = tl.zeros([M, OUT], tl.float32)
    for start in range(0, in_features, K):
        k = start + tl.arange(0, K)
        x_mask = (m < rows)[:, None] & (k < in_features)[None, :]
        x_at = m.to(tl.int64)[:, None] * in_features + k[None, :]
        x = tl.load(x_ptr + x_at, mask=x_mask, other=0)  # (M, K)

        i = out.to(tl.int64)[None, :] * in_features + k[:, None]  # (K, OUT), in the flat weight
        mask = (out < out_features)[None, :] & (k < in_features)[:, None]
        byte = tl.load(codes_ptr + i // 2, mask=mask, other=0)
        code = tl.where(i % 2 == 0, byte >> 4, byte & 15)
        scale = block_scale(
            i // BLOCK_SIZE, mask, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr,
            absmax_offset_ptr, map_ptr, NESTED_BLOCK_SIZE,
        )  # fmt: skip
        w = round_to(tl.load(levels_ptr + code) * scale, x.dtype, INTERPRETED)
        total = dot(x, w, total, INTERPRETED)
    y_at = m.to(tl.int64)[:, None] * out_features + out[None, :]
    y_mask = (m < rows)[:, None] & (out < out_features)[None, :]
    tl.store(out_ptr + y_at, round_to(total, x_ptr.dtype.element_ty, INTERPRETED), mask=y_mask)


@triton.jit
def dot(a, b, total, INTERPRETED: tl.constexpr):
    """total + a b, summed in fp32. Triton's interpreter cannot multiply bf16."""
    if INTERPRETED:
        a = a.to(tl.float32)
        b = b.to(tl.float32)
    return tl.dot(a, b, total, input_precision="ieee")


@triton.jit
def add_row(
    total, row, out_features, x_0, x_1, x_2, x_3, group, groups, codes_ptr, absmax_ptr,
    absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr, levels_ptr, map_ptr, level,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr, SHUFFLE: tl.constexpr,
):  # fmt: skip
    """total + each thread's part of (row of W) * x: the 32 elements of its group in that row."""
    row += tl.zeros(group.shape, tl.int32)
    mask = (group < groups) & (row < out_features)
    group += row.to(tl.uint32) * groups
    place = group.to(tl.int64)[:, None] * 4 + tl.arange(0, 4)[None, :]
    words = tl.load(codes_ptr.to(tl.pointer_type(tl.int32)) + place, mask=mask[:, None])
    words_02, words_13 = tl.split(tl.reshape(words, [group.shape[0], 2, 2]))
    word_0, word_2 = tl.split(words_02)
    word_1, word_3 = tl.split(words_13)
    scale = block_scale(
        group // (BLOCK_SIZE // GROUP), mask, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr,
        absmax_offset_ptr, map_ptr, NESTED_BLOCK_SIZE,
    )  # fmt: skip
    part = tl.zeros(total.shape, tl.float32)
    part = dot_eight(part, look_up(word_0, level, levels_ptr, SHUFFLE), x_0)
    part = dot_eight(part, look_up(word_1, level, levels_ptr, SHUFFLE), x_1)
    part = dot_eight(part, look_up(word_2, level, levels_ptr, SHUFFLE), x_2)
    part = dot_eight(part, look_up(word_3, level, levels_ptr, SHUFFLE), x_3)
    return tl.fma(part, scale, total)


@triton.jit
def matvec_fast_kernel(
    x_ptr, codes_ptr, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr,
    levels_ptr, map_ptr, out_ptr, out_features, groups,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr, THREADS: tl.constexpr,
    SHUFFLE: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """Program (p, q): outputs 4 p to 4 p + 3, for row q of x, whose length is 32 * groups.

    A thread takes 32 neighbours of each of four rows of the weight in a turn, so the same 32
    numbers of x. The rows are written out one by one: as one tensor of four rows, Triton 3.6 would
    send x through shared memory to give it the rows' layout.
    """
    thread = tl.arange(0, THREADS)
    out = tl.program_id(0) * 4
    x_ptr += tl.program_id(1).to(tl.int64) * groups * GROUP
    level = thread.to(tl.float32)
    if SHUFFLE:
        level = tl.load(levels_ptr + (own_lane(thread) & 15))
    total_0 = tl.zeros([THREADS], tl.float32)
    total_1 = tl.zeros([THREADS], tl.float32)
    total_2 = tl.zeros([THREADS], tl.float32)
    total_3 = tl.zeros([THREADS], tl.float32)
    for start in range(0, groups, THREADS):
        group = start + thread
        inside = group < groups
        x_at = x_ptr + group * GROUP
        x_0 = load_eight(x_at, THREADS, inside)
        x_1 = load_eight(x_at + 8, THREADS, inside)
        x_2 = load_eight(x_at + 16, THREADS, inside)
        x_3 = load_eight(x_at + 24, THREADS, inside)
        total_0 = add_row(
            total_0, out, out_features, x_0, x_1, x_2, x_3, group, groups, codes_ptr, absmax_ptr,
            absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr, levels_ptr, map_ptr, level,
            BLOCK_SIZE, NESTED_BLOCK_SIZE, SHUFFLE,
        )  # fmt: skip
        total_1 = add_row(
            total_1, out + 1, out_features, x_0, x_1, x_2, x_3, group, groups, codes_ptr,
            absmax_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr, levels_ptr, map_ptr,
            level, BLOCK_SIZE, NESTED_BLOCK_SIZE, SHUFFLE,
        )  # fmt: skip
        total_2 = add_row(
            total_2, out + 2, out_features, x_0, x_1, x_2, x_3, group, groups, codes_ptr,
            absmax_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr, levels_ptr, map_ptr,
            level, BLOCK_SIZE, NESTED_BLOCK_SIZE, SHUFFLE,
        )  # fmt: skip
        total_3 = add_row(
            total_3, out + 3, out_features, x_0, x_1, x_2, x_3, group, groups, codes_ptr,
            absmax_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr, levels_ptr, map_ptr,
            level, BLOCK_SIZE, NESTED_BLOCK_SIZE, SHUFFLE,
        )  # fmt: skip
    total = tl.join(tl.join(total_0, total_2), tl.join(total_1, total_3))  # (THREADS, 2, 2)
    y = round_to(
        tl.sum(tl.reshape(total, [THREADS, 4]), axis=0), out_ptr.dtype.element_ty, INTERPRETED
    )
    out += tl.arange(0, 4)
    y_at = tl.program_id(1).to(tl.int64) * out_features + out
    tl.store(out_ptr + y_at, y, mask=out < out_features)


@triton.jit
def levels_of_word(
    word, level, levels_ptr,
    dtype: tl.constexpr, SHUFFLE: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """Levels of the eight codes in each word, rounded to dtype: one more dimension, of 8."""
    v = look_up(word, level, levels_ptr, SHUFFLE)
    even = tl.join(tl.join(v[0], v[4]), tl.join(v[2], v[6]))
    odd = tl.join(tl.join(v[1], v[5]), tl.join(v[3], v[7]))
    values = tl.join(even, odd)  # (..., 2, 2, 2)
    return round_to(
        tl.reshape(values, [word.shape[0], word.shape[1], word.shape[2], 8]), dtype, INTERPRETED
    )


@triton.jit
def matmul_fast_kernel(
    x_ptr, codes_ptr, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr,
    levels_ptr, map_ptr, out_ptr, rows, out_features, groups,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr, M: tl.constexpr, OUT: tl.constexpr,
    SLICES: tl.constexpr, K: tl.constexpr, SHUFFLE: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """Program (p, q): outputs p * OUT on, for the rows of x, of length 32 * groups, from q * M on.

    In one turn SLICES slices of K elements, none longer than a block, are multiplied side by side,
    each by a warp of its own; their sums are added up at the end.
    """
    dtype: tl.constexpr = x_ptr.dtype.element_ty
    PARTS: tl.constexpr = K // GROUP
    out = tl.program_id(0) * OUT + tl.arange(0, OUT)
    m = tl.program_id(1) * M + tl.arange(0, M)
    slice = tl.arange(0, SLICES)
    word_ptr = codes_ptr.to(tl.pointer_type(tl.int32))
    lane = tl.arange(0, SLICES * OUT * PARTS)
    level = lane.to(tl.float32)
    if SHUFFLE:
        level = tl.load(levels_ptr + (own_lane(lane) & 15))
    level = tl.reshape(level, [SLICES, OUT, PARTS])
    total = tl.zeros([SLICES, OUT, M], tl.float32)
    for start in range(0, groups, SLICES * PARTS):
        group = start + slice * PARTS  # (SLICES,)
        k = group[:, None, None] * GROUP + tl.arange(0, K)[None, :, None]
        x_mask = (m < rows)[None, None, :] & (group < groups)[:, None, None]
        x_at = m.to(tl.int64)[None, None, :] * groups * GROUP + k
        x = tl.load(x_ptr + x_at, mask=x_mask, other=0)  # (SLICES, K, M)

        mask = (out < out_features)[None, :] & (group < groups)[:, None]
        group = out.to(tl.uint32)[None, :] * groups + group[:, None]  # (SLICES, OUT)
        scale = block_scale(
            group // (BLOCK_SIZE // GROUP), mask, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr,
            absmax_offset_ptr, map_ptr, NESTED_BLOCK_SIZE,
        )  # fmt: skip
        at = group.to(tl.int64)[:, :, None] * 4 + tl.arange(0, K // 8)[None, None, :]
        words = tl.load(word_ptr + at, mask=mask[:, :, None])  # (SLICES, OUT, K / 8)
        words_02, words_13 = tl.split(tl.reshape(words, [SLICES, OUT, PARTS, 2, 2]))
        word_0, word_2 = tl.split(words_02)
        word_1, word_3 = tl.split(words_13)
        w_0 = levels_of_word(word_0, level, levels_ptr, dtype, SHUFFLE, INTERPRETED)
        w_1 = levels_of_word(word_1, level, levels_ptr, dtype, SHUFFLE, INTERPRETED)
        w_2 = levels_of_word(word_2, level, levels_ptr, dtype, SHUFFLE, INTERPRETED)
        w_3 = levels_of_word(word_3, level, levels_ptr, dtype, SHUFFLE, INTERPRETED)
        w = tl.join(tl.join(w_0, w_2), tl.join(w_1, w_3))  # (SLICES, OUT, PARTS, 8, 2, 2)
        w = tl.reshape(tl.permute(w, [0, 1, 2, 4, 5, 3]), [SLICES, OUT, K])
        part = dot(w, x, tl.zeros([SLICES, OUT, M], tl.float32), INTERPRETED)
        total = tl.fma(part, scale[:, :, None], total)
    y = round_to(tl.sum(total, axis=0), dtype, INTERPRETED)  # (OUT, M)
    y_at = m.to(tl.int64)[None, :] * out_features + out[:, None]
    tl.store(out_ptr + y_at, y, mask=(m < rows)[None, :] & (out < out_features)[:, None])


def best_threads(groups: int) -> int:
    """Threads for rows of so many groups: of 128 and 64 what leaves fewer idle in the last turn."""
    if groups <= 32:
        return 32
    return min((128, 64), key=lambda threads: triton.cdiv(groups, threads) * threads)


def matmul(x: Tensor, q: NF4Tensor, fast: bool = True) -> Tensor:
    """Returns x W^T, [..., out], on the current stream of x's device; for up to about 32 rows.

    x is [..., in] of fp32, fp16 or bf16, q the weight W [out, in]. fast=False takes the plain
    kernel, which also has to take rows of W that are no multiples of 32, tensors that do not begin
    at a multiple of 16 bytes, and several rows on GPUs older than Ampere, where Triton has no
    tensor cores for products side by side.
    """
    out_features, in_features = q.shape
    x, rows = x.contiguous(), math.prod(x.shape[:-1])
    out = torch.empty(*x.shape[:-1], out_features, dtype=x.dtype, device=x.device)
    if out.numel() == 0 or in_features == 0:
        return out.zero_()
    interpreted = not isinstance(matmul_kernel, triton.JITFunction)
    parts, sizes = pointers(q), (q.block_size, q.nested_block_size)
    shuffle = x.is_cuda and torch.version.hip is None
    fast = fast and in_features % GROUP.value == 0
    fast = fast and x.data_ptr() % 16 == 0 and parts[0].data_ptr() % 16 == 0
    vector = rows == 1 or x.dtype == torch.float32
    if fast and not vector and shuffle:
        fast = torch.cuda.get_device_capability(x.device) >= (AMPERE // 10, AMPERE % 10)
    groups = in_features // GROUP.value
    # Triton 3.6's interpreter with numpy 2.4 cannot count a loop up to a number, only a constant.
    length = tl.constexpr if interpreted else int
    with torch.cuda.device_of(x):
        if fast and vector:
            threads = best_threads(groups)
            matvec_fast_kernel[(triton.cdiv(out_features, OUTPUTS), rows)](
                x, *parts, out, out_features, length(groups), *sizes,
                threads, SHUFFLE=shuffle, INTERPRETED=interpreted,
                num_warps=threads // 32, **OPTIONS,
            )  # fmt: skip
        elif fast:
            grid = (triton.cdiv(out_features, TENSOR_CORES["OUT"]), triton.cdiv(rows, 16))
            matmul_fast_kernel[grid](
                x, *parts, out, rows, out_features, length(groups), *sizes,
                **TENSOR_CORES, K=slice_length(in_features, q.block_size), SHUFFLE=shuffle,
                INTERPRETED=interpreted, num_warps=TENSOR_CORES["SLICES"], **OPTIONS,
            )  # fmt: skip
        else:
            grid = (triton.cdiv(out_features, PLAIN["OUT"]), triton.cdiv(rows, PLAIN["M"]))
            matmul_kernel[grid](
                x, *parts, out, rows, out_features, length(in_features), *sizes,
                **PLAIN, INTERPRETED=interpreted, num_warps=4, **OPTIONS,
            )  # fmt: skip
    return out


def slice_length(in_features: int, block_size: int) -> int:
    """Elements that a warp multiplies at a time: they must begin where a block may not end."""
    return 64 if in_features % 64 == 0 and block_size >= 64 else 32

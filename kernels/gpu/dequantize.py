"""NF4 back to numbers on a GPU: both levels of scales in one launch.

    weight = LEVELS[code] * scale,  scale = absmax, or DYNAMIC_MAP[absmax_code] * absmax_scale
                                                       + absmax_offset with double quantization

Two kernels compute it. `dequantize_kernel` says it in the fewest lines and is the one to read
first. Its table of 16 levels lies in memory, so every element costs a load. In
`dequantize_fast_kernel` the table lies in the registers of a warp: lane l holds LEVELS[l % 16], and
one shuffle instruction fetches the level that another lane holds: 6 instructions an element instead
of 30 (sm_90, both levels of scales; counted by `python -m kernels.machine_code`).

The other tables and the arithmetic are the same: products and sums in fp32, each rounded once
(hence enable_fp_fusion=False), and one rounding to the type of the output.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.gpu.tables import tables
from kernels.gpu.warp import from_lane_of_quad, look_up, own_lane, share_halves, transpose_quad
from kernels.nf4 import NF4Tensor

PLAIN_SIZE = 1024  # elements a program of the plain kernel handles
THREADS = 128  # of a program of the fast kernel; each takes 16 bytes of codes
PER_THREAD = tl.constexpr(32)  # elements in 16 bytes of codes: at most one block, so one scale
QUAD = tl.constexpr(128)  # elements of four neighbouring threads, which exchange their words
OPTIONS = {"enable_fp_fusion": False}


@triton.jit
def block_scale(
    block, mask, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr, map_ptr,
    NESTED_BLOCK_SIZE: tl.constexpr,
):  # fmt: skip
    """Returns the scale of each block in `block`; without double quantization NESTED_BLOCK_SIZE is
    None, and absmax_ptr is the only one of the pointers that is there."""
    if NESTED_BLOCK_SIZE is None:
        scale = tl.load(absmax_ptr + block, mask=mask, other=0.0)
    else:
        code = tl.load(absmax_codes_ptr + block, mask=mask, other=0)
        nested = tl.load(absmax_scale_ptr + block // NESTED_BLOCK_SIZE, mask=mask, other=0.0)
        scale = tl.load(map_ptr + code) * nested + tl.load(absmax_offset_ptr)
    return scale


@triton.jit
def round_to(value, dtype: tl.constexpr, INTERPRETED: tl.constexpr):
    """Rounds fp32 to dtype, ties to even; in the interpreter by hand, as that cuts bf16 off."""
    if INTERPRETED and dtype == tl.bfloat16:
        bits = value.to(tl.uint32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return bits.to(tl.uint16).to(tl.bfloat16, bitcast=True)
    return value.to(dtype)


@triton.jit
def dequantize_some(
    first, n, codes_ptr, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr,
    levels_ptr, map_ptr, out_ptr,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr,
    INTERPRETED: tl.constexpr,
):  # fmt: skip
    """Writes the SIZE elements from `first` (an even int64) on, those of them that are below n."""
    i = first + tl.arange(0, SIZE)  # int64: an element's number may pass 2^31
    byte = tl.load(codes_ptr + i // 2, mask=i < n, other=0)
    code = tl.where(i % 2 == 0, byte >> 4, byte & 15)
    scale = block_scale(
        i // BLOCK_SIZE, i < n, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr,
        map_ptr, NESTED_BLOCK_SIZE,
    )  # fmt: skip
    value = tl.load(levels_ptr + code) * scale
    tl.store(out_ptr + i, round_to(value, out_ptr.dtype.element_ty, INTERPRETED), mask=i < n)


@triton.jit(do_not_specialize=["n"])
def dequantize_kernel(
    codes_ptr, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr, levels_ptr,
    map_ptr, out_ptr, n,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr,
    INTERPRETED: tl.constexpr,
):  # fmt: skip
    """Program p writes elements p * SIZE to (p + 1) * SIZE - 1."""
    first = tl.program_id(0).to(tl.int64) * SIZE
    dequantize_some(
        first, n, codes_ptr, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr,
        levels_ptr, map_ptr, out_ptr, BLOCK_SIZE, NESTED_BLOCK_SIZE, SIZE, INTERPRETED,
    )  # fmt: skip


@triton.jit
def store_word(
    to, word, level, scale, mask, levels_ptr,
    HALVES: tl.constexpr, SHUFFLE: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """Write the eight elements of a word times scale, from each pointer in `to` on, where mask."""
    if HALVES:
        word = share_halves(word)
    v = look_up(word, level, levels_ptr, SHUFFLE)
    if HALVES:  # four elements of this word, and the same four of the next
        first = tl.join(tl.join(v[0], v[2]), tl.join(v[1], v[3]))  # [T, 2, 2]: bits 0, 1 of place
        second = tl.join(tl.join(v[4], v[6]), tl.join(v[5], v[7]))
        places = to[:, None] + tl.arange(0, 4)[None, :]
        tl.store(places, tl.reshape(first, [to.shape[0], 4]) * scale[:, None], mask=mask[:, None])
        second = tl.reshape(second, [to.shape[0], 4]) * scale[:, None]
        tl.store(places + 8, second, mask=mask[:, None])
    else:
        even = tl.join(tl.join(v[0], v[4]), tl.join(v[2], v[6]))
        odd = tl.join(tl.join(v[1], v[5]), tl.join(v[3], v[7]))
        value = tl.reshape(tl.join(even, odd), [to.shape[0], 8]) * scale[:, None]
        value = round_to(value, to.dtype.element_ty, INTERPRETED)
        tl.store(to[:, None] + tl.arange(0, 8)[None, :], value, mask=mask[:, None])


@triton.jit(do_not_specialize=["n"])
def dequantize_fast_kernel(
    codes_ptr, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr, absmax_offset_ptr, levels_ptr,
    map_ptr, out_ptr, n,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr, THREADS: tl.constexpr,
    TAIL: tl.constexpr, SHUFFLE: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """Program p: elements p * 32 * THREADS on; pointers to codes and out divisible by 16.

    One thread loads 16 bytes, four words of eight codes, and the scale of the block they lie in.
    If it also stored what it makes of them, its neighbour would store 64 bytes further on, and
    every store would fill half a sector of memory (32 bytes). So the four threads of a quad first
    exchange words: thread r of them goes on with words r, 4 + r, 8 + r and 12 + r of the quad's 16,
    and the four store side by side. fp32 outputs take twice the room: there two threads share each
    word, half and half.

    All threads of a warp have to take part in a shuffle, so only loads and stores are masked, by
    quads; with TAIL the last program also does the n % 128 elements that fill no quad, the plain
    way. Without SHUFFLE (no NVIDIA GPU) nothing is exchanged, and levels are looked up in memory.
    """
    program = tl.program_id(0).to(tl.uint32)
    thread = program * THREADS + tl.arange(0, THREADS)  # unsigned: // and % are then one shift
    mask = thread < (n >> 7) * 4

    place = thread.to(tl.int64)[:, None] * 4 + tl.arange(0, 4)[None, :]
    words = tl.load(codes_ptr.to(tl.pointer_type(tl.int32)) + place, mask=mask[:, None])
    words_02, words_13 = tl.split(tl.reshape(words, [THREADS, 2, 2]))
    word_0, word_2 = tl.split(words_02)
    word_1, word_3 = tl.split(words_13)

    block = thread // (BLOCK_SIZE // PER_THREAD)
    if NESTED_BLOCK_SIZE is None:
        scale = tl.load(absmax_ptr + block, mask=mask)
    else:
        span: tl.constexpr = BLOCK_SIZE * NESTED_BLOCK_SIZE // PER_THREAD  # threads that share one
        if span < THREADS:
            absmax_scale = tl.load(absmax_scale_ptr + thread // span, mask=mask)
        else:
            absmax_scale = tl.load(absmax_scale_ptr + program // (span // THREADS))
        code = tl.load(absmax_codes_ptr + block, mask=mask, other=0)
        scale = tl.load(map_ptr + code) * absmax_scale + tl.load(absmax_offset_ptr)

    halves: tl.constexpr = SHUFFLE and out_ptr.dtype.element_ty == tl.float32
    if SHUFFLE:
        level = tl.load(levels_ptr + (own_lane(thread) & 15))
        word_0, word_1, word_2, word_3 = transpose_quad(word_0, word_1, word_2, word_3)
        in_quad = thread % 4 // 2 * 16 + thread % 2 * 4 if halves else thread % 4 * 8
        to = out_ptr + (thread // 4).to(tl.int64) * QUAD + in_quad
    else:
        level = scale  # not used
        to = out_ptr + thread.to(tl.int64) * PER_THREAD
    step: tl.constexpr = 32 if SHUFFLE else 8  # from a thread's word to its next, in elements
    words = (word_0, word_1, word_2, word_3)
    own_scale = scale
    for k in tl.static_range(4):
        if SHUFFLE and BLOCK_SIZE < QUAD and k % (BLOCK_SIZE // PER_THREAD) == 0:
            scale = from_lane_of_quad(own_scale, k)  # the k-th word was thread k's
        store_word(
            to + k * step, words[k], level, scale, mask, levels_ptr, halves, SHUFFLE, INTERPRETED
        )

    if TAIL and program == tl.num_programs(0) - 1:
        first = n.to(tl.int64) // QUAD * QUAD
        dequantize_some(
            first, n, codes_ptr, absmax_ptr, absmax_codes_ptr, absmax_scale_ptr,
            absmax_offset_ptr, levels_ptr, map_ptr, out_ptr,
            BLOCK_SIZE, NESTED_BLOCK_SIZE, QUAD, INTERPRETED,
        )  # fmt: skip


def pointers(q: NF4Tensor) -> tuple[Any, ...]:
    """Returns what kernels take of q: codes, its scales (four, some of them None), and tables."""
    parts = (q.codes, q.absmax, q.absmax_codes, q.absmax_scale, q.absmax_offset)
    return *(None if part is None else part.contiguous() for part in parts), *tables(q.device)


def dequantize(q: NF4Tensor, dtype: torch.dtype, fast: bool = True) -> Tensor:
    """Returns q's numbers in fp32, fp16 or bf16, computed on the current stream of its device.

    fast=False takes the plain kernel; so do codes that begin at no multiple of 16 bytes (views do),
    and GPUs without PTX.
    """
    n, out = q.numel, torch.empty(q.shape, dtype=dtype, device=q.device)
    if n == 0:
        return out
    interpreted = not isinstance(dequantize_kernel, triton.JITFunction)
    shuffle = out.is_cuda and torch.version.hip is None and not interpreted
    tensors = (*pointers(q), out)
    aligned = tensors[0].data_ptr() % 16 == 0 and out.data_ptr() % 16 == 0
    with torch.cuda.device_of(out):
        if fast and aligned and (shuffle or interpreted):
            whole = n // QUAD.value * QUAD.value
            programs = max(1, triton.cdiv(whole, THREADS * PER_THREAD.value))
            dequantize_fast_kernel[(programs,)](
                *tensors, n, q.block_size, q.nested_block_size, THREADS,
                TAIL=whole < n, SHUFFLE=shuffle, INTERPRETED=interpreted,
                num_warps=THREADS // 32, **OPTIONS,
            )  # fmt: skip
        else:
            dequantize_kernel[(triton.cdiv(n, PLAIN_SIZE),)](
                *tensors, n, q.block_size, q.nested_block_size, PLAIN_SIZE,
                INTERPRETED=interpreted, num_warps=4, **OPTIONS,
            )  # fmt: skip
    return out

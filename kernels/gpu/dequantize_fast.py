"""The fast form of dequantize.py: the same numbers, with levels from registers, not from memory.

Lane l of a warp holds LEVELS[l % 16], and one shuffle instruction fetches the level that another
lane holds: 6 instructions an element instead of 30 (sm_90, double quantization), as
`python -m kernels.machine_code --kernel dequantize,dequantize_fast` counts. warp.py explains what a
warp, a lane, a quad, a word and a sector are.

A thread loads 16 bytes, four words of eight codes. If it also stored what it makes of them, its
neighbour would store 64 bytes further on, and every store would fill half a sector. So the four
threads of a quad exchange their 16 words and then store side by side:

    thread of the quad           0            1            2            3
    loads words               0 1 2 3      4 5 6 7      8 9 10 11   12 13 14 15
    goes on with words        0 4 8 12     1 5 9 13     2 6 10 14    3 7 11 15
    k-th store, 16 bits       word 4k      word 4k+1    word 4k+2    word 4k+3

An fp32 number takes twice the room, so there two threads share each word, half and half:

    k-th store, fp32          first half   second half  first half   second half
                              of word 4k   of word 4k   of word 4k+2 of word 4k+2
    then, 8 elements on       first half   second half  first half   second half
                              of word 4k+1 of word 4k+1 of word 4k+3 of word 4k+3
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.dequantize import block_scale
from kernels.gpu.eight_elements import GROUP, join_eight, join_four, load_words
from kernels.gpu.warp import from_lane_of_quad, look_up, own_lane, share_halves, transpose_quad

QUAD = tl.constexpr(4 * GROUP.value)  # elements of the four threads of a quad


@triton.jit
def store_word(
    out_ptr, word, level, scale, mask, levels_ptr, HALVES: tl.constexpr, SHUFFLE: tl.constexpr
):
    """Writes the eight elements of a word, times scale, at each pointer in `out_ptr`, where mask.

    With HALVES it writes four of this word's and, 8 elements on, the same four of the next.
    """
    T: tl.constexpr = word.shape[0]
    if HALVES:
        word = share_halves(word)
    v = look_up(word, level, levels_ptr, SHUFFLE)
    if HALVES:
        first = tl.reshape(join_four(v[0], v[1], v[2], v[3]), [T, 4])
        second = tl.reshape(join_four(v[4], v[5], v[6], v[7]), [T, 4])
        four_ptr = out_ptr[:, None] + tl.arange(0, 4)[None, :]
        tl.store(four_ptr, first * scale[:, None], mask=mask[:, None])
        tl.store(four_ptr + 8, second * scale[:, None], mask=mask[:, None])
    else:
        value = tl.reshape(join_eight(v), [T, 8]) * scale[:, None]
        tl.store(out_ptr[:, None] + tl.arange(0, 8)[None, :], value, mask=mask[:, None])


@triton.jit(do_not_specialize=["n"])
def dequantize_fast_kernel(
    codes_ptr, levels_ptr, scales, out_ptr, n,
    BLOCK_SIZE: tl.constexpr, NESTED_BLOCK_SIZE: tl.constexpr, THREADS: tl.constexpr,
    TAIL: tl.constexpr, SHUFFLE: tl.constexpr,
):  # fmt: skip
    """Program p writes elements p * 32 * THREADS on; pointers to codes and out are divisible by 16.

    All threads of a warp must take part in a shuffle, so only loads and stores are masked, by
    quads. With TAIL the last program also writes the n % 128 elements that fill no quad, as the
    plain kernel does. Without SHUFFLE (in the interpreter) nothing is exchanged, and levels are
    looked up in memory.
    """
    program = tl.program_id(0).to(tl.uint32)
    thread = program * THREADS + tl.arange(0, THREADS)  # unsigned: // and % are then one shift
    mask = thread < (n >> 7) * 4  # n // 128 * 4: four threads for each full 128 elements
    word_0, word_1, word_2, word_3 = load_words(codes_ptr, thread, mask)

    block = thread // (BLOCK_SIZE // GROUP)
    if NESTED_BLOCK_SIZE is None:
        scale = tl.load(scales.absmax + block, mask=mask)
    else:  # as block_scale, but without a load for each thread where all threads share a scale
        SHARE: tl.constexpr = BLOCK_SIZE * NESTED_BLOCK_SIZE // GROUP  # threads that share one
        if SHARE < THREADS:
            nested = tl.load(scales.absmax_scale + thread // SHARE, mask=mask)
        else:
            nested = tl.load(scales.absmax_scale + program // (SHARE // THREADS))
        code = tl.load(scales.absmax_codes + block, mask=mask, other=0)
        scale = tl.load(scales.dynamic_map + code) * nested + tl.load(scales.absmax_offset)

    HALVES: tl.constexpr = SHUFFLE and out_ptr.dtype.element_ty == tl.float32
    if SHUFFLE:
        level = tl.load(levels_ptr + (own_lane(thread) & 15))
        word_0, word_1, word_2, word_3 = transpose_quad(word_0, word_1, word_2, word_3)
        word_ptr = out_ptr + (thread // 4).to(tl.int64) * QUAD
        if HALVES:
            word_ptr += thread % 4 // 2 * 16 + thread % 2 * 4  # two threads share two words
        else:
            word_ptr += thread % 4 * 8  # the threads of a quad have neighbouring words
    else:
        level = scale  # not used, but Triton wants a value on both branches
        word_ptr = out_ptr + thread.to(tl.int64) * GROUP
    STEP: tl.constexpr = 32 if SHUFFLE else 8  # elements from one word of a thread to its next
    words = (word_0, word_1, word_2, word_3)
    own_scale = scale
    for k in tl.static_range(4):
        if SHUFFLE and BLOCK_SIZE < QUAD and k % (BLOCK_SIZE // GROUP) == 0:
            scale = from_lane_of_quad(own_scale, k)  # thread k loaded the words of this store
        store_word(word_ptr + k * STEP, words[k], level, scale, mask, levels_ptr, HALVES, SHUFFLE)

    if TAIL and program == tl.num_programs(0) - 1:
        i = n.to(tl.int64) // QUAD * QUAD + tl.arange(0, QUAD)
        byte = tl.load(codes_ptr + i // 2, mask=i < n, other=0)
        code = tl.where(i % 2 == 0, byte >> 4, byte & 15)
        scale = block_scale(i // BLOCK_SIZE, i < n, scales, NESTED_BLOCK_SIZE)
        tl.store(out_ptr + i, tl.load(levels_ptr + code) * scale, mask=i < n)

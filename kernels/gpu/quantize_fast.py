"""The fast form of quantize.py: the same bytes, by one comparison an element instead of 15.

`python -m kernels.machine_code --kernel quantize,quantize_fast` counts the instructions that this
saves. warp.py explains what a warp, a lane, a word and a shuffle are.

The interval [-1, 1] is cut into 31 cells that are 1/15 wide. Thresholds are further apart than
that, so no cell contains more than one. Here are the cells -4 to 4 of -15 to 15:

    cell        -4    -3    -2    -1     0     1     2     3     4       nearest integer to 15 y
              +-----+-----+-----+-----+-----+-----+-----+-----+-----+
    threshold      ^        ^       ^       ^      ^       ^       ^     the one in the cell, or Inf
    base_code    4     5     5     6     7     7     8     9    10       thresholds below the cell

The code of y is the base_code of its cell, plus one if y is above the cell's threshold. So 0.13,
which is in cell 2 (15 y = 1.95) and above its threshold 0.120, has code 8 + 1. Lane l of a warp
keeps the threshold and the base_code of cell l in registers, and a shuffle fetches them from there:
this needs no memory and no barrier.
"""

from __future__ import annotations

import struct

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.gpu.eight_elements import GROUP, absmax_of_eight, join_four, larger, load_eight, times
from kernels.gpu.quantize import LARGEST, reciprocal, row_max
from kernels.gpu.warp import own_lane
from kernels.nf4 import FP32, THRESHOLDS

CELLS_PER_UNIT = tl.constexpr(15.0)
# Added to 15 y it rounds it to an integer, which then stands in the low bits of the sum: fp32
# numbers between 2^23 and 2^24 are 1 apart. "& 31" takes that integer modulo 32.
ROUNDING_CONSTANT = tl.constexpr(1.5 * 2**23)


def make_cells() -> Tensor:
    """Returns the thresholds of the cells, as bits, and then their base codes: int32 [64].

    Cell c, from -15 to 15, stands in both halves at place c % 32.
    """
    threshold = torch.full((32,), torch.inf, **FP32)
    base_code = torch.zeros(32, dtype=torch.int32, device="cpu")
    cell_of_threshold = torch.round(THRESHOLDS * CELLS_PER_UNIT.value).int()
    for cell in range(-15, 16):
        base_code[cell % 32] = (cell_of_threshold < cell).sum()
        for value in THRESHOLDS[cell_of_threshold == cell]:
            threshold[cell % 32] = value
    return torch.cat([threshold.view(torch.int32), base_code])


@triton.jit
def encode_one(y, cells_ptr):
    """Returns the code of y, int32, by its cell; here the tables of the cells lie in memory."""
    cell = (y * CELLS_PER_UNIT + ROUNDING_CONSTANT).to(tl.int32, bitcast=True) & 31
    threshold = tl.load(cells_ptr + cell).to(tl.float32, bitcast=True)
    return tl.load(cells_ptr + 32 + cell) + (y > threshold).to(tl.int32)


def fp32_hex(value: float) -> str:
    """Returns an fp32 constant as PTX writes it."""
    return "0f" + struct.pack(">f", value).hex()


def encode_word_ptx() -> str:
    """Returns PTX that makes a word $0 of eight codes, those of $1 to $8, with shuffles.

    $9 holds the threshold of the lane's cell, $10 to $17 its base_code, shifted to the place that
    each of the eight codes has in the word.
    """
    lines = [".reg .b32 cell<8>, code<8>; .reg .f32 sum, threshold; .reg .pred above;"]
    for k in range(8):
        lines += [
            f"fma.rn.f32 sum, ${1 + k}, "
            f"{fp32_hex(CELLS_PER_UNIT.value)}, {fp32_hex(ROUNDING_CONSTANT.value)};",
            f"mov.b32 cell{k}, sum;",
            f"shfl.sync.idx.b32 code{k}, ${10 + k}, cell{k}, 0x1f, 0xffffffff;",
        ]
    lines += [f"add.u32 code0, code0, code{k};" for k in range(1, 8)]
    for k in range(8):
        lines += [
            f"shfl.sync.idx.b32 threshold, $9, cell{k}, 0x1f, 0xffffffff;",
            f"setp.gt.f32 above, ${1 + k}, threshold;",
            f"@above add.u32 code0, code0, {1 << 4 * (k ^ 1)};",
        ]
    return "{\n" + "\n".join([*lines, "mov.b32 $0, code0;"]) + "\n}"


ENCODE_WORD = tl.constexpr(encode_word_ptx())


@triton.jit
def encode_word(y, cells_ptr, threshold, base_code, SHUFFLE: tl.constexpr):
    """Returns the codes of a tuple of eight in a word, the first in the upper half of byte 0.

    With SHUFFLE, lane l must hold in `threshold` and `base_code` those of cell l. A shuffle uses
    only the 5 low bits of its index, so it takes the sum that ends in the cell as it is. The base
    codes are shifted to their place before they are fetched and not after: once for all words.
    """
    if SHUFFLE:
        return tl.inline_asm_elementwise(
            ENCODE_WORD, "=&r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r",
            [y[0], y[1], y[2], y[3], y[4], y[5], y[6], y[7], threshold,
             base_code << 4, base_code, base_code << 12, base_code << 8,
             base_code << 20, base_code << 16, base_code << 28, base_code << 24],
            tl.int32, is_pure=False, pack=1,
        )  # fmt: skip
    word = encode_one(y[0], cells_ptr) << 4 | encode_one(y[1], cells_ptr)
    word |= encode_one(y[2], cells_ptr) << 12 | encode_one(y[3], cells_ptr) << 8
    word |= encode_one(y[4], cells_ptr) << 20 | encode_one(y[5], cells_ptr) << 16
    word |= encode_one(y[6], cells_ptr) << 28 | encode_one(y[7], cells_ptr) << 24
    return word


@triton.jit
def fast_reciprocal(absmax, SHUFFLE: tl.constexpr):
    """Returns what `reciprocal` does, by the instruction that PTX has for it."""
    if SHUFFLE:
        inverse = tl.inline_asm_elementwise(
            "rcp.rn.f32 $0, $1;", "=r,r", [absmax], tl.float32, is_pure=True, pack=1
        )
        return tl.minimum(inverse, LARGEST)
    return reciprocal(absmax)


@triton.jit
def quantize_fast_kernel(
    x_ptr, cells_ptr, codes_ptr, absmax_ptr,
    BLOCK_SIZE: tl.constexpr, THREADS: tl.constexpr, SHUFFLE: tl.constexpr,
):  # fmt: skip
    """Program p takes elements p * 32 * THREADS on. All must exist; pointers are divisible by 16.

    A thread takes a group of 32 neighbouring elements, so that one store of 16 bytes writes its
    codes and 16 threads share a block of 512. The block's absmax is NaN or Inf if any of its
    elements is, so the caller checks absmax instead of reading the weight again.
    """
    SHARE: tl.constexpr = BLOCK_SIZE // GROUP  # threads that share a block
    thread = tl.program_id(0) * THREADS + tl.arange(0, THREADS)
    x_ptr += thread.to(tl.int64) * GROUP  # may pass 2^31
    x_0 = load_eight(x_ptr, THREADS)
    x_1 = load_eight(x_ptr + 8, THREADS)
    x_2 = load_eight(x_ptr + 16, THREADS)
    x_3 = load_eight(x_ptr + 24, THREADS)

    absmax = larger(
        larger(absmax_of_eight(x_0), absmax_of_eight(x_1)),
        larger(absmax_of_eight(x_2), absmax_of_eight(x_3)),
    )
    if SHARE > 1:
        shared = row_max(tl.reshape(absmax, [THREADS // SHARE, SHARE]))
        shared = tl.broadcast_to(shared[:, None], [THREADS // SHARE, SHARE])
        absmax = tl.reshape(shared, [THREADS])
    tl.store(absmax_ptr + thread // SHARE, absmax, mask=thread % SHARE == 0)
    inverse = fast_reciprocal(absmax, SHUFFLE)

    if SHUFFLE:
        lane = own_lane(thread)
        threshold = tl.load(cells_ptr + lane).to(tl.float32, bitcast=True)
        base_code = tl.load(cells_ptr + 32 + lane)
    else:  # not used, but Triton wants values on both branches
        threshold = absmax
        base_code = thread
    word_0 = encode_word(times(x_0, inverse), cells_ptr, threshold, base_code, SHUFFLE)
    word_1 = encode_word(times(x_1, inverse), cells_ptr, threshold, base_code, SHUFFLE)
    word_2 = encode_word(times(x_2, inverse), cells_ptr, threshold, base_code, SHUFFLE)
    word_3 = encode_word(times(x_3, inverse), cells_ptr, threshold, base_code, SHUFFLE)
    words = tl.reshape(join_four(word_0, word_1, word_2, word_3), [THREADS, 4])
    word_ptr = codes_ptr.to(tl.pointer_type(tl.int32)) + thread.to(tl.int64)[:, None] * 4
    tl.store(word_ptr + tl.arange(0, 4)[None, :], words)

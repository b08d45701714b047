"""Weights to NF4 codes on a GPU, reading each weight once, and the scales to 8-bit codes.

`quantize_kernel` says it in the fewest lines and is the one to read first. It compares an element
with all 15 thresholds. `quantize_fast_kernel` compares it with one:

- The interval [-1, 1] is cut into 31 equal cells, narrower than the distance between any two
  thresholds, so that none holds more than one. An element's code is a number that belongs to its
  cell, plus one if it is above the cell's threshold.
- Lane l of a warp keeps the number and the threshold of cell l in registers, and a shuffle
  instruction fetches them from there: no memory, no barrier.

A block's absmax is found among the threads that hold the block. It is NaN or Inf if one of its
elements is: that can be checked without reading the weight once more. With double quantization two
more launches follow, over one number a block: their mean, and `quantize_scales_kernel`.
`python -m kernels.machine_code` counts what each costs.
"""

from __future__ import annotations

import struct
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.gpu.eight_elements import larger, largest_of_eight, load_eight, scaled
from kernels.gpu.tables import check_not_capturing
from kernels.gpu.warp import own_lane
from kernels.nf4 import FP32, MIDPOINTS, THRESHOLDS, NF4Tensor

PLAIN_SIZE = 4096  # elements a program of the plain kernel handles: a block or more
THREADS = 128  # of a program of the fast kernel
PER_THREAD = tl.constexpr(32)  # elements: 16 bytes of codes, and never more than one block
LARGEST = tl.constexpr(torch.finfo(torch.float32).max)
CELLS = tl.constexpr(15.0)  # between 0 and 1; -15 to 15 are 31
# Added to a number, it leaves the integer nearest to it in the last bits: fp32 numbers from 2^23
# to 2^24 are 1 apart.
TO_INTEGER = tl.constexpr(1.5 * 2**23)
OPTIONS = {"enable_fp_fusion": False}  # x * inverse is rounded before anything is added


@triton.jit
def reciprocal(absmax):
    """1 / absmax rounded to nearest, but never Inf: so zeros stay zeros, and get code 7."""
    return tl.minimum(tl.div_rn(1.0, tl.where(absmax > 0, absmax, 1.0)), LARGEST)


@triton.jit
def largest_of_rows(x):
    """Returns the largest number of each row, none of them negative: NaN if there is one.

    Their bits, read as integers, have the same order, and those of NaN are above all others.
    """
    return tl.max(x.to(tl.int32, bitcast=True), axis=1).to(tl.float32, bitcast=True)


@triton.jit
def quantize_kernel(
    weight_ptr, thresholds_ptr, codes_ptr, absmax_ptr, first, n,
    BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Program p takes elements first + p * SIZE on, below n; `first` is a multiple of BLOCK_SIZE.

    What is missing from the last block counts as zeros.
    """
    BLOCKS: tl.constexpr = SIZE // BLOCK_SIZE
    start = first.to(tl.int64) + tl.program_id(0).to(tl.int64) * SIZE  # may pass 2^31
    block = start // BLOCK_SIZE + tl.arange(0, BLOCKS)  # (BLOCKS,)
    byte = tl.arange(0, BLOCK_SIZE // 2)
    i = block[:, None] * BLOCK_SIZE + 2 * byte[None, :]  # (BLOCKS, BLOCK_SIZE / 2), even elements
    high = tl.load(weight_ptr + i, mask=i < n, other=0).to(tl.float32)
    low = tl.load(weight_ptr + i + 1, mask=i + 1 < n, other=0).to(tl.float32)

    absmax = larger(largest_of_rows(tl.abs(high)), largest_of_rows(tl.abs(low)))  # (BLOCKS,)
    tl.store(absmax_ptr + block, absmax, mask=block * BLOCK_SIZE < n)
    high *= reciprocal(absmax)[:, None]
    low *= reciprocal(absmax)[:, None]

    high_code = tl.zeros(high.shape, tl.int32)
    low_code = tl.zeros(low.shape, tl.int32)
    for k in range(15):
        threshold = tl.load(thresholds_ptr + k)
        high_code += (high > threshold).to(tl.int32)
        low_code += (low > threshold).to(tl.int32)
    tl.store(codes_ptr + i // 2, (16 * high_code + low_code).to(tl.uint8), mask=i < n)


@triton.jit
def fast_reciprocal(absmax, SHUFFLE: tl.constexpr):
    """What `reciprocal` gives, by the instruction that PTX has for it."""
    if SHUFFLE:
        inverse = tl.inline_asm_elementwise(
            "rcp.rn.f32 $0, $1;", "=r,r", [absmax], tl.float32, is_pure=True, pack=1
        )
        return tl.minimum(inverse, LARGEST)
    return reciprocal(absmax)


@triton.jit
def encode_one(y, cells_ptr):
    """Code of y by its cell, int32; the table in memory."""
    cell = (y * CELLS + TO_INTEGER).to(tl.int32, bitcast=True) & 31
    threshold = tl.load(cells_ptr + cell).to(tl.float32, bitcast=True)
    return tl.load(cells_ptr + 32 + cell) + (y > threshold).to(tl.int32)


def fp32_hex(value: float) -> str:
    """As PTX writes an fp32 constant."""
    return "0f" + struct.pack(">f", value).hex()


def encode_word_ptx() -> str:
    """PTX: $0 = codes of $1 to $8, from thresholds $9 and, for each place in the word, $10 on."""
    lines = [".reg .b32 cell<8>, number<8>; .reg .f32 sum, threshold; .reg .pred above;"]
    for k in range(8):
        lines += [
            f"fma.rn.f32 sum, ${1 + k}, {fp32_hex(CELLS.value)}, {fp32_hex(TO_INTEGER.value)};",
            f"mov.b32 cell{k}, sum;",
            f"shfl.sync.idx.b32 number{k}, ${10 + k}, cell{k}, 0x1f, 0xffffffff;",
        ]
    lines += [f"add.u32 number0, number0, number{k};" for k in range(1, 8)]
    for k in range(8):
        lines += [
            f"shfl.sync.idx.b32 threshold, $9, cell{k}, 0x1f, 0xffffffff;",
            f"setp.gt.f32 above, ${1 + k}, threshold;",
            f"@above add.u32 number0, number0, {1 << 4 * (k ^ 1)};",
        ]
    return "{\n" + "\n".join([*lines, "mov.b32 $0, number0;"]) + "\n}"


ENCODE_WORD = tl.constexpr(encode_word_ptx())


@triton.jit
def encode_word(y, cells_ptr, threshold, number, SHUFFLE: tl.constexpr):
    """Codes of eight elements, a tuple, in an int32: the first in the upper half of byte 0.

    With SHUFFLE, lane l must hold in `threshold` and `number` what belongs to cell l. A shuffle
    looks at the 5 last bits of its index only, so the sum that ends in the cell serves as it is.
    The numbers are moved to their place in the word before they are looked up, not after: once for
    all words.
    """
    if SHUFFLE:
        return tl.inline_asm_elementwise(
            ENCODE_WORD, "=&r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r",
            [y[0], y[1], y[2], y[3], y[4], y[5], y[6], y[7], threshold,
             number << 4, number, number << 12, number << 8,
             number << 20, number << 16, number << 28, number << 24],
            tl.int32, is_pure=False, pack=1,
        )  # fmt: skip
    word = encode_one(y[0], cells_ptr) << 4 | encode_one(y[1], cells_ptr)
    word |= encode_one(y[2], cells_ptr) << 12 | encode_one(y[3], cells_ptr) << 8
    word |= encode_one(y[4], cells_ptr) << 20 | encode_one(y[5], cells_ptr) << 16
    word |= encode_one(y[6], cells_ptr) << 28 | encode_one(y[7], cells_ptr) << 24
    return word


@triton.jit
def quantize_fast_kernel(
    weight_ptr, cells_ptr, codes_ptr, absmax_ptr,
    BLOCK_SIZE: tl.constexpr, THREADS: tl.constexpr, SHUFFLE: tl.constexpr,
):  # fmt: skip
    """Program p: elements p * 32 * THREADS on, all of which there are; pointers divisible by 16.

    A thread takes 32 neighbouring elements, so that up to 16 threads share a block of 512, and one
    store of 16 bytes takes its codes.
    """
    SHARE: tl.constexpr = BLOCK_SIZE // PER_THREAD  # threads that share a block
    thread = tl.program_id(0) * THREADS + tl.arange(0, THREADS)
    from_ptr = weight_ptr + thread.to(tl.int64) * PER_THREAD  # may pass 2^31
    x_0 = load_eight(from_ptr, THREADS)
    x_1 = load_eight(from_ptr + 8, THREADS)
    x_2 = load_eight(from_ptr + 16, THREADS)
    x_3 = load_eight(from_ptr + 24, THREADS)

    absmax = larger(
        larger(largest_of_eight(x_0), largest_of_eight(x_1)),
        larger(largest_of_eight(x_2), largest_of_eight(x_3)),
    )
    if SHARE > 1:
        shared = largest_of_rows(tl.reshape(absmax, [THREADS // SHARE, SHARE]))
        shared = tl.broadcast_to(shared[:, None], [THREADS // SHARE, SHARE])
        absmax = tl.reshape(shared, [THREADS])
    tl.store(absmax_ptr + thread // SHARE, absmax, mask=thread % SHARE == 0)
    inverse = fast_reciprocal(absmax, SHUFFLE)

    threshold = absmax  # not used
    number = thread
    if SHUFFLE:
        lane = own_lane(thread)
        threshold = tl.load(cells_ptr + lane).to(tl.float32, bitcast=True)
        number = tl.load(cells_ptr + 32 + lane)
    word_0 = encode_word(scaled(x_0, inverse), cells_ptr, threshold, number, SHUFFLE)
    word_1 = encode_word(scaled(x_1, inverse), cells_ptr, threshold, number, SHUFFLE)
    word_2 = encode_word(scaled(x_2, inverse), cells_ptr, threshold, number, SHUFFLE)
    word_3 = encode_word(scaled(x_3, inverse), cells_ptr, threshold, number, SHUFFLE)
    words = tl.join(tl.join(word_0, word_2), tl.join(word_1, word_3))  # (THREADS, 2, 2)
    place = thread.to(tl.int64)[:, None] * 4 + tl.arange(0, 4)[None, :]
    to_ptr = codes_ptr.to(tl.pointer_type(tl.int32)) + place
    tl.store(to_ptr, tl.reshape(words, [THREADS, 4]))


@triton.jit
def quantize_scales_kernel(
    absmax_ptr, offset_ptr, midpoints_ptr, codes_ptr, scale_ptr, n, BLOCK_SIZE: tl.constexpr
):
    """Program p: block p of the n scales. Codes of absmax - offset in the 8-bit map.

    A code is the number of midpoints, 255 between neighbours of the map, that are below. They are
    searched by halves.
    """
    i = tl.program_id(0) * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)
    z = tl.load(absmax_ptr + i, mask=i < n, other=0.0) - tl.load(offset_ptr)
    z = tl.where(i < n, z, 0.0)
    scale = tl.max(tl.abs(z), axis=0)
    tl.store(scale_ptr + tl.program_id(0), scale)
    y = z * reciprocal(scale)
    code = tl.zeros([BLOCK_SIZE], tl.int32)
    for k in tl.static_range(8):
        step = 128 >> k
        code += tl.where(y > tl.load(midpoints_ptr + code + (step - 1)), step, 0)
    tl.store(codes_ptr + i, code.to(tl.uint8), mask=i < n)


def make_cells() -> Tensor:
    """Thresholds of the cells, as bits, and then their numbers: int32 [64], both by cell % 32.

    Cell c, from -15 to 15, is where y * 15 is nearest to c. Its number is how many thresholds are
    below the cell, its threshold the one inside, or Inf.
    """
    threshold = torch.full((32,), torch.inf, **FP32)
    number = torch.zeros(32, dtype=torch.int32, device="cpu")
    of_threshold = torch.round(THRESHOLDS * CELLS.value).int()
    for cell in range(-15, 16):
        number[cell % 32] = (of_threshold < cell).sum()
        for value in THRESHOLDS[of_threshold == cell]:
            threshold[cell % 32] = value
    return torch.cat([threshold.view(torch.int32), number])


@cache
def comparison_tables(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Returns thresholds, cells, midpoints; made once, as no CUDA graph can copy them there."""
    check_not_capturing(device)
    return THRESHOLDS.to(device), make_cells().to(device), MIDPOINTS.to(device)


def quantize(
    weight: Tensor, block_size: int, nested_block_size: int | None, fast: bool = True
) -> NF4Tensor:
    """Returns weight, fp32, fp16 or bf16, in NF4; computed on the current stream of its device.

    If a number is not finite, absmax of its block or absmax_offset is not, and the rest means
    nothing. fast=False takes the plain kernel for everything; else it takes the last n % 4096
    elements, and tensors that do not begin at a multiple of 16 bytes.
    """
    x, n, device = weight.reshape(-1), weight.numel(), weight.device
    codes = torch.empty(triton.cdiv(n, 2), dtype=torch.uint8, device=device)
    absmax = torch.empty(triton.cdiv(n, block_size), dtype=torch.float32, device=device)
    thresholds, cells, midpoints = comparison_tables(device)
    with torch.cuda.device_of(x):
        tile = THREADS * PER_THREAD.value
        fast = fast and x.data_ptr() % 16 == 0 and codes.data_ptr() % 16 == 0
        done = n // tile * tile if fast else 0
        if done:
            quantize_fast_kernel[(done // tile,)](
                x, cells, codes, absmax, block_size, THREADS,
                SHUFFLE=x.is_cuda and torch.version.hip is None,
                num_warps=THREADS // 32, **OPTIONS,
            )  # fmt: skip
        if done < n:
            quantize_kernel[(triton.cdiv(n - done, PLAIN_SIZE),)](
                x, thresholds, codes, absmax, done, n, block_size, PLAIN_SIZE,
                num_warps=4, **OPTIONS,
            )  # fmt: skip
        parts = [codes, absmax]
        if nested_block_size is not None:
            offset = absmax.sum(dtype=torch.float64) / max(len(absmax), 1)  # in fp64, as `mean_of`
            offset = offset.to(torch.float32)
            scale_codes = torch.empty(len(absmax), dtype=torch.uint8, device=device)
            n_scales = triton.cdiv(len(absmax), nested_block_size)
            scale = torch.empty(n_scales, dtype=torch.float32, device=device)
            if n:
                quantize_scales_kernel[(n_scales,)](
                    absmax, offset, midpoints, scale_codes, scale, len(absmax),
                    nested_block_size, num_warps=4, **OPTIONS,
                )  # fmt: skip
            parts = [codes, scale_codes, scale, offset]
    return NF4Tensor.from_parts(parts, weight.shape, weight.dtype, block_size, nested_block_size)

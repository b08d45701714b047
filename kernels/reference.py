"""NF4 in plain PyTorch: first what the numbers are, step by step, then the same fast on a CPU.

`quantize_plainly` and `dequantize_plainly` are the specification. They are made of one small
function a step, each with its formula, and every other implementation here, the Triton kernels
included, is compared with them bit by bit. `quantize` and `dequantize` are the CPU path: the same
results from machine code (kernels/avx512.py), or, where that cannot be had, from tables instead of
comparisons, in chunks that stay in the processor's cache.

Source: Dettmers et al. 2023, "QLoRA", section 3 (arXiv 2305.14314); rounding as in the CUDA kernels
of bitsandbytes. All arithmetic is fp32, whatever the dtype of the weight.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from kernels import avx512
from kernels.host_memory import new_tensor, recycled_tensor
from kernels.nf4 import DYNAMIC_MAP, LEVELS, MIDPOINTS, PAD_CODE, THRESHOLDS, NF4Tensor
from kernels.threads import share

# The specification


def in_blocks(x: Tensor, block_size: int) -> Tensor:
    """Flat [n] -> [ceil(n / block_size), block_size], the last row filled up with zeros."""
    missing = -x.numel() % block_size
    if missing:
        x = torch.nn.functional.pad(x, (0, missing))
    return x.view(-1, block_size)


def block_absmax(x: Tensor, block_size: int) -> Tensor:
    """absmax[j] = max |x[i]| over block j. fp32 [n] -> fp32 [b]; NaN and Inf come through."""
    return in_blocks(x, block_size).abs().amax(dim=1)


def reciprocal(absmax: Tensor) -> Tensor:
    """1 / absmax, for 0 and for what has no finite reciprocal the largest number there is.

    So zeros stay zeros when they are multiplied by it: they get code 7.
    """
    return (1 / absmax).clamp(max=torch.finfo(torch.float32).max)


def normalise(x: Tensor, absmax: Tensor, block_size: int) -> Tensor:
    """y = x * (1 / absmax), between -1 and 1. fp32 [n], [b] -> fp32 [n]; rounded twice."""
    return (in_blocks(x, block_size) * reciprocal(absmax)[:, None]).flatten()[: x.numel()]


def encode(y: Tensor) -> Tensor:
    """code = how many of the 15 thresholds are below y. fp32 -> uint8 of the same shape."""
    code = torch.zeros_like(y, dtype=torch.uint8)
    for threshold in THRESHOLDS.tolist():
        code += y > threshold
    return code


def pack(codes: Tensor) -> Tensor:
    """byte[i] = 16 * code[2i] + code[2i + 1]. uint8 [n] -> uint8 [ceil(n / 2)]."""
    pairs = torch.nn.functional.pad(codes, (0, codes.numel() % 2), value=PAD_CODE).view(-1, 2)
    return 16 * pairs[:, 0] + pairs[:, 1]


def unpack(packed: Tensor, n: int) -> Tensor:
    """code[2i] = byte[i] // 16, code[2i + 1] = byte[i] % 16. uint8 [ceil(n / 2)] -> uint8 [n]."""
    return torch.stack([packed >> 4, packed & 15], dim=1).flatten()[:n]


def encode_dynamic(y: Tensor) -> Tensor:
    """code = index of the value of DYNAMIC_MAP that is nearest to y; a tie goes to the lower.

    Counted as for NF4: how many midpoints of neighbours are below y. fp32 -> uint8.
    """
    return torch.bucketize(y, MIDPOINTS.to(y.device)).to(torch.uint8)


def mean_of(absmax: Tensor) -> Tensor:
    """fp32 scalar, 0 of none. Summed in fp64, so that it does not depend on the order."""
    mean = absmax.cpu().sum(dtype=torch.float64) / max(len(absmax), 1)
    return mean.to(absmax.device, torch.float32)


def quantize_scales(absmax: Tensor, block_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Double quantization: what the b scales become.

        offset = mean of absmax
        z      = absmax - offset
        scale  = max |z| in each block of scales
        code   = the nearest of DYNAMIC_MAP to z * (1 / scale)

    Returns:
        codes uint8 [b], scale fp32 [ceil(b / block_size)], offset fp32 scalar.
    """
    offset = mean_of(absmax)
    z = absmax - offset
    scale = block_absmax(z, block_size)
    return encode_dynamic(normalise(z, scale, block_size)), scale, offset


def dequantize_scales(codes: Tensor, scale: Tensor, offset: Tensor, block_size: int) -> Tensor:
    """absmax = DYNAMIC_MAP[code] * scale[block] + offset, rounded twice. uint8 [b] -> fp32 [b]."""
    values = torch.index_select(DYNAMIC_MAP.to(codes.device), 0, codes.int())  # [b]
    return (in_blocks(values, block_size) * scale[:, None]).flatten()[: codes.numel()] + offset


def block_scales(q: NF4Tensor) -> Tensor:
    """The scale of every block, fp32 [b], however it is stored."""
    if q.absmax is not None:
        return q.absmax
    assert q.absmax_codes is not None
    assert q.absmax_scale is not None
    assert q.absmax_offset is not None
    assert q.nested_block_size is not None
    return dequantize_scales(q.absmax_codes, q.absmax_scale, q.absmax_offset, q.nested_block_size)


def quantize_plainly(weight: Tensor, block_size: int, nested_block_size: int | None) -> NF4Tensor:
    """weight of any shape -> NF4Tensor, step by step; every number has to be finite."""
    x = weight.reshape(-1).float()
    absmax = block_absmax(x, block_size)
    codes = pack(encode(normalise(x, absmax, block_size)))
    nested = nested_block_size
    scales = (absmax,) if nested is None else quantize_scales(absmax, nested)
    return assemble(weight, codes, scales, block_size, nested)


def dequantize_plainly(q: NF4Tensor, dtype: torch.dtype) -> Tensor:
    """weight = LEVELS[code] * absmax[block], rounded to fp32 and then to `dtype`."""
    levels = LEVELS.to(q.device)[unpack(q.codes, q.numel).int()]  # fp32 [n]
    x = in_blocks(levels, q.block_size) * block_scales(q)[:, None]
    return x.flatten()[: q.numel].to(dtype).view(q.shape)


def assemble(
    weight: Tensor,
    codes: Tensor,
    scales: tuple[Tensor, ...],
    block_size: int,
    nested_block_size: int | None,
) -> NF4Tensor:
    """The NF4Tensor of packed codes and of absmax, or of what `quantize_scales` made of it."""
    nested = ("absmax_codes", "absmax_scale", "absmax_offset")
    names = ("absmax",) if nested_block_size is None else nested
    return NF4Tensor(
        codes=codes,
        shape=weight.shape,
        dtype=weight.dtype,
        block_size=block_size,
        nested_block_size=nested_block_size,
        **dict(zip(names, scales, strict=True)),
    )


def check_finite(weight: Tensor, sample: Tensor) -> None:
    """Raises ValueError that names the first NaN or Inf of weight, if `sample` has one.

    `sample` is something short that is not finite when the weight is not, as its scales.
    """
    if torch.isfinite(sample).all():
        return
    flat = weight.reshape(-1)
    for start in range(0, len(flat), CHUNK):
        bad = torch.isfinite(flat[start : start + CHUNK]).logical_not().nonzero()
        if len(bad):
            position = start + int(bad[0])
            index = [int(i) for i in np.unravel_index(position, weight.shape)]
            raise ValueError(
                f"weight{index if index else ''} is {flat[position].item()}; "
                "NF4 can hold finite numbers only"
            )


# The CPU path

CHUNK = 2**19  # elements worked on at a time: 2 MiB in fp32; a multiple of every block size
SMALL = 2**18  # elements; up to here tables are used on all at once
THREAD_CHUNK = 2**17  # elements per thread that are dequantized from tables at a time
ROW = 2**11  # bytes looked up in one go
N_CELLS = 2**16  # of [-1, 1], in the table of `make_cells`
UNSURE = 0x10  # added to the code of a cell that a threshold falls into
UNSURE_WORD = UNSURE * 0x0101010101010101  # the same for 8 codes at once


def cell_of(y: Tensor) -> Tensor:
    """floor((y + 1) * N_CELLS / 2): a larger y never has a smaller cell. fp32 -> int32."""
    return ((y + 1) * (N_CELLS / 2)).int()


def make_cells() -> Tensor:
    """The code of every cell, uint8 [N_CELLS + 1], plus UNSURE where y itself decides.

    A number is above all thresholds of lower cells and below all of higher ones. Only with one of
    its own cell it has to be compared: 15 cells of 65537, where 1 number in 3400 is (normally
    distributed, blocks of 64).
    """
    cells = torch.arange(N_CELLS + 1, device="cpu")
    of_threshold = cell_of(THRESHOLDS)  # [15]
    code = (cells[:, None] > of_threshold).sum(dim=1)
    return (code + UNSURE * torch.isin(cells, of_threshold)).to(torch.uint8)


def make_pairs() -> Tensor:
    """The two levels of every byte, complex64 [256]: the real part is the upper half's."""
    byte = torch.arange(256, device="cpu")
    return torch.complex(LEVELS[byte >> 4], LEVELS[byte & 15])


CELLS = make_cells()
PAIRS = make_pairs()


def quantize(weight: Tensor, block_size: int, nested_block_size: int | None) -> NF4Tensor:
    """What `quantize_plainly` gives, fast on a CPU.

    In machine code where that can be had, with AVX-512 and a C compiler; elsewhere from tables.

    Raises:
        ValueError: a number is not finite; the message says where.
    """
    x, nested, in_c = weight.detach().reshape(-1), nested_block_size, avx512.usable(weight.device)
    codes = new_tensor(math.ceil(len(x) / 2), torch.uint8, x.device)
    absmax = torch.empty(math.ceil(len(x) / block_size), dtype=torch.float32, device=x.device)
    (avx512.quantize if in_c else quantize_with_tables)(x, block_size, absmax, codes)
    check_finite(weight, absmax)
    scales: tuple[Tensor, ...] = (absmax,)
    if nested is not None and in_c:
        scale = absmax.new_empty(math.ceil(len(absmax) / nested))
        scales = torch.empty_like(absmax, dtype=torch.uint8), scale, mean_of(absmax)
        avx512.quantize_scales(absmax, nested, *scales)
    elif nested is not None:
        scales = quantize_scales(absmax, nested)
    return assemble(weight, codes, scales, block_size, nested)


def quantize_with_tables(x: Tensor, block_size: int, absmax: Tensor, codes: Tensor) -> None:
    """Write the scales and codes of x [n], from a table in chunks shared among threads.

    A block with a NaN or Inf gets that for its scale, and codes that mean nothing.
    """
    device = x.device
    cells, thresholds = CELLS.to(device), THRESHOLDS.to(device)

    def work(starts: range) -> None:
        size = min(CHUNK, block_size * len(absmax))
        scratch = new_tensor(13 * size, torch.uint8, device)  # one piece, for large pages
        chunk, y, index = (part.view(torch.float32) for part in scratch[: 12 * size].view(3, -1))
        cell, code = index.view(torch.int32), scratch[12 * size :]
        for start in starts:
            part = x[start : start + CHUNK]
            used = len(part)
            if used < size:  # the last chunk is filled up with zeros: absmax stays, their code is 7
                size = used + -used % block_size
                chunk, y, cell, code = chunk[:size], y[:size], cell[:size], code[:size]
                chunk[used:] = 0
            chunk[:used] = part
            largest = torch.abs(chunk, out=y).view(-1, block_size).amax(dim=1)
            absmax[start // block_size :][: len(largest)] = largest
            if not torch.isfinite(largest).all():
                continue
            rows = chunk.view(-1, block_size)
            torch.mul(rows, reciprocal(largest)[:, None], out=y.view(-1, block_size))
            cell.copy_(torch.add(y, 1, out=chunk).mul_(N_CELLS / 2))  # cell_of(y)
            torch.index_select(cells, 0, cell, out=code)
            unsure = (code.view(torch.int64) & UNSURE_WORD).nonzero().flatten()
            exact = torch.bucketize(y.view(-1, 8)[unsure], thresholds)  # as `encode`
            code.view(-1, 8)[unsure] = exact.to(torch.uint8)
            # A little-endian pair of bytes is a + 256 b, and 16 a + b is wanted.
            pair = code.view(torch.int16)
            packed = torch.add(pair >> 8, pair, alpha=16)
            codes[start // 2 :][: math.ceil(used / 2)] = packed[: math.ceil(used / 2)]

    share(work, range(0, len(x), CHUNK), device)


def dequantize(q: NF4Tensor, dtype: torch.dtype) -> Tensor:
    """What `dequantize_plainly` gives, fast on a CPU; by the same means as `quantize`."""
    out = recycled_tensor(q.shape, dtype, q.device)
    write = avx512.dequantize if avx512.usable(q.device) else dequantize_with_tables
    write(q, out)
    return out


def dequantize_with_tables(q: NF4Tensor, out: Tensor) -> None:
    """Write the numbers of q into out, contiguous, of a dtype of NF4.

    Two codes at a time: a byte is looked up in `PAIRS`. In one thread torch.index_select does that
    best, and few operations on all of a small tensor are quicker than loops. torch.gather is the
    look-up that torch shares among its threads. Threads of our own took twice as long next to other
    operations: torch's wait for more work for some milliseconds and keep the processors busy with
    that. The price: torch's threads meet after every operation, so it gets many times slower where
    another process takes a processor away; `torch.set_num_threads` to what is free helps.
    4096 x 4096 to bf16 takes 13.4 ms, and 9.0 ms in 2 threads (Xeon with AVX-512), in memory that
    an earlier result has left.
    """
    device, block_size, scales = q.device, q.block_size, block_scales(q).detach()
    table, out = PAIRS.to(device), out.view(-1)
    if q.numel <= SMALL:
        index = in_blocks(q.codes, block_size // 2).flatten().int()
        x = torch.index_select(table, 0, index).view(torch.float32)
        x.view(-1, block_size).mul_(scales[:, None])
        out.copy_(x[: q.numel])
        return
    n_threads = torch.get_num_threads()
    n = THREAD_CHUNK * n_threads
    size = min(n, block_size * len(scales))
    scratch = torch.empty(size, dtype=torch.float32, device=device)
    index_dtype = torch.int32 if n_threads == 1 else torch.int64
    index = torch.empty(size // 2, dtype=index_dtype, device=device)
    chunks = (out.split(n), q.codes.split(n // 2), scales.split(n // block_size))
    for target, codes, scale in zip(*chunks, strict=True):
        size = block_size * len(scale)  # of the last chunk, `target` may be shorter
        direct = out.dtype == torch.float32 and len(target) == size  # there is nothing to round
        x = target if direct else scratch[:size]
        pairs, index = x.view(torch.complex64), index[: size // 2]
        index[: len(codes)] = codes
        if len(codes) < len(index):
            index[len(codes) :] = 0
        if n_threads == 1:
            torch.index_select(table, 0, index, out=pairs)
        else:
            rows = pairs.view(-1, math.gcd(size // 2, ROW))  # torch shares out whole rows
            torch.gather(table.expand(len(rows), -1), 1, index.view_as(rows), out=rows)
        x.view(-1, block_size).mul_(scale[:, None])
        if not direct:
            target.copy_(x[: len(target)])

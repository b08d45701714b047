"""kernels/reference.py made fast on a CPU, with the same results, bit for bit.

With AVX-512 and a C compiler, machine code does the work (avx512.py). Otherwise tables take the
place of comparisons and products, in chunks that stay in the cache; `python -m kernels.bench.cpu`
times both.
"""

from __future__ import annotations

import math
import time
from functools import cache

import torch
from torch import Tensor

from kernels.checks import DTYPES, check_finite
from kernels.cpu import avx512
from kernels.cpu.memory import new_tensor, recycled_tensor
from kernels.cpu.threads import share
from kernels.nf4 import LEVELS, THRESHOLDS, NF4Tensor
from kernels.reference import (
    block_scales,
    in_blocks,
    mean,
    quantize_scales,
    reciprocal,
)


def quantize(weight: Tensor, block_size: int, nested_block_size: int | None) -> NF4Tensor:
    """Returns what `quantize_plainly` returns, fast on a CPU.

    Raises:
        ValueError: a number is not finite; the error says where.
    """
    x, nested = weight.detach().reshape(-1), nested_block_size
    codes = new_tensor(math.ceil(len(x) / 2), torch.uint8, x.device)
    absmax = torch.empty(math.ceil(len(x) / block_size), dtype=torch.float32, device=x.device)
    write = avx512.quantize if use_machine_code(x.device) else quantize_with_tables
    write(x, block_size, absmax, codes)
    check_finite(weight, absmax)
    scales = (absmax,) if nested is None else quantize_scales_fast(absmax, nested)
    return NF4Tensor.from_parts([codes, *scales], weight.shape, weight.dtype, block_size, nested)


def quantize_scales_fast(absmax: Tensor, block_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns what `quantize_scales` returns, in machine code if possible."""
    here = use_machine_code(absmax.device)
    return (machine_code_scales if here else quantize_scales)(absmax, block_size)


def machine_code_scales(absmax: Tensor, block_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns what `quantize_scales` returns, in machine code."""
    offset = mean(absmax)
    scale = absmax.new_empty(math.ceil(len(absmax) / block_size))
    codes = torch.empty_like(absmax, dtype=torch.uint8)
    avx512.quantize_scales(absmax, block_size, offset, scale, codes)
    return codes, scale, offset


def dequantize(q: NF4Tensor, dtype: torch.dtype) -> Tensor:
    """Returns what `dequantize_plainly` returns, fast on a CPU."""
    out = recycled_tensor(q.shape, dtype, q.device)
    write = avx512.dequantize if use_machine_code(q.device) else dequantize_with_tables
    write(q, out)
    return out


def use_machine_code(device: torch.device) -> bool:
    """Returns whether the machine code can work on `device`, and is the faster way there."""
    return avx512.usable(device) and machine_code_gain() >= 1.0


@cache
def machine_code_gain() -> float:
    """Returns how many times as fast as the tables the machine code is here; 0 if it errs.

    Both quantize and dequantize 2^18 numbers, in turn, four times, which takes some milliseconds
    once in a process; the fastest of each counts. What else they do is compared in samples.
    """
    if not all(same_results(dtype, nested) for dtype in DTYPES for nested in (None, 64)):
        return 0.0
    x = torch.linspace(-1, 1, SMALL, device="cpu", dtype=torch.float32).cos_()
    absmax, codes = x.new_empty(SMALL // 64), x.new_empty(SMALL // 2, dtype=torch.uint8)
    ways = (
        (quantize_with_tables, dequantize_with_tables),
        (avx512.quantize, avx512.dequantize),
    )
    fastest, results = [math.inf, math.inf], [x, x]
    for turn in range(8):
        way, out = turn % 2, torch.empty_like(x)
        quantize_x, dequantize_q = ways[way]
        started = time.perf_counter()
        quantize_x(x, 64, absmax, codes)
        q = NF4Tensor.from_parts([codes, absmax], x.shape, x.dtype, 64, None)
        dequantize_q(q, out)
        fastest[way] = min(fastest[way], time.perf_counter() - started)
        results[way] = out
    return fastest[0] / fastest[1] if torch.equal(*results) else 0.0


def same_results(dtype: torch.dtype, nested_block_size: int | None) -> bool:
    """Returns whether machine code and tables agree, bit for bit, on a sample in this format.

    It has an odd number of elements, a block of zeros, one of numbers so small that 1 / absmax is
    infinite, and at the end one with a NaN, for which the scale alone matters.
    """
    n, block_size = 2**13 + 33, 32
    x = torch.linspace(-3, 3, n, device="cpu", dtype=torch.float32).sin_()
    x *= torch.linspace(1e-3, 2, n, device="cpu", dtype=torch.float32)
    x[:32], x[32:64] = 0, 1e-40
    x = x.to(dtype)
    results = []
    for machine in (False, True):
        codes, absmax = x.new_empty((n + 1) // 2, dtype=torch.uint8), x.new_empty(0).float()
        absmax = absmax.new_empty(math.ceil(n / block_size))
        (avx512.quantize if machine else quantize_with_tables)(x, block_size, absmax, codes)
        scales: tuple[Tensor, ...] = (absmax,)
        if nested_block_size is not None:
            write = machine_code_scales if machine else quantize_scales
            scales = write(absmax, nested_block_size)
        parts = [codes, *scales]
        q = NF4Tensor.from_parts(parts, x.shape, dtype, block_size, nested_block_size)
        out = torch.empty_like(x)
        (avx512.dequantize if machine else dequantize_with_tables)(q, out)
        bad = x[-block_size:].clone()
        bad[5] = math.nan
        found = absmax.new_empty(1)
        write_codes = avx512.quantize if machine else quantize_with_tables
        write_codes(bad, block_size, found, codes.new_empty(block_size // 2))
        results.append([*parts, out.view(torch.uint8), found.isfinite()])
    return all(map(torch.equal, *results))


# From tables

CHUNK = 2**19  # elements quantized at a time: 2 MiB in fp32; a multiple of every block size
SMALL = 2**18  # elements; up to this size all are dequantized at once
THREAD_CHUNK = 2**17  # elements per thread that are dequantized at a time
ROW = 2**11  # bytes of codes in a row of torch.gather
N_CELLS = 2**16  # cells of [-1, 1] in the table of `make_cells`
UNSURE = 0x10  # added to the code of a cell that contains a threshold
UNSURE_WORD = UNSURE * 0x0101010101010101  # the same for 8 codes at once


def cell_of(y: Tensor) -> Tensor:
    """Returns floor((y + 1) * N_CELLS / 2), int32; a larger y never has a smaller cell."""
    return ((y + 1) * (N_CELLS / 2)).int()


@cache  # not at import, since torch would start threads for it
@torch.inference_mode(False)
def make_cells() -> Tensor:
    """Returns the code of every cell, uint8 [N_CELLS + 1], plus UNSURE where y itself decides.

    A number is above all thresholds of lower cells and below those of higher ones, so it has to be
    compared only with a threshold in its own cell. 15 of 65537 cells have one, and 1 in 3400
    numbers falls into them (normally distributed, in blocks of 64).
    """
    cells = torch.arange(N_CELLS + 1, device="cpu")
    of_threshold = cell_of(THRESHOLDS)  # [15]
    code = (cells[:, None] > of_threshold).sum(dim=1)
    return (code + UNSURE * torch.isin(cells, of_threshold)).to(torch.uint8)


@cache
@torch.inference_mode(False)
def make_pairs() -> Tensor:
    """Returns the two levels of every byte, complex64 [256]: the real part is the upper half's."""
    byte = torch.arange(256, device="cpu")
    return torch.complex(LEVELS[byte >> 4], LEVELS[byte & 15])


def quantize_with_tables(x: Tensor, block_size: int, absmax: Tensor, codes: Tensor) -> None:
    """Writes the scales and codes of x [n], from a table, in chunks that are shared among threads.

    A block with a NaN or Inf gets that for its scale, and codes that mean nothing.
    """
    device = x.device
    cells, thresholds = make_cells().to(device), THRESHOLDS.to(device)

    def work(starts: range) -> None:
        size = min(CHUNK, block_size * len(absmax))
        scratch = new_tensor(13 * size, torch.uint8, device)  # one tensor, for large pages
        chunk, y, index = (part.view(torch.float32) for part in scratch[: 12 * size].view(3, -1))
        cell, code = index.view(torch.int32), scratch[12 * size :]
        for start in starts:
            part = x[start : start + CHUNK]
            used = len(part)
            if used < size:  # the last chunk is padded with zeros, which leave absmax as it is
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
            exact = torch.bucketize(y.view(-1, 8)[unsure], thresholds)  # as `encode_nf4`
            code.view(-1, 8)[unsure] = exact.to(torch.uint8)
            # A pair of codes, little-endian, is a + 256 b; the packed byte is 16 a + b.
            pair = code.view(torch.int16)
            packed = torch.add(pair >> 8, pair, alpha=16)
            codes[start // 2 :][: math.ceil(used / 2)] = packed[: math.ceil(used / 2)]

    share(work, range(0, len(x), CHUNK), device)


def dequantize_with_tables(q: NF4Tensor, out: Tensor) -> None:
    """Writes the numbers of q into out, contiguous fp32, fp16 or bf16.

    Each byte, two codes, is looked up in `make_pairs`. In one thread torch.index_select does that
    fastest, and for a small tensor a few operations on all of it are quicker than loops. In several
    threads torch.gather is the look-up that torch shares among them. (Threads of our own compete
    with torch's, which keep the cores busy for some milliseconds while they wait for more work.)
    torch's threads meet after every operation, so this gets many times slower when another process
    takes a core away; `torch.set_num_threads` with the number of free cores helps. A Xeon takes
    13.4 ms for 4096 x 4096 to bf16 in one thread and 9.0 ms in two
    (`ATEN_CPU_CAPABILITY=avx2 python -m kernels.bench.cpu`).
    """
    device, block_size, scales = q.device, q.block_size, block_scales(q).detach()
    table, out = make_pairs().to(device), out.view(-1)
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
        size = block_size * len(scale)  # in the last chunk `target` may be shorter
        direct = out.dtype == torch.float32 and len(target) == size  # no rounding, no padding
        x = target if direct else scratch[:size]
        pairs, index = x.view(torch.complex64), index[: size // 2]
        index[: len(codes)] = codes
        if len(codes) < len(index):
            index[len(codes) :] = 0
        if n_threads == 1:
            torch.index_select(table, 0, index, out=pairs)
        else:
            rows = pairs.view(-1, math.gcd(size // 2, ROW))  # torch gives each thread whole rows
            torch.gather(table.expand(len(rows), -1), 1, index.view_as(rows), out=rows)
        x.view(-1, block_size).mul_(scale[:, None])
        if not direct:
            target.copy_(x[: len(target)])

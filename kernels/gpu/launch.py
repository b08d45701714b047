"""Launches the kernels: which of them for which tensors, with how many programs.

`quantize`, `dequantize` and `matmul` take tensors and return tensors, and compute on the current
stream of their device. They choose a fast kernel where it can work, and the plain one elsewhere;
with fast=False always the plain one, for tests. Without a GPU the kernels run in Triton's
interpreter, where TRITON_INTERPRET=1 is set before triton is imported.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.gpu.dequantize import Scales, dequantize_kernel
from kernels.gpu.dequantize_fast import QUAD, dequantize_fast_kernel
from kernels.gpu.eight_elements import GROUP
from kernels.gpu.matmul import matmul_kernel
from kernels.gpu.matmul_fast import OUTPUTS, matmul_fast_kernel, matvec_fast_kernel
from kernels.gpu.quantize import quantize_kernel, quantize_scales_kernel
from kernels.gpu.quantize_fast import make_cells, quantize_fast_kernel
from kernels.nf4 import DYNAMIC_MAP, LEVELS, MIDPOINTS, THRESHOLDS, NF4Tensor

QUANTIZE_SIZE = 4096  # elements of a program of quantize_kernel: a block or more
DEQUANTIZE_SIZE = 1024  # elements of a program of dequantize_kernel
THREADS = 128  # of a program of the fast kernels that quantize and dequantize
TILES = {"TILE_M": 16, "TILE_O": 32, "TILE_K": 32}  # of matmul_kernel
FAST_TILES = {"TILE_M": 16, "TILE_O": 32, "SLICES": 8}  # of matmul_fast_kernel
MIN_CAPABILITY = (8, 0)  # Ampere: the first GPUs for which Triton multiplies slices side by side
OPTIONS = {"enable_fp_fusion": False}  # products and sums are rounded one by one
INTERPRETED = not isinstance(quantize_kernel, triton.JITFunction)


def quantize(
    weight: Tensor, block_size: int, nested_block_size: int | None, fast: bool = True
) -> NF4Tensor:
    """Returns weight, fp32, fp16 or bf16, in NF4.

    If a weight is NaN or Inf, so is the absmax of its block, or absmax_offset with double
    quantization, and the other outputs are undefined. The plain kernel also takes the last n % 4096
    elements, and tensors not aligned to 16 bytes.
    """
    x, n, device = weight.reshape(-1), weight.numel(), weight.device
    codes = torch.empty(triton.cdiv(n, 2), dtype=torch.uint8, device=device)
    absmax = torch.empty(triton.cdiv(n, block_size), dtype=torch.float32, device=device)
    thresholds, cells, midpoints = comparison_tables(device)
    per_program = THREADS * GROUP.value
    done = n // per_program * per_program if fast and are_aligned(x, codes) else 0
    with torch.cuda.device_of(x):
        if done:
            quantize_fast_kernel[(done // per_program,)](
                x, cells, codes, absmax, block_size, THREADS,
                SHUFFLE=has_ptx(x), num_warps=THREADS // 32, **OPTIONS,
            )  # fmt: skip
        if done < n:
            quantize_kernel[(triton.cdiv(n - done, QUANTIZE_SIZE),)](
                x[done:], thresholds, codes[done // 2 :], absmax[done // block_size :], n - done,
                block_size, QUANTIZE_SIZE, num_warps=4, **OPTIONS,
            )  # fmt: skip
        parts = [codes, absmax]
        if nested_block_size is not None:
            parts = [codes, *quantize_scales(absmax, nested_block_size, midpoints)]
    return NF4Tensor.from_parts(parts, weight.shape, weight.dtype, block_size, nested_block_size)


def quantize_scales(absmax: Tensor, block_size: int, midpoints: Tensor) -> list[Tensor]:
    """Returns the codes, scale and offset of absmax [b], as kernels/reference.py does."""
    b, device = len(absmax), absmax.device
    offset = (absmax.sum(dtype=torch.float64) / max(b, 1)).to(torch.float32)
    codes = torch.empty(b, dtype=torch.uint8, device=device)
    scale = torch.empty(triton.cdiv(b, block_size), dtype=torch.float32, device=device)
    if b:
        quantize_scales_kernel[(len(scale),)](
            absmax, offset, midpoints, codes, scale, b, block_size, num_warps=4, **OPTIONS
        )
    return [codes, scale, offset]


def dequantize(q: NF4Tensor, dtype: torch.dtype, fast: bool = True) -> Tensor:
    """Returns q's numbers in fp32, fp16 or bf16.

    The plain kernel is also used for tensors not aligned to 16 bytes (some views) and on GPUs
    without PTX.
    """
    n, out = q.numel, torch.empty(q.shape, dtype=kernel_dtype(dtype), device=q.device)
    if n == 0:
        return out.to(dtype)
    codes, levels, scales = pointers(q)
    fast = fast and are_aligned(codes, out) and (has_ptx(out) or INTERPRETED)
    with torch.cuda.device_of(out):
        if fast:
            whole = n // QUAD.value * QUAD.value
            dequantize_fast_kernel[(max(1, triton.cdiv(whole, THREADS * GROUP.value)),)](
                codes, levels, scales, out, n, q.block_size, q.nested_block_size, THREADS,
                TAIL=whole < n, SHUFFLE=has_ptx(out), num_warps=THREADS // 32, **OPTIONS,
            )  # fmt: skip
        else:
            dequantize_kernel[(triton.cdiv(n, DEQUANTIZE_SIZE),)](
                codes, levels, scales, out, n, q.block_size, q.nested_block_size, DEQUANTIZE_SIZE,
                num_warps=4, **OPTIONS,
            )  # fmt: skip
    return out.to(dtype)


def matmul(x: Tensor, q: NF4Tensor, fast: bool = True) -> Tensor:
    """Returns x W^T, [..., in] -> [..., out], for x of fp32, fp16 or bf16 and the weight q.

    It works for any number of rows and is meant for up to about 32. The plain kernel is also used
    for rows of W that are not multiples of 32, for tensors not aligned to 16 bytes, and for several
    rows on GPUs below MIN_CAPABILITY.
    """
    out_features, in_features = q.shape
    dtype, rows = x.dtype, math.prod(x.shape[:-1])
    x = x.contiguous().to(kernel_dtype(dtype))
    y = torch.empty(*x.shape[:-1], out_features, dtype=x.dtype, device=x.device)
    if y.numel() == 0 or in_features == 0:
        return y.zero_().to(dtype)
    codes, levels, scales = pointers(q)
    groups, rest = divmod(in_features, GROUP.value)
    one_row = rows == 1 or dtype == torch.float32
    fast = fast and rest == 0 and are_aligned(x, codes)
    if fast and not one_row and has_ptx(x):
        fast = torch.cuda.get_device_capability(x.device) >= MIN_CAPABILITY
    # Triton 3.6's interpreter with numpy 2.4 cannot count a loop up to a number, only a constant.
    length = tl.constexpr if INTERPRETED else int
    sizes: dict[str, Any] = {"BLOCK_SIZE": q.block_size, "NESTED_BLOCK_SIZE": q.nested_block_size}
    with torch.cuda.device_of(y):
        if fast and one_row:
            threads = best_threads(groups)
            matvec_fast_kernel[(triton.cdiv(out_features, OUTPUTS), rows)](
                x, codes, levels, scales, y, out_features, length(groups), **sizes,
                THREADS=threads, SHUFFLE=has_ptx(x), num_warps=threads // 32, **OPTIONS,
            )  # fmt: skip
        elif fast:
            sizes |= FAST_TILES | {"TILE_K": slice_length(in_features, q.block_size)}
            matmul_fast_kernel[grid(out_features, rows, FAST_TILES)](
                x, codes, levels, scales, y, rows, out_features, length(groups), **sizes,
                SHUFFLE=has_ptx(x), num_warps=FAST_TILES["SLICES"], **OPTIONS,
            )  # fmt: skip
        else:
            matmul_kernel[grid(out_features, rows, TILES)](
                x, codes, levels, scales, y, rows, out_features, length(in_features), **sizes,
                **TILES, num_warps=4, **OPTIONS,
            )  # fmt: skip
    return y.to(dtype)


def grid(out_features: int, rows: int, tiles: dict[str, int]) -> tuple[int, int]:
    """Returns how many programs cover y [rows, out_features]."""
    return triton.cdiv(out_features, tiles["TILE_O"]), triton.cdiv(rows, tiles["TILE_M"])


def best_threads(groups: int) -> int:
    """Returns how many threads to use for rows of so many groups.

    That is 32 for up to 32 groups, and for longer rows whichever of 128 and 64 leaves fewer threads
    idle in the last iteration.
    """
    if groups <= 32:
        return 32
    return min((128, 64), key=lambda threads: triton.cdiv(groups, threads) * threads)


def slice_length(in_features: int, block_size: int) -> int:
    """Returns how many elements a warp multiplies at a time, 64 or 32.

    It is 64 if such slices never cross the end of a block or of a row.
    """
    return 64 if in_features % 64 == 0 and block_size >= 64 else 32


def are_aligned(*tensors: Tensor) -> bool:
    """Returns whether all begin at a multiple of 16 bytes, as accesses of 16 bytes must."""
    return all(tensor.data_ptr() % 16 == 0 for tensor in tensors)


def has_ptx(tensor: Tensor) -> bool:
    """Returns whether kernels for this tensor are compiled to PTX, so that shuffles work."""
    return tensor.is_cuda and torch.version.hip is None and not INTERPRETED


def kernel_dtype(dtype: torch.dtype) -> torch.dtype:
    """Returns the dtype that kernels compute in and write for results of `dtype`: the same.

    Only the interpreter cuts bf16 off instead of rounding, and cannot multiply it; there kernels
    get and give fp32, and torch rounds.
    """
    return torch.float32 if INTERPRETED else dtype


def pointers(q: NF4Tensor) -> tuple[Tensor, Tensor, Scales]:
    """Returns what kernels take of q: the codes, the levels, and the scales."""
    levels, dynamic_map = lookup_tables(q.device)
    parts = {name: part.contiguous() for name, part in q.parts.items()}
    codes = parts.pop("codes")
    if q.double_quant:
        return codes, levels, Scales(None, **parts, dynamic_map=dynamic_map)
    return codes, levels, Scales(**parts)


@cache
def lookup_tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns LEVELS and DYNAMIC_MAP on a device.

    They are cached, because copying from the CPU is not allowed while a CUDA graph is captured.
    """
    check_not_capturing(device)
    return LEVELS.to(device), DYNAMIC_MAP.to(device)


@cache
def comparison_tables(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Returns THRESHOLDS, the cells of quantize_fast.py, and MIDPOINTS on a device, cached too."""
    check_not_capturing(device)
    return THRESHOLDS.to(device), make_cells().to(device), MIDPOINTS.to(device)


def check_not_capturing(device: torch.device) -> None:
    """Raises RuntimeError while a CUDA graph is captured, which can hold no copy from the host."""
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "the first NF4 operation on a GPU copies its tables there and compiles its kernel, "
            "which no CUDA graph can hold; call it once before you capture it"
        )

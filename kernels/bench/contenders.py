"""The contenders of `python -m kernels.bench`: our kernels, and others that do the same work.

They work with blocks of 64 and double quantization, from or to bf16, and every contender puts its
result into new memory, as users get it. The others are bitsandbytes, if it is installed, and a few
lines of torch, eager and compiled.

A contender is called with the number of the turn and takes the next of several weights, so that
none finds its weight in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels import NF4Tensor, dequantize_nf4, nf4_linear, quantize_nf4
from kernels.nf4 import DYNAMIC_MAP, LEVELS, MIDPOINTS, THRESHOLDS

BLOCK_SIZE, NESTED_BLOCK_SIZE = 64, 256
Contenders = dict[str, Callable[[int], object]]


@cache
def bitsandbytes() -> Any:
    """Returns the module bitsandbytes, or None if it cannot be imported."""
    try:
        import bitsandbytes
    except (ImportError, OSError, RuntimeError):
        return None
    return bitsandbytes


def torch_quantize(weight: Tensor, thresholds: Tensor, midpoints: Tensor) -> list[Tensor]:
    """Computes codes, codes of the scales, their scales and offset in a few lines of torch.

    weight has a multiple of 64 elements. thresholds [15] and midpoints [255] are on its device.
    """
    blocks = weight.view(-1, BLOCK_SIZE).float()  # (b, 64)
    absmax = blocks.abs().amax(dim=1)  # (b,)
    codes = torch.bucketize(blocks * (1 / absmax)[:, None], thresholds, out_int32=True)
    high, low = codes.to(torch.uint8).view(-1, 2).unbind(dim=1)
    offset = absmax.mean()
    z = F.pad(absmax - offset, (0, -len(absmax) % NESTED_BLOCK_SIZE)).view(-1, NESTED_BLOCK_SIZE)
    scale = z.abs().amax(dim=1)  # (ceil(b / 256),)
    scale_codes = torch.bucketize(z * (1 / scale)[:, None], midpoints, out_int32=True)
    return [high << 4 | low, scale_codes.to(torch.uint8).flatten()[: len(absmax)], scale, offset]


def torch_dequantize(
    parts: Sequence[Tensor], levels: Tensor, dynamic_map: Tensor, shape: tuple[int, int]
) -> Tensor:
    """Computes the bf16 weight of an NF4Tensor's parts in a few lines of torch."""
    codes, absmax_codes, absmax_scale, absmax_offset = parts
    scale = absmax_scale.repeat_interleave(NESTED_BLOCK_SIZE)[: len(absmax_codes)]  # (b,)
    absmax = dynamic_map[absmax_codes.int()] * scale + absmax_offset
    index = torch.stack((codes >> 4, codes & 15), dim=1).int()  # (n / 2, 2)
    return (levels[index].view(-1, BLOCK_SIZE) * absmax[:, None]).view(shape).to(torch.bfloat16)


def quantizers(weights: Sequence[Tensor]) -> Contenders:
    """Returns contenders that turn weights[i] into codes and scales.

    "ours" leaves out the search for NaN and Inf, which no other contender does and for which Python
    has to wait until the GPU is done. "ours, checked" is the whole of `quantize_nf4`.
    """
    from kernels.gpu.launch import quantize  # needs triton

    count, device = len(weights), weights[0].device
    thresholds, midpoints = THRESHOLDS.to(device), MIDPOINTS.to(device)

    compiled = torch.compile(torch_quantize, dynamic=False)
    found: Contenders = {
        "ours": lambda i: quantize(weights[i % count], BLOCK_SIZE, NESTED_BLOCK_SIZE),
        "ours, checked": lambda i: quantize_nf4(weights[i % count], backend="triton"),
        "torch": lambda i: torch_quantize(weights[i % count], thresholds, midpoints),
        "torch.compile": lambda i: compiled(weights[i % count], thresholds, midpoints),
    }
    if bitsandbytes() is not None:
        found["bitsandbytes"] = lambda i: their_quantize(weights[i % count])
    return found


def their_quantize(weight: Tensor) -> Any:
    """Returns bitsandbytes' codes and the object that holds their scales."""
    functional = bitsandbytes().functional
    return functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)


def dequantizers(packed: Sequence[NF4Tensor], theirs: Sequence[Any]) -> Contenders:
    """Returns contenders that turn packed[i], or bitsandbytes' theirs[i], into a bf16 weight.

    theirs is empty if bitsandbytes is not installed.
    """
    count = len(packed)
    eager = torch_weights(packed, torch_dequantize)
    compiled = torch_weights(packed, torch.compile(torch_dequantize, dynamic=False))
    found: Contenders = {
        "ours": lambda i: dequantize_nf4(packed[i % count], backend="triton"),
        "torch": eager,
        "torch.compile": compiled,
    }
    if theirs:
        functional = bitsandbytes().functional
        found["bitsandbytes"] = lambda i: functional.dequantize_4bit(*theirs[i % count])
    return found


def torch_weights(
    packed: Sequence[NF4Tensor], function: Callable[..., Tensor]
) -> Callable[[int], Tensor]:
    """Returns a function of i that dequantizes packed[i] by `function`, as `torch_dequantize`."""
    levels, values = LEVELS.to(packed[0].device), DYNAMIC_MAP.to(packed[0].device)
    parts = [list(q.parts.values()) for q in packed]
    shape = tuple(packed[0].shape)

    def weight(i: int) -> Tensor:
        with torch.no_grad():  # so that it is compiled once, whether or not x needs a gradient
            return function(parts[i % len(parts)], levels, values, shape)

    return weight


Products = dict[str, Callable[[Tensor, int], Tensor]]


def products(
    weights: Sequence[Tensor], packed: Sequence[NF4Tensor], theirs: Sequence[Any]
) -> Products:
    """Returns functions of x and i that compute x W^T with weight i, in 4 bits or in bf16."""
    count = len(packed)
    eager = torch_weights(packed, torch_dequantize)
    compiled = torch_weights(packed, torch.compile(torch_dequantize, dynamic=False))
    found: Products = {
        "ours": lambda x, i: nf4_linear(x, packed[i % count], backend="triton"),
        "bf16 weight": lambda x, i: F.linear(x, weights[i % count]),
        "torch": lambda x, i: F.linear(x, eager(i)),
        "torch.compile": lambda x, i: F.linear(x, compiled(i)),
    }
    if theirs:
        module = bitsandbytes()

        def product(x: Tensor, i: int) -> Tensor:
            codes, state = theirs[i % count]
            return module.matmul_4bit(x, codes.t(), state)

        found["bitsandbytes"] = product
    return found


def both_ways(packed: Sequence[NF4Tensor]) -> Products:
    """Returns functions of x and i: one product reads the packed weight, one dequantizes it first.

    `nf4_linear` chooses between them by the number of rows: kernels.ops.FEW_ROWS is to say where
    the second gets faster.
    """
    from kernels.gpu.launch import matmul  # needs triton

    count = len(packed)
    return {
        "ours, packed": lambda x, i: matmul(x, packed[i % count]),
        "ours, dequantized": lambda x, i: F.linear(
            x, dequantize_nf4(packed[i % count], backend="triton")
        ),
    }


def their_matvec(theirs: Sequence[Any]) -> Callable[[Tensor, int], Tensor]:
    """Returns a function of x [1, in] and i by bitsandbytes' kernel for one row, without gradient.

    Their `matmul_4bit` uses it for one row before version 0.50, which has a kernel for few rows.
    """
    functional = bitsandbytes().functional

    def product(x: Tensor, i: int) -> Tensor:
        codes, state = theirs[i % len(theirs)]
        return functional.gemv_4bit(x, codes, state=state)

    return product

"""Who is measured by `python -m kernels.bench`: our kernels, and others that do the same work.

The work is done with blocks of 64 and double quantization, from or to bf16, and every contender
makes its result in new memory, as users get it. The others are bitsandbytes, where it is installed,
and what torch does with a few lines, as they stand and compiled.

A contender takes the number of the turn, and with it the next of several weights, so that none
finds its weight in the cache.
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
    """The module, or None where it cannot be imported."""
    try:
        import bitsandbytes
    except (ImportError, OSError, RuntimeError):
        return None
    return bitsandbytes


def torch_quantize(weight: Tensor, thresholds: Tensor, midpoints: Tensor) -> list[Tensor]:
    """Codes, codes of the scales, their scales and offset, as a few lines of torch make them.

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
    """The bf16 weight of an NF4Tensor's parts, as a few lines of torch make it."""
    codes, absmax_codes, absmax_scale, absmax_offset = parts
    scale = absmax_scale.repeat_interleave(NESTED_BLOCK_SIZE)[: len(absmax_codes)]  # (b,)
    absmax = dynamic_map[absmax_codes.int()] * scale + absmax_offset
    index = torch.stack((codes >> 4, codes & 15), dim=1).int()  # (n / 2, 2)
    return (levels[index].view(-1, BLOCK_SIZE) * absmax[:, None]).view(shape).to(torch.bfloat16)


def quantizers(weights: Sequence[Tensor]) -> Contenders:
    """weights[i] -> codes and scales.

    "ours" leaves out what no other does: to look for NaN and Inf, for which Python has to wait
    until the GPU is done. "ours, checked" is `quantize_nf4` as it is called.
    """
    from kernels.gpu.launch import quantize  # needs triton, which is not everywhere

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
    """bitsandbytes' codes and the object that holds their scales."""
    functional = bitsandbytes().functional
    return functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)


def dequantizers(packed: Sequence[NF4Tensor], theirs: Sequence[Any]) -> Contenders:
    """packed[i] -> bf16 weight; theirs is the same by bitsandbytes, or empty."""
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
    """i -> what function, like `torch_dequantize`, makes of packed[i]."""
    levels, values = LEVELS.to(packed[0].device), DYNAMIC_MAP.to(packed[0].device)
    parts = [list(q.parts.values()) for q in packed]
    shape = tuple(packed[0].shape)

    def weight(i: int) -> Tensor:
        with torch.no_grad():  # also where x wants a gradient: compiled once
            return function(parts[i % len(parts)], levels, values, shape)

    return weight


Products = dict[str, Callable[[Tensor, int], Tensor]]


def products(
    weights: Sequence[Tensor], packed: Sequence[NF4Tensor], theirs: Sequence[Any]
) -> Products:
    """x, i -> x W^T with the i-th weight: from 4 bits, and from bf16 by torch's own product."""
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
    """x, i -> x W^T by the kernel that reads packed weights, and from a dequantized weight.

    `nf4_linear` is one of them, by the number of rows: kernels.ops.FEW_ROWS should say where the
    second gets faster.
    """
    from kernels.gpu.launch import matmul  # needs triton, which is not everywhere

    count = len(packed)
    return {
        "ours, packed": lambda x, i: matmul(x, packed[i % count]),
        "ours, dequantized": lambda x, i: F.linear(
            x, dequantize_nf4(packed[i % count], backend="triton")
        ),
    }


def their_matvec(theirs: Sequence[Any]) -> Callable[[Tensor, int], Tensor]:
    """x [1, in], i -> x W^T by bitsandbytes' kernel for one row, which has no gradient.

    Their `matmul_4bit` called it for one row once; in 0.50 it has a newer kernel for few rows.
    """
    functional = bitsandbytes().functional

    def product(x: Tensor, i: int) -> Tensor:
        codes, state = theirs[i % len(theirs)]
        return functional.gemv_4bit(x, codes, state=state)

    return product

"""NF4 in plain PyTorch, step by step: the specification.

`quantize_plainly` and `dequantize_plainly`, at the end, are made of one small function a step, each
with its formula. Every other implementation, in kernels/cpu and kernels/gpu, is compared with them
bit by bit. Shapes: n numbers, in b = ceil(n / block_size) blocks.

Source: Dettmers et al. 2023, "QLoRA", section 3 (arXiv 2305.14314); rounding as in the CUDA kernels
of bitsandbytes. All arithmetic is fp32, whatever the dtype of the weight.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kernels.nf4 import DYNAMIC_MAP, LEVELS, MIDPOINTS, PAD_CODE, THRESHOLDS, NF4Tensor


def in_blocks(x: Tensor, block_size: int) -> Tensor:
    """Cuts flat [n] into blocks [b, block_size], the last filled up with zeros."""
    missing = -x.numel() % block_size
    if missing:
        x = torch.nn.functional.pad(x, (0, missing))
    return x.view(-1, block_size)


def block_absmax(x: Tensor, block_size: int) -> Tensor:
    """absmax[j] = max |x[i]| over block j. fp32 [n] -> fp32 [b]; NaN and Inf come through."""
    return in_blocks(x, block_size).abs().amax(dim=1)


def reciprocal(absmax: Tensor) -> Tensor:
    """Returns 1 / absmax, but never Inf: for 0 and almost 0 it is the largest fp32 number.

    So zeros stay zeros when they are multiplied by it, and get code 7.
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
    """Returns the mean of [b] as an fp32 scalar; 0 if b is 0.

    It is summed in fp64, so that the order of the summands does not show unless they lie about 29
    bits apart.
    """
    mean = absmax.cpu().sum(dtype=torch.float64) / max(len(absmax), 1)
    return mean.to(absmax.device, torch.float32)


def quantize_scales(absmax: Tensor, block_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Double quantization: stores the b scales in 8 bits each.

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
    """Returns the scale of every block, fp32 [b], however it is stored."""
    if q.absmax is not None:
        return q.absmax
    assert q.absmax_codes is not None
    assert q.absmax_scale is not None
    assert q.absmax_offset is not None
    assert q.nested_block_size is not None
    return dequantize_scales(q.absmax_codes, q.absmax_scale, q.absmax_offset, q.nested_block_size)


def quantize_plainly(weight: Tensor, block_size: int, nested_block_size: int | None) -> NF4Tensor:
    """Returns weight, of any shape, in NF4; every number has to be finite."""
    x = weight.reshape(-1).float()
    absmax = block_absmax(x, block_size)
    codes = pack(encode(normalise(x, absmax, block_size)))
    nested = nested_block_size
    scales = (absmax,) if nested is None else quantize_scales(absmax, nested)
    return NF4Tensor.from_parts([codes, *scales], weight.shape, weight.dtype, block_size, nested)


def dequantize_plainly(q: NF4Tensor, dtype: torch.dtype) -> Tensor:
    """weight = LEVELS[code] * absmax[block], rounded to fp32 and then to `dtype`."""
    levels = LEVELS.to(q.device)[unpack(q.codes, q.numel).int()]  # fp32 [n]
    x = in_blocks(levels, q.block_size) * block_scales(q)[:, None]
    return x.flatten()[: q.numel].to(dtype).view(q.shape)


def check_finite(weight: Tensor, sample: Tensor) -> None:
    """Raises ValueError that names the first NaN or Inf of weight, if `sample` has one.

    `sample` is something short that is not finite when the weight is not, as its scales.
    """
    if torch.isfinite(sample).all():
        return
    flat = weight.reshape(-1)
    size = 2**20  # in pieces: the mask of a large weight takes much memory
    for start in range(0, len(flat), size):
        bad = torch.isfinite(flat[start : start + size]).logical_not().nonzero()
        if len(bad):
            position = start + int(bad[0])
            index = [int(i) for i in np.unravel_index(position, weight.shape)]
            raise ValueError(
                f"weight{index if index else ''} is {flat[position].item()}; NF4 can hold finite "
                "numbers only: replace it, with torch.nan_to_num for example"
            )

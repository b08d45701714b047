"""NF4 in plain PyTorch, one small function a step: the specification.

A tensor of n elements is flattened and cut into b = ceil(n / block_size) blocks. The first half of
this file quantizes and dequantizes it. The second half is double quantization, which stores the b
scales in 8 bits each. Every other implementation, in kernels/cpu and kernels/gpu, is compared with
`quantize_plainly` and `dequantize_plainly` bit by bit. Four elements that share one scale:

    >>> x = torch.tensor([1.0, -2.0, 0.2, 0.0])
    >>> absmax = block_absmax(x, block_size=4)
    >>> absmax
    tensor([2.])
    >>> normalise(x, absmax, block_size=4)
    tensor([ 0.5000, -1.0000,  0.1000,  0.0000])
    >>> codes = encode_nf4(normalise(x, absmax, block_size=4))
    >>> codes
    tensor([12,  0,  8,  7], dtype=torch.uint8)
    >>> [f"{byte:02x}" for byte in pack(codes)]
    ['c0', '87']
    >>> LEVELS[codes.int()] * absmax
    tensor([ 0.8814, -2.0000,  0.1592,  0.0000])

The 16 LEVELS and the 15 THRESHOLDS between them, DYNAMIC_MAP with its MIDPOINTS, and `NF4Tensor`,
which holds the result, are in nf4.py. All arithmetic is fp32, whatever the dtype of the weight, and
every operation is rounded by itself, as in the CUDA kernels of bitsandbytes.
Source: Dettmers et al. 2023, "QLoRA", section 3 (arXiv 2305.14314).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels.nf4 import DYNAMIC_MAP, LEVELS, MIDPOINTS, PAD_CODE, THRESHOLDS, NF4Tensor


def in_blocks(x: Tensor, block_size: int) -> Tensor:
    """Cuts flat [n] into blocks [b, block_size]; zeros fill up the last."""
    missing = -x.numel() % block_size
    return (F.pad(x, (0, missing)) if missing else x).view(-1, block_size)


def block_absmax(x: Tensor, block_size: int) -> Tensor:
    """absmax[j] = max |x[i]| over block j. fp32 [n] -> fp32 [b]; NaN and Inf come through."""
    return in_blocks(x, block_size).abs().amax(dim=1)


def reciprocal(absmax: Tensor) -> Tensor:
    """Returns 1 / absmax, at most the largest fp32 number.

    So a block of zeros stays 0 when it is multiplied by it (code 7), where 0 * Inf would be NaN.
    """
    return (1 / absmax).clamp(max=torch.finfo(torch.float32).max)


def normalise(x: Tensor, absmax: Tensor, block_size: int) -> Tensor:
    """y = x * (1 / absmax[block]), between -1 and 1. fp32 [n] and [b] -> fp32 [n]."""
    return (in_blocks(x, block_size) * reciprocal(absmax)[:, None]).flatten()[: x.numel()]


def encode_nf4(y: Tensor) -> Tensor:
    """code = how many of the 15 thresholds are below y. fp32 -> uint8 of the same shape."""
    code = torch.zeros_like(y, dtype=torch.uint8)
    for threshold in THRESHOLDS.tolist():
        code += y > threshold
    return code


def pack(codes: Tensor) -> Tensor:
    """byte[i] = 16 * code[2i] + code[2i + 1]: the first code goes into the upper half of the byte.

    uint8 [n] -> uint8 [ceil(n / 2)]. An odd n is filled up with code 7, the level 0.
    """
    pairs = F.pad(codes, (0, codes.numel() % 2), value=PAD_CODE).view(-1, 2)
    return 16 * pairs[:, 0] + pairs[:, 1]


def quantize_plainly(weight: Tensor, block_size: int, nested_block_size: int | None) -> NF4Tensor:
    """Returns weight, of any shape, in NF4; every weight must be finite.

    With a nested_block_size the scales are quantized too, by the second half of this file.
    """
    x = weight.reshape(-1).float()  # [n]
    absmax = block_absmax(x, block_size)  # [b]
    codes = pack(encode_nf4(normalise(x, absmax, block_size)))  # [ceil(n / 2)]
    if nested_block_size is None:
        return NF4Tensor(codes, weight.shape, weight.dtype, block_size, absmax)
    absmax_codes, absmax_scale, absmax_offset = quantize_scales(absmax, nested_block_size)
    return NF4Tensor(
        codes,
        weight.shape,
        weight.dtype,
        block_size,
        absmax_codes=absmax_codes,
        absmax_scale=absmax_scale,
        absmax_offset=absmax_offset,
        nested_block_size=nested_block_size,
    )


def unpack(packed: Tensor, n: int) -> Tensor:
    """code[2i] = byte[i] // 16, code[2i + 1] = byte[i] % 16. uint8 [ceil(n / 2)] -> uint8 [n]."""
    return torch.stack([packed >> 4, packed & 15], dim=1).flatten()[:n]


def dequantize_plainly(q: NF4Tensor, dtype: torch.dtype) -> Tensor:
    """weight = LEVELS[code] * absmax[block], rounded to fp32 and then to `dtype`."""
    levels = LEVELS.to(q.device)[unpack(q.codes, q.numel).int()]  # fp32 [n]
    x = in_blocks(levels, q.block_size) * block_scales(q)[:, None]  # [b, block_size]
    return x.flatten()[: q.numel].to(dtype).view(q.shape)


# Double quantization: the b scales are quantized in their turn, in blocks of nested_block_size.


def mean(absmax: Tensor) -> Tensor:
    """Returns the mean of [b], an fp32 scalar; 0 if there are no scales.

    It is summed in fp64, so that a CPU and a GPU, which add in different orders, round to the same
    fp32 number, unless the scales differ by a factor of about 2^29 / b.
    """
    total = absmax.cpu().sum(dtype=torch.float64)
    return (total / max(len(absmax), 1)).to(absmax.device, torch.float32)


def encode_scale(y: Tensor) -> Tensor:
    """code = how many of the 255 midpoints are below y, so DYNAMIC_MAP[code] is nearest to y.

    fp32 -> uint8 of the same shape. A midpoint itself gets the lower of its two codes.
    """
    return torch.bucketize(y, MIDPOINTS.to(y.device)).to(torch.uint8)


def quantize_scales(absmax: Tensor, nested_block_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Double quantization: stores the b scales in 8 bits each.

        offset   = mean of absmax
        centred  = absmax - offset
        scale[k] = max |centred[j]| over nested block k
        code     = the nearest of DYNAMIC_MAP to centred * (1 / scale[nested block])

    Returns:
        codes uint8 [b], scale fp32 [ceil(b / nested_block_size)], offset fp32 scalar.
    """
    offset = mean(absmax)
    centred = absmax - offset
    scale = block_absmax(centred, nested_block_size)
    return encode_scale(normalise(centred, scale, nested_block_size)), scale, offset


def dequantize_scales(
    codes: Tensor, scale: Tensor, offset: Tensor, nested_block_size: int
) -> Tensor:
    """absmax = DYNAMIC_MAP[code] * scale[nested block] + offset. uint8 [b] -> fp32 [b].

    The product and the sum are each rounded to fp32.
    """
    values = torch.index_select(DYNAMIC_MAP.to(codes.device), 0, codes.int())  # [b]
    products = in_blocks(values, nested_block_size) * scale[:, None]
    return products.flatten()[: codes.numel()] + offset


def block_scales(q: NF4Tensor) -> Tensor:
    """Returns the scale of every block, fp32 [b], however it is stored."""
    parts = q.parts
    if q.nested_block_size is None:
        return parts["absmax"]
    return dequantize_scales(
        parts["absmax_codes"], parts["absmax_scale"], parts["absmax_offset"], q.nested_block_size
    )

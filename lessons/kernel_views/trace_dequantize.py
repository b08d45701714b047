"""Traces how a kernel undoes both levels of NF4 in one launch, in Triton's interpreter.

    python -m lessons.kernel_views.trace_dequantize   # statements of block_scale and what they set

It dequantizes 16 weights in blocks of 4, of which 2 share a scale's scale: far fewer than the
library allows, so that all of it can be read.
"""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"  # Triton reads the variable when it is imported

import torch

from kernels.gpu.dequantize import Scales, block_scale, dequantize_kernel
from kernels.nf4 import DYNAMIC_MAP, LEVELS
from kernels.reference import (
    block_absmax,
    dequantize_scales,
    encode_nf4,
    normalise,
    pack,
    quantize_scales,
    unpack,
)
from lessons.kernel_views.trace import trace


def main() -> None:
    """Quantizes a few weights and their scales step by step, and dequantizes them in one launch."""
    torch.set_printoptions(precision=3)
    x = torch.randn(16, generator=torch.Generator().manual_seed(0))
    absmax = block_absmax(x, 4)  # [4]
    codes = pack(encode_nf4(normalise(x, absmax, 4)))  # [8]
    scales = quantize_scales(absmax, 2)  # codes [4], scale [2], offset
    print(f"absmax        {absmax}, which became")
    for name, part in zip(("absmax_codes", "absmax_scale", "absmax_offset"), scales, strict=True):
        print(f"{name:<13} {part!r}")
    out = torch.empty(16)
    parts = codes, LEVELS, Scales(None, *scales, DYNAMIC_MAP), out, 16
    sizes = {"BLOCK_SIZE": 4, "NESTED_BLOCK_SIZE": 2, "SIZE": 16}
    trace(lambda: dequantize_kernel[(1,)](*parts, **sizes), block_scale)
    expected = LEVELS[unpack(codes, 16).int()]
    expected = expected * dequantize_scales(*scales, 2).repeat_interleave(4)
    print(f"weights as step by step, in every bit: {torch.equal(out, expected)}")


if __name__ == "__main__":
    main()

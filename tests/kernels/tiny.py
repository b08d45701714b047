"""NF4 tensors that tests start from."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels import NF4Tensor, quantize_nf4


def random_nf4(n: int, block_size: int, nested_block_size: int | None) -> NF4Tensor:
    """Returns n numbers in NF4, filled at random: any codes are a valid input."""
    blocks = -(-n // block_size)
    codes = torch.randint(0, 256, ((n + 1) // 2,), dtype=torch.uint8)
    if nested_block_size is None:
        absmax = torch.randn(blocks).exp()
        absmax[blocks // 2] = 0.0
        scales = [absmax]
    else:
        scales = [torch.randint(0, 256, (blocks,), dtype=torch.uint8)]
        scales += [torch.rand(-(-blocks // nested_block_size)), torch.rand(())]
    return NF4Tensor.from_parts(
        [codes, *scales], [n], torch.float32, block_size, nested_block_size
    )  # fmt: skip


def linear_inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, NF4Tensor, Tensor, Tensor]:
    """Returns x [2, 3, 100], q of [48, 100], bias [48] and a gradient of the output [2, 3, 48]."""
    q = quantize_nf4(torch.randn(48, 100).to(dtype))
    x = torch.randn(2, 3, 100).to(dtype).requires_grad_()
    bias = torch.randn(48).to(dtype).requires_grad_()
    return x, q, bias, torch.randn(2, 3, 48).to(dtype)

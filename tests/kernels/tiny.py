"""A small weight in NF4 and what is multiplied with it."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels import NF4Tensor, quantize_nf4


def linear_inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, NF4Tensor, Tensor, Tensor]:
    q = quantize_nf4(torch.randn(48, 100).to(dtype))
    x = torch.randn(2, 3, 100).to(dtype).requires_grad_()
    bias = torch.randn(48).to(dtype).requires_grad_()
    return x, q, bias, torch.randn(2, 3, 48).to(dtype)

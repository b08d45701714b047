"""`nn.Linear`, fast on a CPU when a model generates text and multiplies one row at a time.

Generating a token with a KV cache multiplies every weight matrix by a single vector. That is little
arithmetic: the time goes into reading the weights from memory, once a token. For this product torch
calls a routine that runs on one core. Two others use all cores: a batched product of the matrix cut
into pieces, one for each core; and oneDNN, which is part of torch. On two cores they take a third
to two thirds of nn.Linear's time, oneDNN the least for large matrices that are taller than wide
(`minigpt bench generation` times whole models).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW_ROWS = 8  # with more rows the usual matrix product is as fast
LARGE = 2**20  # weights; from this size oneDNN is faster for matrices that are taller than wide
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """Computes x W^T + b, with a fast path for a few rows in fp32 on a CPU, without gradients."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps input [..., in] to [..., out]."""
        weight = self.weight
        if (
            torch.is_grad_enabled()
            or not 0 < input.numel() <= FEW_ROWS * self.in_features
            or input.device.type != "cpu"
            or not input.dtype == weight.dtype == torch.float32
            or not weight.is_contiguous()
            or torch.is_autocast_enabled("cpu")
            or torch.compiler.is_compiling()
        ):
            return F.linear(input, weight, self.bias)
        if HAS_ONEDNN and weight.numel() >= LARGE and self.out_features > self.in_features:
            return torch.ops.mkldnn._linear_pointwise(input, weight, self.bias, "none", [], "")
        return linear_in_pieces(input, weight, self.bias)


def linear_in_pieces(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Computes x W^T + b with W [out, in] cut into n pieces [out / n, in], multiplied side by side.

    It maps x [..., in] to [..., out], for any number of rows.
    """
    n_out, n_in = weight.shape
    n = pieces(n_out, torch.get_num_threads())
    rows = x.reshape(1, -1, n_in).expand(n, -1, -1)  # [n, R, in] the same rows for every piece
    y = torch.bmm(rows, weight.view(n, n_out // n, n_in).transpose(1, 2))  # [n, R, out / n]
    y = y.transpose(0, 1).reshape(*x.shape[:-1], n_out)  # [..., out] the pieces side by side
    return y if bias is None else y + bias


@cache
def pieces(n_out: int, n_threads: int) -> int:
    """Returns the smallest number of equal pieces of n_out rows that gives each thread one."""
    return next((n for n in range(n_threads, n_out) if n_out % n == 0), 1)

"""A linear layer that is fast when a model writes: one row of numbers at a time.

Writing a token with a KV cache multiplies every weight matrix with a single vector. Hardly anything
is computed; the time goes into reading the weights from memory, once a token. For that product
torch calls a routine that runs on one core of the processor. Two ways use all cores: cut the matrix
into pieces, one a core, which a batched product does; and oneDNN, which torch has on board as well.

Measured on two cores of an AMD EPYC (torch 2.13, fp32, one row), in microseconds:

    matrix [out, in]      nn.Linear   in pieces   oneDNN
    base model, 768 x 256        58          24       35
    base model, 1024 x 256       71          27       32
    base model, 256 x 1024       45          23       28
    base model, 4096 x 256      307         165      116

and in GB of weights read per second for GPT-2's: 768 x 768 19, 44, 35; 768 x 3072 23, 39, 32;
2304 x 768 16, 32, 37; 50257 x 768 18, 31, 41. Hence the rule below.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW_ROWS = 8  # more than that, and the usual matrix product is as fast
LARGE = 2**20  # weights; from here on oneDNN is faster for matrices that are taller than wide
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """nn.Linear, x W^T + b, with a fast path for a few rows in fp32 on a CPU, without gradients."""

    def forward(self, input: Tensor) -> Tensor:
        """input [..., in] -> [..., out]."""
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
    """x W^T + b with W [out, in] cut into n pieces [out / n, in] that are multiplied side by side.

    x [..., in] -> [..., out], for any number of rows.
    """
    n_out, n_in = weight.shape
    n = pieces(n_out, torch.get_num_threads())
    rows = x.reshape(1, -1, n_in).expand(n, -1, -1)  # [n, R, in] the same rows for every piece
    y = torch.bmm(rows, weight.view(n, n_out // n, n_in).transpose(1, 2))  # [n, R, out / n]
    y = y.transpose(0, 1).reshape(*x.shape[:-1], n_out)  # [..., out] the pieces side by side
    return y if bias is None else y + bias


@cache
def pieces(n_out: int, n_threads: int) -> int:
    """The smallest number of equal pieces of n_out rows that gives every thread one at least."""
    return next((n for n in range(n_threads, n_out) if n_out % n == 0), 1)

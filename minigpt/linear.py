"""A linear layer that is fast when a model writes: one row of numbers at a time.

Writing a token with a KV cache multiplies every weight matrix with a single vector. Hardly anything
is computed; the time goes into reading the weights from memory, once a token. On a CPU torch hands
that product to a routine that runs on one core. oneDNN, which torch has on board too, reads with
all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW_ROWS = 8  # more than that, and the usual matrix product is as fast
LARGE = 2**19  # weights; smaller matrices stay in the processor's cache, where one core suffices
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """nn.Linear, x W^T + b, with a fast path for a few rows in fp32 on a CPU, without gradients."""

    def forward(self, input: Tensor) -> Tensor:
        """input [..., in] -> [..., out]."""
        if (
            HAS_ONEDNN
            and input.device.type == "cpu"
            and input.dtype == self.weight.dtype == torch.float32
            and input.numel() <= FEW_ROWS * self.in_features
            and self.weight.numel() >= LARGE
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        ):
            return torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")
        return F.linear(input, self.weight, self.bias)

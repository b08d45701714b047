"""A bottleneck: a small network behind a frozen linear layer (Houlsby et al. 2019, figure 2).

    h <- h + W_up gelu(W_down h + b_down) + b_up         W_down [r, C], W_up [C, r], C the width

A layer may carry several bottlenecks, each with a name, of which at most one is active.
Source: Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP" (arXiv 1902.00751,
section 2.1; section 3.6 for how the weights start).
"""

from __future__ import annotations

import itertools
import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minigpt.config import is_whole
from minigpt.layers import check_name

INITS = ("identity", "normal", "zeros")
NORMAL_STD = 1e-2


def check_bottleneck(r: int, init: str = "identity") -> None:
    """Checks the settings of a bottleneck.

    Raises:
        ValueError: one of them is out of range.
    """
    if not is_whole(r) or r < 1:
        raise ValueError(
            f"r, the width of the bottleneck, must be a whole number of at least 1, got {r!r}"
        )
    if init not in INITS:
        raise ValueError(f"init must be one of {', '.join(INITS)}, got {init!r}")


class Bottleneck(nn.Module):
    """Computes h + W_up gelu(W_down h + b_down) + b_up, with GPT-2's form of gelu.

    Its parameters are fp32 whatever the model's are: they are few, and steps of training can be
    smaller than bf16 resolves. It computes in the number format of h.

    Args:
        n_embd: C, how many numbers h has.
        r: how many are left in the middle.
        init: how the matrices start; the biases start at zero. "identity" sets W_up to 0, so that
            nothing is added at first, to the bit, and draws W_down uniformly from +-1 / sqrt(C).
            "normal" draws both, as in the paper, with a standard deviation of 0.01, cut off at
            0.02. "zeros" is for weights that come from a file.

    Raises:
        ValueError: r or init is out of range.
    """

    def __init__(self, n_embd: int, r: int, init: str = "identity") -> None:
        super().__init__()
        check_bottleneck(r, init)
        self.r = r
        self.W_down = nn.Parameter(torch.zeros(r, n_embd, dtype=torch.float32))
        self.b_down = nn.Parameter(torch.zeros(r, dtype=torch.float32))
        self.W_up = nn.Parameter(torch.zeros(n_embd, r, dtype=torch.float32))
        self.b_up = nn.Parameter(torch.zeros(n_embd, dtype=torch.float32))
        if init == "identity":
            nn.init.uniform_(self.W_down, -1 / math.sqrt(n_embd), 1 / math.sqrt(n_embd))
        elif init == "normal":
            for matrix in (self.W_down, self.W_up):
                nn.init.trunc_normal_(matrix, std=NORMAL_STD, a=-2 * NORMAL_STD, b=2 * NORMAL_STD)

    def forward(self, h: Tensor) -> Tensor:
        """Maps h [..., C] to [..., C]."""
        z = F.linear(h, self.W_down.to(h.dtype), self.b_down.to(h.dtype))  # [..., r]
        z = F.gelu(z, approximate="tanh")
        return h + F.linear(z, self.W_up.to(h.dtype), self.b_up.to(h.dtype))  # [..., C]

    def extra_repr(self) -> str:
        return f"r={self.r}"


class BottleneckLinear(nn.Module):
    """A frozen linear layer with the active one of its bottlenecks behind it: bottleneck(base(x)).

    Args:
        base: a linear layer, or another module with in_features and out_features that is called
            the same way, such as a layer that keeps its weight in 4 bits.
    """

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.in_features = cast(int, base.in_features)
        self.out_features = cast(int, base.out_features)
        self.bottlenecks = nn.ModuleDict()
        self.active: str | None = None
        self.base = base
        base.requires_grad_(False)
        self.train(base.training)

    def add_bottleneck(self, name: str, r: int, init: str = "identity") -> None:
        """Gives the layer one more bottleneck and makes it active."""
        check_name(name)
        bottleneck = Bottleneck(self.out_features, r, init)
        held = next(itertools.chain(self.base.parameters(), self.base.buffers()), None)
        # Random numbers are drawn on the CPU: a seed gives the same start on every device.
        self.bottlenecks[name] = bottleneck if held is None else bottleneck.to(held.device)
        self.set_active(name)

    def set_active(self, name: str | None) -> None:
        """Uses and trains this bottleneck alone, which the layer must have; None uses none."""
        self.active = name
        for other, bottleneck in self.bottlenecks.items():
            bottleneck.requires_grad_(other == name)

    def forward(self, input: Tensor) -> Tensor:
        """Maps input [..., in] to [..., out]."""
        h = cast(Tensor, self.base(input))
        return h if self.active is None else cast(Tensor, self.bottlenecks[self.active](h))

    def extra_repr(self) -> str:
        return f"active={self.active}"

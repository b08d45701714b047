"""A frozen linear layer with small trainable matrices beside it (Hu et al. 2021, equation 3).

    h = W_0 x + (alpha / r) B A x        W_0 [out, in] frozen; A [r, in] and B [out, r] are trained

What fine-tuning changes in a weight has a low rank, the paper finds, so a product of two thin
matrices can hold it. GPT-2's c_attn, 2304 x 768, has 1.77 million weights; its A and B with r = 8
have 8 (768 + 2304) = 24,576. The code works on rows, x [..., in], so it says x A^T B^T.

A layer may carry several adapters, each a pair A and B with a name, of which at most one is active.
Sources: Hu et al. 2021, "LoRA" (arXiv 2106.09685, section 4.1); microsoft/LoRA for how A and B
start; Kalajdzievski 2023, "A Rank Stabilization Scaling Factor" (arXiv 2312.03732).
"""

from __future__ import annotations

import itertools
import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minigpt.config import is_number, is_whole
from minigpt.fast.low_rank import add_low_rank, autocast_once  # add_low_rank_plainly, faster
from minigpt.layers import check_name

INITS = ("kaiming", "gaussian", "zeros")
LARGEST_ALPHA = 1e6  # far beyond any in use; fp32 can multiply by it


def add_low_rank_plainly(y: Tensor, x: Tensor, A: Tensor, B: Tensor, scaling: float) -> Tensor:
    """Returns y + scaling * (x A^T B^T), equation 3 for rows; y is W_0 x.

    LoRALinear calls add_low_rank of fast/, which gives the same in fewer passes over memory.

    Args:
        y: [..., out]; x: [..., in]; A: [r, in]; B: [out, r].
    """
    z = x @ A.T  # [..., r]
    return y + scaling * (z @ B.T)  # [..., out]


class Adapter(nn.Module):
    """The matrices A [r, in] and B [out, r] of one adapter in one layer, and its settings.

    B starts at zero, so that the model starts as it was. A must not start at zero too: the gradient
    of each contains the other, so neither would ever move. A is uniform in +-1 / sqrt(in)
    ("kaiming", as in microsoft/LoRA), normal with the deviation 1 / r ("gaussian"), or zero for
    numbers that come from a file ("zeros"). Both are fp32 whatever the layer's weights are: they
    are small, and steps of training can be smaller than bf16 resolves.

    Attributes:
        scaling: alpha / r; rank_stabilized: alpha / sqrt(r), with which the size of what is added
            does not fall as r grows (Kalajdzievski 2023, theorem 3.2).

    Raises:
        ValueError: r, alpha, dropout or init is out of range.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        r: int,
        alpha: float,
        dropout: float = 0.0,
        rank_stabilized: bool = False,
        init: str = "kaiming",
    ) -> None:
        super().__init__()
        check_settings(r, alpha, dropout, init)
        check_rank(r, in_features, out_features, "this layer")
        self.r, self.alpha, self.dropout = r, alpha, dropout
        self.rank_stabilized = rank_stabilized
        self.scaling = alpha / (math.sqrt(r) if rank_stabilized else r)
        self.lora_A = nn.Parameter(torch.zeros(r, in_features, dtype=torch.float32))
        self.lora_B = nn.Parameter(torch.zeros(out_features, r, dtype=torch.float32))
        if init == "kaiming":
            nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))  # sqrt(6 / (1 + 5) / in)
        elif init == "gaussian":
            nn.init.normal_(self.lora_A, std=1 / r)

    def extra_repr(self) -> str:
        return f"r={self.r}, alpha={self.alpha}, dropout={self.dropout}, scaling={self.scaling:g}"


class LoRALinear(nn.Module):
    """base(x) + scaling * dropout(x) A^T B^T, with the A, B and scaling of the active adapter.

    Args:
        base: a linear layer, or anything with in_features, out_features and the same way to be
            called, such as a layer that keeps its weight in 4 bits. It is frozen.
        r: the rank of B A, from 1 to min(in, out).
        alpha, dropout, rank_stabilized, init: see Adapter. Dropout acts on the adapter's input
            only, and only in training; base sees all of x.
        name: of the first adapter.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        base: nn.Module,
        r: int,
        alpha: float,
        dropout: float = 0.0,
        *,
        name: str = "default",
        rank_stabilized: bool = False,
        init: str = "kaiming",
    ) -> None:
        super().__init__()
        self.in_features = cast(int, base.in_features)
        self.out_features = cast(int, base.out_features)
        self.adapters = nn.ModuleDict()
        self.active: str | None = None
        self.original: Tensor | None
        self.register_buffer("original", None, persistent=False)  # W_0 while merged
        self.base = base
        self.add_adapter(name, r, alpha, dropout, rank_stabilized, init)
        base.requires_grad_(False)
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """Returns base(x) + scaling * (dropout(x) A^T B^T): x [..., in] -> [..., out]."""
        if self.merged and self.training and torch.is_grad_enabled():
            raise ValueError("the adapter is merged and cannot be trained; call unmerge_lora first")
        if self.merged or self.active is None:
            return cast(Tensor, self.base(x))
        x, p = autocast_once(x), self.adapter().dropout
        dropped = F.dropout(x, p, self.training) if p else x
        return add_low_rank(self.base(x), dropped, self.lora_A, self.lora_B, self.scaling)

    @property
    def lora_A(self) -> nn.Parameter:  # noqa: N802 (the paper's name)
        """Returns A of the active adapter, [r, in]."""
        return self.adapter().lora_A

    @property
    def lora_B(self) -> nn.Parameter:  # noqa: N802
        """Returns B of the active adapter, [out, r]."""
        return self.adapter().lora_B

    @property
    def scaling(self) -> float:
        """Returns the factor of B A x in the active adapter, alpha / r."""
        return self.adapter().scaling

    def adapter(self) -> Adapter:
        """Returns the active adapter.

        Raises:
            ValueError: there is none.
        """
        if self.active is None:
            names = ", ".join(self.adapters)
            raise ValueError(
                f"no adapter of this layer is active; it has {names}: choose one with set_lora"
            )
        return cast(Adapter, self.adapters[self.active])

    def add_adapter(self, name: str, r: int, alpha: float, *settings: Any) -> None:
        """Gives the layer one more adapter (the settings as for Adapter) and makes it active."""
        check_name(name)
        adapter = Adapter(self.in_features, self.out_features, r, alpha, *settings)
        # A layer in 4 bits has no parameters, only buffers. Random numbers are drawn on the CPU, so
        # that the same seed starts the same on every device.
        stored = next(itertools.chain(self.base.parameters(), self.base.buffers()), None)
        self.adapters[name] = adapter if stored is None else adapter.to(stored.device)
        self.set_active(name)

    def set_active(self, name: str | None) -> None:
        """Makes this adapter the only one that is used and trained; none, if the layer lacks it."""
        self.active = name if name is not None and name in self.adapters else None
        for other, adapter in self.adapters.items():
            adapter.requires_grad_(other == self.active)

    @property
    def merged(self) -> bool:
        """Returns whether the base's weight is W_0 + scaling B A at the moment."""
        return self.original is not None

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        """Returns W_0 + scaling B A [out, in], added in fp32 at least, in the base's number format.

        Raises:
            ValueError: no adapter is active, or the base has no weight that can be added to.
        """
        adapter, weight = self.adapter(), getattr(self.base, "weight", None)
        if not isinstance(weight, Tensor) or not weight.is_floating_point():
            raise ValueError(
                f"{type(self.base).__name__} has no plain weight to merge into; one in 4 bits "
                "would be rounded again, which loses most of a small change: merge into a copy "
                "of the model after minigpt.qlora.dequantize_model (and remove_bottlenecks)"
            )
        w_0 = weight.to(torch.promote_types(weight.dtype, torch.float32))
        A, B = (m.to(w_0.dtype) for m in (adapter.lora_A, adapter.lora_B))
        return torch.addmm(w_0, B, A, alpha=adapter.scaling).to(weight.dtype)

    def merge(self, weight: Tensor) -> None:
        """Computes with weight, which merged_weight gave, and remembers W_0."""
        self.original, self.base.weight.data = self.base.weight.data, weight  # type: ignore[assignment]

    def unmerge(self) -> None:
        """Puts W_0 back, bit for bit."""
        self.base.weight.data, self.original = self.original, None  # type: ignore[assignment]

    def extra_repr(self) -> str:
        return f"active={self.active}, merged={self.merged}"


def check_settings(r: int, alpha: float, dropout: float, init: str = "kaiming") -> None:
    """Makes sure that these can be the settings of an adapter, for a layer of any size.

    Raises:
        ValueError: one is out of range.
    """
    if not is_whole(r) or r < 1:
        raise ValueError(f"r must be a whole number of at least 1, got {r!r}")
    if not is_number(alpha) or not 0 < alpha <= LARGEST_ALPHA:
        raise ValueError(
            f"alpha must be above 0 and at most {LARGEST_ALPHA:,.0f}, got {alpha!r:.40}"
        )
    if not is_number(dropout) or not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, got {dropout!r:.40}")
    if init not in INITS:
        raise ValueError(f"init must be one of {', '.join(INITS)}, got {init!r}")


def check_rank(r: int, in_features: int, out_features: int, where: str) -> None:
    """Makes sure that B A can have the rank r: [out, r] times [r, in] has at most min(in, out).

    Raises:
        ValueError: r is greater than that.
    """
    if r > min(in_features, out_features):
        raise ValueError(
            f"r must be from 1 to {min(in_features, out_features)} for {where}, whose weight is "
            f"[{out_features}, {in_features}], got {r}"
        )

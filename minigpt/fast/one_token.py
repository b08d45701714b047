"""`GPT.forward` for one new token a row behind a cache, in far fewer calls from Python.

Where a model is small, a new token takes longer to organise than to compute: modules call modules,
and each asks what it is given. Here the weights are looked up once, before a text is written, and a
token is a flat list of torch's functions. They are those that the model calls, on the same numbers,
so the scores are the same, bit for bit. Whatever else is asked for, the model answers. `minigpt
bench generation` times whole models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import _has_any_global_hook

from minigpt.fast.attention import fused_attention
from minigpt.fast.linear import FEW_ROWS, ONE_ROW, PIECES, PLAIN, WAYS, can_choose, pieces

Map = Callable[[Tensor], Tensor]  # [B, 1, in] -> [B, 1, out]


class BlockMaps(NamedTuple):
    """What a block does to x [B, 1, C], beside attention and the residual stream."""

    ln_1: Map
    c_attn: Map
    attn_proj: Map
    ln_2: Map
    c_fc: Map
    mlp_proj: Map


class OneToken:
    """Computes what the model does for one new token a row; is called as the model is.

    Args:
        model: a GPT in evaluation mode, whose layers are all its own (see are_plain).
    """

    def __init__(self, model: Any) -> None:
        self.model, self.config = model, model.config
        self.embeddings = model.transformer["wte"].weight, model.transformer["wpe"].weight
        self.recorded = [block.attn.recorded for block in model.blocks()]
        self.blocks = [
            BlockMaps(
                norm(block.ln_1),
                linear(block.attn.c_attn),
                linear(block.attn.c_proj),
                norm(block.ln_2),
                linear(block.mlp.c_fc),
                linear(block.mlp.c_proj),
            )
            for block in model.blocks()
        ]
        self.ln_f, self.lm_head = norm(model.transformer["ln_f"]), linear(model.lm_head)

    def __call__(
        self, idx: Tensor, *, cache: Any = None, last_only: bool = False, **packed: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Returns the logits [B, 1, V] after idx [B, 1] and None; else what the model returns."""
        if (
            idx.size(1) > 1
            or len(idx) > FEW_ROWS
            or cache is None
            or packed
            or torch.is_autocast_enabled(idx.device.type)
            or self.recorded[0].maps is not None
        ):
            return self.model(idx, cache=cache, last_only=last_only, **packed)
        B, H, C = len(idx), self.config.n_head, self.config.n_embd
        wte, wpe = self.embeddings
        x = F.embedding(idx, wte) + wpe[cache.length]  # [B, 1, C]
        for layer, block in enumerate(self.blocks):
            # With one token there is no dimension T to move behind the heads.
            q, k, v = block.c_attn(block.ln_1(x)).view(B, 3, H, 1, -1).unbind(1)  # [B, H, 1, D]
            k, v = cache[layer].append(k, v)  # [B, H, n + 1, D]
            x = x + block.attn_proj(fused_attention(q, k, v).reshape(B, 1, C))  # [B, 1, C]
            x = x + block.mlp_proj(F.gelu(block.c_fc(block.ln_2(x)), approximate="tanh"))
        return self.lm_head(self.ln_f(x)), None


def norm(layer: nn.LayerNorm) -> Map:
    """Returns the layer as a function."""
    shape, weight, bias, eps = layer.normalized_shape, layer.weight, layer.bias, layer.eps
    return lambda x: torch.layer_norm(x, shape, weight, bias, eps)


def linear(layer: nn.Linear) -> Map:
    """Returns the layer as a function for a few rows, in the way that is chosen for its shape."""
    weight, bias = layer.weight, layer.bias
    chosen = ONE_ROW.get(weight.shape, PLAIN) if can_choose(weight.detach(), weight) else PLAIN
    if chosen == PIECES:
        return linear_cut_once(weight, bias)
    way = WAYS[chosen]
    return lambda x: way(x, weight, bias)


def linear_cut_once(weight: Tensor, bias: Tensor | None) -> Map:
    """Returns linear_in_pieces for this layer, with the weight [out, in] cut into n pieces here."""
    n_out, n_in = weight.shape
    n = pieces(n_out, torch.get_num_threads())
    cut = weight.view(n, n_out // n, n_in).transpose(1, 2)  # [n, in, out / n]

    def multiply(x: Tensor) -> Tensor:
        B = len(x)
        y = torch.bmm(x.reshape(1, B, n_in).expand(n, B, n_in), cut)  # [n, B, out / n]
        y = y.view(1, 1, n_out) if B == 1 else y.transpose(0, 1).reshape(B, 1, n_out)
        return y if bias is None else y + bias

    return multiply


def are_plain(layers: Iterable[nn.Module], kinds: set[type]) -> bool:
    """Returns whether all layers are of these kinds, and nobody watches or changes their calls."""
    return not _has_any_global_hook() and all(
        type(layer) in kinds
        and "forward" not in vars(layer)
        and not (layer._forward_hooks or layer._forward_pre_hooks)
        for layer in layers
    )

"""Measures how much attention the first token of a text gets, and what it hands over for it.

Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks", found that language
models look at the first token of a text far more than its meaning explains (figure 2).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from minigpt import GPT
from minigpt.model import record_attention


class Sink(NamedTuple):
    """What the first token gets and gives in each layer.

    Attributes:
        share: [n_layer, B], the share of its attention that the last token of each text gives to
            the first, averaged over the heads.
        length: [n_layer, B], how long the value of the first token is, as a multiple of the mean
            length of the others' values, averaged over the heads.
    """

    share: Tensor
    length: Tensor


@torch.no_grad()
def measure_sink(model: GPT, idx: Tensor) -> Sink:
    """Returns what the first token of each text of idx [B, T] gets and gives; T is at least 2."""
    values: list[Tensor] = []
    B, T = idx.shape

    def keep_values(layer: object, inputs: object, qkv: Tensor) -> None:
        v = qkv.chunk(3, dim=-1)[2]  # [B, T, C]
        values.append(v.view(B, T, model.config.n_head, -1).float().norm(dim=-1))  # [B, T, H]

    hooks = [block.attn.c_attn.register_forward_hook(keep_values) for block in model.blocks()]
    try:
        with record_attention(model) as maps:
            model(idx)
    finally:
        for hook in hooks:
            hook.remove()
    share = torch.stack([weights[:, :, -1, 0].float().mean(1) for weights in maps])  # [n_layer, B]
    lengths = torch.stack(values)  # [n_layer, B, T, H]
    ratio = lengths[:, :, 0] / lengths[:, :, 1:].mean(2)  # [n_layer, B, H]
    return Sink(share.cpu(), ratio.mean(2).cpu())

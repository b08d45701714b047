"""`model.masked_attention` without its weights, which torch's fused kernels never store.

On a CPU the fused kernel's backward pass is slow in bf16, so attention is written out there in
training.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

LONGEST_WRITTEN_OUT = 512  # queries; with more, the weights [Tq, Tk] take too much memory


def fused_attention(
    q: Tensor, k: Tensor, v: Tensor, causal: bool = True, mask: Tensor | None = None
) -> Tensor:
    """Returns the values of masked_attention, [B, H, Tq, D], for the same arguments."""
    n_queries, n_keys = q.size(-2), k.size(-2)
    causal = causal and mask is None and n_queries > 1  # the newest token alone sees every key
    if causal and n_queries < n_keys:
        mask = torch.ones(n_queries, n_keys, dtype=torch.bool, device=q.device)
        mask, causal = mask.tril(diagonal=n_keys - n_queries), False
    learning = q.requires_grad or k.requires_grad
    if learning and q.is_cpu and q.dtype == torch.bfloat16 and n_queries <= LONGEST_WRITTEN_OUT:
        return _written_out(q, k, v, causal, mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)


def _written_out(q: Tensor, k: Tensor, v: Tensor, causal: bool, mask: Tensor | None) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # [B, H, Tq, Tk]
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return F.softmax(scores, dim=-1) @ v

"""A GPT-2 decoder: token ids in, a score for every possible next token out.

Read it from the top: masked attention as three lines of arithmetic, then the layer that makes
queries, keys and values, the two-layer MLP, the block that joins them, and the whole model.
The names of modules and weights are those of GPT-2 in the transformers library, so published
weights drop in (see pretrained.py). In the comments B is the batch, T the number of tokens, C the
width n_embd, H the number of heads, D = C / H the size of one head, V the vocabulary.

Sources: Vaswani et al. 2017, "Attention Is All You Need" (equation 1, section 3.2);
Radford et al. 2019 (GPT-2: norms before the layers, section 2.3); Hendrycks and Gimpel 2016 (GELU).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from minigpt import generation
from minigpt.config import GPTConfig
from minigpt.dataset import IGNORE, check_ids
from minigpt.fast.cross_entropy import linear_cross_entropy
from minigpt.fast.linear import Linear

if TYPE_CHECKING:
    from minigpt.generation import KVCache, LayerCache
    from minigpt.soft_prompts.layer import Prefix


def causal_mask(n_queries: int, n_keys: int, device: torch.device | None = None) -> Tensor:
    """Who may look at whom: entry [i, j] is True where query i may see key j.

    The last query stands at the last key; each query sees its own position and all before it.
    With as many queries as keys this is the lower triangle.

    Returns:
        bool [n_queries, n_keys].
    """
    mask = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    return mask.tril(diagonal=n_keys - n_queries)


def segment_mask(segments: Tensor, n_queries: int, n_before: int = 0) -> Tensor:
    """`causal_mask` for rows that hold several texts: no text may look into another.

    Args:
        segments: [B, T], the number of the text that each key belongs to, as 0 0 0 1 1 2.
        n_before: keys before those of segments, which every text may see.

    Returns:
        bool [B, 1, n_queries, n_before + T], the same for all heads; the queries are the last
        n_queries.
    """
    same = segments[:, -n_queries:, None] == segments[:, None, :]  # [B, Tq, T]
    mask = (same & causal_mask(n_queries, segments.size(1), segments.device))[:, None]
    return F.pad(mask, (n_before, 0), value=True)


def masked_attention(
    q: Tensor, k: Tensor, v: Tensor, causal: bool = True, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(q k^T / sqrt(D)) v, written out (Vaswani et al., equation 1).

    Args:
        q: queries [B, H, Tq, D]; k, v: keys and values [B, H, Tk, D], with Tk >= Tq.
        causal: hide from each query the keys that come after it.
        mask: another mask in place of the causal one, as segment_mask makes it.

    Returns:
        The mixed values [B, H, Tq, D] and the weights [B, H, Tq, Tk], each row of which sums to 1.
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # [B, H, Tq, Tk]
    if causal and mask is None:
        mask = causal_mask(q.size(-2), k.size(-2), q.device)  # [Tq, Tk]
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))  # exp(-inf) = 0: no weight at all
    weights = F.softmax(scores, dim=-1)  # [B, H, Tq, Tk]
    return weights @ v, weights  # [B, H, Tq, D]


def fused_attention(
    q: Tensor, k: Tensor, v: Tensor, causal: bool = True, mask: Tensor | None = None
) -> Tensor:
    """The values of masked_attention from torch's fused kernel.

    Same arguments and result, except that the [Tq, Tk] weights are never stored and so cannot be
    returned.

    On a CPU the fused kernel's way back is slow in bf16. There the written out form trains: 1.5
    instead of 14.6 ms forward and back for 64 rows of 35 tokens, 11 instead of 24 ms for 16 rows of
    256 (4 heads of 64; two cores of an AMD EPYC, torch 2.13). In fp32 the two are equally fast.
    """
    n_queries, n_keys = q.size(-2), k.size(-2)
    learning = q.requires_grad or k.requires_grad
    if q.dtype == torch.bfloat16 and learning and q.is_cpu and n_queries <= 512:
        return masked_attention(q, k, v, causal, mask)[0]
    if mask is not None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    if not causal or n_queries == 1:  # a single query is the newest token and sees every key
        return F.scaled_dot_product_attention(q, k, v)
    if n_queries == n_keys:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    mask = causal_mask(n_queries, n_keys, q.device)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def drop(x: Tensor, p: float, training: bool) -> Tensor:
    """In training, zero each number of x with probability p and divide the others by 1 - p.

    On a CPU F.dropout draws its random numbers one by one. Four of 16 bits from each of 64 take a
    third of the time; p is then rounded to a multiple of 1 / 65536.
    """
    if not training or p == 0.0:
        return x
    if not x.is_cpu or torch.compiler.is_compiling():
        return F.dropout(x, p)
    bits = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64).random_(-(2**63), None)
    number = bits.view(torch.int16)[: x.numel()].view(x.shape)  # from -32768 to 32767
    return torch.where(number >= round(p * 2**16) - 2**15, x / (1 - p), 0.0)


class CausalSelfAttention(nn.Module):
    """Multi-head self-attention: every token gathers what it needs from the tokens before it."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head, self.dropout = config.n_head, config.dropout
        self.c_attn = Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = Linear(config.n_embd, config.n_embd, bias=config.bias)

    def forward(
        self,
        x: Tensor,
        cache: LayerCache | None = None,
        causal: bool = True,
        attention_maps: list[Tensor] | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """x [B, T, C] -> [B, T, C]. See GPT.forward for cache, causal and attention_maps."""
        B, T, C = x.shape
        # One matrix makes q, k and v for all heads; head h owns numbers h*D to (h+1)*D of each.
        q, k, v = (
            part.view(B, T, self.n_head, -1).transpose(1, 2)  # [B, H, T, D]
            for part in self.c_attn(x).split(C, dim=-1)
        )
        if cache is not None:
            k, v = cache.append(k, v)  # [B, H, past + T, D]
        if attention_maps is None:
            y = fused_attention(q, k, v, causal, mask)  # [B, H, T, D]
        else:
            y, weights = masked_attention(q, k, v, causal, mask)
            attention_maps.append(weights)  # [B, H, T, past + T]
        y = y.transpose(1, 2).reshape(B, T, C)  # heads side by side again
        return drop(self.c_proj(y), self.dropout, self.training)


class MLP(nn.Module):
    """Two linear layers with GELU between: works on each token alone, four times as wide inside."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.c_fc = Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = Linear(4 * config.n_embd, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        x = F.gelu(self.c_fc(x), approximate="tanh")  # [B, T, 4C]; GPT-2 uses the tanh form
        return drop(self.c_proj(x), self.dropout, self.training)


class Block(nn.Module):
    """Attention, then the MLP; each reads a normalised copy and adds its result to the stream."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = MLP(config)

    def forward(
        self,
        x: Tensor,
        cache: LayerCache | None = None,
        causal: bool = True,
        attention_maps: list[Tensor] | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        x = x + self.attn(self.ln_1(x), cache, causal, attention_maps, mask)
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """The whole decoder: embeddings, n_layer blocks, a final norm, and the tied LM head.

    Attributes:
        soft_prompts: what soft_prompts.py puts there, trained vectors before every text; or None.
        gradient_checkpointing: in training, keep only what goes into each block and compute the
            block once more in the backward pass (Chen et al. 2016, "Training Deep Nets with
            Sublinear Memory Cost"). The gradients are the same, activations need far less memory,
            and a step takes a third longer, or half as long again with LoRA.
    """

    soft_prompts: nn.Module | None

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.transformer = nn.ModuleDict(
            {
                "wte": token_embedding,
                "wpe": nn.Embedding(config.block_size, config.n_embd),
                "h": nn.ModuleList(Block(config) for _ in range(config.n_layer)),
                "ln_f": nn.LayerNorm(config.n_embd, bias=config.bias),
            }
        )
        self.lm_head = Linear(config.n_embd, config.vocab_size, bias=False)
        self.reset_parameters()
        # One matrix turns ids into vectors and vectors into scores (Press and Wolf 2017).
        self.lm_head.weight = token_embedding.weight
        self.register_module("soft_prompts", None)
        self.gradient_checkpointing = False

    def reset_parameters(self) -> None:
        """GPT-2's start: normal weights with deviation 0.02, zero biases.

        The two projections of each block that add to the residual stream start smaller, by
        1 / sqrt(2 n_layer), so that the stream's variance does not grow with depth.
        """
        residual_std = 0.02 / math.sqrt(2 * self.config.n_layer)
        for name, module in self.named_modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                std = residual_std if name.removesuffix(".base").endswith("c_proj") else 0.02
                nn.init.normal_(module.weight, mean=0.0, std=std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        *,
        segments: Tensor | None = None,
        cache: KVCache | None = None,
        causal: bool = True,
        last_only: bool = False,
        loss_only: bool = False,
        attention_maps: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Scores for the token after each position, and the loss if the right answers are given.

        Args:
            idx: token ids [B, T].
            targets: ids of the tokens that should come next [B, T]; -100 means "do not count this".
            segments: the text that each token belongs to, [B, past + T] as 0 0 0 1 1 2, for rows
                that hold several. Each is read as if it were alone: its tokens see no other's, and
                their positions count from its own start. (Causal only.) If there are fewer than
                past + T, the first keys are a prefix that stands before every text.
            cache: keys and values of earlier tokens; idx then holds only the new ones, whose
                positions start at cache.length, and their keys and values are added to it. Without
                one, a soft prompt (if the model has one) stands there.
            causal: False lets every token see every other, which makes an encoder.
            last_only: score only the last position, all that generation needs.
            loss_only: compute the loss and keep no scores, all that training needs.
            attention_maps: an empty list to be filled with the attention weights [B, H, T, T] of
                each layer, computed the readable way, for looking at.

        Returns:
            logits [B, T, V] ([B, 1, V] with last_only; not to be used with loss_only), and the mean
            cross-entropy in nats over the targets that count, or None without targets.

        Raises:
            ValueError: idx is empty, longer than the context, or holds ids outside the vocabulary.
        """
        before = self.prefix() if cache is None else cache
        past = 0 if before is None else before.length
        self._check(idx, past, segments)
        T = idx.size(1)
        if segments is None:
            mask = None
            positions = torch.arange(past, past + T, device=idx.device)  # [T]
        else:
            mask = segment_mask(segments, T, past + T - segments.size(1))  # [B, 1, T, past + T]
            positions = mask.sum(-1).squeeze(1) - 1  # [B, T]: how many tokens it sees before itself
        x = self.transformer["wte"](idx) + self.transformer["wpe"](positions)  # [B, T, C]
        x = drop(x, self.config.dropout, self.training)
        for layer, block in enumerate(self.blocks()):
            others = (None if before is None else before[layer], causal, attention_maps, mask)
            if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
                x = checkpoint(block, x, *others, use_reentrant=False)
            else:
                x = block(x, *others)
        if last_only:
            x = x[:, -1:]  # [B, 1, C]
        if loss_only and targets is not None and not torch.compiler.is_compiling():
            counted = targets != IGNORE  # [B, T]
            x, targets = x[counted], targets[counted]  # [n, C], [n]
            if type(self.lm_head) is Linear:  # nothing beside it, and not in 4 bits
                x = self.transformer["ln_f"](x)
                loss = linear_cross_entropy(x, self.lm_head.weight, targets)
                return x.new_empty(0, self.config.vocab_size), loss
        logits = self.lm_head(self.transformer["ln_f"](x))  # [B, T, V]
        if targets is None:
            return logits, None
        loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORE)
        return logits, loss

    def prefix(self) -> Prefix | None:
        """The keys and values of the active soft prompt, which stand before every text."""
        return None if self.soft_prompts is None else self.soft_prompts.prefix(self)  # type: ignore[operator]

    def set_dropout(self, p: float) -> None:
        """Train with dropout p from now on, from 0 to below 1 as in GPTConfig."""
        self.config = replace(self.config, dropout=p)
        for module in self.modules():
            if isinstance(module, (CausalSelfAttention, MLP)):
                module.dropout = p

    def blocks(self) -> Iterator[Block]:
        """The blocks, first to last."""
        yield from self.transformer["h"]  # type: ignore[misc]

    def _check(self, idx: Tensor, past: int, segments: Tensor | None) -> None:
        if idx.dim() != 2 or idx.numel() == 0:
            raise ValueError(
                f"idx must hold at least one token in the shape [batch, tokens], "
                f"got {list(idx.shape)}"
            )
        needed, room = past + idx.size(1), self.config.block_size
        if needed > room and segments is not None:  # each may still fit
            longest = int((segments[:, :, None] == segments[:, None]).sum(-1).max())
            needed += longest - segments.size(1)
        if needed > room:
            front = f", {past} of them before idx," if past else ""
            raise ValueError(
                f"{needed} tokens{front} do not fit the context of block_size={room}; "
                f"pass the last {max(0, room - past)}"
            )
        # On a GPU this look would make every step wait for the device.
        if idx.device.type == "cpu" and not torch.compiler.is_compiling():
            check_ids(idx, self.config.vocab_size)

    @torch.inference_mode()
    def attention_maps(self, idx: Tensor) -> Tensor:
        """The attention weights of every layer for idx [B, T]: [n_layer, B, H, T, T]."""
        maps: list[Tensor] = []
        with generation.evaluation_mode(self):
            self(idx, attention_maps=maps)
        return torch.stack(maps)

    # model.generate(idx, ...) continues idx: its first parameter there, the model, is self here.
    generate = generation.generate

"""A GPT-2 decoder: token ids in, a score for every possible next token out.

Read it from the top: attention as a few lines of arithmetic, the layer that makes queries, keys and
values, the MLP, the block that joins the two, and the whole model. B is the batch, T the number of
tokens, n the number of earlier ones whose keys and values are at hand, C the width n_embd, H the
number of heads, D = C / H the size of one head, V the vocabulary.

The modules and weights are named as GPT-2's are in the transformers library, so that published
weights fit (pretrained/layout.py).

Sources: Vaswani et al. 2017, "Attention Is All You Need" (equation 1, section 3.2);
Radford et al. 2019 (GPT-2: norms before the layers, section 2.3); Hendrycks and Gimpel 2016 (GELU).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from minigpt.config import IGNORE, GPTConfig, check_ids
from minigpt.fast.attention import fused_attention  # masked_attention's values, faster
from minigpt.fast.cross_entropy import linear_cross_entropy  # in little memory
from minigpt.fast.dropout import dropout  # F.dropout, faster on a CPU
from minigpt.fast.linear import Linear  # nn.Linear, faster for a few rows
from minigpt.fast.one_token import OneToken, are_plain  # GPT.forward, faster for one token

if TYPE_CHECKING:
    from minigpt.cache import GatedPrefix, KVCache, LayerPast, Prefix


def causal_mask(n_queries: int, n_keys: int, device: torch.device | None = None) -> Tensor:
    """Says who may look at whom: entry [i, j] is True where query i may see key j.

    The last query stands at the last key; each query sees its own position and all before it.
    With as many queries as keys this is the lower triangle.

    Returns:
        bool [n_queries, n_keys].
    """
    mask = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    return mask.tril(diagonal=n_keys - n_queries)


def masked_attention(
    q: Tensor, k: Tensor, v: Tensor, causal: bool = True, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Computes softmax(q k^T / sqrt(D)) v (Vaswani et al., equation 1).

    Args:
        q: queries [B, H, Tq, D]; k, v: keys and values [B, H, Tk, D], with Tk >= Tq.
        causal: hide from each query the keys that come after it.
        mask: bool, True where a query may see a key; used in place of the causal mask if given.

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


class Visible(NamedTuple):
    """What the queries of a layer may look at.

    Attributes:
        past: this layer's keys and values of earlier tokens, [B, H, n, D], if there are any.
        causal: no token sees those after it; False makes an encoder.
        mask: bool [B, 1, T, n + T] in place of the causal rule, for rows that hold several texts.
        beside: trained keys and values that are looked at apart, if there are any.
    """

    past: LayerPast | None = None
    causal: bool = True
    mask: Tensor | None = None
    beside: GatedPrefix | None = None


class Recorded(threading.local):
    """Holds the list that `record_attention` fills in this thread, or None."""

    maps: list[Tensor] | None = None

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Recorded, ()  # a copy of the layer records for itself


ONLY_EARLIER = Visible()  # a decoder's rule: each token sees itself and those before it


class CausalSelfAttention(nn.Module):
    """Multi-head self-attention: a token gathers what it needs from itself and those before it."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head, self.dropout = config.n_head, config.dropout
        self.c_attn = Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)  # q, k and v
        self.c_proj = Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.recorded = Recorded()

    def forward(self, x: Tensor, visible: Visible = ONLY_EARLIER) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        B, T, C = x.shape
        q, k, v = (
            part.transpose(1, 2)  # [B, H, T, D]
            for part in self.c_attn(x).view(B, T, 3, self.n_head, -1).unbind(2)  # [B, T, H, D]
        )
        if visible.past is not None:
            k, v = visible.past.append(k, v)  # [B, H, n + T, D]
        if self.recorded.maps is None:
            y = fused_attention(q, k, v, visible.causal, visible.mask)  # [B, H, T, D]
        else:
            y, weights = masked_attention(q, k, v, visible.causal, visible.mask)
            self.recorded.maps.append(weights)  # [B, H, T, n + T]
        if visible.beside is not None:
            keys, values = (part.expand(B, -1, -1, -1) for part in visible.beside[:2])
            y = y + visible.beside.gate * fused_attention(q, keys, values, causal=False)
        y = y.transpose(1, 2).reshape(B, T, C)  # the heads side by side again
        return dropout(self.c_proj(y), self.dropout, self.training)


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
        return dropout(self.c_proj(x), self.dropout, self.training)


class Block(nn.Module):
    """Attention, then the MLP; each reads x, the *residual stream*, normalised, and adds to it."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, visible: Visible = ONLY_EARLIER) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        x = x + self.attn(self.ln_1(x), visible)
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """The whole decoder: embeddings, n_layer blocks, a final norm, and the tied LM head.

    Attributes:
        soft_prompts: trained vectors before every text, which soft_prompts/ puts there; or None.
        unused: ids without a token, which generation never chooses; load_pretrained fills it in.
        gradient_checkpointing: in training, keep only what goes into each block and compute the
            block once more in the backward pass (Chen et al. 2016, "Training Deep Nets with
            Sublinear Memory Cost"). The gradients are the same, activations need far less memory,
            and a step takes a third longer, or half as long again with LoRA.
    """

    soft_prompts: nn.Module | None

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.vocab_size, config.n_embd),  # of tokens
                "wpe": nn.Embedding(config.block_size, config.n_embd),  # of positions
                "h": nn.ModuleList(Block(config) for _ in range(config.n_layer)),
                "ln_f": nn.LayerNorm(config.n_embd, bias=config.bias),
            }
        )
        self.lm_head = Linear(config.n_embd, config.vocab_size, bias=False)
        self.reset_parameters()
        # One matrix turns ids into vectors and vectors into scores (Press and Wolf 2017).
        self.lm_head.weight = self.transformer["wte"].weight  # type: ignore[assignment]
        self.register_module("soft_prompts", None)
        self.gradient_checkpointing = False
        self.unused: Sequence[int] = ()

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        *,
        segments: Tensor | None = None,
        cache: KVCache | Prefix | None = None,
        causal: bool = True,
        last_only: bool = False,
        loss_only: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Scores the token after each position; computes the loss if the right ones are given.

        Args:
            idx: token ids [B, T].
            targets: ids of the tokens that should come next [B, T]; -100 means "do not count this".
            cache: keys and values of n earlier tokens; idx then holds only the new ones, whose
                positions start at n, and their keys and values are added to it, unless it is a
                Prefix. Without a cache, a soft prompt (if the model has one) stands there.
            segments: which text each token belongs to, [B, n + T] as 0 0 0 1 1 2, for rows that
                hold several texts. A token sees only its own text, and positions count from the
                start of each. If fewer than n + T are given, the keys in front of them are a prefix
                that every text sees. (Always causal.)
            causal: False lets every token see every other, which makes an encoder.
            last_only: score only the last position, which is all that generation needs.
            loss_only: compute the loss and keep no scores, which is all that training needs.

        Returns:
            logits [B, T, V] ([B, 1, V] with last_only; not to be used with loss_only), and the mean
            cross-entropy in nats over the targets that count, or None without targets.

        Raises:
            ValueError: idx is empty, longer than the context, or holds ids outside the vocabulary.
        """
        past = self.prefix() if cache is None else cache
        n = 0 if past is None else past.length
        self._check(idx, n, segments)
        T = idx.size(1)
        if segments is None:
            mask, positions = None, torch.arange(n, n + T, device=idx.device)  # [T]
        else:
            mask = segment_mask(segments, T, n + T - segments.size(1))  # [B, 1, T, n + T]
            positions = mask.sum(-1).squeeze(1) - 1  # [B, T]: the keys each sees before its own

        x = self.transformer["wte"](idx) + self.transformer["wpe"](positions)  # [B, T, C]
        x = dropout(x, self.config.dropout, self.training)
        beside = self.beside()
        for layer, block in enumerate(self.blocks()):
            before = None if past is None else past[layer]
            visible = Visible(before, causal, mask, None if beside is None else beside[layer])
            x = self._through(block, x, visible)  # [B, T, C]
        if last_only:
            x = x[:, -1:]  # [B, 1, C]
        if loss_only and targets is not None and not torch.compiler.is_compiling():
            return x.new_empty(0, self.config.vocab_size), self._loss_only(x, targets)
        logits = self.lm_head(self.transformer["ln_f"](x))  # [B, T, V]
        if targets is None:
            return logits, None
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
        return logits, loss

    def _loss_only(self, x: Tensor, targets: Tensor) -> Tensor:
        """Returns the loss of forward; x [B, T, C] is normed and scored only where it counts."""
        counted = targets != IGNORE  # [B, T]
        x, targets = self.transformer["ln_f"](x[counted]), targets[counted]  # [N, C], [N]
        if type(self.lm_head) is Linear:  # LoRA or 4 bits may stand in its place
            return linear_cross_entropy(x, self.lm_head.weight, targets)
        return F.cross_entropy(self.lm_head(x), targets)

    def _through(self, block: Block, x: Tensor, visible: Visible) -> Tensor:
        """Returns block(x, visible); keeps nothing of it for the backward pass if told so."""
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(block, x, visible, use_reentrant=False)
        return block(x, visible)

    def generate(
        self,
        idx: Tensor,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop_token: int | None = None,
        use_cache: bool = True,
        generator: torch.Generator | None = None,
        prefix: KVCache | Prefix | None = None,
        segments: Tensor | None = None,
        unused: Sequence[int] | None = None,
    ) -> Tensor:
        """Returns the prompts idx [B, T] with their continuations, [B, T + n]; see generation.py.

        n is at most max_new_tokens, and smaller only where stop_token has ended every row.
        """
        from minigpt.generation import generate

        sampling = (temperature, top_k, top_p, stop_token, use_cache, generator)
        return generate(self, idx, max_new_tokens, *sampling, prefix, segments, unused)

    def for_writing(self) -> GPT | OneToken:
        """Returns what computes forward(idx, cache=..., last_only=True), sooner for one new token.

        It is the model itself if a layer is of another kind than above or has a hook, or if trained
        keys and values stand beside the text.
        """
        kinds = {GPT, Block, CausalSelfAttention, MLP, Linear}
        kinds |= {nn.LayerNorm, nn.Embedding, nn.ModuleDict, nn.ModuleList}
        layers = [self, *self.transformer.modules(), self.lm_head]
        return OneToken(self) if are_plain(layers, kinds) and self.beside() is None else self

    def blocks(self) -> Iterator[Block]:
        """Yields the blocks, first to last."""
        yield from self.transformer["h"]  # type: ignore[misc]

    def prefix(self) -> Prefix | None:
        """Returns the keys and values of the active soft prompt, which stand before every text."""
        return None if self.soft_prompts is None else self.soft_prompts.prefix(self)  # type: ignore[operator]

    def beside(self) -> Sequence[GatedPrefix] | None:
        """Returns the keys and values that stand beside every text, for each layer, if any do."""
        return None if self.soft_prompts is None else self.soft_prompts.beside(self)  # type: ignore[operator]

    def reset_parameters(self) -> None:
        """Draws the weights as GPT-2 does: normal with deviation 0.02, biases zero.

        The two projections of each block that add to the residual stream start smaller, by
        1 / sqrt(2 n_layer), so that the stream's variance does not grow with depth.
        """
        residual_std = 0.02 / math.sqrt(2 * self.config.n_layer)
        for name, module in self.named_modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                name = name.removesuffix(".base")  # LoRALinear keeps the layer it wraps as .base
                std = residual_std if name.endswith("c_proj") else 0.02
                nn.init.normal_(module.weight, mean=0.0, std=std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def set_dropout(self, p: float) -> None:
        """Makes training use dropout p from now on, at least 0 and below 1."""
        self.config = replace(self.config, dropout=p)
        for module in self.modules():
            if isinstance(module, (CausalSelfAttention, MLP)):
                module.dropout = p

    def _check(self, idx: Tensor, n: int, segments: Tensor | None) -> None:
        if idx.dim() != 2 or idx.numel() == 0:
            raise ValueError(
                f"idx must hold at least one token in the shape [batch, tokens], "
                f"got {list(idx.shape)}"
            )
        needed, room = n + idx.size(1), self.config.block_size
        if needed > room and segments is not None:  # each text may still fit
            longest = int((segments[:, :, None] == segments[:, None]).sum(-1).max())
            needed += longest - segments.size(1)
        if needed > room:
            front = f", {n} of them before idx," if n else ""
            raise ValueError(
                f"{needed} tokens{front} do not fit the context of block_size={room}; "
                f"pass the last {max(0, room - n)}"
            )
        # On a GPU, reading idx back would make every step wait for the device.
        if idx.device.type == "cpu" and not torch.compiler.is_compiling():
            check_ids(idx, self.config.vocab_size)


def segment_mask(segments: Tensor, n_queries: int, n_before: int = 0) -> Tensor:
    """Makes the `causal_mask` of rows that hold several texts: no text may look into another.

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


@contextmanager
def record_attention(model: nn.Module) -> Iterator[list[Tensor]]:
    """Records what every attention layer looks at while the with-block runs.

        with record_attention(model) as maps:
            model(idx)  # maps now holds n_layer tensors [B, H, T, n + T], first layer first

    The layers compute by masked_attention meanwhile, the readable way. Other threads that use the
    model are neither recorded nor slowed down.
    """
    maps: list[Tensor] = []
    layers = [module for module in model.modules() if isinstance(module, CausalSelfAttention)]
    before = [layer.recorded.maps for layer in layers]
    for layer in layers:
        layer.recorded.maps = maps
    try:
        yield maps
    finally:
        for layer, held in zip(layers, before, strict=True):
            layer.recorded.maps = held

"""`GPT.forward` for one new token a row behind a cache, in far fewer calls from Python.

Where a model is small, a new token takes longer to organise than to compute: modules call modules,
and each asks what it is given. Here the weights are looked up once, before a text is written, and a
token is a flat list of torch's functions. They are those that the model calls, on the same numbers,
so the scores are the same, bit for bit. Whatever else is asked for, the model answers.

Where a model is large, a new token takes as long as reading the weights from memory, and torch's
products of a matrix and a single row read more slowly than the memory can deliver. one_token.c
computes the whole token as fast as it can be read. It is used on a CPU with a C compiler, if a
first token has shown that it is right and faster; it rounds in another order. `minigpt bench
generation` times whole models.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import _has_any_global_hook

from minigpt.cache import KVCache
from minigpt.fast import c_library
from minigpt.fast.attention import fused_attention
from minigpt.fast.linear import FEW_ROWS, FP32, ONE_ROW, PIECES, PLAIN, WAYS, can_choose, pieces
from minigpt.fast.measured import choose

LARGE = 2**26  # weights; a model with fewer writes a page in the time that compiling takes
IN_C = "c"
CHOSEN: dict[str, str] = {}  # the way of a token, by what it was measured on

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
        self.in_c: TokenInC | None = None
        n_weights = sum(parameter.numel() for parameter in model.parameters())
        self.undecided = n_weights >= LARGE  # about in_c, until a single row writes

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
        wte, wpe = self.embeddings
        x = F.embedding(idx, wte) + wpe[cache.length]  # [B, 1, C]
        if self.undecided and len(idx) == 1:
            self.in_c, self.undecided = fastest(self), False
        if self.in_c is not None and self.in_c.can_store(cache) and not torch.is_grad_enabled():
            return self.in_c.step(x, cache), None
        return self.step(x, cache), None

    def step(self, x: Tensor, cache: Any) -> Tensor:
        """Returns the logits [B, 1, V] after a token whose embedding is x [B, 1, C]."""
        B, H, C = len(x), self.config.n_head, self.config.n_embd
        for layer, block in enumerate(self.blocks):
            # With one token there is no dimension T to move behind the heads.
            q, k, v = block.c_attn(block.ln_1(x)).view(B, 3, H, 1, -1).unbind(1)  # [B, H, 1, D]
            k, v = cache[layer].append(k, v)  # [B, H, n + 1, D]
            x = x + block.attn_proj(fused_attention(q, k, v).reshape(B, 1, C))  # [B, 1, C]
            x = x + block.mlp_proj(F.gelu(block.c_fc(block.ln_2(x)), approximate="tanh"))
        return self.lm_head(self.ln_f(x))


class TokenInC:
    """Computes what OneToken.step does for a single row, by one_token.c.

    Args:
        model: a GPT as OneToken takes it, in fp32 on a CPU; see fits_c.
        library: one_token.c, loaded.
    """

    def __init__(self, model: Any, library: ctypes.CDLL) -> None:
        self.library, self.config = library, model.config
        self.weights: list[list[Tensor | None]] = []
        ln_f = model.transformer["ln_f"]
        self.eps, self.n_vocab = ln_f.eps, model.lm_head.out_features
        self.ln_f, self.lm_head = self.layer(ln_f), self.layer(model.lm_head)
        self.blocks = (c_library.Block * self.config.n_layer)()
        for addresses, block in zip(self.blocks, model.blocks(), strict=True):
            addresses.ln_1, addresses.ln_2 = self.layer(block.ln_1), self.layer(block.ln_2)
            addresses.c_attn = self.layer(block.attn.c_attn)
            addresses.attn_proj = self.layer(block.attn.c_proj)
            addresses.c_fc, addresses.mlp_proj = map(self.layer, (block.mlp.c_fc, block.mlp.c_proj))

    def layer(self, layer: Any) -> c_library.Layer:
        """Returns the addresses of a layer's weights, and keeps these in memory."""
        # A detached weight has the same memory, and keeps it where the layer is given another.
        held = [None if part is None else part.detach() for part in (layer.weight, layer.bias)]
        self.weights.append(held)
        return c_library.Layer(*(None if part is None else part.data_ptr() for part in held))

    def can_store(self, cache: Any) -> bool:
        """Returns whether a key and a value of each block fit behind those of the cache."""
        if type(cache) is not KVCache or not 0 < cache.length < cache[0].capacity:
            return False
        C, H = self.config.n_embd, self.config.n_head
        shape = (1, H, cache[0].capacity, C // H)
        return len(cache.layers) == self.config.n_layer and all(
            layer.length == cache.length
            and layer.keys.shape == layer.values.shape == shape
            and layer.keys.dtype == layer.values.dtype == torch.float32
            for layer in cache.layers
        )

    def step(self, x: Tensor, cache: KVCache) -> Tensor:
        """Returns the logits [1, 1, V] after a token whose embedding is x [1, 1, C].

        The token must fit into the cache (see can_store); x is overwritten.
        """
        n_layer, C, H = self.config.n_layer, self.config.n_embd, self.config.n_head
        blocks = type(self.blocks).from_buffer_copy(self.blocks)  # another thread may use these too
        for addresses, layer in zip(blocks, cache.layers, strict=True):
            addresses.keys, addresses.values = layer.keys.data_ptr(), layer.values.data_ptr()
        n, capacity, n_threads = cache.length, cache[0].capacity, torch.get_num_threads()
        scores = x.new_empty(1, 1, self.n_vocab)
        room = x.new_empty(c_library.room_for(C, capacity, n_threads))
        self.library.one_token(
            scores.data_ptr(), x.data_ptr(), blocks, n_layer, self.ln_f, self.lm_head,
            self.n_vocab, C, H, n, capacity, self.eps, room.data_ptr(), n_threads,
        )  # fmt: skip
        for layer in cache.layers:
            layer.length = n + 1
        return scores


def fastest(plain: OneToken) -> TokenInC | None:
    """Returns the model's token in C, if it is right and faster than the plain one; or None."""
    model, config, n_threads = plain.model, plain.config, torch.get_num_threads()
    library = c_library.compiled() if fits_c(model) else None
    if library is None:
        return None
    in_c = TokenInC(model, library)
    where = f"{config.n_layer} blocks of width {config.n_embd}, {in_c.n_vocab} tokens"
    where = f"a token, {where}, {n_threads} threads"
    if where not in CHOSEN:
        cache = KVCache(config.n_layer, capacity=2)
        x = torch.randn(1, 1, config.n_embd, generator=torch.Generator().manual_seed(0), **FP32)
        plain.step(x, cache)

        def timed(step: Callable[[Tensor, KVCache], Tensor]) -> Tensor:
            for layer in cache.layers:
                layer.length = 1
            return step(x.clone(), cache)

        ways = {PLAIN: lambda: timed(plain.step)}
        if are_close(timed(in_c.step), timed(plain.step)):
            ways[IN_C] = lambda: timed(in_c.step)
        CHOSEN[where] = choose("token", where, ways, enough=0.15)
    return in_c if CHOSEN[where] == IN_C else None


def are_close(found: Tensor, right: Tensor) -> bool:
    """Returns whether two rows of scores differ by no more than rounding does."""
    return bool((found - right).abs().max() <= 1e-4 * right.abs().max())


def fits_c(model: Any) -> bool:
    """Returns whether one_token.c can compute the model's tokens: all of it is fp32 on a CPU.

    And all of it is in memory, and all norms have weights and the same eps.
    """
    norms = [layer for layer in model.modules() if isinstance(layer, nn.LayerNorm)]
    weights = [parameter.detach() for parameter in model.parameters()]
    return (
        all(can_choose(weight, weight) and weight.data_ptr() for weight in weights)
        and all(layer.weight is not None for layer in norms)
        and len({layer.eps for layer in norms}) == 1
    )


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

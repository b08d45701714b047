"""Keys and values that stand before the tokens a model is reading.

A token attends to the keys and values of the tokens before it, and those do not change once they
have been computed. So they can be kept. A `KVCache` grows with the text that a model reads or
writes: each new token is read alone. A `Prefix` is fixed: keys and values that were trained, or
computed once, and that stand before every text.

For a model the two look alike: `cache[layer].append(k, v)` returns all keys and values that the
queries of that layer may see, and `cache.length` is the position of the first new token. In the
comments B is the batch, T the number of new tokens, n the number of earlier ones, H the number of
heads, D the size of one head.

Sources: Li and Liang 2021, "Prefix-Tuning" (arXiv 2101.00190) for prefixes; Zhang et al. 2023,
"LLaMA-Adapter" (arXiv 2303.16199, section 3.2) for those with a gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class LayerPast(Protocol):
    """What an attention layer needs to know of the tokens before those it is reading."""

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the keys and values [B, H, n + T, D] that end with k and v [B, H, T, D]."""
        ...


class LayerCache:
    """The keys and values of one layer, in buffers that are allocated once and filled in place."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.length = capacity, 0
        self.keys = self.values = torch.empty(0)  # [B, H, capacity, D] from the first append on

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Stores k and v [B, H, T, D] behind what is there and returns all of it, [B, H, n + T, D].

        The result is a view of the buffers, not a copy.

        Raises:
            ValueError: there is no room left, or the batch is not that of the first append.
        """
        B, H, T, D = k.shape
        end = self.length + T
        if end > self.capacity:
            raise ValueError(f"the cache has room for {self.capacity} tokens, not for {end}")
        if self.length == 0:
            self.keys, self.values = (part.new_empty(B, H, self.capacity, D) for part in (k, v))
        elif self.keys.size(0) != B:
            raise ValueError(
                f"the cache holds a batch of {self.keys.size(0)}, got keys for a batch of {B}"
            )
        self.keys.narrow(2, self.length, T).copy_(k)
        self.values.narrow(2, self.length, T).copy_(v)
        self.length = end
        return self.keys.narrow(2, 0, end), self.values.narrow(2, 0, end)


class KVCache:
    """The keys and values of every layer for the tokens that a model has read so far.

    It takes 2 n_layer n_embd numbers a token: 18,432 for GPT-2 small, 72 KiB in fp32.

    Args:
        n_layer: how many layers store something.
        capacity: the most tokens it can hold; memory for all of them is taken at the first append.
    """

    def __init__(self, n_layer: int, capacity: int) -> None:
        self.layers = [LayerCache(capacity) for _ in range(n_layer)]

    def __getitem__(self, layer: int) -> LayerCache:
        return self.layers[layer]

    @property
    def length(self) -> int:
        """Returns how many tokens it holds; the next one stands at this position."""
        return self.layers[-1].length

    def copy(self, batch_size: int, capacity: int) -> KVCache:
        """Returns a separate cache with the same contents and more room, for batch_size rows.

        The contents of a cache that was filled for a single row are repeated.
        """
        copy = KVCache(len(self.layers), capacity)
        for old, new in zip(self.layers, copy.layers, strict=True):
            if old.length:
                k, v = (part[:, :, : old.length] for part in (old.keys, old.values))
                new.append(k.expand(batch_size, -1, -1, -1), v.expand(batch_size, -1, -1, -1))
        return copy


class LayerPrefix(NamedTuple):
    """Keys and values of one layer, [1, H, n, D] each, that stand before those of every row."""

    keys: Tensor
    values: Tensor

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Returns k and v [B, H, T, D] behind the prefix, [B, H, n + T, D]; nothing is stored."""
        keys, values = (part.to(k.dtype).expand(len(k), -1, -1, -1) for part in self)
        return torch.cat([keys, k], dim=2), torch.cat([values, v], dim=2)


class GatedPrefix(NamedTuple):
    """Trained keys and values of one layer that stand beside a text, not before it.

    What a query finds there, by a softmax of its own, is added to its attention to the text. They
    take no position, and a gate of 0 adds nothing.

    Attributes:
        keys, values: [1, H, n, D].
        gate: what each head's share is multiplied by, [H, 1, 1].
    """

    keys: Tensor
    values: Tensor
    gate: Tensor


class Prefix:
    """Keys and values of every layer that stand before every text, one LayerPrefix a layer."""

    def __init__(self, layers: Sequence[LayerPrefix]) -> None:
        self.layers = list(layers)

    def __getitem__(self, layer: int) -> LayerPrefix:
        return self.layers[layer]

    @property
    def length(self) -> int:
        """Returns n; the text's first token stands at this position."""
        return self.layers[0].keys.size(2)

    def copy(self, batch_size: int, capacity: int) -> KVCache:
        """Returns a cache that begins with the prefix, for batch_size rows and capacity tokens."""
        cache = KVCache(len(self.layers), capacity)
        for layer, held in enumerate(self.layers):
            cache[layer].append(*(part.expand(batch_size, -1, -1, -1) for part in held))
        return cache

"""Builds the objects that some cases hand to a function: callables, models, configs.

`Made("affine", {"weight": W, "bias": b})` in a case travels as its kind and its numbers, and is
built where the submission runs, without minigpt. The grader builds the same for its reference.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn


class Config(types.SimpleNamespace):
    """Something with the attributes of GPTConfig or TrainConfig, which cannot be changed."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a config is frozen")

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def affine(weight: torch.Tensor, bias: torch.Tensor) -> Callable:
    """Returns the function x [..., C] -> x W^T + b."""
    return lambda x: x @ weight.T + bias


def earlier_mean(weight: torch.Tensor) -> Callable:
    """Returns a function shaped as attention: the mean of a token and earlier ones, times W^T."""

    def attend(x: torch.Tensor) -> torch.Tensor:  # [B, T, C] -> [B, T, C]
        count = torch.arange(1, x.size(1) + 1, dtype=x.dtype)[:, None]
        return (x.cumsum(1) / count) @ weight.T

    return attend


def linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    """Returns an nn.Linear that holds weight [out, in] and bias [out] or None."""
    layer = nn.Linear(weight.size(1), weight.size(0), bias=bias is not None, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def dequantizer(
    levels: torch.Tensor, scales: torch.Tensor, shape: list[int], dtype: str
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns the function codes [out * in] -> W [out, in]: a level times its row's scale."""

    def dequantize(codes: torch.Tensor) -> torch.Tensor:
        rows = levels[codes.long()].reshape(shape)
        return (rows * scales[:, None]).to(getattr(torch, dtype))

    return dequantize


def network(parts: dict[str, list], frozen: list[str], tied: dict[str, str]) -> nn.Module:
    """Returns a module with parts by their dotted names; nothing can be computed with it.

    Args:
        parts: {"wte": ["Embedding", 5, 3], "block.gain": ["Parameter", 3]}: a class of torch.nn
            with its arguments, or a bare parameter with its shape; in the order of the module.
        frozen: names of parameters.
        tied: {"head.weight": "wte.weight"}: the first is made the same parameter, or module, as the
            second.
    """
    root = nn.Module()

    def owner(path: str) -> tuple[nn.Module, str]:
        place, (*parents, name) = root, path.split(".")
        for parent in parents:
            if not hasattr(place, parent):
                place.add_module(parent, nn.Module())
            place = getattr(place, parent)
        return place, name

    for path, (kind, *sizes) in parts.items():
        place, name = owner(path)
        part = (
            nn.Parameter(torch.zeros(sizes)) if kind == "Parameter" else getattr(nn, kind)(*sizes)
        )
        setattr(place, name, part)
    for path, other in tied.items():
        setattr(*owner(path), getattr(*owner(other)))
    for path in frozen:
        getattr(*owner(path)).requires_grad_(False)
    return root


def byte_ranks(learned: list[bytes], shift: int = 0, backwards: bool = False) -> dict[bytes, int]:
    """Returns {token: id}; byte b has the id (b + shift) % 256, learned tokens follow from 256 on.

    They stand in the order of their ids, or the highest first.
    """
    singles = [bytes([(id - shift) % 256]) for id in range(256)]
    ranked = list(enumerate([*singles, *learned]))
    return {token: id for id, token in (reversed(ranked) if backwards else ranked)}


class TinyModel(nn.Module):
    """A made-up model, ids [B, T] -> logits [B, T, V], that behaves as a language model.

    The logits at t depend on all ids up to t, on their order and on how many they are, so that
    leaving out or adding any one changes them; never on ids after t or on other rows. More than
    block_size ids are refused.

    Args:
        vocab_size: V.
        block_size: the most ids that it reads.
        seed: another one, other logits.
    """

    n_states = 251  # a prime, so that no step of the state below forgets anything

    def __init__(self, vocab_size: int, block_size: int, seed: int) -> None:
        super().__init__()
        self.block_size = block_size
        dice = torch.Generator().manual_seed(seed)
        scores = torch.randn(self.n_states, vocab_size, generator=dice)  # [states, V]
        self.scores = nn.Parameter(scores, requires_grad=False)

    def forward(self, idx: torch.Tensor) -> torch.Tensor:
        """Returns logits [B, T, V]; ValueError for ids of another shape, unknown or too many."""
        if idx.dim() != 2 or not 1 <= idx.size(1) <= self.block_size:
            allowed = f"[B, 1 to {self.block_size}]"
            raise ValueError(f"the model reads ids {allowed}, got {list(idx.shape)}")
        if idx.numel() and not 0 <= int(idx.min()) <= int(idx.max()) < self.scores.size(1):
            raise ValueError(f"ids must be from 0 to {self.scores.size(1) - 1}, got {idx.tolist()}")
        state = torch.ones(len(idx), dtype=torch.int64)
        states = []
        for ids in idx.long().unbind(1):
            state = (31 * state + 17 * ids + 5) % self.n_states
            states.append(state)
        return self.scores[torch.stack(states, dim=1)]  # [B, T, V]


class OneTime:
    """Items that can be gone through once, as a generator's.

    It is not an iterator itself, so that packing the arguments of a call does not read it.
    """

    def __init__(self, items: list) -> None:
        self.rest = iter(items)

    def __iter__(self) -> Iterator[Any]:
        return self.rest


# kind: builds the object from its fields
MAKERS: dict[str, Callable[..., Any]] = {
    "config": Config,
    "affine": affine,
    "earlier_mean": earlier_mean,
    "linear": linear,
    "generator": OneTime,
    "byte_ranks": byte_ranks,
    "tiny_model": TinyModel,
    "network": network,
    "dequantizer": dequantizer,
}


def make(kind: str, content: Any) -> Any:
    """Returns an object of a case; `values.unpack` calls it."""
    if kind == "array":
        return content.tensor if content.of == "torch" else content.tensor.numpy()
    return MAKERS[kind](**content)

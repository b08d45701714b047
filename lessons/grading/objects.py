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


def generator(items: list) -> Iterator[Any]:
    """Yields items once: what can be read only one time."""
    yield from items


class Config(types.SimpleNamespace):
    """Something with the attributes of GPTConfig or TrainConfig, which cannot be changed."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a config is frozen")

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def affine(weight: torch.Tensor, bias: torch.Tensor) -> Callable:
    """x [..., C] -> x W^T + b."""
    return lambda x: x @ weight.T + bias


def earlier_mean(weight: torch.Tensor) -> Callable:
    """x [B, T, C] -> the mean of this token and those before it, times W^T: an attention's shape."""

    def attend(x: torch.Tensor) -> torch.Tensor:
        count = torch.arange(1, x.size(1) + 1, dtype=x.dtype)[:, None]
        return (x.cumsum(1) / count) @ weight.T

    return attend


def linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    """An nn.Linear that holds weight [out, in] and bias [out] or None."""
    layer = nn.Linear(weight.size(1), weight.size(0), bias=bias is not None, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def network(parts: dict[str, list], frozen: list[str], tied: dict[str, str]) -> nn.Module:
    """A module with parts by their dotted names, in that order; nothing can be computed with it.

    parts: {"wte": ["Embedding", 5, 3], "block.gain": ["Parameter", 3]}: a class of torch.nn with
    its arguments, or a bare parameter with its shape. frozen: names of parameters. tied:
    {"head.weight": "wte.weight"}: the first is made the same parameter, or module, as the second.
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


# kind: builds the object from its fields
MAKERS: dict[str, Callable[..., Any]] = {
    "generator": generator,
    "config": Config,
    "affine": affine,
    "earlier_mean": earlier_mean,
    "linear": linear,
    "network": network,
}


def make(kind: str, content: Any) -> Any:
    """Returns what stands in a case: `values.unpack` calls it."""
    if kind == "array":
        return content.tensor if content.of == "torch" else content.tensor.numpy()
    return MAKERS[kind](**content)

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


def dequantizer(
    levels: torch.Tensor, scales: torch.Tensor, shape: list[int], dtype: str
) -> Callable[[torch.Tensor], torch.Tensor]:
    """codes [out * in], uint8 -> W [out, in] in dtype: level of each code times its row's scale."""

    def dequantize(codes: torch.Tensor) -> torch.Tensor:
        rows = levels[codes.long()].reshape(shape)
        return (rows * scales[:, None]).to(getattr(torch, dtype))

    return dequantize


# kind: builds the object from its fields
MAKERS: dict[str, Callable[..., Any]] = {
    "generator": generator,
    "config": Config,
    "affine": affine,
    "earlier_mean": earlier_mean,
    "linear": linear,
    "dequantizer": dequantizer,
}


def make(kind: str, content: Any) -> Any:
    """Returns what stands in a case: `values.unpack` calls it."""
    if kind == "array":
        return content.tensor if content.of == "torch" else content.tensor.numpy()
    return MAKERS[kind](**content)

"""Parameters and steps on which PagedAdamW and torch.optim.AdamW are compared."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from minigpt.optim.paged_adamw import PagedAdamW


def some_parameters(dtype: torch.dtype = torch.float32, device: str = "cpu") -> list[nn.Parameter]:
    """Returns parameters of odd sizes, one empty, one a scalar, three not in row-major order."""
    torch.manual_seed(0)
    tensors = (
        torch.randn(13, 11),
        torch.randn(7),
        torch.randn(()),
        torch.randn(0, 4),
        torch.randn(11, 9).t(),
        torch.randn(3, 5, 4, 2).permute(0, 3, 1, 2),
        torch.randn(1, 6).t(),
        torch.randn(20, 3),
    )
    return [nn.Parameter(tensor.to(device, dtype)) for tensor in tensors]


def in_groups(parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
    return [
        {"params": parameters[:3], "lr": 1e-2, "weight_decay": 0.1},
        {"params": parameters[3:6], "weight_decay": 0.0},
        {"params": parameters[6:], "betas": (0.8, 0.99), "eps": 1e-6},
    ]


def plain(parameters: list[nn.Parameter], **settings: Any) -> torch.optim.AdamW:
    return torch.optim.AdamW(in_groups(parameters), **settings)


def paged(parameters: list[nn.Parameter], bucket_size: int = 2**22) -> PagedAdamW:
    optimizer = PagedAdamW(in_groups(parameters))
    optimizer.bucket_size = bucket_size
    return optimizer


def parameters_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def take_steps(
    optimizers: list[torch.optim.Optimizer], first: int = 0, last: int = 100
) -> Iterator[list[list[nn.Parameter]]]:
    """Gives all optimizers the same gradients; some have none at times, the learning rate changes.

    Yields:
        After every step, the parameters of each optimizer.
    """
    for step in range(first, last):
        found = []
        for optimizer in optimizers:
            generator = torch.Generator().manual_seed(step)
            for group in optimizer.param_groups:
                group.setdefault("top", group["lr"])
                group["lr"] = group["top"] * (1 + math.cos(step / 30)) / 2
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            for i, p in enumerate(parameters):
                gradient = torch.randn(p.shape, generator=generator) * 10.0 ** (i % 4 - 2)
                p.grad = None
                if (step + i) % 5 and not (i == 7 and step < 20):
                    p.grad = torch.empty_like(p).copy_(gradient)
            optimizer.step()
            found.append(parameters)
        yield found


def worst_difference(ours: list[nn.Parameter], theirs: list[nn.Parameter]) -> float:
    pairs = zip(ours, theirs, strict=True)
    return max((a - b).abs().max().item() for a, b in pairs if a.numel())


def assert_same_state(ours: dict[str, Any], theirs: dict[str, Any], **tolerance: float) -> None:
    assert ours["state"].keys() == theirs["state"].keys()
    for number, state in theirs["state"].items():
        assert ours["state"][number].keys() == state.keys()
        for name, tensor in state.items():
            mine = ours["state"][number][name]
            torch.testing.assert_close(mine, tensor, **(tolerance or {"rtol": 0, "atol": 0}))

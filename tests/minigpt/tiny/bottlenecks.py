"""A tiny GPT with bottlenecks, and the same multiplied out in double precision."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from minigpt.bottlenecks.model import apply_bottlenecks, bottleneck_layers
from minigpt.lora.model import apply_lora
from minigpt.model import GPT
from tests.minigpt.tiny.gpt2 import ours
from tests.minigpt.tiny.lora import fill

PARTS = ("W_down", "b_down", "W_up", "b_up")


def randomized(model: GPT, seed: int = 0) -> GPT:
    """Gives the active bottlenecks random numbers, so that they change the model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in bottleneck_layers(model).values():
            for parameter in layer.bottlenecks[layer.active].parameters():
                parameter.normal_(std=0.3, generator=generator)
    return model.eval()


def adapted(r: int = 4, **settings: str) -> GPT:
    return randomized(apply_bottlenecks(ours(), r, **settings))


def parts_of(model: GPT) -> list[list[Tensor]]:
    """Returns the parts of each active bottleneck in double precision, in the order of PARTS."""
    inserted = [layer.bottlenecks[layer.active] for layer in bottleneck_layers(model).values()]
    return [
        [getattr(bottleneck, part).detach().double() for part in PARTS] for bottleneck in inserted
    ]


def by_hand(parts: list[list[Tensor]]) -> GPT:
    """Returns the plain model in double precision; a hook adds the formula behind every c_proj."""
    plain = ours().double()
    layers = [module for name, module in plain.named_modules() if name.endswith("c_proj")]
    for layer, numbers in zip(layers, parts, strict=True):
        layer.register_forward_hook(lambda _, x, h, numbers=numbers: formula(h, *numbers))
    return plain


def formula(h: Tensor, W_down: Tensor, b_down: Tensor, W_up: Tensor, b_up: Tensor) -> Tensor:
    z = h @ W_down.T + b_down
    z = z / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
    return h + z @ W_up.T + b_up


def both(first: str = "beside") -> GPT:
    """Returns a model with LoRA ("beside") and bottlenecks ("behind"), `first` added first."""
    model = ours()
    for name in (first, {"beside": "behind", "behind": "beside"}[first]):
        if name == "behind":
            apply_bottlenecks(model, 4, name=name)
        else:
            apply_lora(model, r=2, alpha=4, target_modules=("c_proj", "c_fc"), name=name)
        trained = {n.split(".")[-2] for n, p in model.named_parameters() if p.requires_grad}
        assert trained == {name}  # the other one is frozen
    fill(model)
    return randomized(model)

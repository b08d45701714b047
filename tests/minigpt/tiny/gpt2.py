"""A GPT small enough to be saved and loaded in a moment, with all its parameters random."""

from __future__ import annotations

import torch

from minigpt.config import GPTConfig
from minigpt.model import GPT

SIZES = {"vocab_size": 100, "n_layer": 2, "n_head": 2, "n_embd": 32}
IDX = torch.arange(24).reshape(2, 12) * 37 % 100


def ours(seed: int = 0, **changes: object) -> GPT:
    torch.manual_seed(seed)
    model = GPT(GPTConfig(**{**SIZES, "block_size": 24, **changes}))
    randomize(model)
    return model.eval()


def randomize(model: torch.nn.Module) -> None:
    """Gives every parameter random values, biases and layer norms too."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)

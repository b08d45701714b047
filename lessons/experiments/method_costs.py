"""What a method of fine-tuning costs: memory while it trains, its file, and time for each token.

The time of a token is that of writing on with a cache, one text at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import numpy as np
import tiktoken
import torch

from lessons.experiments.finetuning_methods import RECIPES
from lessons.experiments.paired import in_turns
from minigpt import GPT
from minigpt.finetuning.methods import METHODS


def training_bytes(model: GPT) -> int:
    """Counts the bytes of the weights, and of a gradient and AdamW's two moments in fp32.

    What the forward pass keeps for the backward pass comes on top (lesson 12).
    """
    tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return sum(t.numel() * t.element_size() for t in tensors.values()) + 3 * 4 * trained


def save_trained(model: GPT, method: str, encoding: tiktoken.Encoding, folder: Path) -> int:
    """Writes what a recipe has trained into folder, and returns how many bytes the tensors take."""
    METHODS[RECIPES[method].method].save(model, encoding, folder)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def time_tokens(
    models: Mapping[str, GPT], idx: torch.Tensor, n_tokens: int, rounds: int
) -> dict[str, np.ndarray]:
    """Returns the milliseconds that each model takes for a token, once in every round, [rounds].

    The models take turns. All of them compute a token as `GPT.forward` does: the faster way of
    models without additions (`GPT.for_writing`) would make the additions look dearer than they are.

    Args:
        idx: the text that they continue, [1, T].
        n_tokens: how many tokens they write in a round.
    """
    work = {
        name: lambda model=model: model.generate(idx, n_tokens, temperature=0)
        for name, model in models.items()
    }
    with mock.patch.object(GPT, "for_writing", lambda model: model):
        return {name: ms / n_tokens for name, ms in in_turns(work, rounds).items()}

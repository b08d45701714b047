"""What a method of fine-tuning costs: memory while it trains, its file, and time for each token.

The time of a token is that of writing on with a cache, one text at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tiktoken
from torch import Tensor, nn

from lessons.experiments.finetuning_methods import RECIPES
from lessons.experiments.paired import in_turns
from minigpt import GPT
from minigpt.cache import Prefix
from minigpt.finetuning.methods import METHODS
from minigpt.generation import generate


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


class ByForward(nn.Module):
    """A GPT as `generate` sees it that has no faster way: `GPT.forward` computes every token.

    `GPT.for_writing` serves models without additions only, which would make the additions look
    dearer than they are.
    """

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model, self.config, self.unused = model, model.config, model.unused

    def forward(self, idx: Tensor, **reading: Any) -> tuple[Tensor, Tensor | None]:
        """Returns what the model's forward returns."""
        return self.model(idx, **reading)

    def prefix(self) -> Prefix | None:
        """Returns the keys and values that stand before every text."""
        return self.model.prefix()


def time_tokens(
    models: Mapping[str, GPT], idx: Tensor, n_tokens: int, rounds: int
) -> dict[str, np.ndarray]:
    """Returns the milliseconds that each model takes for a token, once in every round, [rounds].

    The models take turns, and all of them compute a token as `GPT.forward` does.

    Args:
        idx: the text that they continue, [1, T].
        n_tokens: how many tokens they write in a round.
    """
    work = {
        name: partial(generate, ByForward(model), idx, n_tokens, temperature=0)
        for name, model in models.items()
    }
    return {name: ms / n_tokens for name, ms in in_turns(work, rounds).items()}

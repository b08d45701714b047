"""What a method of fine-tuning costs: memory while it trains, its file, and time for each token.

The time of a token is that of writing on with a cache, one text at a time. The models take turns,
so that whatever else the machine does meets all of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import tiktoken
import torch
from safetensors.torch import save_file

from lessons.experiments.finetuning_methods import RECIPES
from minigpt import GPT
from minigpt.finetuning.methods import METHODS

SELECTIVE = ("last block", "biases")  # trained as full fine-tuning is, but only in part


def training_bytes(model: GPT) -> int:
    """Counts the bytes of the weights, and of a gradient and AdamW's two moments in fp32.

    What the forward pass keeps for the backward pass comes on top (lesson 12).
    """
    tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return sum(t.numel() * t.element_size() for t in tensors.values()) + 3 * 4 * trained


def save_trained(model: GPT, method: str, encoding: tiktoken.Encoding, folder: Path) -> int:
    """Writes what a recipe has trained into folder, and returns how many bytes the tensors take."""
    if method in SELECTIVE:
        folder.mkdir(parents=True, exist_ok=True)
        learnt = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        save_file(learnt, folder / "learnt.safetensors")
    else:
        METHODS[RECIPES[method].method].save(model, encoding, folder)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def time_tokens(
    models: Mapping[str, GPT], idx: torch.Tensor, n_tokens: int, rounds: int
) -> dict[str, list[float]]:
    """Measures the milliseconds that each model takes for a token, once in every round.

    Args:
        idx: the text that they continue, [1, T].
        n_tokens: how many tokens they write in a round.
    """
    found: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(rounds + 1):
        for name, model in models.items():
            started = time.perf_counter()
            model.generate(idx, n_tokens, temperature=0).cpu()  # waits for a GPU to finish
            if turn:  # the first round only warms up
                found[name].append(1e3 * (time.perf_counter() - started) / n_tokens)
    return found

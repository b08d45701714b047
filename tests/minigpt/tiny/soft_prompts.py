"""A tiny GPT with soft prompts, the plain way to compute with them, and runs on two processes.

torchrun --nproc-per-node 2 -m tests.minigpt.tiny.soft_prompts   prints losses as JSON
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minigpt.dataset import Batch
from minigpt.model import GPT
from minigpt.soft_prompts.layer import PromptTuning
from minigpt.soft_prompts.model import apply_prefix_tuning, apply_prompt_tuning
from minigpt.training.loop import train
from tests.minigpt.tiny.gpt2 import IDX, ours
from tests.minigpt.tiny.run import BLOCK_SIZE, VOCAB_SIZE, TinyData, tiny_config

KINDS = ("prompt", "prefix", "network")  # those that stand before every text
EVERY_KIND = (*KINDS, "gated", "gated network")
N = 5


def apply(model: GPT, kind: str, n_tokens: int = N, name: str = "default") -> GPT:
    if kind == "prompt":
        return apply_prompt_tuning(model, n_tokens, name=name)
    width, gate = (7 if "network" in kind else None), "gated" in kind
    return apply_prefix_tuning(model, n_tokens, reparametrize=width, gate=gate, name=name)


def fill(model: GPT, seed: int = 0) -> GPT:
    """Gives the active soft prompt random numbers that are large enough to change the model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.soft_prompts.named_parameters():
            if parameter.requires_grad:
                std = 2 if name.endswith("gate") else 0.5  # opens some gates nearly all the way
                parameter.normal_(std=std, generator=generator)
    return model


def prompted(kind: str, n_tokens: int = N, name: str = "default", **sizes: Any) -> GPT:
    """Returns the model of tiny_gpt2 with a soft prompt that changes it, in evaluation mode."""
    return fill(apply(ours(**sizes), kind, n_tokens, name)).eval()


def logits(model: torch.nn.Module, idx: Tensor = IDX) -> Tensor:
    """Returns the logits of our models and of transformers' alike."""
    with torch.no_grad():
        out = model(idx)
    return out[0] if isinstance(out, tuple) else out.logits


def plain_logits(model: GPT, idx: Tensor = IDX) -> Tensor:
    """Embeddings put before the embeddings of each row, or keys before the keys of each row."""
    prompt = model.soft_prompts[model.soft_prompts.active]
    vectors, T = prompt.vectors(), idx.size(1)
    n = len(vectors)
    x = model.transformer["wte"](idx)  # [B, T, C]
    positions = model.transformer["wpe"].weight[: n + T]  # [n + T, C]
    if isinstance(prompt, PromptTuning):
        x = torch.cat([vectors.expand(len(idx), -1, -1), x], dim=1) + positions  # [B, n + T, C]
        for block in model.blocks():
            x = block(x)
        x = x[:, n:]
    else:
        gates = prompt.gate
        x = x + (positions[n:] if gates is None else positions[:T])
        rows = vectors.view(n, model.config.n_layer, 2, -1)  # [n, L, 2, C]
        for layer, block in enumerate(model.blocks()):
            keys, values = rows[:, layer].unbind(1)  # [n, C] each
            gate = None if gates is None else gates[layer]
            x = x + attend(block.attn, block.ln_1(x), keys, values, gate)
            x = x + block.mlp(block.ln_2(x))
    return model.lm_head(model.transformer["ln_f"](x))  # [B, T, V]


def attend(
    attention: torch.nn.Module, x: Tensor, keys: Tensor, values: Tensor, gate: Tensor | None = None
) -> Tensor:
    """Attends row by row and head by head, with keys and values [n, C] before those of x.

    With a gate, one number a head, the two parts of the scores are softmaxed apart.
    """
    rows, n = [], len(keys)
    for row in x:
        q, k, v = attention.c_attn(row).chunk(3, dim=-1)  # [T, C] each
        k, v = torch.cat([keys, k]), torch.cat([values, v])  # [n + T, C]
        unseen = torch.ones(len(q), len(k), dtype=torch.bool).triu(len(keys) + 1)  # [T, n + T]
        heads = []
        every = torch.arange(x.size(-1)).chunk(attention.n_head)
        for head, one in enumerate(every):  # which numbers are the head's
            scores = q[:, one] @ k[:, one].t() / math.sqrt(len(one))  # [T, n + T]
            scores = scores.masked_fill(unseen, float("-inf"))
            weights = scores.softmax(-1)
            if gate is not None:
                apart = scores[:, :n].softmax(-1) * gate[head].tanh()
                weights = torch.cat([apart, scores[:, n:].softmax(-1)], dim=-1)
            heads.append(weights @ v[:, one])
        rows.append(torch.cat(heads, dim=-1))  # [T, C]
    return attention.c_proj(torch.stack(rows))


def base_model(dropout: float = 0.0) -> GPT:
    """Returns a model for Short with weights so large that a soft prompt can change much."""
    return ours(vocab_size=VOCAB_SIZE, block_size=BLOCK_SIZE, dropout=dropout)


def train_prompt(
    kind: str, folder: Path | None = None, dropout: float = 0.0, **settings: Any
) -> tuple[GPT, list[float]]:
    model = apply(base_model(dropout), kind, n_tokens=3)
    return model, train(model, Short(), tiny_config(out_dir=folder, **settings)).losses


class Short(TinyData):
    """TinyData without the last positions of its rows, so that a soft prompt fits before them."""

    def train_batch(self, step: int, batch_size: int) -> Batch:
        idx, targets, _ = super().train_batch(step, batch_size)
        return Batch(idx[:, :12].contiguous(), targets[:, :12].contiguous())

    def validation_batches(self, batch_size: int) -> Iterator[Batch]:
        for idx, targets, _ in super().validation_batches(batch_size):
            yield Batch(idx[:, :12], targets[:, :12])


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = {
        f"{mode} {kind}": train_prompt(kind, parallel=mode, max_steps=6)[1]
        for mode in ("ddp", "fsdp")
        for kind in ("prompt", "network", "gated")
    }
    if os.environ["RANK"] == "0":
        print(json.dumps(found))

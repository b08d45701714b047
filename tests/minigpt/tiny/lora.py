"""A tiny GPT with LoRA, trained by one process or several.

torchrun --nproc-per-node 2 -m tests.minigpt.tiny.lora   prints losses as JSON
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minigpt.lora.model import apply_lora, lora_layers
from minigpt.model import GPT
from minigpt.training.loop import train
from tests.minigpt.tiny.gpt2 import IDX, ours
from tests.minigpt.tiny.run import TinyData, tiny_config, tiny_model

ALL = ("c_attn", "c_proj", "c_fc")


def train_lora(folder: Path | None = None, **settings: Any) -> tuple[GPT, list[float]]:
    model = apply_lora(tiny_model(dropout=0.0), r=4, alpha=8, target_modules=ALL)
    return model, train(model, TinyData(), tiny_config(out_dir=folder, **settings)).losses


def fill(model: torch.nn.Module, seed: int = 0) -> None:
    """Gives A and B of the active adapter random numbers, so that it changes the model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            if layer.active is not None:
                layer.lora_A.normal_(std=0.3, generator=generator)
                layer.lora_B.normal_(std=0.3, generator=generator)


def adapted(**settings: Any) -> GPT:
    """Returns the tiny model of tiny_gpt2 with an adapter that changes it, in evaluation mode."""
    model = apply_lora(ours(), **{"r": 4, "alpha": 8, "target_modules": ALL, **settings})
    fill(model)
    return model.eval()


def by_hand(model: GPT) -> GPT:
    """Returns a plain model with W + scaling B A, multiplied out in double precision."""
    plain = ours()
    for path, layer in lora_layers(model).items():
        if layer.active is not None:
            product = layer.lora_B.double() @ layer.lora_A.double()
            weight = plain.get_submodule(path).weight
            weight.data = (weight.double() + layer.scaling * product).float()
    return plain


def everything(model: GPT) -> dict[str, tuple[Tensor, bool]]:
    frozen = dict(model.named_parameters())
    return {
        n: (t.clone(), n in frozen and frozen[n].requires_grad)
        for n, t in model.state_dict().items()
    }


def same(a: dict[str, tuple[Tensor, bool]], b: dict[str, tuple[Tensor, bool]]) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(a[n][0], b[n][0]) and a[n][1] == b[n][1] for n in a
    )


@torch.no_grad()
def logits(model: torch.nn.Module) -> Tensor:
    """Returns the logits of our models and of transformers' alike."""
    out = model(IDX)
    return out[0] if isinstance(out, tuple) else out.logits


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = {mode: train_lora(parallel=mode)[1] for mode in ("ddp", "fsdp")}
    if os.environ["RANK"] == "0":
        print(json.dumps(found))

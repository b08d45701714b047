"""A tiny GPT in 4 bits with LoRA, and its twin with the same numbers written out.

torchrun --nproc-per-node 2 -m tests.minigpt.tiny.qlora   prints losses as JSON
"""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import torch

from minigpt.lora.model import apply_lora
from minigpt.model import GPT
from minigpt.qlora.model import dequantize_model, quantize_model
from minigpt.training.loop import train
from tests.minigpt.tiny.gpt2 import ours
from tests.minigpt.tiny.lora import ALL, fill
from tests.minigpt.tiny.run import TinyData, tiny_config, tiny_model

LORA: dict[str, Any] = {"r": 4, "alpha": 8, "target_modules": ALL}


def quantized(n_embd: int = 64, **changes: Any) -> GPT:
    """Returns the model of tiny_gpt2 in 4 bits, and wider, so that a row is a whole block."""
    return quantize_model(ours(n_embd=n_embd, **changes))


def adapted(**changes: Any) -> GPT:
    """Returns the same model with a LoRA adapter that changes it."""
    model = apply_lora(quantized(**changes), **LORA)
    fill(model)
    return model.eval()


def twin(model: GPT) -> GPT:
    """Returns a copy with plain weights: the numbers that the codes stand for."""
    return dequantize_model(copy.deepcopy(model))


def to_train(plain: bool = False) -> GPT:
    """Returns a model in 4 bits with a fresh adapter, ready to be trained; or its twin."""
    model = quantize_model(tiny_model(dropout=0.0))
    return apply_lora(dequantize_model(model) if plain else model, **LORA)


def train_qlora(plain: bool = False, folder: Path | None = None, **settings: Any) -> list[float]:
    """Returns the losses of training it."""
    config = tiny_config(out_dir=folder, **settings)
    return train(to_train(plain), TinyData(), config).losses


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = {mode: train_qlora(parallel=mode) for mode in ("ddp", "fsdp")}
    if os.environ["RANK"] == "0":
        print(json.dumps(found))

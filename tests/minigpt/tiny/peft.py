"""The tiny GPT-2 of transformers with an adapter of peft."""

from __future__ import annotations

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

from tests.minigpt.tiny.gpt2 import SIZES, randomize

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def peer(kind: type = GPT2LMHeadModel) -> GPT2LMHeadModel:
    """Returns transformers' GPT-2 with every parameter random."""
    torch.manual_seed(0)
    model = kind(GPT2Config(**SIZES, n_positions=24, bos_token_id=99, eos_token_id=99))
    randomize(model)
    return model.eval()


def peers_adapter(base: torch.nn.Module, **settings: object) -> PeftModel:
    """Returns a peft model whose adapter has random numbers in A and B."""
    settings = {"r": 4, "lora_alpha": 6, "target_modules": ["c_attn"], **settings}
    adapted = get_peft_model(base, LoraConfig(**settings))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3, generator=generator)
    return adapted.eval()

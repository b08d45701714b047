"""The peer of `minigpt bench qlora`: GPT-2 in 4 bits as peft and bitsandbytes train it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn


class Peer(nn.Module):
    """transformers' GPT-2 in bitsandbytes' 4 bits with peft's adapter, called as ours is."""

    def __init__(
        self, folder: Path, dtype: torch.dtype, device: torch.device, checkpointing: bool
    ) -> None:
        super().__init__()
        from peft import PeftModel, prepare_model_for_kbit_training
        from transformers import BitsAndBytesConfig, GPT2LMHeadModel

        four_bits = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
        base = GPT2LMHeadModel.from_pretrained(
            folder / "model",
            dtype=dtype,
            quantization_config=four_bits,
            device_map={"": device},
        )
        base = prepare_model_for_kbit_training(base, checkpointing, {"use_reentrant": False})
        self.model = PeftModel.from_pretrained(base, folder / "adapter", is_trainable=True)

    def forward(self, idx: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns logits [B, T, V] and the loss for idx and targets [B, T]."""
        out = self.model(input_ids=idx, labels=targets, shift_labels=targets, use_cache=False)
        return out.logits, out.loss


def scales_of(model: nn.Module) -> Iterator[Tensor]:
    """Yields what bitsandbytes keeps beside a weight's codes, which is registered in no module."""
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        while state is not None:
            yield from (part for part in vars(state).values() if isinstance(part, Tensor))
            state = state.state2


def silence_peer() -> None:
    """Silences the peer's libraries: warnings about their own names, and progress bars."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")

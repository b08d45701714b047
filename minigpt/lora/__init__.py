"""LoRA: two thin trained matrices beside a frozen linear layer."""

from minigpt.lora.layer import LoRALinear
from minigpt.lora.model import (
    apply_lora,
    load_lora,
    merge_lora,
    remove_lora,
    save_lora,
    set_lora,
    unmerge_lora,
)

__all__ = [
    "LoRALinear",
    "apply_lora",
    "load_lora",
    "merge_lora",
    "remove_lora",
    "save_lora",
    "set_lora",
    "unmerge_lora",
]

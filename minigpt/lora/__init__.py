"""LoRA: two thin trained matrices beside a frozen linear layer."""

from minigpt.lora.layer import LoRALinear
from minigpt.lora.model import (
    apply_lora,
    load_adapter,
    merge_lora,
    remove_lora,
    save_adapter,
    set_adapter,
    unmerge_lora,
)

__all__ = [
    "LoRALinear",
    "apply_lora",
    "load_adapter",
    "merge_lora",
    "remove_lora",
    "save_adapter",
    "set_adapter",
    "unmerge_lora",
]

"""Bottleneck adapters: small networks behind the sublayers of a frozen model."""

from minigpt.bottlenecks.model import (
    apply_adapters,
    load_adapters,
    remove_adapters,
    save_adapters,
    set_adapters,
)

__all__ = [
    "apply_adapters",
    "load_adapters",
    "remove_adapters",
    "save_adapters",
    "set_adapters",
]

"""Bottlenecks: small networks behind the sublayers of a frozen model."""

from minigpt.bottlenecks.model import (
    apply_bottlenecks,
    load_bottlenecks,
    remove_bottlenecks,
    save_bottlenecks,
    set_bottlenecks,
)

__all__ = [
    "apply_bottlenecks",
    "load_bottlenecks",
    "remove_bottlenecks",
    "save_bottlenecks",
    "set_bottlenecks",
]

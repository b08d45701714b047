"""Finds a model's linear layers by name, checks what stands beside them, holds a model in a mode.

The rule by which a name chooses layers is peft's, so that a file means the same in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

ADAPTER_NAME = re.compile(r"[A-Za-z0-9_-]+")


def linear_layers(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yields name and layer of each linear layer, of whatever class, but none inside another."""
    for name, child in module.named_children():
        if isinstance(getattr(child, "in_features", None), int) and hasattr(child, "out_features"):
            yield prefix + name, child
        else:
            yield from linear_layers(child, f"{prefix}{name}.")


def choose(names: Iterable[str], target_modules: Sequence[str]) -> list[str]:
    """Returns the names that equal one of target_modules, or end with a dot and one of them.

    Raises:
        ValueError: one of target_modules chooses nothing.
    """
    targets = [target_modules] if isinstance(target_modules, str) else list(target_modules)
    names = list(names)
    short = ", ".join(dict.fromkeys(within_block(name) for name in names)) or "none"
    if not targets:
        raise ValueError(f"target_modules is empty; the linear layers are {short}")
    for target in targets:
        if not any(matches(name, target) for name in names):
            raise ValueError(
                f"target_modules: no linear layer is called {target!r}; there are {short}"
            )
    return [name for name in names if any(matches(name, target) for target in targets)]


def matches(name: str, target: str) -> bool:
    """Returns whether target means the layer called name, by peft's rule.

    "c_proj" means transformer.h.0.attn.c_proj and transformer.h.0.mlp.c_proj, "mlp.c_proj" one.
    """
    return name == target or name.endswith(f".{target}")


def within_block(name: str) -> str:
    """Returns a layer's name within its block: "mlp.c_fc" for "transformer.h.3.mlp.c_fc"."""
    return re.sub(r"^.*\.\d+\.", "", name)


def check_name(name: str) -> None:
    """Checks that a name can become a part of the names of weights, as an adapter's does.

    Raises:
        ValueError: it cannot.
    """
    if not isinstance(name, str) or not ADAPTER_NAME.fullmatch(name):
        raise ValueError(f"an adapter's name is made of letters, digits, - and _, got {name!r}")
    if hasattr(nn.ModuleDict(), name):
        raise ValueError(f"an adapter cannot be called {name!r}: torch uses that word itself")


def check_not_merged(model: nn.Module) -> None:
    """Raises ValueError if a LoRA adapter is merged into the model's weights."""
    for _, layer in linear_layers(model):
        if getattr(layer, "merged", False):
            raise ValueError(
                f"the adapter {layer.active!r} is merged into the weights; "
                "call unmerge_lora(model) first"
            )


@contextmanager
def in_mode(model: Any, training: bool) -> Iterator[None]:
    """Puts model into training or evaluation mode for a with-block.

    Dropout is on in the one and off in the other. Afterwards every module is in the mode it was in:
    a frozen part that the caller put into evaluation mode is so again.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode

"""Finds a model's linear layers by name, checks what stands beside them, and turns dropout off.

The rule by which a name chooses layers is peft's, so that a file means the same in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import nn

Model = TypeVar("Model")

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


def evaluated(model: Model) -> Model:
    """Returns model as it computes in evaluation mode, without dropout; model stays as it is.

    `model.eval()` would change it for everyone: two threads that share a model and put it back into
    the mode in which they found it leave it in the wrong one. So the result is made of modules of
    its own, all in evaluation mode, which hold the same parameters, buffers and hooks: what is
    trained, loaded or recorded in the one shows in the other.

    What torch.compile made has its mode built in: it is returned if it is in evaluation mode, else
    the module that it was compiled from is used. Anything but a module is returned as it is.
    """
    if not isinstance(model, nn.Module):
        return model
    compiled_from = model._modules.get("_orig_mod")
    if compiled_from is not None:
        return evaluated(compiled_from) if compiled_from.training else model  # type: ignore[return-value]
    twins: dict[nn.Module, nn.Module] = {}  # a module may stand in two places

    def twin_of(module: nn.Module) -> nn.Module:
        if module not in twins:
            # copy.copy would ask __new__ and __getstate__, which FSDP and parametrizations change.
            twin = twins[module] = object.__new__(type(module))
            children = {name: child and twin_of(child) for name, child in module._modules.items()}
            twin.__dict__.update(module.__dict__, _modules=children, training=False)
        return twins[module]

    return twin_of(model)  # type: ignore[return-value]


@contextmanager
def in_training(model: Any) -> Iterator[None]:
    """Puts model into training mode, with dropout, for a with-block.

    Afterwards every module is in the mode it was in: a frozen part that the caller put into
    evaluation mode is so again.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode

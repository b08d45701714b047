"""Finds a model's linear layers by name, checks what stands beside them, and turns dropout off.

The rule by which a name chooses layers is peft's, so that a file means the same in both.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any, TypeVar

import torch
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

    What torch.compile made has its mode built in: it is used if it is in evaluation mode, else the
    module that it was compiled from is. What torch.jit made is copied. Anything but a module is
    returned as it is.
    """
    if not isinstance(model, nn.Module):
        return model
    twins: dict[nn.Module, nn.Module] = {}  # a module may stand in two places
    copied: list[nn.Module] = []

    def twin_of(module: nn.Module) -> nn.Module:
        if module not in twins:
            twins[module] = new_twin(module)
        return twins[module]

    def new_twin(module: nn.Module) -> nn.Module:
        if isinstance(module, torch.jit.ScriptModule):
            return copy.deepcopy(module).eval()
        compiled_from = module._modules.get("_orig_mod")
        if compiled_from is not None:
            return twin_of(compiled_from) if trains(module) else module
        # copy.copy would ask __new__ and __getstate__, which FSDP and parametrizations change.
        twin = object.__new__(type(module))
        children = {
            name: None if child is None else twin_of(child)  # its truth would be its length
            for name, child in module._modules.items()
        }
        twin.__dict__.update(module.__dict__, _modules=children, training=False)
        if module._compiled_call_impl is not None and trains(module):
            twin.__dict__["_compiled_call_impl"] = None
        copied.append(module)
        return twin

    result = twin_of(model)
    for module in copied:
        functions = {n: f for n, f in vars(module).items() if type(f) in WITH_OWNERS}
        for name, function in functions.items():
            twins[module].__dict__[name] = with_twins(function, twins, set())
    return result  # type: ignore[return-value]


def trains(module: nn.Module) -> bool:
    """Returns whether a part of module is in training mode."""
    return any(part.training for part in module.modules())


WITH_OWNERS = {MethodType, FunctionType, partial}


def with_twins(value: Any, twins: Mapping[nn.Module, nn.Module], seen: set[int]) -> Any:
    """Returns what a function does that was put in the place of forward, with the modules' twins.

    Such a function calls the old forward, which belongs to the module itself. It may be a method,
    a partial, or hold what it calls in its defaults or its closure.

    Args:
        seen: the functions that are looked at already: one may hold itself.
    """
    if isinstance(value, nn.Module):
        return twins.get(value, value)
    if type(value) not in WITH_OWNERS or id(value) in seen:
        return value
    seen.add(id(value))

    def anew(part: Any) -> Any:
        return with_twins(part, twins, seen)

    if isinstance(value, MethodType):
        return MethodType(anew(value.__func__), anew(value.__self__))
    if isinstance(value, partial):
        keywords = {name: anew(part) for name, part in value.keywords.items()}
        return partial(anew(value.func), *map(anew, value.args), **keywords)
    function = FunctionType(
        value.__code__,
        value.__globals__,
        value.__name__,
        value.__defaults__ and tuple(map(anew, value.__defaults__)),
        value.__closure__ and tuple(cell_with(cell, anew) for cell in value.__closure__),
    )
    defaults = value.__kwdefaults__ or {}
    function.__kwdefaults__ = {name: anew(part) for name, part in defaults.items()}
    return function


def cell_with(cell: CellType, anew: Callable[[Any], Any]) -> CellType:
    """Returns a closure's cell, or another one if anew changes what it holds."""
    try:
        held = cell.cell_contents
    except ValueError:  # nothing yet
        return cell
    changed = anew(held)
    return cell if changed is held else CellType(changed)


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

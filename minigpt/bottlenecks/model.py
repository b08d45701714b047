"""Bottlenecks: a small network of two layers behind every sublayer of a frozen model.

    h <- h + W_up gelu(W_down h + b_down) + b_up         W_down [r, C], W_up [C, r], C the width

    model = load_pretrained("base")[0]
    apply_bottlenecks(model, r=16, name="french")
    train(model, ...)                                    # only they learn
    save_bottlenecks(model, "runs/french")               # a small folder
    load_bottlenecks(model, "runs/summary", name="summary")
    set_bottlenecks(model, "french")                     # changes the task; None: the base
    remove_bottlenecks(model)                            # gives the base back, bit for bit

They stand behind c_proj, the last layer of the attention and of the MLP, before the result is added
to the residual stream (figure 2 of the paper). Unlike LoRA's product, which is linear, they cannot
be merged into a weight, so a model with bottlenecks always has more to compute than its base.

The paper trains the layer norms as well. Here they stay frozen, as in the counts of Hu et al. for
GPT-3, so that taking the bottlenecks off gives the base model back.

The module behind one layer is in layer.py, the files are in files.py.
Sources: Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP" (arXiv 1902.00751,
section 2.1); Hu et al. 2021, "LoRA" (arXiv 2106.09685, section 5.1: the counts).
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import nn

from minigpt.bottlenecks.files import read_bottlenecks, write_bottlenecks
from minigpt.bottlenecks.layer import Bottleneck, BottleneckLinear, check_bottleneck
from minigpt.layers import check_name, check_not_merged, linear_layers, matches
from minigpt.model import GPT


def apply_bottlenecks(
    model: GPT, r: int = 16, *, name: str = "default", init: str = "identity"
) -> GPT:
    """Puts active bottlenecks behind both sublayers of every block and freezes everything else.

    Called again with another name, it adds a second set, which may have another width. On an error
    the model is unchanged.

    If the model has LoRA, that is frozen and still computes. Both then act on the linear layer's
    own output: with LoRA on a c_proj the result is bottleneck(W x) + scaling B A x, in whichever
    order the two were put on. Such a LoRA cannot be merged while the bottlenecks are there. A model
    whose weights are to be in 4 bits (qlora/model.py) is quantized first.

    Args:
        r, init: see Bottleneck.

    Returns:
        model, changed in place.

    Raises:
        ValueError: a setting is out of range, the model already has bottlenecks of this name, or a
            LoRA adapter is merged.
    """
    check_bottleneck(r, init)
    check_name(name)
    if name in bottleneck_names(model):
        raise ValueError(
            f"the model already has bottlenecks called {name!r}; give the new ones another "
            "name, or take all off with remove_bottlenecks(model)"
        )
    check_not_merged(model)
    for path, layer in _innermost(model).items():
        if not isinstance(layer, BottleneckLinear):
            layer = BottleneckLinear(layer)
            model.set_submodule(path, layer)
        layer.add_bottleneck(name, r, init)
    set_bottlenecks(model, name)
    return model


def _innermost(model: GPT) -> dict[str, nn.Module]:
    """Returns every c_proj by name or, where it has LoRA, the linear layer that LoRA wraps."""
    found: dict[str, nn.Module] = {}
    for path, layer in linear_layers(model):
        if matches(path, "c_proj"):
            base = getattr(layer, "base", None)
            if base is not None and not isinstance(layer, BottleneckLinear):
                path, layer = f"{path}.base", base
            found[path] = layer
    return found


def bottleneck_layers(model: nn.Module) -> dict[str, BottleneckLinear]:
    """Returns the layers that have bottlenecks, by name."""
    return {path: m for path, m in model.named_modules() if isinstance(m, BottleneckLinear)}


def bottleneck_names(model: nn.Module) -> list[str]:
    """Returns the names of all bottlenecks on the model, the oldest first."""
    return list(
        dict.fromkeys(n for layer in bottleneck_layers(model).values() for n in layer.bottlenecks)
    )


def _layers_or_error(model: nn.Module) -> dict[str, BottleneckLinear]:
    layers = bottleneck_layers(model)
    if not layers:
        raise ValueError(
            "the model has no bottlenecks; apply_bottlenecks or load_bottlenecks puts them on"
        )
    return layers


def set_bottlenecks(model: nn.Module, name: str | None) -> None:
    """Makes the model use these bottlenecks and train only them; None switches all of them off.

    Everything else is frozen. LoRA is too, but still computes. None freezes only the bottlenecks.

    Raises:
        ValueError: the model has no bottlenecks of this name.
    """
    layers = _layers_or_error(model)
    if name is not None and name not in bottleneck_names(model):
        raise ValueError(
            f"the model has no bottlenecks called {name!r}; it has "
            f"{', '.join(bottleneck_names(model))}"
        )
    if name is not None:
        model.requires_grad_(False)
    for layer in layers.values():
        layer.set_active(name)


def remove_bottlenecks(model: GPT) -> GPT:
    """Takes all bottlenecks off; what remains is the plain model, bit for bit.

    Its parameters stay frozen; model.requires_grad_() makes them trainable.

    Raises:
        ValueError: the model has no bottlenecks.
    """
    for path, layer in _layers_or_error(model).items():
        model.set_submodule(path, layer.base)
    return model


def save_bottlenecks(model: GPT, folder: str | Path, name: str | None = None) -> None:
    """Writes the bottlenecks of one name into folder: a JSON file with r and a safetensors file.

    Args:
        name: the bottlenecks' name; None means the active ones.

    Raises:
        ValueError: there are none of this name.
        OSError: the disk is full or may not be written to; what was there is kept.
    """
    layers = _layers_or_error(model)
    name = name or next(iter(layers.values())).active
    names = bottleneck_names(model)
    if name not in names:
        which = "active" if name is None else f"called {name!r} to save"
        raise ValueError(f"no bottlenecks are {which}; the model has {', '.join(names)}")
    held = {path: cast(Bottleneck, layer.bottlenecks[name]) for path, layer in layers.items()}
    r = next(iter(held.values())).r
    numbers = {path: dict(bottleneck.named_parameters()) for path, bottleneck in held.items()}
    write_bottlenecks(Path(folder), r, numbers)


def load_bottlenecks(model: GPT, folder: str | Path, name: str = "default") -> GPT:
    """Puts the bottlenecks that save_bottlenecks wrote into folder on the model and activates them.

    On an error the model is unchanged.

    Raises:
        FileNotFoundError: folder holds no bottlenecks.
        ValueError: a file is damaged, holds something else, or was made for another model; or the
            model already has bottlenecks of this name.
    """
    r, numbers = read_bottlenecks(Path(folder), list(_innermost(model)), model.config.n_embd)
    apply_bottlenecks(model, r, name=name, init="zeros")
    with torch.no_grad():
        for path, layer in bottleneck_layers(model).items():
            for part, parameter in layer.bottlenecks[name].named_parameters():
                parameter.copy_(numbers[path][part])
    return model

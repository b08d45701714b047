"""LoRA on a whole model: put adapters beside its linear layers, switch, merge, save and load them.

    model = load_pretrained("base")[0]
    apply_lora(model, r=8, alpha=16, target_modules=("c_attn", "c_proj", "c_fc"), name="french")
    train(model, ...)                # only the adapter learns
    save_lora(model, "runs/french")  # a small folder, which peft reads too
    load_lora(model, "runs/summary", name="summary")
    set_lora(model, "french")        # switches the task; None gives the base model
    merge_lora(model)                # as fast as without adapters
    unmerge_lora(model)

What happens inside one layer is in layer.py, the files are in files.py, and minigpt/layers.py finds
a model's linear layers by name.
Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import nn

from minigpt.files.tensors import check_finite
from minigpt.layers import check_name, check_not_merged, choose, linear_layers, within_block
from minigpt.lora.files import AdapterSettings, Pair, read_adapter, write_adapter
from minigpt.lora.layer import Adapter, LoRALinear, check_rank, check_settings
from minigpt.lora.targets import Sizes, Targets
from minigpt.model import GPT

__all__ = [
    "Adapter", "LoRALinear", "apply_lora", "load_lora", "lora_layers",
    "merge_lora", "remove_lora", "save_lora", "set_lora", "unmerge_lora",
]  # fmt: skip

Model = TypeVar("Model", bound=nn.Module)


def apply_lora(
    model: Model,
    r: int = 8,
    alpha: float = 16,
    dropout: float = 0.0,
    target_modules: Sequence[str] = ("c_attn",),
    *,
    name: str = "default",
    rank_stabilized: bool = False,
    init: str = "kaiming",
) -> Model:
    """Puts an adapter beside every layer of these names, freezes the rest, and makes it active.

    Called again with another name, it adds a second adapter, which may have another rank and sit
    beside other layers. On an error the model is unchanged.

    Args:
        target_modules: whole names of linear layers, or how they end: "c_attn", "mlp.c_proj".
            "c_proj" is a layer of the attention and one of the MLP.
        r, alpha, dropout, rank_stabilized, init: see layer.Adapter.

    Returns:
        model, changed in place.

    Raises:
        ValueError: a setting is out of range, a name matches no linear layer, the model already
            has an adapter of this name, or one is merged.
    """
    check_settings(r, alpha, dropout, init)
    chosen = choose((path for path, _ in linear_layers(model)), target_modules)
    return _add(model, name, dict.fromkeys(chosen, (r, alpha)), dropout, rank_stabilized, init)


def _add(
    model: Model,
    name: str,
    sizes: Mapping[str, tuple[int, float]],
    dropout: float,
    rank_stabilized: bool,
    init: str,
) -> Model:
    """Puts an adapter beside the layers of these names, with an r and alpha for each."""
    _check_new_name(model, name)
    check_not_merged(model)
    layers = {path: layer for path, layer in linear_layers(model) if path in sizes}
    for path, layer in layers.items():
        check_rank(sizes[path][0], layer.in_features, layer.out_features, path)  # type: ignore[arg-type]

    for path, layer in layers.items():
        r, alpha = sizes[path]
        if isinstance(layer, LoRALinear):
            layer.add_adapter(name, r, alpha, dropout, rank_stabilized, init)
        else:
            wrapped = LoRALinear(
                layer, r, alpha, dropout, name=name, rank_stabilized=rank_stabilized, init=init
            )
            model.set_submodule(path, wrapped)
    set_lora(model, name)
    return model


def _check_new_name(model: nn.Module, name: str) -> None:
    check_name(name)
    if name in adapter_names(model):
        raise ValueError(
            f"the model already has an adapter {name!r}; give the new one another name, or take "
            "all off with remove_lora(model)"
        )


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """Returns the layers that have adapters, by name."""
    return {name: layer for name, layer in linear_layers(model) if isinstance(layer, LoRALinear)}


def adapter_names(model: nn.Module) -> list[str]:
    """Returns the names of all adapters on the model, the oldest first."""
    return list(dict.fromkeys(n for layer in lora_layers(model).values() for n in layer.adapters))


def set_lora(model: nn.Module, name: str | None) -> None:
    """Makes the model compute with this adapter and train it alone; None: with no adapter.

    Everything else that the model has is frozen, a soft prompt too; with None only LoRA is.

    Raises:
        ValueError: the model has no adapter of this name, or one is merged.
    """
    layers = _layers_or_error(model)
    if name is not None and name not in adapter_names(model):
        raise ValueError(
            f"the model has no adapter {name!r}; it has {', '.join(adapter_names(model))}"
        )
    check_not_merged(model)
    if name is not None:
        model.requires_grad_(False)
    for layer in layers.values():
        layer.set_active(name)


def _layers_or_error(model: nn.Module) -> dict[str, LoRALinear]:
    layers = lora_layers(model)
    if not layers:
        raise ValueError("the model has no adapters; apply_lora or load_lora puts them there")
    return layers


def merge_lora(model: nn.Module) -> None:
    """Adds the active adapter to the weights, W_0 + scaling B A, so that it costs no time to use.

    The original weights are kept for unmerge_lora, in as much memory again as the adapted layers
    take (for GPT-2's c_attn in fp32, 12 x 7 MB). remove_lora lets go of them.

    Raises:
        ValueError: an adapter is merged already, none is active, a soft prompt is, or a layer
            cannot be merged into: its weight is used elsewhere too (the LM head's is the token
            embedding), is not stored as plain numbers (4 bits), or would become NaN or infinite.
            The model is then unchanged.
    """
    layers = _mergeable_layers(model)
    weights = {path: layer.merged_weight() for path, layer in layers.items()}
    check_finite(weights, "merging the adapter would spoil the weights")
    for path, layer in layers.items():
        layer.merge(weights[path])


def unmerge_lora(model: nn.Module) -> None:
    """Puts the original weights back, bit for bit; the adapter works beside them again.

    Raises:
        ValueError: no adapter is merged.
    """
    merged = [layer for layer in _layers_or_error(model).values() if layer.merged]
    if not merged:
        raise ValueError("no adapter is merged, so there is nothing to unmerge")
    for layer in merged:
        layer.unmerge()


def _mergeable_layers(model: nn.Module) -> dict[str, LoRALinear]:
    layers = _layers_or_error(model)
    check_not_merged(model)
    prompt = getattr(getattr(model, "soft_prompts", None), "active", None)
    if prompt is not None:
        raise ValueError(
            f"the soft prompt {prompt!r} is active and belongs to the weights as they are; "
            "call set_soft_prompt(model, None) first, or leave the adapter beside the weights"
        )
    layers = {path: layer for path, layer in layers.items() if layer.active is not None}
    if not layers:
        raise ValueError("no adapter is active, so there is nothing to merge; call set_lora")
    owners = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    for path, layer in layers.items():
        if owners[id(getattr(layer.base, "weight", None))] > 1:
            raise ValueError(
                f"the weight of {path} is used by another layer too, which merging would change "
                "as well; leave the adapter beside it"
            )
    return layers


def remove_lora(model: Model) -> Model:
    """Takes all adapters off: the plain model remains, or, if one is merged, the model with it in.

    After that save_pretrained can write it. Its parameters stay frozen; model.requires_grad_()
    makes them trainable.

    Raises:
        ValueError: the model has no adapters.
    """
    for path, layer in _layers_or_error(model).items():
        model.set_submodule(path, layer.base)
    return model


def save_lora(model: nn.Module, folder: str | Path, name: str | None = None) -> None:
    """Writes one adapter into folder as peft does: adapter_config.json, adapter_model.safetensors.

    Args:
        name: of the adapter; None is the active one.

    Raises:
        ValueError: there is no such adapter.
        OSError: the disk is full or may not be written to; an adapter that was there is kept.
    """
    layers = _layers_or_error(model)
    if name is None:
        name = next((layer.active for layer in layers.values() if layer.active), None)
    held = {
        path: cast(Adapter, layer.adapters[name])
        for path, layer in layers.items()
        if name is not None and name in layer.adapters
    }
    if not held:
        raise ValueError(
            f"there is no adapter {name!r} to save; the model has {', '.join(adapter_names(model))}"
        )
    weights: dict[str, Pair] = {path: (a.lora_A, a.lora_B) for path, a in held.items()}
    shared = {(a.dropout, a.rank_stabilized) for a in held.values()}
    if len(shared) > 1:
        raise ValueError(f"the layers of {name!r} differ in dropout or scale; a file has one")
    r, alpha = Counter((a.r, a.alpha) for a in held.values()).most_common(1)[0][0]
    sizes = Sizes(
        r,
        alpha,
        {path: a.r for path, a in held.items() if a.r != r},
        {path: a.alpha for path, a in held.items() if a.alpha != alpha},
    )
    targets = Targets(_shortest_targets(model, list(held)))
    write_adapter(
        Path(folder),
        AdapterSettings(targets, sizes, *shared.pop()),
        weights,
        isinstance(model, GPT),
    )


def _shortest_targets(model: nn.Module, paths: list[str]) -> tuple[str, ...]:
    """Returns the shortest target_modules that choose exactly these layers."""
    everything = [path for path, _ in linear_layers(model)]
    for shorten in (lambda path: path.rpartition(".")[2], within_block):
        targets = tuple(dict.fromkeys(map(shorten, paths)))
        if choose(everything, targets) == paths:
            return targets
    return tuple(paths)


def load_lora(model: Model, folder: str | Path, name: str = "default") -> Model:
    """Puts the adapter that save_lora or peft wrote into folder beside the model's layers.

    It becomes the active one. On an error the model is unchanged.

    Raises:
        FileNotFoundError: folder holds no adapter.
        ValueError: a file is damaged, was made for other layers or sizes, or asks for something
            that LoRALinear does not compute; or the model already has an adapter of this name.
    """
    settings, weights = read_adapter(Path(folder))
    shapes = {p: (m.out_features, m.in_features) for p, m in linear_layers(model)}
    before = ""  # what our names have before those in the file
    if all(stored.startswith("h.") for stored in weights):  # saved from a GPT2Model
        before = "transformer."
        shapes = {p.removeprefix(before): s for p, s in shapes.items() if p.startswith(before)}
    sizes = settings.check_weights(Path(folder), weights, shapes)  # type: ignore[arg-type]
    here = {before + stored: size for stored, size in sizes.items()}
    _add(model, name, here, settings.dropout, settings.rank_stabilized, init="zeros")
    with torch.no_grad():
        layers = lora_layers(model)
        for stored, (A, B) in weights.items():
            layers[before + stored].lora_A.copy_(A)
            layers[before + stored].lora_B.copy_(B)
    return model

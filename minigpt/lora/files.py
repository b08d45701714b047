"""Adapters as folders, in the layout that peft writes and reads.

    adapter_config.json          r, lora_alpha, lora_dropout, target_modules, use_rslora ...
    adapter_model.safetensors    base_model.model.transformer.h.0.attn.c_attn.lora_A.weight [r, in]
                                 base_model.model.transformer.h.0.attn.c_attn.lora_B.weight [out, r]

transformers keeps the matrices of GPT-2's linear layers as [in, out] ("Conv1D"); peft is told so by
fan_in_fan_out and stores A and B as [r, in] and [out, r] all the same, so nothing is transposed.

A save that is killed leaves one whole adapter, the old or the new: adapter_folder.py says how.
(peft, which does not know that way, then misses adapter_config.json.)

Source: the files that peft's LoraModel writes, and peft's documentation of LoraConfig.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from minigpt.files.adapter_folder import (
    CONFIG_FILE,
    read_config,
    read_numbers,
    weights_file,
    write_folder,
)
from minigpt.files.json_objects import shown
from minigpt.files.schema import (
    Either,
    ListOf,
    MapOf,
    Number,
    Object,
    OneOf,
    Switch,
    Text,
    Whole,
    check,
    or_null,
)
from minigpt.lora.layer import LARGEST_ALPHA
from minigpt.lora.targets import Sizes, Targets

STORED_NAME = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
FROZEN_HEAD = "base_model.model.lm_head.base_layer.weight"  # peft adds it to an adapter of the head

NAMES = ListOf(Text(empty=False))
KIND = Object({"peft_type": OneOf("LORA")})
CONFIG = Object(
    {
        **KIND.required,
        "r": Whole(1, 10**6),
        "lora_alpha": Number(above=0, high=LARGEST_ALPHA),
        "target_modules": Either(Text(empty=False), NAMES),
    },
    {
        "lora_dropout": Number(0, below=1),
        "use_rslora": Switch(),
        "bias": OneOf("none"),
        "exclude_modules": or_null(Either(Text(), NAMES)),
        "layers_to_transform": or_null(Either(Whole(), ListOf(Whole()))),
        "layers_pattern": or_null(Either(Text(), NAMES)),
        "rank_pattern": or_null(MapOf(Whole(1, 10**6))),
        "alpha_pattern": or_null(MapOf(Number(above=0, high=LARGEST_ALPHA))),
    },
)
# These entries say nothing about the computation: how A and B started, and the like. Any other that
# is switched on (DoRA, modules_to_save, whatever comes next) would make another model.
HARMLESS = {"auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying",
            "eva_config", "fan_in_fan_out", "inference_mode", "init_lora_weights", "loftq_config",
            "lora_ga_config", "megatron_core", "peft_version", "qalora_group_size", "revision",
            "task_type"}  # fmt: skip
# With these starts peft subtracts the first B A from W_0, which the adapter then belongs to.
CHANGE_THE_BASE = ("corda", "loftq", "lora_ga", "olora", "pissa")

Pair = tuple[Tensor, Tensor]  # A [r, in] and B [out, r] of one layer


@dataclass(frozen=True)
class AdapterSettings:
    """What an adapter_config.json says: which layers, their r and alpha, and what all share."""

    targets: Targets
    sizes: Sizes
    dropout: float
    rank_stabilized: bool

    def check_weights(
        self, folder: Path, weights: Mapping[str, Pair], shapes: Mapping[str, tuple[int, int]]
    ) -> dict[str, tuple[int, float]]:
        """Checks that the weights are all that these settings ask for in a model of these layers.

        Args:
            weights: by the name of the layer.
            shapes: (out, in) of each linear layer of the model.

        Returns:
            r and alpha of each layer that has weights.

        Raises:
            ValueError: they are not; names the first layer that differs.
        """
        file = weights_file(folder)
        for name in weights:
            if name not in shapes:
                raise ValueError(f"{file} was made for another model: this one has no layer {name}")
        try:
            chosen, sizes = self.targets.chosen(shapes), self.sizes.of(weights)
        except ValueError as error:
            raise ValueError(f"{folder / CONFIG_FILE}: {error}") from None
        for name, (A, B) in weights.items():
            (n_out, n_in), (r, _) = shapes[name], sizes[name]
            found, wanted = (list(A.shape), list(B.shape)), ([r, n_in], [n_out, r])
            if found != wanted:
                raise ValueError(
                    f"{file} was made for another model: for {name} it has A {found[0]} and "
                    f"B {found[1]}, but r={r} and this model's layer ask for A {wanted[0]} "
                    f"and B {wanted[1]}"
                )
        for name in sorted(chosen ^ weights.keys()):
            has, lacks = (file.name, "target_modules")[:: 1 if name in weights else -1]
            raise ValueError(
                f"{folder / CONFIG_FILE} was made for another model or is damaged: {has} has the "
                f"layer {name}, {lacks} does not"
            )
        return sizes


def write_adapter(
    folder: Path, settings: AdapterSettings, weights: Mapping[str, Pair], of_gpt: bool
) -> None:
    """Writes both files; the ones that were there stay until both are on the disk.

    Args:
        weights: by the name of the layer.
        of_gpt: the layers are a GPT's, which in transformers are Conv1D.

    Raises:
        OSError: the disk is full or may not be written to; what was there before is kept.
    """
    tensors = {
        f"base_model.model.{name}.lora_{letter}.weight": matrix
        for name, pair in weights.items()
        for letter, matrix in zip("AB", pair, strict=True)
    }
    write_folder(folder, stored_config(settings, of_gpt), tensors)


def stored_config(settings: AdapterSettings, of_gpt: bool) -> dict[str, Any]:
    """Returns peft's adapter_config.json for these settings."""
    targets, sizes = settings.targets.target_modules, settings.sizes
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if of_gpt else None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": sizes.r,
        "lora_alpha": sizes.alpha,
        "rank_pattern": dict(sizes.rank_pattern),
        "alpha_pattern": dict(sizes.alpha_pattern),
        "lora_dropout": settings.dropout,
        "target_modules": targets if isinstance(targets, str) else list(targets),
        "use_rslora": settings.rank_stabilized,
        "fan_in_fan_out": of_gpt,
        "bias": "none",
        "init_lora_weights": True,
    }


def read_adapter(folder: Path) -> tuple[AdapterSettings, dict[str, Pair]]:
    """Returns the settings and, by the name of the layer, A and B in fp32.

    Raises:
        FileNotFoundError: folder holds no adapter.
        ValueError: a file is damaged, or asks for something that LoRALinear does not compute.
    """
    settings = read_settings(folder)
    file = weights_file(folder)
    found: dict[str, dict[str, Tensor]] = {}
    for stored_name, tensor in read_numbers(folder).items():
        if stored_name == FROZEN_HEAD:
            continue
        parts = STORED_NAME.fullmatch(stored_name)
        if parts is None:
            raise ValueError(f"{file} holds {stored_name}, which is neither A nor B of LoRA")
        name, letter = parts.groups()
        found.setdefault(name, {})[letter] = tensor
    for name, pair in found.items():
        if len(pair) < 2:
            raise ValueError(f"{file} is damaged: it has only lora_{''.join(pair)} of {name}")
    if not found:
        raise ValueError(f"{file} is damaged: it holds no matrices")
    return settings, {name: (pair["A"], pair["B"]) for name, pair in found.items()}


def read_settings(folder: Path) -> AdapterSettings:
    """Returns the settings from adapter_config.json.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or asks for something that LoRALinear does not compute.
    """
    path, stored = folder / CONFIG_FILE, read_config(folder)
    check(stored, KIND, path)
    known = CONFIG.required.keys() | CONFIG.optional.keys() | HARMLESS
    start = stored.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(CHANGE_THE_BASE):
        raise ValueError(
            f"{path}: init_lora_weights is {shown(start)}, so the adapter belongs to base weights "
            "that peft has changed; save it with path_initial_model_for_weight_conversion"
        )
    for name, value in stored.items():
        if (name == "bias" and value != "none") or (name not in known and value):
            raise ValueError(
                f"{path}: {name[:60]} is {shown(value)}, which LoRALinear does not compute"
            )
    check(stored, CONFIG, path)
    blocks, before = stored.get("layers_to_transform"), stored.get("layers_pattern") or ()
    patterns = (stored.get(f"{kind}_pattern") or {} for kind in ("rank", "alpha"))
    try:
        targets = Targets(
            _tuple(stored["target_modules"]),
            _tuple(stored.get("exclude_modules") or ()),
            _tuple([blocks] if isinstance(blocks, int) else blocks),
            _tuple([before] if isinstance(before, str) else before),
        )
        sizes = Sizes(stored["r"], stored["lora_alpha"], *patterns)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    rank_stabilized = stored.get("use_rslora", False)
    return AdapterSettings(targets, sizes, stored.get("lora_dropout", 0.0), rank_stabilized)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

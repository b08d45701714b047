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

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from minigpt.files.adapter_folder import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    read_config,
    read_numbers,
    write_folder,
)
from minigpt.layers import matches
from minigpt.lora.layer import check_settings

STORED_NAME = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
FROZEN_HEAD = "base_model.model.lm_head.base_layer.weight"  # peft adds it to an adapter of the head

# What we read, and what says nothing about the computation. Anything else that is switched on
# (DoRA, rank_pattern, modules_to_save, whatever comes next) would make another model.
READ = {"peft_type", "r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora"}
HARMLESS = {"auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "fan_in_fan_out",
            "inference_mode", "megatron_core", "peft_version", "qalora_group_size", "revision",
            "task_type"}  # fmt: skip
PLAIN_STARTS = (True, False, "gaussian")  # others change W_0 too, or may

Pair = tuple[Tensor, Tensor]  # A [r, in] and B [out, r] of one layer


@dataclass(frozen=True)
class AdapterSettings:
    """What apply_lora was called with; target_modules may be a regular expression from peft."""

    target_modules: tuple[str, ...] | str
    r: int
    alpha: float
    dropout: float
    rank_stabilized: bool

    def check_weights(
        self, folder: Path, weights: Mapping[str, Pair], sizes: Mapping[str, tuple[int, int]]
    ) -> None:
        """Whether the weights are all that these settings ask for in a model of these layers.

        Args:
            weights: by the name of the layer.
            sizes: (out, in) of each linear layer of the model.

        Raises:
            ValueError: they are not; names the first layer that differs.
        """
        file = folder / WEIGHTS_FILE
        for name, (A, B) in weights.items():
            if name not in sizes:
                raise ValueError(f"{file} was made for another model: this one has no layer {name}")
            n_out, n_in = sizes[name]
            found, wanted = (list(A.shape), list(B.shape)), ([self.r, n_in], [n_out, self.r])
            if found != wanted:
                raise ValueError(
                    f"{file} was made for another model: for {name} it has A {found[0]} and "
                    f"B {found[1]}, but r={self.r} and this model's layer ask for A {wanted[0]} "
                    f"and B {wanted[1]}"
                )
        chosen = {name for name in sizes if self._targets(name)}
        for name in sorted(chosen ^ weights.keys()):
            has, not_has = (WEIGHTS_FILE, CONFIG_FILE)[:: 1 if name in weights else -1]
            raise ValueError(
                f"{folder} was made for another model or is damaged: {has} has the layer {name}, "
                f"{not_has} has not"
            )

    def _targets(self, name: str) -> bool:
        if isinstance(self.target_modules, str):
            return re.fullmatch(self.target_modules, name) is not None
        return any(matches(name, target) for target in self.target_modules)


def write_adapter(
    folder: Path, settings: AdapterSettings, weights: Mapping[str, Pair], of_gpt: bool
) -> None:
    """Write both files; until both are on the disk, the ones that were there stay.

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
    """peft's adapter_config.json for these settings."""
    targets = settings.target_modules
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if of_gpt else None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": settings.r,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": targets if isinstance(targets, str) else list(targets),
        "use_rslora": settings.rank_stabilized,
        "fan_in_fan_out": of_gpt,
        "bias": "none",
        "init_lora_weights": True,
    }


def read_adapter(folder: Path) -> tuple[AdapterSettings, dict[str, Pair]]:
    """The settings and, by the name of the layer, A and B in fp32.

    Raises:
        FileNotFoundError: folder holds no adapter.
        ValueError: a file is damaged, or asks for something that LoRALinear does not compute.
    """
    file, settings = folder / WEIGHTS_FILE, read_settings(folder)
    found: dict[str, dict[str, Tensor]] = {}
    for stored_name, tensor in read_numbers(folder).items():
        if stored_name == FROZEN_HEAD:
            continue
        parts = STORED_NAME.fullmatch(stored_name)
        if parts is None:
            raise ValueError(f"{file} holds {stored_name}, which is no matrix A or B of LoRA")
        name, letter = parts.groups()
        if name.startswith("h."):  # saved from a GPT2Model, which has no LM head
            name = f"transformer.{name}"
        found.setdefault(name, {})[letter] = tensor
    for name, pair in found.items():
        if len(pair) < 2:
            raise ValueError(f"{file} is damaged: it has only lora_{''.join(pair)} of {name}")
    if not found:
        raise ValueError(f"{file} is damaged: it holds no matrices")
    return settings, {name: (pair["A"], pair["B"]) for name, pair in found.items()}


def read_settings(folder: Path) -> AdapterSettings:
    """The settings from adapter_config.json.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or asks for something that LoRALinear does not compute.
    """
    path, stored = folder / CONFIG_FILE, read_config(folder)
    if stored.get("peft_type") != "LORA":
        raise ValueError(f"{path}: peft_type is {stored.get('peft_type')!r}, not 'LORA'")
    plain = {"bias": ("none",), "init_lora_weights": PLAIN_STARTS}
    for name, value in stored.items():
        known = value in plain[name] if name in plain else name in READ | HARMLESS or not value
        if not known:
            raise ValueError(
                f"{path}: {name} is {json.dumps(value)}, which LoRALinear does not compute"
            )
    for name in ("r", "lora_alpha", "target_modules"):
        if name not in stored:
            raise ValueError(f"{path} does not say {name}")
    r, alpha, dropout = stored["r"], stored["lora_alpha"], stored.get("lora_dropout", 0.0)
    targets, rank_stabilized = stored["target_modules"], stored.get("use_rslora", False)
    try:
        check_settings(r, alpha, dropout)
        if isinstance(targets, str):
            re.compile(targets)
        elif not isinstance(targets, list) or not all(isinstance(t, str) for t in targets):
            raise ValueError(f"target_modules must be a list of names, got {json.dumps(targets)}")
        if not isinstance(rank_stabilized, bool):
            raise ValueError(f"use_rslora must be true or false, got {rank_stabilized!r}")
    except (ValueError, re.error) as error:
        raise ValueError(f"{path}: {error}") from None
    targets = targets if isinstance(targets, str) else tuple(targets)
    return AdapterSettings(targets, r, alpha, dropout, rank_stabilized)

"""Bottlenecks as folders (files/adapter_folder.py), in a layout of our own, since peft has none.

adapter_config.json          {"peft_type": "BOTTLENECK", "activation", "behind", "r"}
adapter_model.safetensors    transformer.h.0.attn.c_proj.W_down [r, C], b_down [r],
                             W_up [C, r], b_up [C], and so on; C is the model's width
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from torch import Tensor

from minigpt.files.adapter_folder import (
    CONFIG_FILE,
    read_config,
    read_numbers,
    weights_file,
    write_folder,
)
from minigpt.files.schema import Object, OneOf, Whole, check

# A file says this beside r. The word in peft_type keeps these files apart from peft's own.
KIND = {"peft_type": "BOTTLENECK", "activation": "gelu_new", "behind": "c_proj"}
CONFIG = Object(
    {**{name: OneOf(ours) for name, ours in KIND.items()}, "r": Whole(1, 10**6)}, closed=True
)

Numbers = Mapping[str, Mapping[str, Tensor]]  # {layer: {"W_down": [r, C], "b_down": [r], ...}}


def write_bottlenecks(folder: Path, r: int, numbers: Numbers) -> None:
    """Writes both files; the ones that were there stay until both are on the disk.

    Raises:
        OSError: the disk is full or may not be written to; what was there before is kept.
    """
    tensors = {
        _stored(path, part): tensor
        for path, parts in numbers.items()
        for part, tensor in parts.items()
    }
    write_folder(folder, {**KIND, "r": r}, tensors)


def read_bottlenecks(folder: Path, paths: Iterable[str], n_embd: int) -> tuple[int, Numbers]:
    """Returns r and the numbers of every layer in paths, for a model of width n_embd.

    Raises:
        FileNotFoundError: folder holds no bottlenecks.
        ValueError: a file is damaged, holds something else, or was made for another model.
    """
    r, tensors = _read_width(folder), read_numbers(folder)
    C, file = n_embd, weights_file(folder)
    sizes = {"W_down": [r, C], "b_down": [r], "W_up": [C, r], "b_up": [C]}
    wanted = {(path, part): _stored(path, part) for path in paths for part in sizes}
    for stored in sorted(set(wanted.values()) ^ tensors.keys()):
        has, lacks = ("it", "this model") if stored in tensors else ("this model", "it")
        raise ValueError(
            f"{file} was made for another model or is damaged: {has} has {stored}, {lacks} does not"
        )
    numbers: dict[str, dict[str, Tensor]] = {}
    for (path, part), stored in wanted.items():
        if list(tensors[stored].shape) != sizes[part]:
            raise ValueError(
                f"{file} was made for another model: {stored} is {list(tensors[stored].shape)}, "
                f"but r={r} and the width of this model, {C}, ask for {sizes[part]}"
            )
        numbers.setdefault(path, {})[part] = tensors[stored]
    return r, numbers


def _stored(path: str, part: str) -> str:
    """Returns the name in a file, which is the same whether LoRA is on the layer or not."""
    return f"{path.removesuffix('.base')}.{part}"


def _read_width(folder: Path) -> int:
    """Checks that adapter_config.json describes bottlenecks, and returns its r."""
    config, path = read_config(folder), folder / CONFIG_FILE
    check(config, CONFIG, path)
    return cast(int, config["r"])

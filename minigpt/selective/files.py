"""A trained part of a model as a folder (files/adapter_folder.py), in a layout of our own.

adapter_config.json          {"peft_type": "SELECTIVE", "last_blocks", "biases_only"}
adapter_model.safetensors    transformer.h.4.ln_1.weight [C] and so on: the trained parameters under
                             the names and in the shapes that they have in the model
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from minigpt.config import LARGEST, GPTConfig
from minigpt.files.adapter_folder import (
    CONFIG_FILE,
    read_config,
    read_numbers,
    weights_file,
    write_folder,
)
from minigpt.files.schema import Object, OneOf, Switch, Whole, check
from minigpt.selective.part import part_names, trained_blocks

KIND = {"peft_type": "SELECTIVE"}  # keeps these files apart from peft's own
CONFIG = Object(
    {
        "peft_type": OneOf(KIND["peft_type"]),
        "last_blocks": Whole(1, LARGEST["n_layer"]),
        "biases_only": Switch(),
    },
    closed=True,
)


def write_selective(
    folder: Path, last_blocks: int, biases_only: bool, tensors: Mapping[str, Tensor]
) -> None:
    """Writes both files; the ones that were there stay until both are on the disk.

    Raises:
        ValueError, OSError: as write_folder.
    """
    config = {**KIND, "last_blocks": last_blocks, "biases_only": biases_only}
    write_folder(folder, config, tensors)


def read_selective(
    folder: Path, config: GPTConfig, shapes: Mapping[str, Sequence[int]]
) -> tuple[int, bool, dict[str, Tensor]]:
    """Returns last_blocks, biases_only and the parameters, for a model of this configuration.

    Args:
        shapes: of the model's own parameters, by name.

    Raises:
        FileNotFoundError: folder holds nothing of the kind.
        ValueError: a file is damaged, holds something else, or was made for another model.
    """
    said, path = read_config(folder), folder / CONFIG_FILE
    check(said, CONFIG, path)
    last_blocks, biases_only = said["last_blocks"], said["biases_only"]
    try:
        trained_blocks(config.n_layer, config.bias, last_blocks, biases_only)
    except ValueError as error:
        raise ValueError(f"{path} was made for another model: {error}") from None
    tensors, file = read_numbers(folder), weights_file(folder)
    wanted = part_names(config, last_blocks, biases_only)
    for name in sorted(set(wanted) ^ tensors.keys()):
        has = "has" if name in tensors else "lacks"
        raise ValueError(
            f"{file} was made for another model or is damaged: it {has} {name}, unlike what "
            f"{CONFIG_FILE} chooses of this model by last_blocks {last_blocks} and biases_only "
            f"{str(biases_only).lower()}"
        )
    for name in wanted:
        if list(tensors[name].shape) != list(shapes[name]):
            raise ValueError(
                f"{file} was made for another model: {name} is {list(tensors[name].shape)}, but "
                f"in this model {list(shapes[name])}"
            )
    return last_blocks, biases_only, tensors

"""What a method trained beside a frozen model, stored as a folder of two files.

    adapter_config.json          the configuration: the method and its settings
    adapter_model.safetensors    the trained numbers; their header repeats the configuration

Two files cannot be replaced in one step, which is why the header repeats the configuration: while
the numbers are being replaced there is no adapter_config.json (unless the new one is the same), and
a reader takes the header's. A save that is killed at any point therefore leaves all of the old or
all of the new, never the settings of one with the numbers of the other.

The names of the files are those of peft.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from minigpt.files.atomic import write_atomically
from minigpt.files.json_objects import parse_json_object, read_json_object
from minigpt.files.tensors import DAMAGED, read_tensors

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
OLD_WEIGHTS_FILE = "adapter_model.bin"  # peft's until 2023, a pickle; only read
HEADER = "adapter_config"


def write_folder(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Writes both files; the ones that were there stay until both are on the disk.

    Raises:
        OSError: the disk is full or may not be written to; what was there before is kept.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(config, indent=2) + "\n"
    config_file, weights = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    folder.mkdir(parents=True, exist_ok=True)
    before = config_file.read_bytes() if config_file.is_file() else None

    def write_weights(new: Path) -> None:
        save_file(stored, new, metadata={HEADER: text})  # one entry: the order of two is not fixed
        if before != text.encode():
            config_file.unlink(missing_ok=True)

    def write_both(new: Path) -> None:
        new.write_text(text, encoding="utf-8")
        try:
            write_atomically(weights, write_weights)
        except OSError:
            if before is not None:
                config_file.write_bytes(before)
            raise

    write_atomically(config_file, write_both)


def read_config(folder: Path) -> dict[str, Any]:
    """Reads the configuration from its file or, if a save was killed half-way, from the header.

    Raises:
        FileNotFoundError: folder holds no adapter.
        ValueError: a file is damaged.
    """
    config_file, weights = folder / CONFIG_FILE, weights_file(folder)
    if config_file.exists():
        return read_json_object(config_file)
    return parse_json_object(_header(weights), weights)


def weights_file(folder: Path) -> Path:
    """Returns the file of the numbers; raises FileNotFoundError if there is none."""
    for name in (WEIGHTS_FILE, OLD_WEIGHTS_FILE):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} holds no adapter: it has no {WEIGHTS_FILE}")


def _header(weights: Path) -> str:
    header: dict[str, str] = {}
    if weights.name == WEIGHTS_FILE:
        try:
            with safe_open(weights, framework="pt") as tensors:
                header = tensors.metadata() or {}
        except DAMAGED as error:
            raise ValueError(f"{weights} is cut short or damaged ({error})") from None
    if HEADER not in header:
        raise FileNotFoundError(f"{weights.parent} holds no adapter: it has no {CONFIG_FILE}")
    return str(header[HEADER])


def read_numbers(folder: Path) -> dict[str, Tensor]:
    """Returns the tensors in fp32 by their names in the file.

    Raises:
        ValueError: the file is damaged, or holds something that is not a finite number.
    """
    file = weights_file(folder)
    tensors: dict[str, Tensor] = {}
    for name, tensor in read_tensors(file):
        numbers = tensor.float() if tensor.is_floating_point() else None
        if numbers is None or not numbers.isfinite().all():
            raise ValueError(f"{file} is damaged: {name} is not made of finite numbers")
        tensors[name] = numbers
    return tensors

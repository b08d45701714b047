"""What a method trained beside a frozen model, stored as a folder of two files.

    adapter_config.json          the configuration: the method and its settings
    adapter_model.safetensors    the trained numbers

A save that is killed leaves all of the old or all of the new (together.py says how), never the
settings of one with the numbers of the other.

The files have the names that peft gives them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from minigpt.files.json_objects import read_json_object
from minigpt.files.model_files import ADAPTER, MODEL, OTHER_WEIGHTS, RESULTS, matching
from minigpt.files.tensors import check_finite, is_finite, read_tensors
from minigpt.files.together import newest, replace_together

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
OLD_WEIGHTS_FILE = "adapter_model.bin"  # peft's until 2023, a pickle; only read


def write_folder(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Writes both files; the ones that were there stay until both are on the disk.

    Raises:
        ValueError: something is not a finite number, so that no loader would take it; another
            process is writing to folder; or it holds a model, which is not part of an adapter.
        OSError: the disk is full or may not be written to; what was there before is kept.
    """
    check_finite(tensors, f"the adapter cannot be saved in {folder}")
    if strange := matching(folder, MODEL, OTHER_WEIGHTS):
        raise ValueError(
            f"{folder} holds a model ({strange[0]}), and loaders would take the adapter for a part "
            "of it; choose another folder"
        )
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(config, indent=2) + "\n"

    def write(new: Path) -> None:
        save_file(stored, new / WEIGHTS_FILE)
        (new / CONFIG_FILE).write_text(text, encoding="utf-8")

    def obsolete(name: str) -> bool:
        return any(kind.fullmatch(name) for kind in (ADAPTER, RESULTS))

    replace_together(folder, CONFIG_FILE, write, obsolete)


def read_config(folder: Path) -> dict[str, Any]:
    """Reads the configuration.

    Raises:
        FileNotFoundError: folder holds no adapter.
        ValueError: the file is damaged.
    """
    weights_file(folder)
    return read_json_object(newest(folder, CONFIG_FILE) / CONFIG_FILE)


def weights_file(folder: Path) -> Path:
    """Returns the file of the numbers; raises FileNotFoundError if folder holds no adapter."""
    there = newest(folder, CONFIG_FILE)
    found = [there / name for name in (WEIGHTS_FILE, OLD_WEIGHTS_FILE) if (there / name).is_file()]
    if not found or not (there / CONFIG_FILE).exists():
        missing = CONFIG_FILE if found else WEIGHTS_FILE
        raise FileNotFoundError(f"{folder} holds no adapter: it has no {missing}")
    return found[0]


def read_numbers(folder: Path) -> dict[str, Tensor]:
    """Returns the tensors in fp32 by their names in the file.

    Raises:
        ValueError: the file is damaged, or holds something that is not a finite number.
    """
    file = weights_file(folder)
    tensors: dict[str, Tensor] = {}
    for name, tensor in read_tensors(file):
        if not tensor.is_floating_point() or not is_finite(tensor):
            raise ValueError(f"{file} is damaged: {name} is not made of finite numbers")
        tensors[name] = tensor.float()
    return tensors

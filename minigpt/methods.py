"""The ways of fine-tuning: what each trains, how that is saved, and how it is put back.

All are trained by the same loop (training.py) on the same rows (task_data.py).
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiktoken

from minigpt.lora import apply_lora, load_adapter, save_adapter
from minigpt.model import GPT
from minigpt.pretrained import load_pretrained, save_pretrained

RESULTS = "results.json"


@dataclass(frozen=True)
class Method:
    """A way of fine-tuning.

    Attributes:
        prepare: make the model train what this method trains.
        save: write what was trained into a folder.
        load: put what a folder holds into the pretrained model.
        learning_rate, weight_decay: what it is trained with unless told otherwise. Few new numbers
            need larger steps than many old ones.
    """

    prepare: Callable[[GPT, Namespace], object]
    save: Callable[[GPT, tiktoken.Encoding, Path], None]
    load: Callable[[GPT, Path], object]
    learning_rate: float
    weight_decay: float


def _add_lora(model: GPT, arguments: Namespace) -> None:
    targets = [name.strip() for name in arguments.target_modules.split(",")]
    apply_lora(model, arguments.r, arguments.alpha, arguments.lora_dropout, targets)


METHODS: dict[str, Method] = {
    "full": Method(
        prepare=lambda model, arguments: model.requires_grad_(True),
        save=save_pretrained,
        load=lambda model, folder: model.load_state_dict(load_pretrained(folder)[0].state_dict()),
        learning_rate=2e-3,
        weight_decay=0.1,
    ),
    "lora": Method(
        prepare=_add_lora,
        save=lambda model, encoding, folder: save_adapter(model, folder),
        load=load_adapter,
        learning_rate=3e-3,
        weight_decay=0.0,
    ),
}


def load_model(name_or_folder: str | Path) -> tuple[GPT, tiktoken.Encoding]:
    """What load_pretrained loads, or what `minigpt finetune` left in a folder, by any method.

    Raises:
        FileNotFoundError, ValueError: as load_pretrained; or results.json is damaged.
    """
    folder = Path(name_or_folder)
    if not (folder / RESULTS).is_file():
        return load_pretrained(name_or_folder)
    results = read_results(folder)
    try:
        model, encoding = load_pretrained(results["model"])
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{folder} was made from a model that is gone: {error}") from None
    METHODS[results["method"]].load(model, folder)
    return model, encoding


def read_results(folder: Path) -> dict[str, Any]:
    """The results.json of a run; ValueError if it is not one."""
    path = folder / RESULTS
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if results["method"] in METHODS and isinstance(results["model"], str):
            return results
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{path} is damaged, or was not written by `minigpt finetune`")

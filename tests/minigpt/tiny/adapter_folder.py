"""A folder with an adapter that is spoiled; loading it says so and leaves the model alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from minigpt.files.adapter_folder import CONFIG_FILE, WEIGHTS_FILE
from minigpt.model import GPT
from tests.minigpt.tiny.edited import edit_json, edit_tensors
from tests.minigpt.tiny.lora import everything, same


def edit_config(folder: Path, **changes: object) -> None:
    edit_json(folder / CONFIG_FILE, lambda config: config.update(changes))


def edit_weights(folder: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    edit_tensors(folder / WEIGHTS_FILE, edit)


def check_refused(
    load: Callable[..., object], model: GPT, folder: Path, sentence: str, kind: type[Exception]
) -> None:
    """Checks that load(model, folder) raises one sentence and changes nothing."""
    before, random_state = everything(model), torch.get_rng_state()
    with pytest.raises(kind, match=sentence) as error:
        load(model, folder)
    assert "\n" not in str(error.value)
    assert same(everything(model), before)
    assert torch.equal(torch.get_rng_state(), random_state)


def check_cuts(folder: Path, file: str, refused: Callable[[str], None]) -> None:
    """Cuts a file at several places, and checks that loading is refused with a sentence."""
    whole = (folder / file).read_bytes()
    for length in (0, 1, 7, 9, len(whole) // 2, len(whole) - 3):
        (folder / file).write_bytes(whole[:length])
        refused(f"{file} is cut short or damaged")

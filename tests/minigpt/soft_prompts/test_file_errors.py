"""Soft prompt files that do not fit: refused in one sentence, and the model is as it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from minigpt.lora.model import apply_lora, merge_lora
from minigpt.model import GPT
from minigpt.soft_prompts.model import load_soft_prompt, save_soft_prompt, set_soft_prompt
from tests.minigpt.tiny.adapter_folder import (
    check_cuts,
    check_refused,
    edit_config,
    edit_weights,
)
from tests.minigpt.tiny.gpt2 import ours
from tests.minigpt.tiny.peft import CONFIG, WEIGHTS, peer, peers_adapter
from tests.minigpt.tiny.soft_prompts import KINDS, prompted

NAME = "prompt_embeddings"


def _refused(model: GPT, folder: Path, sentence: str, kind: type[Exception] = ValueError) -> None:
    check_refused(partial(load_soft_prompt, name="another"), model, folder, sentence, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"n_embd": 16}, r"was made for another model: token_dim is 32, here it is 16"),
        ({"n_layer": 3}, r"config\.json was made for another model: num_layers is 2, here it is 3"),
        ({"n_head": 4}, r"was made for another model: num_attention_heads is 2, here it is 4"),
        ({"block_size": 5}, r"n_tokens must be a whole number from 1 to 4, .* got 5"),
    ],
)
def test_a_soft_prompt_for_another_model_is_refused(
    tmp_path: Path, kind: str, sizes: dict, sentence: str
) -> None:
    save_soft_prompt(prompted(kind), tmp_path)
    _refused(ours(**sizes), tmp_path, sentence)


def test_a_name_that_is_taken_and_a_merged_adapter_are_refused_on_loading(tmp_path: Path) -> None:
    save_soft_prompt(prompted("prefix"), tmp_path)
    model = prompted("prompt", name="another")
    _refused(model, tmp_path, "already has a soft prompt 'another'; give the new one another name")
    assert isinstance(model.soft_prompts["another"].embeddings, Tensor)
    merged = apply_lora(ours(), r=4)
    merge_lora(merged)
    _refused(merged, tmp_path, "the adapter 'default' is merged into the weights")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"peft_type": "LORA"}, 'must be .*"PREFIX_TUNING" or "GATED_PREFIX_TUNING", got "LORA"'),
        ({"peft_type": "GATED_PREFIX_TUNING"}, "is damaged: it has no gate"),
        ({"peft_type": "P_TUNING"}, 'peft_type must be .*, got "P_TUNING"'),
        ({"peft_type": "PROMPT_TUNING"}, r"has shape \[5, 128\], but .*json asks for \[5, 32\]"),
        ({"modules_to_save": ["ln_f"]}, r'modules_to_save is \["ln_f"\], which is not part of a'),
        ({"something_new": 1}, "something_new is 1, which is not part of a soft prompt here"),
        ({"num_virtual_tokens": 4}, r"has shape \[5, 128\], but .* asks for \[4, 128\]"),
        ({"num_virtual_tokens": None}, "num_virtual_tokens must be a whole number .* got null"),
        ({"num_transformer_submodules": 2}, "num_transformer_submodules is 2, here it is 1"),
        ({"num_layers": None}, "num_layers must be a whole number .* got null"),
    ],
)
def test_a_configuration_that_says_otherwise_is_refused_by_name(
    tmp_path: Path, changes: dict, sentence: str
) -> None:
    save_soft_prompt(prompted("prefix"), tmp_path)
    edit_config(tmp_path, **changes)
    _refused(ours(), tmp_path, sentence)


def test_a_gate_that_fits_no_layer_and_a_gate_of_nothing_are_refused(tmp_path: Path) -> None:
    save_soft_prompt(prompted("gated"), tmp_path)
    stored = load_file(tmp_path / WEIGHTS)
    save_file({**stored, "gate": stored["gate"][:1].clone()}, tmp_path / WEIGHTS)
    _refused(ours(), tmp_path, r"gate in .* has shape \[1, 2\], but .* asks for \[2, 2\]")
    save_file(stored, tmp_path / WEIGHTS)
    edit_config(tmp_path, peft_type="PREFIX_TUNING")
    _refused(ours(), tmp_path, "holds gate, which is not part of a soft prompt")


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda t: t.clear(), "damaged: it has no prompt_embeddings"),
        (lambda t: t.update({NAME: t[NAME][:4].clone()}), r"has shape \[4, 32\], but"),
        (lambda t: t.update({NAME: t[NAME].flatten()}), r"has shape \[160\], but"),
        (lambda t: t[NAME][2, 3].fill_(torch.nan), "embeddings is not made of finite numbers"),
        (lambda t: t[NAME][0, 0].fill_(torch.inf), "embeddings is not made of finite numbers"),
        (lambda t: t.update({NAME: t[NAME].int()}), "embeddings is not made of finite numbers"),
        (
            lambda t: t.update(extra=torch.ones(2)),
            "holds extra, which is not part of a soft prompt",
        ),
    ],
)
def test_vectors_that_are_damaged_are_refused(
    tmp_path: Path, edit: Callable[[dict[str, Tensor]], object], sentence: str
) -> None:
    save_soft_prompt(prompted("prompt"), tmp_path)
    edit_weights(tmp_path, edit)
    _refused(ours(), tmp_path, sentence)


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
def test_files_cut_anywhere_are_refused(tmp_path: Path, file: str) -> None:
    save_soft_prompt(prompted("prompt"), tmp_path)
    check_cuts(tmp_path, file, lambda sentence: _refused(ours(), tmp_path, sentence))


def test_a_folder_without_a_soft_prompt_says_so(tmp_path: Path) -> None:
    _refused(ours(), tmp_path, r"holds no adapter: it has no adapter_model", FileNotFoundError)
    peers_adapter(peer(), fan_in_fan_out=True).save_pretrained(tmp_path)
    _refused(ours(), tmp_path, 'peft_type must be "PROMPT_TUNING" or .*, got "LORA"')
    (tmp_path / CONFIG).write_text('{"peft_type": "PREFIX_TUNING"}')
    _refused(ours(), tmp_path, r"adapter_config\.json: num_virtual_tokens is missing")
    (tmp_path / CONFIG).unlink()
    _refused(ours(), tmp_path, r"holds no adapter: it has no adapter_config", FileNotFoundError)


def test_what_cannot_be_saved_is_said_before_anything_is_written(tmp_path: Path) -> None:
    model = prompted("prompt", name="french")
    with pytest.raises(ValueError, match="no soft prompt 'german'; it has french"):
        save_soft_prompt(model, tmp_path / "x", name="german")
    set_soft_prompt(model, None)
    with pytest.raises(ValueError, match="no soft prompt is active; the model has french"):
        save_soft_prompt(model, tmp_path / "x")
    with pytest.raises(ValueError, match="the model has no soft prompts"):
        save_soft_prompt(ours(), tmp_path / "x")
    assert not (tmp_path / "x").exists()

"""Adapter files that do not fit: refused in one sentence, and the model is as it was."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from minigpt.lora.model import load_lora, lora_layers, save_lora, set_lora
from minigpt.model import GPT
from tests.minigpt.tiny.adapter_folder import (
    check_cuts,
    check_refused,
    edit_config,
    edit_weights,
)
from tests.minigpt.tiny.gpt2 import ours
from tests.minigpt.tiny.lora import adapted
from tests.minigpt.tiny.peft import CONFIG, WEIGHTS, peer, peers_adapter

OTHER_MODEL = {
    "another width": (ours, {"n_embd": 16}, r"for transformer\.h\.0\.attn\.c_attn it has A "
                      r"\[4, 32\] and B \[96, 4\], but r=4 .* A \[4, 16\] and B \[48, 4\]"),
    "fewer layers": (ours, {"n_layer": 1}, r"has no layer transformer\.h\.1\.attn\.c_attn"),
    "more layers": (ours, {"n_layer": 3}, r"target_modules has the layer "
                    r"transformer\.h\.2\.attn\.c_attn, adapter_model\.safetensors does not"),
}  # fmt: skip


@pytest.mark.parametrize("which", OTHER_MODEL)
def test_an_adapter_for_another_model_is_refused(tmp_path: Path, which: str) -> None:
    make, sizes, sentence = OTHER_MODEL[which]
    save_lora(adapted(), tmp_path)
    _refused(make(**sizes), tmp_path, sentence)


def _refused(model: GPT, folder: Path, sentence: str, kind: type[Exception] = ValueError) -> None:
    check_refused(partial(load_lora, name="another"), model, folder, sentence, kind)
    assert not any(layer.active == "another" for layer in lora_layers(model).values())


def test_a_name_that_is_taken_is_refused_on_loading(tmp_path: Path) -> None:
    save_lora(adapted(), tmp_path)
    model = adapted(name="another")
    set_lora(model, None)
    _refused(model, tmp_path, "already has an adapter 'another'; give the new one another name")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"peft_type": "IA3"}, 'peft_type must be "LORA", got "IA3"'),
        ({"bias": "all"}, 'bias is "all", which LoRALinear does not compute'),
        ({"use_dora": True}, "use_dora is true, which"),
        ({"lora_bias": True}, "lora_bias is true, which"),
        ({"rank_pattern": {"c_fc": 2}}, r"c_fc it has A \[4, 32\] and B \[128, 4\], but r=2 and"),
        ({"rank_pattern": {"c_fc": "2"}}, "rank_pattern.c_fc must be a whole number from 1"),
        ({"alpha_pattern": {"c_fc": 0}}, "alpha_pattern.c_fc must be a finite number at most"),
        ({"alpha_pattern": {"(c_fc": 1}}, r"alpha_pattern must be a regular expression, got '\(c_"),
        ({"modules_to_save": ["ln_f"]}, r'modules_to_save is \["ln_f"\], which'),
        ({"init_lora_weights": "pissa"}, 'init_lora_weights is "pissa", so the adapter belongs'),
        ({"init_lora_weights": "OLoRA"}, 'init_lora_weights is "OLoRA", so the adapter belongs'),
        ({"layers_to_transform": [0]}, r"has the layer transformer\.h\.1\..*, target_modules does"),
        ({"layers_to_transform": ["0"]}, r"layers_to_transform\[0\] must be a whole number"),
        ({"layers_pattern": "h"}, "layers_pattern needs layers_to_transform"),
        ({"exclude_modules": "+"}, r"exclude_modules must be a regular expression, got '\+'"),
        ({"something_new": 1}, "something_new is 1, which"),
        ({"r": 0}, r"adapter_config\.json: r must be a whole number from 1 to 1,000,000, got 0"),
        ({"r": 3}, r"it has A \[4, 32\] and B \[96, 4\], but r=3 and this model's layer ask"),
        (
            {"lora_alpha": 0},
            r"json: lora_alpha must be a finite number at most 1e\+06 and above",
        ),
        ({"lora_alpha": "6"}, 'lora_alpha must be .* above 0, got "6"'),
        ({"lora_dropout": 1.5}, "lora_dropout must be a finite number at least 0 and below 1"),
        ({"use_rslora": "no"}, 'use_rslora must be true or false, got "no"'),
        ({"target_modules": ["c_attn"]}, r"safetensors has the layer .*c_proj, target_modules"),
        (
            {"target_modules": None},
            "target_modules must be text .* or a list, .* got null",
        ),
        ({"alpha_pattern": {"c_attn{e<=1}": 4}}, "alpha_pattern must be .* '{' that begins no"),
        ({"alpha_pattern": {"c_[[:alpha:]]+": 4}}, r"alpha_pattern must be .*'\[:' and"),
        pytest.param(
            {"rank_pattern": {"(?x)c_attn # all": 4}},
            "rank_pattern must be .*global flags not at",
            marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 allows it"),
        ),
        ({"rank_pattern": {r"(c)_attn\2": 4}}, "rank_pattern must be .*invalid group reference 2"),
        ({"exclude_modules": "(((a{99}){99}){99}){99}"}, "counts multiply to more than 10,000"),
        ({"target_modules": ".{4000000000}c_attn"}, "counts multiply to more than 10,000"),
        (
            {"rank_pattern": {f"x{i}": 4 for i in range(1001)}},
            "rank_pattern may have 1,000 patterns, got 1,001",
        ),
        (
            {"target_modules": "(c_attn"},
            r"json: target_modules must be .* '\(c_attn' \(missing \)",
        ),
    ],
)
def test_a_configuration_that_is_not_plain_lora_is_refused_by_name(
    tmp_path: Path, changes: dict, sentence: str
) -> None:
    save_lora(adapted(), tmp_path)
    edit_config(tmp_path, **changes)
    _refused(ours(), tmp_path, sentence)


def test_switches_of_peft_that_it_saves_are_refused_as_it_writes_them(tmp_path: Path) -> None:
    """Not what we think peft writes, but what it does write."""
    for settings, name in (
        ({"use_dora": True}, "use_dora"),
        ({"bias": "lora_only"}, "bias"),
        ({"modules_to_save": ["ln_f"]}, "modules_to_save"),
    ):
        peers_adapter(peer(), fan_in_fan_out=True, **settings).save_pretrained(tmp_path / name)
        _refused(ours(), tmp_path / name, f"{name} is .*, which LoRALinear does not compute")


A_NAME = "base_model.model.transformer.h.1.attn.c_attn.lora_A.weight"


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda t: t.pop(A_NAME), r"damaged: it has only lora_B of transformer\.h\.1\.attn\.c_att"),
        (lambda t: t.clear(), "damaged: it holds no matrices"),
        (lambda t: t[A_NAME].fill_(torch.nan), "c_attn.lora_A.weight is not made of finite num"),
        (lambda t: t.update({A_NAME: t[A_NAME].int()}), "lora_A.weight is not made of finite num"),
        (lambda t: t.update(extra=torch.ones(2)), "holds extra, which is neither A nor B"),
        (
            lambda t: [t.pop(A_NAME.replace("_A", x)) for x in ("_A", "_B")],
            r"target_modules has the layer transformer\.h\.1\.attn\.c_attn, adapter_model",
        ),
    ],
)
def test_weights_that_are_damaged_are_refused(
    tmp_path: Path, edit: Callable[[dict[str, Tensor]], object], sentence: str
) -> None:
    save_lora(adapted(), tmp_path)
    edit_weights(tmp_path, edit)
    _refused(ours(), tmp_path, sentence)


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
def test_files_cut_anywhere_are_refused(tmp_path: Path, file: str) -> None:
    save_lora(adapted(), tmp_path)
    check_cuts(tmp_path, file, lambda sentence: _refused(ours(), tmp_path, sentence))


def test_a_folder_without_an_adapter_says_so(tmp_path: Path) -> None:
    _refused(ours(), tmp_path, r"holds no adapter: it has no adapter_model", FileNotFoundError)
    peers_adapter(peer(), fan_in_fan_out=True).save_pretrained(tmp_path)
    (tmp_path / CONFIG).write_text("[]")
    _refused(ours(), tmp_path, r"adapter_config\.json should be one JSON object")
    (tmp_path / CONFIG).write_text('{"peft_type": "LORA", "lora_alpha": 1}')
    _refused(ours(), tmp_path, r"adapter_config\.json: r is missing")
    (tmp_path / CONFIG).unlink()
    _refused(ours(), tmp_path, r"holds no adapter: it has no adapter_config", FileNotFoundError)


def test_what_cannot_be_saved_is_said_before_anything_is_written(tmp_path: Path) -> None:
    model = adapted(name="french")
    with pytest.raises(ValueError, match="no adapter 'german' to save; the model has french"):
        save_lora(model, tmp_path / "x", name="german")
    set_lora(model, None)
    with pytest.raises(ValueError, match="no adapter None to save; the model has french"):
        save_lora(model, tmp_path / "x")
    with pytest.raises(ValueError, match="the model has no adapters"):
        save_lora(ours(), tmp_path / "x")
    next(iter(lora_layers(model).values())).adapters["french"].dropout = 0.5
    with pytest.raises(ValueError, match="'french' differ in dropout or scale"):
        save_lora(model, tmp_path / "x", name="french")
    assert not (tmp_path / "x").exists()

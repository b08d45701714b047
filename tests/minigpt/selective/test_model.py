"""minigpt.selective.model: what learns, what stays, and folders with what was trained."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from minigpt.bottlenecks.model import apply_bottlenecks, save_bottlenecks
from minigpt.config import GPTConfig
from minigpt.files.adapter_folder import CONFIG_FILE, WEIGHTS_FILE
from minigpt.lora.model import apply_lora, merge_lora, remove_lora
from minigpt.memory.counts import count_selective
from minigpt.model import GPT
from minigpt.qlora.model import quantize_model
from minigpt.selective.model import apply_selective, load_selective, save_selective
from minigpt.training.checkpoint import model_tensors
from minigpt.training.loop import train
from tests.minigpt.tiny.adapter_folder import (
    check_cuts,
    check_refused,
    edit_config,
    edit_weights,
)
from tests.minigpt.tiny.gpt2 import IDX, ours, randomize
from tests.minigpt.tiny.lora import everything, logits, same
from tests.minigpt.tiny.run import TinyData, tiny_config, tiny_model

PARTS: list[dict[str, Any]] = [
    {},
    {"last_blocks": 1},
    {"last_blocks": 2},
    {"biases_only": True},
    {"last_blocks": 1, "biases_only": True},
]


def learning(model: GPT) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def wanted(model: GPT, last_blocks: int | None = None, biases_only: bool = False) -> set[str]:
    """Returns what should learn, from the names of all parameters."""
    n = last_blocks or (model.config.n_layer if biases_only else 1)
    blocks = tuple(f"transformer.h.{model.config.n_layer - 1 - i}." for i in range(n))
    names = {n for n, _ in model.named_parameters() if n.startswith((*blocks, "transformer.ln_f."))}
    return {name for name in names if name.endswith(".bias")} if biases_only else names


def trained(**part: Any) -> GPT:
    """Returns the tiny model with other numbers in the part, which is still trainable."""
    model, other = apply_selective(ours(), **part), ours(seed=5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(other.get_parameter(name))
    return model


# What learns


@pytest.mark.parametrize("part", PARTS)
def test_the_part_learns_and_nothing_else(part: dict[str, Any]) -> None:
    model = tiny_model(dropout=0.1)
    randomize(model)
    before = everything(apply_selective(model, **part))
    assert learning(model) == wanted(model, **part)
    losses = train(model, TinyData(), tiny_config()).losses
    assert sum(losses[-4:]) < sum(losses[:4])
    for name, (tensor, learns) in everything(model).items():
        assert learns == (name in wanted(model, **part)), name
        assert torch.equal(tensor, before[name][0]) == (not learns), name


def test_biases_are_11_c_a_block_and_c_and_the_tied_head_is_not_among_them() -> None:
    model = apply_selective(ours(), biases_only=True)
    sizes = [p.numel() for p in model.parameters() if p.requires_grad]
    assert sum(sizes) == 2 * 11 * 32 + 32
    assert not model.lm_head.weight.requires_grad
    assert model.lm_head.weight is model.transformer["wte"].weight
    assert {p.dim() for p in model.parameters() if p.requires_grad} == {1}


def test_the_published_share_of_biases_is_below_one_in_a_thousand() -> None:
    config = GPTConfig.preset("gpt2")
    assert count_selective(config, biases_only=True) == 11 * 12 * 768 + 768
    assert count_selective(config, last_blocks=1) == 12 * 768**2 + 13 * 768 + 2 * 768


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("sizes", [{}, {"n_layer": 3, "n_embd": 20}, {"bias": False}])
def test_the_count_is_that_of_a_real_model(part: dict[str, Any], sizes: dict[str, Any]) -> None:
    model = ours(**sizes)
    if part.get("biases_only") and not model.config.bias:
        for attempt in (lambda: apply_selective(model, **part),
                        lambda: count_selective(model.config, **part)):  # fmt: skip
            with pytest.raises(ValueError, match="this model has no biases; take last_blocks"):
                attempt()
        return
    apply_selective(model, **part)
    real = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert count_selective(model.config, **part) == real


def test_the_gradients_are_those_of_full_training() -> None:
    full = ours()
    full(IDX, IDX.roll(-1, dims=1))[1].backward()
    for part in PARTS:
        model = apply_selective(ours(), **part)
        model(IDX, IDX.roll(-1, dims=1))[1].backward()
        for name, parameter in model.named_parameters():
            if name in wanted(model, **part):
                torch.testing.assert_close(parameter.grad, full.get_parameter(name).grad)
            else:
                assert parameter.grad is None


def test_chosen_again_another_part_learns() -> None:
    model = apply_selective(apply_selective(ours(), last_blocks=2), biases_only=True)
    assert learning(model) == wanted(model, biases_only=True)


def test_a_checkpoint_of_what_is_trained_holds_the_part_and_no_more() -> None:
    names = model_tensors(apply_selective(ours(), biases_only=True), trainable_only=True)
    assert set(names) == {f"model.{name}" for name in wanted(ours(), biases_only=True)}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"last_blocks": 3}, "last_blocks must be from 1 to 2, the blocks of this model, got 3"),
        ({"last_blocks": 0}, "last_blocks must be from 1 to 2, the blocks of this model, got 0"),
        ({"last_blocks": True}, "last_blocks must be .* got True"),
        ({"last_blocks": 1.0, "biases_only": True}, "last_blocks must be .* got 1.0"),
    ],
)
def test_a_wrong_setting_is_named_and_changes_nothing(
    settings: dict[str, Any], sentence: str
) -> None:
    model = ours()
    before = everything(model)
    with pytest.raises(ValueError, match=sentence):
        apply_selective(model, **settings)
    assert same(everything(model), before)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (apply_lora, "transformer.h.0.attn.c_attn.weight"),
        (apply_bottlenecks, "transformer.h.0.attn.c_proj.weight"),
        (quantize_model, "transformer.h.0.attn.c_attn.weight"),
    ],
)
def test_a_model_that_is_not_plain_is_refused_and_unchanged(
    tmp_path: Path, change: Callable[[GPT], GPT], name: str
) -> None:
    save_selective(trained(), tmp_path)
    model = change(ours(n_embd=32))
    before = everything(model)
    for attempt in (
        lambda: apply_selective(model, biases_only=True),
        lambda: load_selective(model, tmp_path),
    ):
        with pytest.raises(ValueError, match=f"needs a plain model, but .* no parameter {name}; "):
            attempt()
    assert same(everything(model), before)


# Folders


@pytest.mark.parametrize("part", PARTS)
def test_a_part_comes_back_to_the_bit_and_is_small(tmp_path: Path, part: dict[str, Any]) -> None:
    model = trained(**part)
    assert not torch.equal(logits(model), logits(ours()))
    save_selective(model, tmp_path)
    again = ours()
    assert load_selective(again, tmp_path) is again
    assert same(everything(again), everything(model))
    assert torch.equal(logits(again), logits(model))
    assert sorted(os.listdir(tmp_path)) == [CONFIG_FILE, WEIGHTS_FILE]
    stored = load_file(tmp_path / WEIGHTS_FILE)
    assert stored.keys() == wanted(model, **part)
    numbers = sum(tensor.numel() for tensor in stored.values())
    assert (tmp_path / WEIGHTS_FILE).stat().st_size < 4 * numbers + 3000
    save_selective(again, tmp_path / "again")
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        assert (tmp_path / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_a_model_in_bf16_comes_back_to_the_bit(tmp_path: Path) -> None:
    model = trained(last_blocks=2).bfloat16()
    save_selective(model, tmp_path)
    again = load_selective(ours().bfloat16(), tmp_path)
    assert same(everything(again), everything(model))


def test_a_model_with_merged_adapters_is_plain_when_they_are_removed() -> None:
    model = apply_lora(ours())
    merge_lora(model)
    apply_selective(remove_lora(model), last_blocks=1)
    assert learning(model) == wanted(model, last_blocks=1)


def test_what_is_not_such_a_part_is_not_saved(tmp_path: Path) -> None:
    spoiled = apply_selective(ours(), biases_only=True)
    spoiled.transformer["h"][0].ln_1.bias.requires_grad_(False)
    for model, n in ((ours(), 2 + 2 * 12 + 2), (spoiled, 12), (apply_lora(ours()), 2 * 2)):
        with pytest.raises(ValueError, match=f"the {n} trainable .* neither its last blocks nor"):
            save_selective(model, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def refused(model: GPT, folder: Path, sentence: str, kind: type[Exception] = ValueError) -> None:
    check_refused(load_selective, model, folder, sentence, kind)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"n_layer": 1}, r"made for another model: last_blocks must be from 1 to 1, the blocks"),
        ({"n_layer": 3}, r"it has transformer\.h\.0\.attn\.c_attn\.bias, unlike what adapter_con"),
        ({"bias": False}, r"it has transformer\.h\.0\.attn\.c_attn\.bias, unlike what adapter_con"),
        ({"n_embd": 16}, r"h\.0\.ln_1\.weight is \[32\], but in this model \[16\]"),
    ],
)
def test_a_part_of_another_model_is_refused(
    tmp_path: Path, sizes: dict[str, Any], sentence: str
) -> None:
    save_selective(trained(last_blocks=2), tmp_path)
    refused(ours(**sizes), tmp_path, sentence)


def test_biases_are_refused_by_a_model_without_them(tmp_path: Path) -> None:
    save_selective(trained(biases_only=True), tmp_path)
    sentence = "another model: biases_only has nothing to train: this model has no b"
    refused(ours(bias=False), tmp_path, sentence)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"peft_type": "LORA"}, 'peft_type must be "SELECTIVE", got "LORA"'),
        ({"last_blocks": 0}, "last_blocks must be a whole number from 1 to 10,000, got 0"),
        ({"last_blocks": 1}, r"it has transformer\.h\.0\..*, unlike .* by last_blocks 1 and"),
        ({"biases_only": 1}, "biases_only must be true or false, got 1"),
        (
            {"biases_only": True},
            r"it has transformer\.h\.0\.attn\.c_attn\.weight, unlike .* biases_only true",
        ),
        ({"r": 3}, "r is not a field here; there are peft_type, last_blocks, biases_only"),
    ],
)
def test_a_configuration_that_says_something_else_is_refused(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    save_selective(trained(last_blocks=2), tmp_path)
    edit_config(tmp_path, **changes)
    refused(ours(), tmp_path, sentence)


NAME = "transformer.h.1.mlp.c_fc.weight"


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda t: t.pop(NAME), r"or is damaged: it lacks transformer\.h\.1\.mlp\.c_fc\.weight,"),
        (lambda t: t.update({"lm_head.weight": torch.ones(2)}), r"it has lm_head\.weight, unlike"),
        (lambda t: t[NAME].fill_(torch.nan), r"mlp\.c_fc\.weight is not made of finite numbers"),
        (lambda t: t.update({NAME: t[NAME].T.contiguous()}), r"is \[32, 128\], but .* \[128, 32\]"),
    ],
)
def test_numbers_that_are_damaged_are_refused(
    tmp_path: Path, edit: Callable[[dict[str, Tensor]], object], sentence: str
) -> None:
    save_selective(trained(), tmp_path)
    edit_weights(tmp_path, edit)
    refused(ours(), tmp_path, sentence)


@pytest.mark.parametrize("file", [CONFIG_FILE, WEIGHTS_FILE])
def test_files_cut_anywhere_are_refused(tmp_path: Path, file: str) -> None:
    save_selective(trained(), tmp_path)
    check_cuts(tmp_path, file, lambda sentence: refused(ours(), tmp_path, sentence))


def test_other_folders_say_what_they_are(tmp_path: Path) -> None:
    refused(ours(), tmp_path, "holds no adapter: it has no adapter_model", FileNotFoundError)
    save_bottlenecks(apply_bottlenecks(ours(), 2), tmp_path)
    refused(ours(), tmp_path, 'peft_type must be "SELECTIVE", got "BOTTLENECK"')

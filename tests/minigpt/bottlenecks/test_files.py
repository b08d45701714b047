"""Bottlenecks as files: saved and loaded to the bit, kills, and what does not fit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from minigpt.bottlenecks.model import (
    apply_bottlenecks,
    bottleneck_layers,
    load_bottlenecks,
    save_bottlenecks,
    set_bottlenecks,
)
from minigpt.files import adapter_folder as adapter_files
from minigpt.files.adapter_folder import CONFIG_FILE, WEIGHTS_FILE
from minigpt.lora.model import load_lora, remove_lora, save_lora
from minigpt.model import GPT
from minigpt.soft_prompts.model import save_soft_prompt
from tests.minigpt.tiny.adapter_folder import (
    check_cuts,
    check_refused,
    edit_config,
    edit_weights,
)
from tests.minigpt.tiny.bottlenecks import adapted, both, randomized
from tests.minigpt.tiny.gpt2 import ours
from tests.minigpt.tiny.killed import killed_before
from tests.minigpt.tiny.lora import adapted as with_lora
from tests.minigpt.tiny.lora import logits
from tests.minigpt.tiny.soft_prompts import prompted

# Out and in


def test_several_sets_come_back_to_the_bit_and_switch(tmp_path: Path) -> None:
    model = adapted(name="french")
    expected = {"french": logits(model)}
    apply_bottlenecks(model, 7, name="summary")
    expected["summary"] = logits(randomized(model, seed=1))
    save_bottlenecks(model, tmp_path / "summary")
    save_bottlenecks(model, tmp_path / "french", name="french")
    again, random_state = ours(), torch.get_rng_state()
    for name in expected:
        assert load_bottlenecks(again, tmp_path / name, name=name) is again
        trained = {n.split(".")[-2] for n, p in again.named_parameters() if p.requires_grad}
        assert trained == {name}
    assert torch.equal(torch.get_rng_state(), random_state)
    for name in expected:
        set_bottlenecks(again, name)
        assert torch.equal(logits(again), expected[name])


def test_the_files_are_small_and_the_same_when_saved_again(tmp_path: Path) -> None:
    save_bottlenecks(adapted(), tmp_path / "one")
    save_bottlenecks(load_bottlenecks(ours(), tmp_path / "one"), tmp_path / "two")
    assert sorted(os.listdir(tmp_path / "two")) == [CONFIG_FILE, WEIGHTS_FILE]
    one, two = ((tmp_path / which / CONFIG_FILE).read_text() for which in ("one", "two"))
    assert one == two
    saved, again = (load_file(tmp_path / which / WEIGHTS_FILE) for which in ("one", "two"))
    assert saved.keys() == again.keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in saved.items())
    numbers = sum(p.numel() for p in adapted().parameters() if p.requires_grad)
    assert (tmp_path / "one" / WEIGHTS_FILE).stat().st_size < 4 * numbers + 3000
    assert json.loads(one)["r"] == 4


@pytest.mark.parametrize("method", ["adapter", "lora", "prompt"])
def test_every_save_of_the_same_numbers_is_the_same_bytes(tmp_path: Path, method: str) -> None:
    model, save = {
        "adapter": (adapted(), save_bottlenecks),
        "lora": (with_lora(), save_lora),
        "prompt": (prompted("prompt"), save_soft_prompt),
    }[method]
    saved = set()
    for _ in range(16):
        save(model, tmp_path)
        saved.add(tuple((tmp_path / file).read_bytes() for file in (CONFIG_FILE, WEIGHTS_FILE)))
    assert len(saved) == 1


def test_a_folder_fits_whether_lora_is_on_the_layers_or_not(tmp_path: Path) -> None:
    model = both()
    save_bottlenecks(model, tmp_path / "behind")
    save_lora(model, tmp_path / "beside")
    first = load_bottlenecks(load_lora(ours(), tmp_path / "beside"), tmp_path / "behind")
    second = load_lora(load_bottlenecks(ours(), tmp_path / "behind"), tmp_path / "beside")
    assert torch.equal(logits(first), logits(model))
    assert torch.equal(logits(second), logits(model))
    alone = load_bottlenecks(ours(), tmp_path / "behind")
    assert torch.equal(logits(alone), logits(remove_lora(model)))


def test_numbers_stored_in_half_precision_become_fp32(tmp_path: Path) -> None:
    save_bottlenecks(adapted(), tmp_path)
    halves = {name: t.bfloat16() for name, t in load_file(tmp_path / WEIGHTS_FILE).items()}
    save_file(halves, tmp_path / WEIGHTS_FILE)
    for path, layer in bottleneck_layers(load_bottlenecks(ours(), tmp_path)).items():
        W_up = layer.bottlenecks["default"].W_up
        assert W_up.dtype == torch.float32
        assert torch.equal(W_up, halves[f"{path}.W_up"].float())


@pytest.mark.parametrize("which", ["weights", "config", "disk"])
def test_a_full_disk_leaves_the_bottlenecks_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    save_bottlenecks(adapted(), tmp_path)
    before = {file: (tmp_path / file).read_bytes() for file in (CONFIG_FILE, WEIGHTS_FILE)}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        place, name = {
            "weights": (adapter_files, "save_file"),
            "config": (Path, "write_text"),
            "disk": (os, "fsync"),  # some file systems notice only then
        }[which]
        patch.setattr(place, name, full)
        with pytest.raises(OSError, match="No space left"):
            save_bottlenecks(adapted(r=7), tmp_path)
    assert sorted(os.listdir(tmp_path)) == [CONFIG_FILE, WEIGHTS_FILE]
    assert {file: (tmp_path / file).read_bytes() for file in before} == before


@pytest.mark.parametrize("r", [4, 7])
def test_a_save_killed_anywhere_leaves_the_old_or_the_new(tmp_path: Path, r: int) -> None:
    old, new = adapted(), randomized(adapted(r), seed=1)
    logits_of = {"old": logits(old), "new": logits(new)}
    seen, n, finished = set(), 0, False
    while not finished:
        folder, n = tmp_path / str(n), n + 1
        save_bottlenecks(old, folder)
        finished = not killed_before(
            n, adapter_files, lambda folder=folder: save_bottlenecks(new, folder)
        )
        found = logits(load_bottlenecks(ours(), folder))
        which = [name for name, expected in logits_of.items() if torch.equal(found, expected)]
        assert len(which) == 1, f"killed before step {n}"
        seen.update(which)
        save_bottlenecks(new, folder)  # and what the kill left is in nobody's way
        assert sorted(os.listdir(folder)) == [CONFIG_FILE, WEIGHTS_FILE]
        assert torch.equal(logits(load_bottlenecks(ours(), folder)), logits_of["new"])
    assert seen == {"old", "new"}
    assert n > 10


# What does not fit

IN_PLACE = "transformer.h.1.mlp.c_proj.W_up"
OTHER_MODEL = {
    "another width": ({"n_embd": 16}, r"attn\.c_proj\.W_down is \[4, 32\], but r=4 and the width "
                      r"of this model, 16, ask for \[4, 16\]"),
    "fewer layers": ({"n_layer": 1}, r"it has transformer\.h\.1\.attn\.c_proj\.W_down, this model"),
    "more layers": ({"n_layer": 3}, r"this model has transformer\.h\.2\..*, it does not"),
}  # fmt: skip


@pytest.mark.parametrize("which", OTHER_MODEL)
def test_bottlenecks_for_another_model_are_refused(tmp_path: Path, which: str) -> None:
    sizes, sentence = OTHER_MODEL[which]
    save_bottlenecks(adapted(), tmp_path)
    refused(ours(**sizes), tmp_path, sentence)


def refused(model: GPT, folder: Path, sentence: str, kind: type[Exception] = ValueError) -> None:
    check_refused(partial(load_bottlenecks, name="another"), model, folder, sentence, kind)


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    save_bottlenecks(adapted(), tmp_path)
    refused(adapted(name="another"), tmp_path, "already has bottlenecks called 'another'")


def test_lora_is_told_apart_from_bottlenecks_both_ways(tmp_path: Path) -> None:
    save_lora(with_lora(), tmp_path / "lora")
    refused(ours(), tmp_path / "lora", 'peft_type must be "BOTTLENECK", got "LORA"')
    save_bottlenecks(adapted(), tmp_path / "bottlenecks")
    with pytest.raises(ValueError, match='peft_type must be "LORA", got "BOTTLENECK"'):
        load_lora(ours(), tmp_path / "bottlenecks")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"peft_type": None}, 'peft_type must be "BOTTLENECK", got null'),
        ({"activation": "relu"}, 'activation must be "gelu_new", got "relu"'),
        ({"behind": "c_fc"}, 'behind must be "c_proj", got "c_fc"'),
        (
            {"dropout": 0.1},
            "dropout is not a field here; there are peft_type, activation, behind, r",
        ),
        ({"r": 0}, r"adapter_config\.json: r must be a whole number from 1 to 1,000,000, got 0"),
        ({"r": None}, r"adapter_config\.json: r must be .* got null"),
        ({"r": 3}, r"is \[4, 32\], but r=3 and the width of this model, 32, ask for \[3, 32\]"),
    ],
)
def test_a_configuration_that_says_something_else_is_refused(
    tmp_path: Path, changes: dict, sentence: str
) -> None:
    save_bottlenecks(adapted(), tmp_path)
    edit_config(tmp_path, **changes)
    refused(ours(), tmp_path, sentence)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            lambda t: t.pop(IN_PLACE),
            r"damaged: this model has transformer\.h\.1\.mlp\.c_proj\.W_up",
        ),
        (lambda t: t[IN_PLACE].fill_(torch.inf), "c_proj.W_up is not made of finite numbers"),
        (lambda t: t.update({IN_PLACE: t[IN_PLACE].int()}), "W_up is not made of finite numbers"),
        (lambda t: t.update(extra=torch.ones(2)), "it has extra, this model does not"),
        (lambda t: t.update({IN_PLACE: t[IN_PLACE].T.contiguous()}), r"is \[4, 32\], but r=4"),
    ],
)
def test_numbers_that_are_damaged_are_refused(
    tmp_path: Path, edit: Callable[[dict[str, Tensor]], object], sentence: str
) -> None:
    save_bottlenecks(adapted(), tmp_path)
    edit_weights(tmp_path, edit)
    refused(ours(), tmp_path, sentence)


@pytest.mark.parametrize("file", [CONFIG_FILE, WEIGHTS_FILE])
def test_files_cut_anywhere_are_refused(tmp_path: Path, file: str) -> None:
    save_bottlenecks(adapted(), tmp_path)
    check_cuts(tmp_path, file, lambda sentence: refused(ours(), tmp_path, sentence))


def test_a_folder_without_bottlenecks_says_so(tmp_path: Path) -> None:
    refused(ours(), tmp_path, "holds no adapter: it has no adapter_model", FileNotFoundError)
    save_file({"x": torch.ones(1)}, tmp_path / WEIGHTS_FILE)
    refused(ours(), tmp_path, "holds no adapter: it has no adapter_config", FileNotFoundError)
    (tmp_path / CONFIG_FILE).write_text("[]")
    refused(ours(), tmp_path, r"adapter_config\.json should be one JSON object")

"""Adapters as files: peft's in, ours out, against peft and transformers themselves."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import GPT2LMHeadModel, GPT2Model

from minigpt.files import adapter_folder as adapter_files
from minigpt.lora import targets
from minigpt.lora.model import apply_lora, load_lora, lora_layers, save_lora, set_lora
from minigpt.pretrained.folders import load_gpt2, save_gpt2
from tests.minigpt.tiny.adapter_folder import edit_config
from tests.minigpt.tiny.gpt2 import IDX, ours
from tests.minigpt.tiny.killed import killed_before
from tests.minigpt.tiny.lora import ALL, adapted, fill, logits
from tests.minigpt.tiny.peft import CONFIG, WEIGHTS, peer, peers_adapter

# From peft, and to peft

CASES = [
    {"target_modules": ["c_attn"]},
    {"target_modules": ["c_attn"], "fan_in_fan_out": True, "task_type": "CAUSAL_LM"},
    {"target_modules": ["c_attn", "c_proj", "c_fc"], "lora_dropout": 0.3},
    {"target_modules": ["attn.c_proj", "c_fc"], "use_rslora": True, "r": 7},
    {"target_modules": ["mlp.c_proj"], "init_lora_weights": "gaussian", "lora_alpha": 3},
    {"target_modules": "all-linear"},
    {"target_modules": r".*\.1\.mlp\.c_.*", "task_type": "CAUSAL_LM"},
    {"target_modules": ["transformer.h.1.attn.c_attn"], "lora_alpha": 2.5},
    {"target_modules": ["c_attn", "lm_head"]},
    {"target_modules": ["c_attn", "c_fc"], "rank_pattern": {"h.1.attn.c_attn": 7, "c_fc": 2}},
    {"target_modules": ["c_attn", "c_proj"], "alpha_pattern": {r"mlp\.c_proj": 30, "tra.*h.1.*": 1},
     "rank_pattern": {"attn.c_proj": 3}, "use_rslora": True},
    {"target_modules": ["c_attn", "c_proj"], "layers_to_transform": [1]},
    {"target_modules": ["c_attn", "transformer.h.0.mlp.c_fc"], "layers_to_transform": 1,
     "layers_pattern": ["g", "h"]},
    {"target_modules": ["c_proj", "c_attn"], "exclude_modules": ["h.0.attn.c_proj", "mlp.c_proj"]},
    {"target_modules": r".*c_.*", "exclude_modules": r"transformer\.h\.0\..*"},
    {"target_modules": "(?x) .* c_attn   # attention", "layers_pattern": None},
    {"target_modules": r".*c_.*", "exclude_modules": "(?x) .* c_attn # (not this one"},
    {"target_modules": ["c_attn"], "layers_to_transform": [1], "layers_pattern": ["(?P<index>h)"]},
    {"target_modules": ["c_attn"], "init_lora_weights": "orthogonal"},
    {"target_modules": ["c_attn"], "init_lora_weights": "mica"},
]  # fmt: skip


@pytest.mark.parametrize("settings", CASES)
def test_an_adapter_of_peft_gives_the_same_logits_here(tmp_path: Path, settings: dict) -> None:
    peer().save_pretrained(tmp_path / "base")
    theirs = peers_adapter(peer(), **settings)
    theirs.save_pretrained(tmp_path / "adapter")
    model = load_gpt2(tmp_path / "base")
    alone = logits(model)
    assert load_lora(model, tmp_path / "adapter", name="theirs") is model
    assert (logits(model) - logits(theirs)).abs().max() < 1e-5
    assert (logits(model) - alone).abs().max() > 0.1
    layer = next(iter(lora_layers(model).values())).adapter()
    assert layer.dropout == settings.get("lora_dropout", 0.0)
    set_lora(model, None)
    assert torch.equal(logits(model), alone)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ("c_attn",)},
        {"target_modules": ALL, "dropout": 0.3},
        {"target_modules": ("attn.c_proj", "c_fc"), "rank_stabilized": True, "r": 7},
        {"target_modules": ("h.1.mlp.c_proj", "h.0.attn.c_attn"), "alpha": 2.5},
        {"target_modules": ("c_attn", "lm_head")},
    ],
)
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to True:UserWarning")
def test_an_adapter_of_ours_gives_the_same_logits_in_peft(tmp_path: Path, settings: dict) -> None:
    model = adapted(**settings)
    save_gpt2(ours(), tmp_path / "base")
    save_lora(model, tmp_path / "adapter")
    base = GPT2LMHeadModel.from_pretrained(tmp_path / "base")
    alone = logits(base.eval())
    theirs = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    assert (logits(theirs) - logits(model)).abs().max() < 1e-5
    assert (logits(theirs) - alone).abs().max() > 0.1
    dropout = theirs.peft_config["default"].lora_dropout
    assert dropout == settings.get("dropout", 0.0)


def test_our_files_are_named_and_shaped_as_pefts_are(tmp_path: Path) -> None:
    save_lora(adapted(alpha=6), tmp_path / "ours")
    theirs = peers_adapter(
        peer(), target_modules=list(ALL), fan_in_fan_out=True, task_type="CAUSAL_LM"
    )
    theirs.save_pretrained(tmp_path / "theirs")
    found, expected = (load_file(tmp_path / who / WEIGHTS) for who in ("ours", "theirs"))
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in found.items()}
    assert shapes == {name: (tensor.shape, tensor.dtype) for name, tensor in expected.items()}
    config, peers = (json.loads((tmp_path / w / CONFIG).read_text()) for w in ("ours", "theirs"))
    config["target_modules"], peers["target_modules"] = (
        sorted(c["target_modules"]) for c in (config, peers)
    )
    assert config.items() <= peers.items()


@pytest.mark.parametrize("targets", [["c_attn"], r"h\.1\..*c_.*"])
def test_an_adapter_of_the_model_without_its_head_fits(
    tmp_path: Path, targets: list[str] | str
) -> None:
    peer(GPT2Model).save_pretrained(tmp_path / "base")
    theirs = peers_adapter(peer(GPT2Model), target_modules=targets)
    theirs.save_pretrained(tmp_path / "adapter")
    model = load_lora(load_gpt2(tmp_path / "base"), tmp_path / "adapter")
    with torch.no_grad():
        expected = theirs(IDX).last_hidden_state @ model.lm_head.weight.t()
    assert (logits(model) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("start", [False, None, "eva", "orthogonal", "a way of tomorrow"])
def test_how_an_adapter_started_does_not_matter(tmp_path: Path, start: object) -> None:
    save_lora(adapted(), tmp_path)
    edit_config(tmp_path, init_lora_weights=start, eva_config={"rho": 2.0})
    assert torch.equal(logits(load_lora(ours(), tmp_path)), logits(adapted()))


def test_pefts_word_for_every_linear_layer_leaves_out_the_head(tmp_path: Path) -> None:
    save_lora(adapted(), tmp_path)
    edit_config(tmp_path, target_modules="All-Linear")
    assert torch.equal(logits(load_lora(ours(), tmp_path)), logits(adapted()))


def test_an_older_pickle_loads_and_runs_no_program(tmp_path: Path) -> None:
    theirs = peers_adapter(peer())
    theirs.save_pretrained(tmp_path, safe_serialization=False)
    assert sorted(path.name for path in tmp_path.glob("adapter*")) == [CONFIG, "adapter_model.bin"]
    peer().save_pretrained(tmp_path / "base")
    model = load_lora(load_gpt2(tmp_path / "base"), tmp_path)
    assert (logits(model) - logits(theirs)).abs().max() < 1e-5

    class Bomb:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "it ran",)

    billion = torch.zeros(1).expand(10**9)  # four bytes in the file
    for content, reason in (
        ({"a": Bomb()}, "asks for more than tensors, which could be a program to run"),
        ([torch.ones(1)], "it holds a list and no tensors by name"),
        ({"a": [1.5]}, "'a' is not the name of a tensor"),
        ({"a": billion}, "a is not a plain tensor"),
    ):
        torch.save(content, tmp_path / "adapter_model.bin")
        with pytest.raises(ValueError, match=rf"adapter_model\.bin is cut .*{reason}\)$"):
            load_lora(ours(), tmp_path)
    assert not (tmp_path / "it ran").exists()


ENDLESS = (r"(a|a)*(b|[a-z0-9_.])*(?:[^!]|\w)*(?:x+x+)+y", r"((.|..)+)+[^a-z0-9._]", r"(.+.*)+,$")


@pytest.mark.parametrize("field", ["target_modules", "rank_pattern", "alpha_pattern"])
@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_pattern_that_would_match_for_ever_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, pattern: str
) -> None:
    """It either ends in time without a match, or is refused by name."""
    monkeypatch.setattr(targets, "SECONDS", 0.05)
    save_lora(adapted(), tmp_path)
    edit_config(tmp_path, **{field: pattern if field == "target_modules" else {pattern: 5}})
    started = time.monotonic()
    if field == "target_modules":
        with pytest.raises(ValueError, match=r"more than 0\.05 seconds|target_modules does not"):
            load_lora(ours(), tmp_path)
    else:
        with contextlib.suppress(ValueError):
            load_lora(ours(), tmp_path)
    assert time.monotonic() - started < 5


# Out and in


def test_several_adapters_come_back_to_the_bit_and_switch(tmp_path: Path) -> None:
    model = adapted(name="french", dropout=0.1)
    expected = {"french": logits(model)}
    apply_lora(model, r=2, alpha=1, target_modules=("c_fc",), name="summary", rank_stabilized=True)
    fill(model, seed=3)
    expected["summary"] = logits(model)
    save_lora(model, tmp_path / "summary")
    save_lora(model, tmp_path / "french", name="french")
    again = ours()
    random_state = torch.get_rng_state()
    for name in expected:
        load_lora(again, tmp_path / name, name=name)
    assert torch.equal(torch.get_rng_state(), random_state)
    for name in expected:
        set_lora(again, name)
        assert torch.equal(logits(again), expected[name])
        trained = {n.split(".")[-2] for n, p in again.named_parameters() if p.requires_grad}
        assert trained == {name}
    assert json.loads((tmp_path / "french" / CONFIG).read_text())["target_modules"] == [
        "c_attn",
        "c_proj",
        "c_fc",
    ]


def test_an_adapter_that_was_loaded_can_be_saved_and_is_small(tmp_path: Path) -> None:
    save_lora(adapted(), tmp_path / "one")
    save_lora(load_lora(ours(), tmp_path / "one"), tmp_path / "two")
    assert sorted(os.listdir(tmp_path / "two")) == [CONFIG, WEIGHTS]
    one, two = ((tmp_path / which / CONFIG).read_text() for which in ("one", "two"))
    assert one == two
    saved, again = (load_file(tmp_path / which / WEIGHTS) for which in ("one", "two"))
    assert saved.keys() == again.keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in saved.items())
    numbers = sum(p.numel() for p in adapted().parameters() if p.requires_grad)
    assert (tmp_path / "one" / WEIGHTS).stat().st_size < 4 * numbers + 4000


def test_layers_of_different_r_and_alpha_are_saved_with_patterns_that_peft_reads(
    tmp_path: Path,
) -> None:
    settings = {"rank_pattern": {"h.1.attn.c_attn": 7}, "alpha_pattern": {"c_fc": 30}}
    theirs = peers_adapter(peer(), target_modules=["c_attn", "c_fc"], **settings)
    theirs.save_pretrained(tmp_path / "theirs")
    peer().save_pretrained(tmp_path / "base")
    model = load_lora(load_gpt2(tmp_path / "base"), tmp_path / "theirs")
    save_lora(model, tmp_path / "ours")
    again = PeftModel.from_pretrained(peer(), tmp_path / "ours").eval()
    assert (logits(again) - logits(theirs)).abs().max() < 1e-5
    assert torch.equal(logits(load_lora(load_gpt2(tmp_path / "base"), tmp_path / "ours")),
                       logits(model))  # fmt: skip


def test_matrices_stored_in_half_precision_become_fp32(tmp_path: Path) -> None:
    save_lora(adapted(), tmp_path)
    halves = {name: tensor.bfloat16() for name, tensor in load_file(tmp_path / WEIGHTS).items()}
    save_file(halves, tmp_path / WEIGHTS)
    for path, layer in lora_layers(load_lora(ours(), tmp_path)).items():
        stored = halves[f"base_model.model.{path}.lora_B.weight"]
        assert layer.lora_B.dtype == torch.float32
        assert torch.equal(layer.lora_B, stored.float())


@pytest.mark.parametrize("which", ["weights", "config", "disk"])
def test_a_full_disk_leaves_the_adapter_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    save_lora(adapted(), tmp_path)
    before = {file: (tmp_path / file).read_bytes() for file in (CONFIG, WEIGHTS)}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if which == "weights":
            patch.setattr(adapter_files, "save_file", full)
        elif which == "config":
            patch.setattr(Path, "write_text", full)
        else:
            patch.setattr(os, "fsync", full)  # some file systems notice only then
        with pytest.raises(OSError, match="No space left"):
            save_lora(adapted(alpha=99, r=3), tmp_path)
    assert sorted(os.listdir(tmp_path)) == [CONFIG, WEIGHTS]
    assert {file: (tmp_path / file).read_bytes() for file in (CONFIG, WEIGHTS)} == before


def test_a_save_killed_anywhere_leaves_the_old_or_the_new_adapter(tmp_path: Path) -> None:
    old, new = adapted(), adapted(alpha=99)  # the same shapes: a mixture would go unnoticed
    fill(new, seed=1)
    logits_of = {8: logits(old), 99: logits(new)}
    seen, n, finished = set(), 0, False
    while not finished:
        folder, n = tmp_path / str(n), n + 1
        save_lora(old, folder)
        finished = not killed_before(n, adapter_files, lambda folder=folder: save_lora(new, folder))
        model = load_lora(ours(), folder)
        alpha = next(iter(lora_layers(model).values())).adapter().alpha
        seen.add(alpha)
        assert torch.equal(logits(model), logits_of[alpha]), f"killed before step {n}"
        if (folder / CONFIG).exists():  # what peft would read
            assert json.loads((folder / CONFIG).read_text())["lora_alpha"] == alpha
    assert seen == {8, 99}
    assert n > 10

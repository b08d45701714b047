"""Soft prompts as files: peft's in, ours out, against peft and transformers themselves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from peft import PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import GPT2LMHeadModel

from minigpt.files import adapter_folder as adapter_files
from minigpt.pretrained.folders import load_gpt2, save_gpt2
from minigpt.soft_prompts.model import (
    load_soft_prompt,
    remove_soft_prompts,
    save_soft_prompt,
    set_soft_prompt,
)
from tests.minigpt.tiny.gpt2 import ours
from tests.minigpt.tiny.killed import killed_before
from tests.minigpt.tiny.peft import CONFIG, WEIGHTS, peer
from tests.minigpt.tiny.soft_prompts import EVERY_KIND, KINDS, N, apply, fill, logits, prompted

NAME = "prompt_embeddings"
CAUSAL = {"task_type": "CAUSAL_LM", "num_virtual_tokens": N}
PEERS = {
    "prompt": PromptTuningConfig(**CAUSAL),
    "prompt from words": PromptTuningConfig(**CAUSAL, prompt_tuning_init="SAMPLE_VOCAB"),
    "prefix": PrefixTuningConfig(**CAUSAL),
    "prefix from zero": PrefixTuningConfig(**CAUSAL, init_weights="zero"),
    "network": PrefixTuningConfig(**CAUSAL, prefix_projection=True, encoder_hidden_size=9),
}


def peers_prompt(which: str) -> PeftModel:
    """Returns a peft model whose soft prompt has random numbers."""
    model = get_peft_model(peer(), PEERS[which])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.prompt_encoder.parameters():
            parameter.normal_(std=0.5, generator=generator)
    return model.eval()


# From peft, and to peft


@pytest.mark.parametrize("which", PEERS)
def test_a_soft_prompt_of_peft_gives_the_same_logits_here(tmp_path: Path, which: str) -> None:
    peer().save_pretrained(tmp_path / "base")
    theirs = peers_prompt(which)
    theirs.save_pretrained(tmp_path / "prompt")
    model = load_gpt2(tmp_path / "base")
    alone = logits(model)
    assert load_soft_prompt(model, tmp_path / "prompt", name="theirs") is model
    expected = logits(theirs)[:, -12:]  # theirs scores the virtual tokens of prompt tuning too
    assert (logits(model) - expected).abs().max() < 1e-5
    assert (logits(model) - alone).abs().max() > 0.1
    set_soft_prompt(model, None)
    assert torch.equal(logits(model), alone)


@pytest.mark.parametrize("kind", KINDS)
def test_a_soft_prompt_of_ours_gives_the_same_logits_in_peft(tmp_path: Path, kind: str) -> None:
    model = prompted(kind)
    save_gpt2(ours(), tmp_path / "base")
    save_soft_prompt(model, tmp_path / "prompt")
    base = GPT2LMHeadModel.from_pretrained(tmp_path / "base")
    alone = logits(base.eval())
    theirs = PeftModel.from_pretrained(base, tmp_path / "prompt").eval()
    assert (logits(theirs)[:, -12:] - logits(model)).abs().max() < 1e-5
    assert (logits(theirs)[:, -12:] - alone).abs().max() > 0.1


def test_peft_refuses_a_prefix_with_a_gate_which_it_would_read_as_one_without(
    tmp_path: Path,
) -> None:
    save_soft_prompt(prompted("gated"), tmp_path)
    with pytest.raises((KeyError, ValueError), match="GATED_PREFIX_TUNING"):
        PeftModel.from_pretrained(peer(), tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_our_files_are_named_and_shaped_as_pefts_are(tmp_path: Path, kind: str) -> None:
    save_soft_prompt(prompted(kind), tmp_path / "ours")
    peers_prompt(kind).save_pretrained(tmp_path / "theirs")
    found, expected = (load_file(tmp_path / who / WEIGHTS) for who in ("ours", "theirs"))
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in found.items()}
    assert shapes == {name: (tensor.shape, tensor.dtype) for name, tensor in expected.items()}
    config, peers = (json.loads((tmp_path / w / CONFIG).read_text()) for w in ("ours", "theirs"))
    if kind == "network":  # what we save is the prefix that the network made
        peers.update(prefix_projection=False, encoder_hidden_size=32)
    if kind == "prefix":  # says nothing without a network
        config.pop("encoder_hidden_size")
    assert config.items() <= peers.items()


# Out and in


def test_several_prompts_come_back_to_the_bit_and_switch(tmp_path: Path) -> None:
    model = prompted("prompt", name="prompt")
    expected = {"prompt": logits(model)}
    for kind in ("prefix", "gated", "network"):
        fill(apply(model, kind, 3, name=kind), seed=3)
        expected[kind] = logits(model)
    for name in expected:
        save_soft_prompt(model, tmp_path / name, name=name)
    save_soft_prompt(model, tmp_path / "active")
    again, random_state = ours(), torch.get_rng_state()
    for name in expected:
        load_soft_prompt(again, tmp_path / name, name=name)
    assert torch.equal(torch.get_rng_state(), random_state)
    for name in expected:
        set_soft_prompt(again, name)
        assert torch.equal(logits(again), expected[name])
        trained = {n.split(".")[2] for n, p in again.named_parameters() if p.requires_grad}
        assert trained == {name}
    assert torch.equal(
        *(load_file(tmp_path / which / WEIGHTS)[NAME] for which in ("active", "network"))
    )
    remove_soft_prompts(again)
    assert torch.equal(logits(again), logits(ours()))


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_prompt_that_was_loaded_can_be_saved_and_is_small(tmp_path: Path, kind: str) -> None:
    save_soft_prompt(prompted(kind), tmp_path / "one")
    save_soft_prompt(load_soft_prompt(ours(), tmp_path / "one"), tmp_path / "two")
    assert sorted(os.listdir(tmp_path / "two")) == [CONFIG, WEIGHTS]
    one, two = ((tmp_path / which / CONFIG).read_text() for which in ("one", "two"))
    assert one == two
    one, two = (load_file(tmp_path / which / WEIGHTS) for which in ("one", "two"))
    assert all(torch.equal(two.pop(name), tensor) for name, tensor in one.items())
    assert not two
    assert one.keys() == ({NAME, "gate"} if "gated" in kind else {NAME})
    numbers = N * 32 if kind == "prompt" else N * 2 * 2 * 32  # of a network, no more
    assert (tmp_path / "one" / WEIGHTS).stat().st_size < 4 * numbers + 1500


def test_vectors_stored_in_half_precision_become_fp32(tmp_path: Path) -> None:
    save_soft_prompt(prompted("prefix"), tmp_path)
    halves = {NAME: load_file(tmp_path / WEIGHTS)[NAME].bfloat16()}
    save_file(halves, tmp_path / WEIGHTS)
    loaded = load_soft_prompt(ours(), tmp_path).soft_prompts["default"].vectors()
    assert loaded.dtype == torch.float32
    assert torch.equal(loaded, halves[NAME].float())


def test_a_save_killed_anywhere_leaves_the_old_or_the_new_prompt(tmp_path: Path) -> None:
    old, new = prompted("prefix", 4), prompted("prompt", 4)
    expected = [logits(old), logits(new)]
    seen, n, finished = set(), 0, False
    while not finished:
        folder, n = tmp_path / str(n), n + 1
        save_soft_prompt(old, folder)
        finished = not killed_before(
            n, adapter_files, lambda folder=folder: save_soft_prompt(new, folder)
        )
        found = logits(load_soft_prompt(ours(), folder))
        which = [torch.equal(found, one) for one in expected]
        assert sum(which) == 1, f"killed before step {n}"
        seen.add(which.index(True))
    assert seen == {0, 1}
    assert n > 10


def test_a_full_disk_leaves_the_prompt_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_soft_prompt(prompted("prompt"), tmp_path)
    before = {file: (tmp_path / file).read_bytes() for file in (CONFIG, WEIGHTS)}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for owner, name in ((adapter_files, "save_file"), (Path, "write_text"), (os, "fsync")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            with pytest.raises(OSError, match="No space left"):
                save_soft_prompt(prompted("prefix", 3), tmp_path)
        assert sorted(os.listdir(tmp_path)) == [CONFIG, WEIGHTS]
        assert {file: (tmp_path / file).read_bytes() for file in (CONFIG, WEIGHTS)} == before

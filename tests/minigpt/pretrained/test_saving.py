"""A save replaces all of the model before, or refuses; at no moment do two models mix."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiktoken
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from minigpt.bottlenecks.model import apply_bottlenecks, save_bottlenecks
from minigpt.files.lock import LOCK
from minigpt.lora.model import apply_lora, load_lora, save_lora
from minigpt.model import GPT
from minigpt.pretrained import layout
from minigpt.pretrained.folders import load_gpt2, load_pretrained, save_gpt2, save_pretrained
from minigpt.pretrained.quantized import save_quantized
from minigpt.qlora.model import quantize_model
from minigpt.selective.model import apply_selective, save_selective
from minigpt.soft_prompts.model import apply_prefix_tuning, save_soft_prompt
from tests.minigpt.tiny.gpt2 import IDX, SIZES, ours, randomize
from tests.minigpt.tiny.killed import killed_before
from tests.minigpt.tiny.lora import adapted, logits


def encoding(name: str, n_tokens: int = 257) -> tiktoken.Encoding:
    """Returns an encoding of bytes; one of 258 tokens joins "a" and "b"."""
    ranks = {bytes([byte]): byte for byte in range(256)} | ({b"ab": 256} if n_tokens > 257 else {})
    special = {"<|endoftext|>": n_tokens - 1}
    return tiktoken.Encoding(name, pat_str=r"\S+|\s", mergeable_ranks=ranks, special_tokens=special)


def theirs(seed: int = 9, **sizes: int) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    sizes = {**SIZES, **sizes}
    model = GPT2LMHeadModel(GPT2Config(**sizes, n_positions=24, bos_token_id=9, eos_token_id=9))
    randomize(model)
    return model.eval()


def shards(folder: Path) -> None:
    theirs().save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2


def shards_of_the_same_sizes_and_settings(folder: Path) -> None:
    save_gpt2(ours(seed=5), folder)
    config = (folder / "config.json").read_bytes()
    shards(folder)
    (folder / "config.json").write_bytes(config)
    (folder / "model.safetensors").unlink()


def pickles(folder: Path) -> None:
    shards(folder)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    state, names = theirs().state_dict(), {"weight_map": {}}
    for file in folder.glob("model-*"):
        file.unlink()
    for name in index["weight_map"]:
        names["weight_map"][name] = "pytorch_model-00001-of-00001.bin"
    torch.save(state, folder / "pytorch_model-00001-of-00001.bin")
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(names))
    (folder / "model.safetensors.index.json").unlink()


def four_bits(folder: Path) -> None:
    save_quantized(quantize_model(ours(n_embd=64)), None, folder)


def a_tokenizer_of_transformers(folder: Path) -> None:
    theirs().save_pretrained(folder)
    for name in ("vocab.json", "added_tokens.json", "tokenizer_config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    (folder / "merges.txt").write_text("#version: 0.2\n")


BEFORE = [shards, shards_of_the_same_sizes_and_settings, pickles, four_bits]


@pytest.mark.parametrize("before", BEFORE, ids=lambda make: make.__name__)
def test_a_saved_model_is_what_every_loader_finds(
    tmp_path: Path, before: Callable[[Path], None]
) -> None:
    before(tmp_path)
    model = ours(seed=1)
    save_gpt2(model, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]
    assert torch.equal(load_gpt2(tmp_path)(IDX)[0], model(IDX)[0])
    peer = GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    assert (logits(peer) - logits(model)).abs().max() < 1e-5
    assert not hasattr(peer.config, "quantization_config")


@pytest.mark.parametrize("before", [*BEFORE, a_tokenizer_of_transformers])
def test_a_save_in_4_bits_and_a_tokenizer_replace_what_was_there_too(
    tmp_path: Path, before: Callable[[Path], None]
) -> None:
    before(tmp_path)
    model = quantize_model(ours(seed=1, vocab_size=300, n_embd=64))
    save_quantized(model, encoding("new"), tmp_path)
    names = ["config.json", "model.safetensors", "tokenizer.json"]
    assert sorted(os.listdir(tmp_path)) == names
    again, its_encoding = load_pretrained(tmp_path)
    assert its_encoding.name == "new"
    assert torch.equal(again(IDX)[0], model(IDX)[0])
    plain = ours(seed=2, vocab_size=300)
    save_pretrained(plain, encoding("newer", 258), tmp_path)
    again, its_encoding = load_pretrained(tmp_path)
    assert its_encoding.encode("ab") == [256]
    assert torch.equal(again(IDX)[0], plain(IDX)[0])


STRANGE = ["adapter_config.json", "adapter_model.bin", "tf_model.h5", "model.fp16.safetensors",
           "pytorch_model.fp16-00001-of-00002.bin", "flax_model.msgpack"]  # fmt: skip


@pytest.mark.parametrize("name", [*STRANGE, "vocab.json", "tokenizer.model", "tokenizer.json"])
def test_what_a_save_cannot_replace_makes_it_refuse(tmp_path: Path, name: str) -> None:
    save_gpt2(ours(), tmp_path)
    (tmp_path / name).write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=rf"{tmp_path} holds {name}, which loaders .* choose ano"):
        save_gpt2(ours(seed=1), tmp_path)
    if name in STRANGE:
        with pytest.raises(ValueError, match=f"holds {name}"):
            save_pretrained(ours(vocab_size=300), encoding("new"), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "config.json"])
def test_an_adapter_is_not_saved_among_the_files_of_a_model(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=rf"{tmp_path} holds a model \({name}\)"):
        save_lora(adapted(), tmp_path)
    assert os.listdir(tmp_path) == [name]


def test_an_adapter_replaces_all_files_of_the_one_before(tmp_path: Path) -> None:
    names = ["adapter_model.bin", "adapter_model-00001-of-00002.safetensors",
             "adapter_model.safetensors.index.json", "README.md"]  # fmt: skip
    for name in names:
        (tmp_path / name).write_text("of the adapter before")
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 99}')
    save_lora(adapted(), tmp_path)
    ours_only = ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert sorted(os.listdir(tmp_path)) == ours_only
    assert torch.equal(logits(load_lora(ours(), tmp_path)), logits(adapted()))


def test_scores_of_a_model_that_is_replaced_go_with_it(tmp_path: Path) -> None:
    results = '{"model": "base", "method": "lora", "settings": {}}'
    for name, save in (
        ("a", lambda folder: save_lora(adapted(), folder)),
        ("b", lambda folder: save_pretrained(ours(vocab_size=300), encoding("new"), folder)),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(results)
        save(tmp_path / name)
        assert not (tmp_path / name / "results.json").exists()


def test_a_folder_with_two_models_is_not_guessed_at(tmp_path: Path) -> None:
    save_gpt2(ours(), tmp_path)
    shards(tmp_path)  # transformers leaves the whole file, and would load that
    with pytest.raises(ValueError, match=r"holds two models, model.* and the files named"):
        load_gpt2(tmp_path)
    next(tmp_path.glob("model-*")).unlink()  # now only one of them can be meant
    assert torch.equal(load_gpt2(tmp_path)(IDX)[0], ours()(IDX)[0])


@pytest.mark.parametrize("same_sizes", [True, False])
def test_a_save_killed_anywhere_leaves_one_whole_model(tmp_path: Path, same_sizes: bool) -> None:
    old = ours(seed=3, vocab_size=300, n_layer=1)
    new = ours(seed=4, vocab_size=300 if same_sizes else 400, n_layer=1)
    save_pretrained(old, encoding("old"), tmp_path / "start")
    if not same_sizes:
        peer = GPT2LMHeadModel.from_pretrained(tmp_path / "start")
        (tmp_path / "start/model.safetensors").unlink()
        peer.save_pretrained(tmp_path / "start", max_shard_size="40KB")
    scores = {name: logits(model) for name, model in (("old", old), ("new", new))}
    seen, n, finished = set(), int(same_sizes), False
    while not finished:
        folder, n = tmp_path / str(n), n + 3
        shutil.copytree(tmp_path / "start", folder)
        finished = not killed_before(
            n, layout, lambda folder=folder: save_pretrained(new, encoding("new", 258), folder)
        )
        model, its_encoding = load_pretrained(folder)
        seen.add(its_encoding.name)
        assert torch.equal(logits(model), scores[its_encoding.name]), f"killed before step {n}"
        if (folder / "config.json").exists() and n % 9 == 0:
            found = logits(GPT2LMHeadModel.from_pretrained(folder).eval())
            assert any(
                found.shape == whole.shape and torch.allclose(found, whole, atol=1e-5)
                for whole in scores.values()
            )
        elif n % 5 == 0:  # the next save puts everything right
            save_pretrained(old, encoding("old"), folder)
            assert torch.equal(logits(load_pretrained(folder)[0]), scores["old"])
            names = ["config.json", "model.safetensors", "tokenizer.json"]
            assert [name for name in sorted(os.listdir(folder)) if name != LOCK] == names
    assert seen == {"old", "new"}
    assert n > 15


def lora(model: GPT) -> Callable[[Path], None]:
    apply_lora(model)
    return lambda folder: save_lora(model, folder)


def soft_prompt(model: GPT) -> Callable[[Path], None]:
    apply_prefix_tuning(model, 3)
    return lambda folder: save_soft_prompt(model, folder)


def bottlenecks(model: GPT) -> Callable[[Path], None]:
    apply_bottlenecks(model, 2)
    return lambda folder: save_bottlenecks(model, folder)


def selective(model: GPT) -> Callable[[Path], None]:
    apply_selective(model, last_blocks=2)
    return lambda folder: save_selective(model, folder)


@pytest.mark.parametrize("method", [lora, soft_prompt, bottlenecks, selective])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_adapter_that_no_loader_would_take_is_not_saved(
    tmp_path: Path, method: Callable[[GPT], Callable[[Path], None]], bad: float
) -> None:
    model = ours()
    save = method(model)
    save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with torch.no_grad():
        [p for p in model.parameters() if p.requires_grad][-1].view(-1)[0] = bad
    with pytest.raises(ValueError, match=r"the adapter cannot be saved in .* finite num"):
        save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_a_model_whose_weights_are_not_numbers_is_neither_saved_nor_loaded(
    tmp_path: Path, bad: float
) -> None:
    def spoiled(**sizes: int) -> GPT:
        model = ours(**sizes)
        with torch.no_grad():
            model.transformer["h"][1].ln_2.bias[3] = bad
        return model

    sentence = r"transformer\.h\.1\.ln_2\.bias is not made of finite numbers"
    for save in (
        lambda: save_gpt2(spoiled(), tmp_path),
        lambda: save_pretrained(spoiled(vocab_size=300), encoding("new"), tmp_path),
        lambda: save_quantized(quantize_model(spoiled(n_embd=64)), None, tmp_path),
    ):
        with pytest.raises(ValueError, match=rf"the model cannot be saved in .*: {sentence}"):
            save()
    too_large = ours()
    with torch.no_grad():
        too_large.transformer["wpe"].weight[0, 0] = 1e5
    with pytest.raises(ValueError, match=r"wpe\.weight is not made of finite numbers"):
        save_gpt2(too_large, tmp_path, torch.float16)
    assert not os.listdir(tmp_path)
    peer = theirs()
    with torch.no_grad():
        peer.transformer.h[1].ln_2.bias[3] = bad
    peer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=rf"model\.safetensors is damaged: {sentence}"):
        load_gpt2(tmp_path)

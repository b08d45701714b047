"""Models as folders, with and without their tokenizer (the layout: test_layout.py)."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
import tiktoken
import torch

from minigpt import generation
from minigpt.command.cli import main
from minigpt.config import GPTConfig
from minigpt.model import GPT
from minigpt.pretrained import layout
from minigpt.pretrained.folders import load_gpt2, load_pretrained, save_gpt2, save_pretrained
from minigpt.tasks.answers import answer
from minigpt.tokenizer import gpt2_encoding, unused_ids
from tests.minigpt.tiny.gpt2 import IDX, ours


@pytest.fixture
def encoding() -> tiktoken.Encoding:
    """Returns an encoding of 256 bytes and the end of text."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    special = {"<|endoftext|>": 256}
    return tiktoken.Encoding(
        "bytes", pat_str=r"(?s:.)", mergeable_ranks=ranks, special_tokens=special
    )


# Out and in


@pytest.mark.parametrize("bias", [True, False])
def test_save_and_load_is_the_same_model_to_the_bit(tmp_path: Path, bias: bool) -> None:
    model = ours(bias=bias, dropout=0.25)
    save_gpt2(model, tmp_path)
    again = load_gpt2(tmp_path)
    assert again.config == model.config
    state = again.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_gpt2(ours(), tmp_path)

    def full(tensors: dict, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(layout, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save_gpt2(ours(seed=1), tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]
    assert torch.equal(load_gpt2(tmp_path)(IDX)[0], ours()(IDX)[0])


def test_what_is_not_a_gpt2_is_not_saved_as_one(tmp_path: Path) -> None:
    model = ours()
    model.transformer["h"][0].attn.c_attn.register_parameter(
        "lora_A", torch.nn.Parameter(torch.zeros(2, 32))
    )
    with pytest.raises(ValueError, match=r"lora_A.*merge or remove adapters"):
        save_gpt2(model, tmp_path)
    with pytest.raises(ValueError, match=r"dtype must be one of float32, .* got torch\.int8"):
        save_gpt2(ours(), tmp_path, torch.int8)
    assert not os.listdir(tmp_path)


# With a tokenizer


def test_a_model_and_its_tokenizer_come_back_together(
    tmp_path: Path, encoding: tiktoken.Encoding
) -> None:
    model = ours(vocab_size=260)  # padded: more ids than the tokenizer has
    save_pretrained(model, encoding, tmp_path, dtype=torch.bfloat16)
    again, its_encoding = load_pretrained(tmp_path)
    assert its_encoding.encode("là", allowed_special="all") == [108, 195, 160]
    assert torch.equal(again.lm_head.weight, model.lm_head.weight.bfloat16().float())
    assert json.loads((tmp_path / "config.json").read_text())["eos_token_id"] == 256


def wanting(model: GPT, ids: list[int]) -> GPT:
    """Makes these ids by far the likeliest after every text."""
    model.transformer["wte"].weight.data[:, 0] = torch.arange(model.config.vocab_size) * 1e-3
    model.transformer["wte"].weight.data[ids, 0] = 99.0
    model.transformer["ln_f"].weight.data[0] = 0.0
    model.transformer["ln_f"].bias.data[0] = 9.0
    return model


@pytest.mark.parametrize("special", [256, 280])  # the last id, or behind a gap
def test_ids_without_a_token_are_never_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], special: int
) -> None:
    ranks = {bytes([byte]): byte for byte in range(256)}
    gapped = tiktoken.Encoding(
        "gapped",
        pat_str=r"(?s:.)",
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": special},
    )
    unused = [id for id in range(320) if id > 255 and id != special]
    assert unused_ids(gapped, 320) == unused
    model = wanting(ours(vocab_size=320), unused)
    assert int(model.generate(IDX[:1], 1, temperature=0)[0, -1]) in unused
    for settings in ({"temperature": 0}, {"temperature": 9.0}, {"top_k": 3}, {"top_p": 0.5}):
        for written in (
            model.generate(IDX, 12, **settings, unused=unused),
            generation.generate(model, IDX[:, :1], 12, **settings, unused=unused, use_cache=False),
        ):
            assert not set(written.flatten().tolist()) & {*unused}
    prompts = ["a", "bc", ""][:2]
    assert answer(model, gapped, prompts, 6) == answer(model, gapped, prompts, 6, unused=unused)
    if special == 256:
        save_pretrained(model, gapped, tmp_path)
        again = load_pretrained(tmp_path)[0]
        assert not set(again.generate(IDX, 12, 9.0).flatten().tolist()) & {*unused}
        options = ["--max-new-tokens", "9", "--prompt", "x", "--device", "cpu"]
        assert main(["generate", "--model", str(tmp_path), *options]) == 0
        assert capsys.readouterr().out.startswith("x")


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(
    tmp_path: Path, encoding: tiktoken.Encoding
) -> None:
    with pytest.raises(ValueError, match="'bytes' has 257 tokens, but the model only 100"):
        save_pretrained(ours(), encoding, tmp_path)
    assert not os.listdir(tmp_path)


def test_a_folder_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    save_gpt2(ours(), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no tokenizer\.json .* vocabulary of 100 is not"):
        load_pretrained(tmp_path)


def test_gpt2s_vocabulary_comes_with_gpt2s_tokenizer(tmp_path: Path, shared_data: Path) -> None:
    save_gpt2(GPT(GPTConfig(50257, 8, 1, 1, 2)), tmp_path)
    assert load_pretrained(tmp_path)[1].encode("Hello world") == [15496, 995]
    gpt2 = gpt2_encoding()
    files = sorted((shared_data / "tiktoken_cache").iterdir(), key=lambda file: file.stat().st_size)
    for file, name in zip(files, ("merges.txt", "vocab.json"), strict=True):
        (tmp_path / name).write_bytes(file.read_bytes())
    encoding = load_pretrained(tmp_path)[1]
    for text in ("Taylor Swift is a singer", " don't\n\n  naïve 日本語 🙂", "<|endoftext|>"):
        ids = gpt2.encode(text, allowed_special="all")
        assert encoding.encode(text, allowed_special="all") == ids
    assert encoding.eot_token == 50256


# Names


def test_a_name_finds_what_was_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_gpt2(ours(), "runs/data/gpt2")
    assert torch.equal(load_gpt2("gpt2")(IDX)[0], ours()(IDX)[0])


@pytest.mark.parametrize("installed", [True, False])
def test_a_name_that_cannot_be_downloaded_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    if installed:
        import huggingface_hub
        from huggingface_hub.errors import LocalEntryNotFoundError

        def empty(*_: object, local_files_only: bool = False) -> str:
            assert local_files_only, "the hub was asked although the network is down"
            raise LocalEntryNotFoundError("not in the cache")

        def offline(*_: object, **__: object) -> None:
            raise OSError("no network")

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", empty)
        monkeypatch.setattr("urllib.request.urlopen", offline)
    else:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError) as error:
        load_gpt2("gpt2")
    message = str(error.value)
    assert ("not installed" in message) is not installed
    url = "https://huggingface.co/openai-community/gpt2/resolve/main/"
    assert f"{url}config.json" in message
    assert f"{url}model.safetensors" in message
    assert "minigpt data fetch gpt2 --from PATH" in message
    with pytest.raises(FileNotFoundError, match="put both files into runs/data/gpt2-xl"):
        load_gpt2("gpt2-xl")


@pytest.mark.parametrize("cached", [True, False])
def test_a_published_model_is_taken_from_the_hubs_cache_or_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    downloaded: list[tuple[str, str]] = []

    def hub(repository: str, file: str, local_files_only: bool = False) -> str:
        if local_files_only and not cached:
            raise LocalEntryNotFoundError("not in the cache")
        if not local_files_only:
            downloaded.append((repository, file))
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO())
    monkeypatch.chdir(tmp_path)
    save_gpt2(ours(), tmp_path)
    assert torch.equal(load_gpt2("gpt2-medium")(IDX)[0], ours()(IDX)[0])
    repository = "openai-community/gpt2-medium"
    both = [(repository, "config.json"), (repository, "model.safetensors")]
    assert downloaded == ([] if cached else both)


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder gpt-2; .* base, gpt2, gpt2-medium"):
        load_gpt2("gpt-2")
    with pytest.raises(FileNotFoundError, match=r"holds no model: it has no config\.json"):
        load_gpt2(tmp_path)

"""GPT-2 folders in the layout of transformers, in and out, against transformers itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2LMHeadModel, GPT2Model

from minigpt.config import GPTConfig
from minigpt.model import GPT
from minigpt.pretrained.folders import load_gpt2, save_gpt2
from minigpt.pretrained.layout import without_memory
from tests.minigpt.tiny.edited import edit_json, edit_tensors
from tests.minigpt.tiny.gpt2 import IDX, SIZES, ours, randomize
from tests.minigpt.tiny.peft import peer


@torch.no_grad()
def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder as transformers writes it."""
    peer().save_pretrained(tmp_path / "peer")
    return tmp_path / "peer"


# In


def test_a_folder_of_transformers_gives_its_logits_and_greedy_tokens(folder: Path) -> None:
    theirs, model = peer(), load_gpt2(folder)
    assert difference(model(IDX)[0], theirs(IDX).logits) < 1e-5
    expected = theirs.generate(
        IDX,
        max_new_tokens=12,
        do_sample=False,
        attention_mask=torch.ones_like(IDX),
        eos_token_id=-1,
    )
    assert torch.equal(model.generate(IDX, 12, temperature=0), expected)
    assert not model.training
    assert model.config == GPTConfig(**SIZES, block_size=24, dropout=0.1)


def test_the_embedding_and_the_head_are_one_tensor_with_memory_of_its_own(folder: Path) -> None:
    model = load_gpt2(folder)
    assert model.lm_head.weight is model.transformer["wte"].weight
    before = model(IDX)[0]
    (folder / "model.safetensors").write_bytes(b"")  # nothing is read from the file any more
    assert torch.equal(model(IDX)[0], before)
    model(IDX, IDX)[1].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_names_without_the_prefix_load(tmp_path: Path) -> None:
    theirs = peer(kind=GPT2Model)
    theirs.save_pretrained(tmp_path)
    assert not any(name.startswith("t") for name in load_file(tmp_path / "model.safetensors"))
    expected = theirs(IDX).last_hidden_state @ theirs.wte.weight.T
    assert difference(load_gpt2(tmp_path)(IDX)[0], expected) < 1e-5


def test_sharded_weights_load(tmp_path: Path) -> None:
    theirs = peer()
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert difference(load_gpt2(tmp_path)(IDX)[0], theirs(IDX).logits) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_load_as_fp32_of_the_same_values(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    peer().to(dtype).save_pretrained(tmp_path)
    model, rounded = load_gpt2(tmp_path), peer().to(dtype).float()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert difference(model(IDX)[0], rounded(IDX).logits) < 1e-5


def test_an_older_pickle_with_masks_and_a_stored_head_loads(folder: Path) -> None:
    tensors = peer().state_dict()  # with lm_head.weight
    assert "lm_head.weight" in tensors
    tensors["transformer.h.0.attn.bias"] = torch.ones(1, 1, 24, 24).tril()
    tensors["transformer.h.1.attn.masked_bias"] = torch.tensor(-1e4)
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert difference(load_gpt2(folder)(IDX)[0], peer()(IDX).logits) < 1e-5


def test_a_pickle_that_would_run_a_program_is_refused(folder: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "it ran",)

    (folder / "model.safetensors").unlink()
    torch.save({"transformer.wte.weight": Bomb()}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is cut short or damaged"):
        load_gpt2(folder)
    assert not (tmp_path / "it ran").exists()


# Out


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_transformers_loads_what_we_save(tmp_path: Path, dtype: torch.dtype | None) -> None:
    model = ours(dropout=0.2)
    save_gpt2(model, tmp_path, dtype)
    theirs, loading = GPT2LMHeadModel.from_pretrained(
        tmp_path, output_loading_info=True, dtype="auto"
    )
    assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert theirs.dtype == (dtype or torch.float32)
    if dtype is not None:
        model = ours().to(dtype).float()
    assert difference(theirs.float().eval()(IDX).logits, model(IDX)[0]) < 1e-5
    config = theirs.config
    assert (config.resid_pdrop, config.n_positions, config.eos_token_id) == (0.2, 24, 99)
    assert config.architectures == ["GPT2LMHeadModel"]


def test_our_config_json_says_what_transformers_own_does(tmp_path: Path) -> None:
    peer().save_pretrained(tmp_path / "theirs")
    save_gpt2(ours(dropout=0.1), tmp_path / "ours")
    theirs, own = (
        json.loads((tmp_path / kind / "config.json").read_text()) for kind in ("theirs", "ours")
    )
    assert {name: own[name] for name in own.keys() & theirs.keys()} == {
        name: theirs[name] for name in own.keys() & theirs.keys()
    }
    assert own.keys() - theirs.keys() == {"n_ctx", "bias"}  # an old name, and ours
    assert load_file(tmp_path / "theirs/model.safetensors").keys() == (
        load_file(tmp_path / "ours/model.safetensors").keys()
    )


def test_a_model_without_biases_is_the_same_in_transformers_and_takes_biases_back(
    tmp_path: Path,
) -> None:
    save_gpt2(ours(bias=False), tmp_path)
    theirs = GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    assert difference(theirs(IDX).logits, ours(bias=False)(IDX)[0]) < 1e-5
    randomize(theirs)  # as if trained there
    theirs.save_pretrained(tmp_path)
    again = load_gpt2(tmp_path)
    assert again.config.bias
    assert difference(theirs(IDX).logits, again(IDX)[0]) < 1e-5


# Damaged folders and other models


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation_function": "relu"}, 'activation_function is "relu", .* only "gelu_new"'),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is true"),
        ({"scale_attn_weights": False}, "scale_attn_weights is false"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06"),
        ({"model_type": "gptj"}, 'model_type is "gptj"'),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is false"),
        ({"n_inner": 64}, "n_inner is 64, but GPT's MLP is 4 n_embd = 128"),
        ({"n_head": 5}, r"config\.json: n_embd must be divisible by n_head"),
        ({"n_layer": "2"}, r"config\.json: n_layer must be a whole number"),
        ({"n_layer": 3}, r"config\.json: n_layer is 3, but the weights are of 2 blocks"),
        ({"n_layer": 1}, "n_layer is 1, but the weights are of 2 blocks"),
        (
            {"n_positions": 32},
            r"n_positions is 32, but transformer\.wpe\.weight .* \[24, 32\]",
        ),
    ],
)
def test_a_config_that_is_not_ours_or_does_not_fit_is_named(
    folder: Path, change: dict[str, object], message: str
) -> None:
    edit_json(folder / "config.json", lambda config: config.update(change))
    with pytest.raises(ValueError, match=message):
        load_gpt2(folder)


def test_a_config_without_a_size_or_cut_short_is_named(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    edit_json(folder / "config.json", lambda config: config.pop("n_embd"))
    with pytest.raises(ValueError, match=r"config\.json: n_embd is missing"):
        load_gpt2(folder)
    (folder / "config.json").write_text(text[:100])
    with pytest.raises(ValueError, match=r"config\.json is cut short or damaged"):
        load_gpt2(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="one JSON object"):
        load_gpt2(folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda w: w.pop("transformer.h.1.mlp.c_fc.bias"), r"lack transformer\.h\.1\.mlp\.c_fc"),
        (
            lambda w: w.update({"transformer.h.0.mlp.c_fc.weight": torch.zeros(128, 32)}),
            r"model\.safetensors: transformer\.h\.0\.mlp\.c_fc\.weight .*\[128, 32\].*\[32, 128\]",
        ),
        (
            lambda w: w.update({"transformer.ln_f.bias": torch.zeros(32, dtype=torch.int8)}),
            r"transformer\.ln_f\.bias is torch\.int8",
        ),
        (
            lambda w: w.update({"lm_head.weight": torch.zeros(100, 32)}),
            r"lm_head\.weight is not the token embedding",
        ),
        (lambda w: w.update({"score.weight": torch.zeros(2, 32)}), r"holds transformer\.score"),
    ],
)
def test_a_missing_or_strange_tensor_is_named(
    folder: Path, edit: Callable[[dict], object], message: str
) -> None:
    edit_tensors(folder / "model.safetensors", edit)
    with pytest.raises(ValueError, match=message):
        load_gpt2(folder)


@pytest.mark.parametrize("kept", [0, 5, 300, -1])
def test_a_file_cut_short_is_named(folder: Path, kept: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"model\.safetensors is cut short or damaged"):
        load_gpt2(folder)


def test_older_pickles_in_several_files_load_by_their_index(folder: Path) -> None:
    tensors = peer().state_dict()
    names = sorted(tensors)
    (folder / "model.safetensors").unlink()
    files = {name: f"pytorch_model-0000{i % 2 + 1}-of-00002.bin" for i, name in enumerate(names)}
    for file in sorted(set(files.values())):
        torch.save({n: t for n, t in tensors.items() if files[n] == file}, folder / file)
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": files}))
    assert difference(load_gpt2(folder)(IDX)[0], peer()(IDX).logits) < 1e-5
    (folder / files[names[0]]).unlink()
    with pytest.raises(FileNotFoundError, match=r"pytorch_model-00001-of-00002\.bin is missing"):
        load_gpt2(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    peer().save_pretrained(tmp_path, max_shard_size="20KB")
    shard = sorted(tmp_path.glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=f"{shard.name} is missing"):
        load_gpt2(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{")
    with pytest.raises(ValueError, match=r"index\.json is cut short or damaged"):
        load_gpt2(tmp_path)
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing"):
        load_gpt2(tmp_path)


def test_a_model_without_memory_has_the_names_and_shapes_of_one_with_it() -> None:
    config = GPTConfig(vocab_size=31, block_size=8, n_layer=2, n_head=2, n_embd=6)
    before = torch.get_rng_state()
    empty = without_memory(config).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert {t.device.type for t in empty.values()} == {"meta"}
    whole = GPT(config).state_dict()
    assert [(n, t.shape) for n, t in empty.items()] == [(n, t.shape) for n, t in whole.items()]


def test_a_tensor_that_two_files_hold_is_not_guessed_at(tmp_path: Path) -> None:
    peer().save_pretrained(tmp_path, max_shard_size="20KB")
    first, last = (sorted(tmp_path.glob("*.safetensors"))[i] for i in (0, -1))
    (name, *_) = load_file(first)
    others = load_file(last)
    for stored in (name, name.removeprefix("transformer.")):
        save_file({**others, stored: torch.zeros(2)}, last)
        with pytest.raises(ValueError, match=rf"{last.name} holds {stored}, which {first.name} h"):
            load_gpt2(tmp_path)


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n"
NO_WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pointer": (lambda path: path.write_text(LFS), "it is a pointer of Git LFS, .*git lfs pull`"),
    "nothing": (lambda path: path.write_bytes(b""), "it ends too soon"),
    "a head": (lambda path: path.write_bytes(Path(path).read_bytes()[:600]), "it ends too soon"),
    "half": (lambda path: path.write_bytes(Path(path).read_bytes()[:5000]), r"[^\[\]]*"),
    "a program": (
        lambda path: torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path),
        "it holds a program in TorchScript and no tensors by name",
    ),
}


@pytest.mark.parametrize("case", NO_WEIGHTS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_what_is_not_such_a_pickle_says_what_it_is(tmp_path: Path, case: str) -> None:
    edit, reason = NO_WEIGHTS[case]
    model = peer()
    model.config.save_pretrained(tmp_path)
    path = tmp_path / "pytorch_model.bin"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=case != "a head")
    edit(path)
    with pytest.raises(ValueError, match=rf"pytorch_model\.bin is cut .* \({reason}\)$"):
        load_gpt2(tmp_path)

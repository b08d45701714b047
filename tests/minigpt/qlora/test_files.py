"""Models in 4 bits as folders, in and out, against transformers with bitsandbytes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import tiktoken
import torch
from safetensors.torch import load_file

from minigpt.lora.model import load_lora, save_lora
from minigpt.model import GPT
from minigpt.pretrained import layout
from minigpt.pretrained.folders import load_gpt2, load_pretrained
from minigpt.pretrained.quantized import load_quantized, save_quantized
from minigpt.qlora.model import frozen_bits, quantize_model, quantized_layers
from tests.minigpt.tiny.gpt2 import SIZES, ours, randomize
from tests.minigpt.tiny.lora import logits
from tests.minigpt.tiny.peft import peers_adapter
from tests.minigpt.tiny.qlora import adapted, quantized, twin

CONFIG, WEIGHTS = "config.json", "model.safetensors"
C_ATTN = "transformer.h.0.attn.c_attn"
WIDE = {**SIZES, "n_embd": 64}  # bitsandbytes on a CPU wants rows of whole blocks


# Out and in


@pytest.mark.parametrize("double_quant", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("skip", [("lm_head",), ("lm_head", "mlp.c_proj"), ()])
def test_a_model_comes_back_to_the_bit(
    tmp_path: Path, double_quant: bool, bias: bool, skip: tuple[str, ...]
) -> None:
    model = quantize_model(ours(bias=bias), 32, double_quant, skip)
    save_quantized(model, None, tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    assert config["tie_word_embeddings"] == ("lm_head" in skip)
    assert config["quantization_config"]["bnb_4bit_use_double_quant"] == double_quant
    again = load_quantized(tmp_path)
    assert again.config == model.config
    assert quantized_layers(again).keys() == quantized_layers(model).keys()
    state = again.state_dict()
    assert state.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor), name
    assert torch.equal(logits(again), logits(model))
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    (tmp_path / WEIGHTS).write_bytes(b"")  # nothing is read from the file any more
    assert torch.equal(logits(again), logits(model))


def test_other_weights_are_stored_in_the_models_own_format(tmp_path: Path) -> None:
    model = quantized().to(torch.bfloat16)
    save_quantized(model, None, tmp_path)
    assert load_file(tmp_path / WEIGHTS)["transformer.wte.weight"].dtype == torch.bfloat16
    again = load_quantized(tmp_path)
    assert torch.equal(logits(again), logits(model.float()))
    assert {p.dtype for p in again.parameters()} == {torch.float32}


def test_loading_by_the_usual_names_notices_the_4_bits(tmp_path: Path) -> None:
    encoding = tiktoken.Encoding(
        "bytes", pat_str=r"(?s:.)", mergeable_ranks={bytes([byte]): byte for byte in range(256)},
        special_tokens={"<|endoftext|>": 256},
    )  # fmt: skip
    model = quantized(vocab_size=260)
    save_quantized(model, encoding, tmp_path)
    again, its_encoding = load_pretrained(tmp_path)
    assert its_encoding.encode("là") == [108, 195, 160]
    for found in (again, load_gpt2(tmp_path)):
        assert len(quantized_layers(found)) == 8
        assert torch.equal(logits(found), logits(model))
    assert json.loads((tmp_path / CONFIG).read_text())["eos_token_id"] == 256


def test_an_adapter_on_a_loaded_model_gives_the_same_logits_to_the_bit(tmp_path: Path) -> None:
    save_quantized(quantized(), None, tmp_path / "base")
    model = adapted()
    save_lora(model, tmp_path / "adapter")
    again = load_lora(load_quantized(tmp_path / "base"), tmp_path / "adapter")
    assert torch.equal(logits(again), logits(model))
    save_lora(again, tmp_path / "again")
    stored, same = (load_file(tmp_path / f / f"adapter_{WEIGHTS}") for f in ("adapter", "again"))
    assert stored.keys() == same.keys()
    assert all(torch.equal(tensor, same[name]) for name, tensor in stored.items())


def test_a_weight_takes_its_bits_in_the_file_and_the_tables_1_3_kb(tmp_path: Path) -> None:
    model = quantize_model(GPT(ours(n_embd=256).config))
    save_quantized(model, None, tmp_path)
    stored = load_file(tmp_path / WEIGHTS)
    names = [name for name in stored if ".c_" in name and not name.endswith(".bias")]
    tables = [name for name in names if name.endswith("_map") or "quant_state" in name]
    assert len(tables) == 3 * 8
    n_weights = sum(q.in_features * q.out_features for q in quantized_layers(model).values())
    bits = 8 * sum(stored[name].nbytes for name in names if name not in tables) / n_weights
    assert bits == pytest.approx(4 + 8 / 64 + 32 / 64 / 256, abs=1e-6)
    assert frozen_bits(model) == pytest.approx(bits + 32 * 8 / n_weights, abs=1e-6)  # the offset
    assert 1200 < sum(stored[name].nbytes for name in tables) / 8 < 1400


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_quantized(quantized(), None, tmp_path)

    def full(tensors: dict, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(layout, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save_quantized(quantized(seed=1), None, tmp_path)
    assert sorted(os.listdir(tmp_path)) == [CONFIG, WEIGHTS]
    assert torch.equal(logits(load_quantized(tmp_path)), logits(quantized()))


# To and from transformers with bitsandbytes


def peers_folder(folder: Path, dtype: torch.dtype, **settings: object) -> torch.nn.Module:
    """Returns a random GPT-2 that transformers has quantized and saved as folder / "theirs"."""
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig, GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    no_dropout = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
    plain = GPT2LMHeadModel(GPT2Config(**WIDE, **no_dropout, n_positions=24, eos_token_id=99))
    randomize(plain)
    plain.to(dtype).save_pretrained(folder / "plain")
    config = BitsAndBytesConfig(
        **{"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", **settings}  # type: ignore[arg-type]
    )
    quantizing = GPT2LMHeadModel.from_pretrained(
        folder / "plain", quantization_config=config, dtype=dtype
    )
    quantizing.save_pretrained(folder / "theirs")
    return quantizing.train()  # see the last test


@pytest.mark.parametrize("double_quant", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_checkpoint_of_transformers_and_bitsandbytes_gives_its_logits_here(
    tmp_path: Path, dtype: torch.dtype, double_quant: bool
) -> None:
    theirs = peers_folder(tmp_path, dtype, bnb_4bit_use_double_quant=double_quant)
    model = load_quantized(tmp_path / "theirs")
    assert len(quantized_layers(model)) == 8
    assert all(
        bool(layer.nested_block_size) == double_quant for layer in quantized_layers(model).values()
    )
    rounded = twin(model)
    assert torch.equal(logits(model), logits(rounded))
    dense = theirs.dequantize(dtype=dtype).float()  # the numbers that bitsandbytes makes of them
    for path in quantized_layers(model):
        weight = rounded.get_submodule(path).weight
        weight.data = weight.to(dtype).float()  # theirs are in the number format of the rest
        assert torch.equal(weight, dense.get_submodule(path).weight), path
    assert (logits(rounded) - logits(dense)).abs().max() < 2e-5


def test_codes_stored_as_numbers_of_another_format_load(tmp_path: Path) -> None:
    theirs = peers_folder(tmp_path, torch.float32, bnb_4bit_quant_storage=torch.bfloat16)
    model = load_quantized(tmp_path / "theirs")
    assert load_file(tmp_path / "theirs" / WEIGHTS)[f"{C_ATTN}.weight"].dtype == torch.bfloat16
    assert (logits(model) - logits(theirs)).abs().max() < 2e-5


def test_an_adapter_that_peft_put_beside_4_bits_gives_the_same_logits_here(tmp_path: Path) -> None:
    theirs = peers_adapter(
        peers_folder(tmp_path, torch.float32, bnb_4bit_use_double_quant=True),
        target_modules=["c_attn", "c_proj", "c_fc"],
    )
    theirs.save_pretrained(tmp_path / "adapter")
    model = load_quantized(tmp_path / "theirs")
    alone = logits(model)
    load_lora(model, tmp_path / "adapter")
    assert (logits(model) - logits(theirs.train())).abs().max() < 2e-5
    assert (logits(model) - alone).abs().max() > 0.1


@pytest.mark.parametrize("double_quant", [True, False])
@pytest.mark.parametrize("skip", [("lm_head",), ("lm_head", "mlp.c_proj", "h.0.attn.c_attn"), ()])
def test_transformers_and_bitsandbytes_load_what_we_save(
    tmp_path: Path, double_quant: bool, skip: tuple[str, ...]
) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    from transformers import GPT2LMHeadModel

    model = quantize_model(ours(n_embd=64, vocab_size=128), 64, double_quant, skip)
    save_quantized(model, None, tmp_path)
    theirs, report = GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    in_4_bits = {
        name for name, m in theirs.named_modules() if isinstance(m, bitsandbytes.nn.Linear4bit)
    }
    assert in_4_bits == quantized_layers(model).keys()
    # In evaluation mode bitsandbytes computes in bf16 on some CPUs. There is no dropout here.
    assert (logits(theirs.train()) - logits(model)).abs().max() < 2e-5

"""Folders with weights in 4 bits that are damaged, or of another kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tiktoken
import torch

from minigpt.lora.model import load_lora, save_lora
from minigpt.pretrained.folders import load_gpt2, save_gpt2
from minigpt.pretrained.quantized import load_quantized, save_quantized
from minigpt.qlora.model import dequantize_model, quantize_model
from tests.minigpt.tiny.edited import edit_json, edit_tensors
from tests.minigpt.tiny.gpt2 import ours
from tests.minigpt.tiny.lora import everything, same
from tests.minigpt.tiny.qlora import adapted, quantized

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def settings(**changes: object) -> Callable[[Path], None]:
    return lambda folder: edit_json(
        folder / CONFIG, lambda c: c["quantization_config"].update(changes)
    )


def changed(edit: Callable[[dict], object]) -> Callable[[Path], None]:
    return lambda folder: edit_tensors(folder / WEIGHTS, edit)


LAYER = "transformer.h.1.mlp.c_fc"
W = f"{LAYER}.weight"
STATE = f"{W}.quant_state.bitsandbytes__nf4"


def in_state(old: str, new: str) -> Callable[[Path], None]:
    """Changes the JSON that is stored among the tensors."""

    def edit(tensors: dict) -> None:
        text = bytes(tensors[STATE].tolist()).decode()
        assert old in text
        tensors[STATE] = torch.tensor(list(text.replace(old, new).encode()), dtype=torch.uint8)

    return changed(edit)


DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (settings(bnb_4bit_quant_type="fp4"), 'quant_type is "fp4", not "nf4"; of quantized'),
    (settings(load_in_4bit=False, load_in_8bit=True), "load_in_8bit is true, not false; of"),
    (settings(quant_method="gptq"), 'quant_method is "gptq", not "bitsandbytes"; of'),
    (settings(load_in_4bit=False), "load_in_4bit is false, not true"),
    (in_state('"nf4"', '"fp4"'), f"{W} is not in NF4, .*16 levels"),
    (in_state('"nf4"', "nf4"), f"{W} is not in NF4, or damaged"),
    (in_state("[256, 64]", "[64, 256]"), rf"{W} has the shape \[64, 256\], .* \[256, 64\]"),
    (in_state("[256, 64]", "[256, 32]"), f"{W} is not in NF4, or damaged .*codes .* must be"),
    (in_state('"blocksize": 64', '"blocksize": 48'), f"{W} .*block_size must be a power of two"),
    (in_state('"blocksize"', '"block"'), f"{W} is not in NF4, or damaged"),
    (changed(lambda t: t.pop(f"{W}.absmax")), f"{W} .*no tensor '{W}.absmax'"),
    (changed(lambda t: t.pop(W)), f"{W} .*no tensor '{W}' in the checkpoint"),
    (changed(lambda t: t[f"{W}.nested_absmax"].fill_(torch.nan)), f"{W} .*not a finite number"),
    (changed(lambda t: t[f"{W}.quant_map"].add_(1)), f"{W} .*16 levels of NF4"),
    (changed(lambda t: t.pop(f"{LAYER}.bias")), f"lack {LAYER}.bias"),
    (
        changed(lambda t: t.update({f"{LAYER}s{n[len(LAYER) :]}": t.pop(n) for n in list(t)
                                    if n.startswith(W)})),
        f"{LAYER}s.weight, which is not a linear layer of GPT|lack {W}",
    ),
    (lambda folder: (folder / WEIGHTS).write_bytes(b"x" * 100), "is cut short or damaged"),
    (
        changed(lambda t: [t.pop(n) for n in list(t) if ".weight." in n]),
        r"says 4 bits, but no weight in .* is in NF4",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "sentence"), DAMAGE)
def test_a_damaged_or_other_folder_is_one_sentence(
    tmp_path: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    save_quantized(quantized(), None, tmp_path)
    damage(tmp_path)
    for load in (load_quantized, load_gpt2):
        with pytest.raises(ValueError, match=sentence) as error:
            load(tmp_path)
        assert str(tmp_path) in str(error.value)
        assert "\n" not in str(error.value)


def test_a_folder_without_4_bits_is_not_loaded_as_one(tmp_path: Path) -> None:
    save_gpt2(ours(), tmp_path)
    with pytest.raises(ValueError, match="has no quantization_config, so no weights are in 4 bits"):
        load_quantized(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no model"):
        load_quantized(tmp_path / "elsewhere")


def test_what_is_not_a_quantized_gpt2_is_not_saved_as_one(tmp_path: Path) -> None:
    encoding = tiktoken.Encoding(
        "bytes", pat_str=r"(?s:.)", mergeable_ranks={bytes([byte]): byte for byte in range(256)},
        special_tokens={},
    )  # fmt: skip
    cases: list[tuple[Callable[[], None], str]] = [
        (lambda: save_quantized(ours(), None, tmp_path), "nothing in the model is in 4 bits"),
        (
            lambda: save_quantized(adapted(), None, tmp_path),
            "c_attn is a LoRALinear; .* call save_lora",
        ),
        (lambda: save_quantized(quantized(), encoding, tmp_path), "has 256 tokens, but the model"),
        (lambda: save_gpt2(quantized(), tmp_path), r"absmax_codes, which .* with save_quantized"),
        (
            lambda: save_gpt2(dequantize_model(quantize_model(ours(), skip=())), tmp_path),
            "lm_head.weight is not the token embedding",
        ),
    ]
    for attempt, sentence in cases:
        with pytest.raises(ValueError, match=sentence):
            attempt()
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_embd": 32}, r"made for another model: for .*c_attn it has A \[4, 32\]"),
        ({"n_layer": 3}, r"made for another model: this one has no layer transformer\.h\.2\."),
    ],
)
def test_an_adapter_of_another_model_is_refused(
    tmp_path: Path, changes: dict, sentence: str
) -> None:
    save_lora(adapted(**changes), tmp_path)
    model = quantized()
    before = everything(model)
    with pytest.raises(ValueError, match=sentence):
        load_lora(model, tmp_path)
    assert same(everything(model), before)


def test_an_adapter_of_other_targets_than_its_file_says_is_refused(tmp_path: Path) -> None:
    save_lora(adapted(), tmp_path)
    edit_json(tmp_path / "adapter_config.json", lambda c: c.update(target_modules=["c_attn"]))
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors has the layer .*c_proj"):
        load_lora(quantized(), tmp_path)

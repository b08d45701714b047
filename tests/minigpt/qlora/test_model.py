"""minigpt.qlora: a model with its linear layers in 4 bits (one layer: test_layer.py)."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from kernels import dequantize_nf4, quantize_nf4
from minigpt.lora.model import apply_lora, lora_layers, merge_lora
from minigpt.model import GPT
from minigpt.qlora.layer import NF4Linear
from minigpt.qlora.model import (
    dequantize_model,
    frozen_bits,
    is_quantized,
    quantize_model,
    quantized_layers,
)
from minigpt.soft_prompts.model import apply_prompt_tuning
from tests.minigpt.tiny.gpt2 import IDX, ours
from tests.minigpt.tiny.lora import ALL, everything, logits, same
from tests.minigpt.tiny.qlora import LORA, adapted, quantized, twin


def test_every_linear_layer_but_the_tied_head_is_quantized_and_everything_frozen() -> None:
    plain, model = ours(), ours()
    assert quantize_model(model) is model
    assert set(quantized_layers(model)) == {
        f"transformer.h.{block}.{name}"
        for block in (0, 1)
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.lm_head.weight is model.transformer["wte"].weight
    assert torch.equal(model.lm_head.weight, plain.lm_head.weight)
    assert is_quantized(model)
    assert not is_quantized(plain)
    assert 0.01 < (logits(model) - logits(plain)).abs().mean() < 3


def test_the_model_computes_with_the_dequantized_weights() -> None:
    model, plain = quantized(), ours(n_embd=64)
    for layer in plain.modules():
        if isinstance(layer, nn.Linear) and layer is not plain.lm_head:
            layer.weight.data = dequantize_nf4(quantize_nf4(layer.weight))
    torch.testing.assert_close(logits(model), logits(plain), rtol=0, atol=2e-5)
    assert torch.equal(logits(twin(model)), logits(plain))
    expected = plain.generate(IDX, 12, temperature=0)
    assert torch.equal(model.generate(IDX, 12, temperature=0), expected)
    assert torch.equal(model.generate(IDX, 12, temperature=0, use_cache=False), expected)


def test_layers_can_be_skipped_by_name_or_by_how_it_ends() -> None:
    some = quantize_model(ours(), skip=("lm_head", "mlp.c_proj", "transformer.h.0.attn.c_attn"))
    assert [path.removeprefix("transformer.h.") for path in quantized_layers(some)] == [
        "0.attn.c_proj", "0.mlp.c_fc", "1.attn.c_attn", "1.attn.c_proj", "1.mlp.c_fc",
    ]  # fmt: skip


def test_the_head_is_quantized_if_asked_and_the_embedding_stays() -> None:
    plain, model = ours(), quantize_model(ours(), skip=())
    assert "lm_head" in quantized_layers(model)
    assert torch.equal(model.transformer["wte"].weight, plain.transformer["wte"].weight)
    head = dequantize_nf4(quantize_nf4(plain.lm_head.weight))
    assert torch.equal(model.lm_head.dequantize().weight, head)


def test_the_whole_model_computes_in_bf16() -> None:
    model, plain = quantized(), twin(quantized())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(logits(model), logits(plain))
    assert torch.equal(logits(model.to(torch.bfloat16)), logits(plain.to(torch.bfloat16)))
    assert logits(model).dtype == torch.bfloat16
    assert torch.equal(logits(twin(model)), logits(model))


@pytest.mark.parametrize(
    ("double_quant", "bits"), [(True, 4 + 8 / 64 + 32 / 64 / 256), (False, 4.5)]
)
def test_a_weight_of_gpt2_xl_takes_the_bits_of_the_closed_form(
    double_quant: bool, bits: float
) -> None:
    with torch.device("meta"):
        model = quantize_model(
            nn.Sequential(nn.Linear(1600, 4800), nn.Linear(6400, 1600)), double_quant=double_quant
        )
    assert frozen_bits(model) == pytest.approx(bits, abs=1e-4)
    counted = sum(b.nbytes for b in model.buffers()) * 8 / (1600 * 4800 + 6400 * 1600)
    assert frozen_bits(model) == counted


# With LoRA


def test_gradients_reach_the_adapter_and_nothing_frozen() -> None:
    model = adapted().train()
    expected = twin(model)
    before = everything(model)
    for each in (model, expected):
        each(IDX, IDX.roll(-1, 1))[1].backward()
    twins = dict(expected.named_parameters())
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == ("lora_" in name), name
        if parameter.grad is not None:
            assert parameter.grad.abs().max() > 0, name
            torch.testing.assert_close(parameter.grad, twins[name].grad, rtol=1e-5, atol=1e-6)
    assert same(everything(model), before)


def test_an_adapter_cannot_be_merged_into_4_bits_but_into_a_dequantized_copy() -> None:
    model = adapted()
    before, beside = everything(model), logits(model)
    with pytest.raises(ValueError, match="NF4Linear has no plain weight to merge into"):
        merge_lora(model)
    assert same(everything(model), before)
    plain = twin(model)
    assert not is_quantized(plain)
    assert len(lora_layers(plain)) == 8
    merge_lora(plain)
    torch.testing.assert_close(logits(plain), beside, rtol=0, atol=5e-5)
    assert same(everything(model), before)


def test_rounding_a_merged_weight_to_4_bits_again_would_lose_most_of_a_small_adapter() -> None:
    """The reason for the refusal, with an adapter of 2% of the weight's size."""
    torch.manual_seed(0)
    layer = NF4Linear(nn.Linear(256, 256))
    weight = layer.dequantize().weight
    change = torch.randn(256, 4) @ torch.randn(4, 256)
    change *= 0.02 * weight.norm() / change.norm()
    again = dequantize_nf4(quantize_nf4(weight + change))
    kept = ((again - weight) * change).sum() / change.square().sum()
    assert kept < 0.1
    assert (again - weight - change).norm() > change.norm()


# Errors


def test_what_cannot_be_quantized_is_named_and_changes_nothing() -> None:
    def broken() -> GPT:
        model = ours()
        model.transformer["h"][1].mlp.c_fc.weight.data[2, 3] = math.nan
        return model

    cases: list[tuple[GPT, dict, str]] = [
        (quantized(), {}, r"quantized already.*dequantize_model\(model\)"),
        (adapted(), {}, "quantized already"),
        (apply_lora(ours(), **LORA), {}, "c_attn is a LoRALinear; quantize the plain model"),
        (apply_prompt_tuning(ours()), {}, "the model has soft prompts; quantize the plain model"),
        (ours(), {"skip": ("lm_head", "q_proj")}, "skip: no linear layer is called 'q_proj'; "
         "there are attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj, lm_head$"),
        (ours(), {"skip": (*ALL, "lm_head")}, "no linear layer is left to quantize"),
        (ours(), {"block_size": 48}, "^block_size must be a power of two from 32 to 4096, got 48"),
        (broken(), {}, r"^transformer\.h\.1\.mlp\.c_fc: weight\[2, 3\] is nan"),
    ]  # fmt: skip
    for model, settings, sentence in cases:
        before = everything(model)
        with pytest.raises(ValueError, match=sentence):
            quantize_model(model, **settings)
        after = everything(model)
        assert before.keys() == after.keys()
        for name, (tensor, trained) in before.items():
            assert torch.equal(tensor.nan_to_num(), after[name][0].nan_to_num()), name
            assert trained == after[name][1], name
    with pytest.raises(
        TypeError, match=r"^transformer\.h\.0\.attn\.c_attn: weight must be float32"
    ):
        quantize_model(ours().double())


def test_what_is_not_in_4_bits_cannot_be_dequantized_or_counted() -> None:
    for attempt in (dequantize_model, frozen_bits):
        with pytest.raises(ValueError, match="no layer in 4 bits; quantize_model puts them there"):
            attempt(ours())


def test_another_package_called_kernels_is_named_with_what_to_do(tmp_path: Path) -> None:
    other = tmp_path / "kernels" / "__init__.py"
    other.parent.mkdir()
    other.write_text("def get_kernel(name): ...\n")
    root = Path(__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "-c", "import minigpt.qlora"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    last = found.stderr.splitlines()[-1]
    assert last.startswith("ImportError: minigpt needs its own package kernels, but Python found")
    assert str(other) in last
    assert last.endswith("run `pip uninstall kernels`, then install minigpt again")

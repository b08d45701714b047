"""minigpt.memory.llama: counts against transformers' model, which is not given any memory here."""

from __future__ import annotations

import pytest
import torch

from minigpt.memory.llama import LLAMA_2


@pytest.mark.parametrize("size", ["7B", "13B", "70B"])
def test_a_llama_has_the_parameters_that_transformers_gives_it(size: str) -> None:
    transformers = pytest.importorskip("transformers")
    shape = LLAMA_2[f"Llama2-{size}"]
    config = transformers.LlamaConfig(
        hidden_size=shape.dim,
        num_hidden_layers=shape.n_layer,
        intermediate_size=shape.ffn,
        num_attention_heads=shape.n_head,
        num_key_value_heads=shape.n_kv_head,
        vocab_size=shape.vocab_size,
    )
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    linear = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    )
    assert shape.linear_parameters == linear
    assert shape.linear_parameters + shape.other_parameters == model.num_parameters()
    assert shape.gigabytes(16) == pytest.approx(2e-9 * model.num_parameters())
    assert shape.linear_bits(shape.gigabytes(4.5)) == pytest.approx(4.5)
    published = {"7B": 6.74, "13B": 13.02, "70B": 68.98}  # billions, on the models' pages
    assert model.num_parameters() / 1e9 == pytest.approx(published[size], abs=0.005)

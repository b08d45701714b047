"""Bottlenecks and LoRA on one model: each works, is switched and taken off on its own."""

from __future__ import annotations

import pytest
import torch

from minigpt.bottlenecks.model import apply_bottlenecks, remove_bottlenecks, set_bottlenecks
from minigpt.lora.model import (
    apply_lora,
    lora_layers,
    merge_lora,
    remove_lora,
    set_lora,
    unmerge_lora,
)
from tests.minigpt.tiny.bottlenecks import both, by_hand, parts_of
from tests.minigpt.tiny.gpt2 import ours
from tests.minigpt.tiny.lora import everything, logits, same


@pytest.mark.parametrize("first", ["beside", "behind"])
def test_lora_and_adapters_act_on_what_the_linear_layer_says(first: str) -> None:
    model = both(first)
    plain = by_hand(parts_of(model))
    for path, layer in lora_layers(model).items():
        A, B = layer.lora_A.detach().double(), layer.lora_B.detach().double()
        plain.get_submodule(path).register_forward_hook(
            lambda _, x, y, A=A, B=B: y + 2 * x[0] @ A.T @ B.T
        )
    torch.testing.assert_close(logits(model.double()), logits(plain), rtol=0, atol=1e-12)


@pytest.mark.parametrize("first", ["beside", "behind"])
def test_either_is_switched_and_taken_off_without_the_other(first: str) -> None:
    model, only_lora, only_bottlenecks = both(first), both(first), both(first)
    remove_bottlenecks(only_lora)
    remove_lora(only_bottlenecks)
    set_bottlenecks(model, None)
    assert torch.equal(logits(model), logits(only_lora))
    set_bottlenecks(model, "behind")
    set_lora(model, None)
    assert torch.equal(logits(model), logits(only_bottlenecks))
    for plain in (remove_lora(only_lora), remove_bottlenecks(only_bottlenecks)):
        assert same(everything(plain), everything(ours().requires_grad_(False)))


def test_a_merged_lora_adapter_is_refused() -> None:
    model = apply_lora(ours(), r=2, target_modules=("c_attn",))
    merge_lora(model)
    before = everything(model)
    with pytest.raises(ValueError, match=r"'default' is merged .*; call unmerge_lora"):
        apply_bottlenecks(model)
    assert same(everything(model), before)
    unmerge_lora(model)
    apply_bottlenecks(model)


def test_lora_is_not_merged_into_a_layer_with_adapters_behind_it() -> None:
    model = both()
    before = everything(model)
    with pytest.raises(ValueError, match="BottleneckLinear has no plain weight to merge into"):
        merge_lora(model)
    assert same(everything(model), before)
    expected = logits(remove_bottlenecks(model))
    merge_lora(model)
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-4)

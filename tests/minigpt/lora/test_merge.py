"""minigpt.lora: an adapter inside the weights, and out again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minigpt.lora.model import (
    apply_lora,
    lora_layers,
    merge_lora,
    remove_lora,
    set_lora,
    unmerge_lora,
)
from minigpt.pretrained.folders import load_gpt2, save_gpt2
from tests.minigpt.tiny.gpt2 import IDX, ours
from tests.minigpt.tiny.lora import adapted, by_hand, everything, logits, same


@pytest.mark.parametrize("rank_stabilized", [True, False])
def test_merged_weights_are_exact_and_unmerging_restores_every_bit(rank_stabilized: bool) -> None:
    model = adapted(dropout=0.5, rank_stabilized=rank_stabilized)
    before, beside = everything(model), logits(model)
    merge_lora(model)
    for path, layer in lora_layers(model).items():
        expected = by_hand(adapted(rank_stabilized=rank_stabilized)).get_submodule(path).weight
        torch.testing.assert_close(layer.base.weight, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(logits(model), beside, rtol=0, atol=2e-5)
    unmerge_lora(model)
    assert same(everything(model), before)
    assert torch.equal(logits(model), beside)


def test_a_merged_model_without_its_adapters_is_a_plain_gpt2(tmp_path: Path) -> None:
    model = adapted()
    expected = logits(by_hand(model))
    merge_lora(model)
    assert remove_lora(model) is model
    assert model.state_dict().keys() == ours().state_dict().keys()
    save_gpt2(model, tmp_path)
    torch.testing.assert_close(logits(load_gpt2(tmp_path)), expected, rtol=0, atol=2e-5)
    assert torch.equal(logits(remove_lora(adapted())), logits(ours()))


def test_the_tied_head_takes_an_adapter_but_is_not_merged() -> None:
    model = adapted(target_modules=("c_attn", "lm_head"))
    before = everything(model)
    with pytest.raises(ValueError, match="weight of lm_head is used by another layer too"):
        merge_lora(model)
    assert same(everything(model), before)
    assert not any(layer.merged for layer in lora_layers(model).values())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_an_adapter_that_would_spoil_a_weight_is_not_merged(bad: float) -> None:
    model = adapted()
    with torch.no_grad():
        list(lora_layers(model).values())[-1].lora_B[1] = bad
    before = everything(model)
    with pytest.raises(
        ValueError, match=r"spoil the weights: transformer\.h\.1\.\S+ is not made of"
    ):
        merge_lora(model)
    after = everything(model)
    assert all(
        torch.equal(after[n][0].nan_to_num(), t.nan_to_num()) for n, (t, _) in before.items()
    )
    assert not any(layer.merged for layer in lora_layers(model).values())


def test_what_makes_no_sense_while_merged_is_an_error() -> None:
    model = adapted()
    with pytest.raises(ValueError, match="no adapter is merged, so there is nothing to unmerge"):
        unmerge_lora(model)
    merge_lora(model)
    before = everything(model)
    merged = r"'default' is merged into the weights; call unmerge_lora\(model\) first"
    for attempt in (
        lambda: merge_lora(model),
        lambda: set_lora(model, "default"),
        lambda: set_lora(model, None),
        lambda: apply_lora(model, r=2, name="other"),
    ):
        with pytest.raises(ValueError, match=merged):
            attempt()
    with pytest.raises(ValueError, match="is merged and cannot be trained; call unmerge_lora"):
        model.train()(IDX)
    expected = by_hand(adapted()).generate(IDX, 8, temperature=0)
    assert torch.equal(model.generate(IDX, 8, temperature=0), expected)
    assert same(everything(model), before)

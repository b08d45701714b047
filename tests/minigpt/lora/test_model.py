"""minigpt.lora: adapters on a whole model (one layer: test_layer.py)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from minigpt.lora.model import (
    apply_lora,
    lora_layers,
    merge_lora,
    remove_lora,
    set_lora,
    unmerge_lora,
)
from minigpt.memory.counts import count_lora
from minigpt.model import GPT
from minigpt.training.checkpoint import load_checkpoint, model_tensors, save_checkpoint
from minigpt.training.loop import train
from tests.minigpt.tiny.gpt2 import IDX, ours
from tests.minigpt.tiny.lora import (
    ALL,
    adapted,
    by_hand,
    everything,
    fill,
    logits,
    same,
    train_lora,
)
from tests.minigpt.tiny.run import TinyData, run_two_processes, tiny_config, tiny_model

# One adapter


def test_the_model_computes_with_the_product_added() -> None:
    model = adapted()
    assert (logits(model) - logits(ours())).abs().max() > 0.1
    torch.testing.assert_close(logits(model), logits(by_hand(model)), rtol=0, atol=2e-5)


def test_only_the_adapter_trains_and_its_names_are_readable() -> None:
    model = apply_lora(ours(), r=4)
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trainable == [
        f"transformer.h.{block}.attn.c_attn.adapters.default.{name}"
        for block in (0, 1)
        for name in ("lora_A", "lora_B")
    ]
    assert "transformer.h.0.attn.c_attn.base.weight" in model.state_dict()
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 2 * 4 * (32 + 96)


def test_training_changes_the_adapter_alone() -> None:
    before = everything(apply_lora(tiny_model(dropout=0.0), 4, 8, target_modules=ALL))
    model, _ = train_lora()
    for name, (tensor, trained) in everything(model).items():
        assert trained == ("lora_" in name)
        assert torch.equal(tensor, before[name][0]) == (not trained), name


def test_training_follows_the_formula_multiplied_out() -> None:
    model, plain = apply_lora(ours(), r=4, alpha=8, target_modules=ALL).train(), ours()
    pairs = {
        path: [m.detach().clone().requires_grad_() for m in (layer.lora_A, layer.lora_B)]
        for path, layer in lora_layers(model).items()
    }
    targets = IDX.roll(-1, dims=1)

    def multiplied_out() -> Tensor:
        weights = {
            f"{path}.weight": plain.get_submodule(path).weight.detach() + 8 / 4 * B @ A
            for path, (A, B) in pairs.items()
        }
        return torch.func.functional_call(plain, weights, (IDX, targets))[1]

    trained = [p for p in model.parameters() if p.requires_grad]
    losses = [
        descend(lambda: model(IDX, targets)[1], trained),
        descend(multiplied_out, [matrix for pair in pairs.values() for matrix in pair]),
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0][-1] < losses[0][0] - 0.3


def descend(loss_of: Callable[[], Tensor], parameters: list[Tensor]) -> list[float]:
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    losses = []
    for _ in range(20):
        loss = loss_of()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def test_a_target_is_a_name_or_its_end() -> None:
    assert list(lora_layers(apply_lora(ours(), r=2, target_modules=("mlp.c_proj",)))) == [
        "transformer.h.0.mlp.c_proj",
        "transformer.h.1.mlp.c_proj",
    ]
    one = ("transformer.h.1.attn.c_attn", "lm_head")
    assert tuple(lora_layers(apply_lora(ours(), r=2, target_modules=one))) == one
    assert len(lora_layers(apply_lora(ours(), r=2, target_modules="c_proj"))) == 4


def test_generation_with_a_cache_is_that_of_the_dense_model() -> None:
    model = adapted()
    expected = by_hand(model).generate(IDX, 12, temperature=0)
    assert torch.equal(model.generate(IDX, 12, temperature=0), expected)
    assert torch.equal(model.generate(IDX, 12, temperature=0, use_cache=False), expected)


def test_a_copy_of_the_model_is_independent() -> None:
    model = adapted()
    merge_lora(model)
    other = copy.deepcopy(model)
    unmerge_lora(model)
    fill(model, seed=5)
    torch.testing.assert_close(logits(other), logits(by_hand(adapted())), rtol=0, atol=2e-5)
    unmerge_lora(other)
    assert same(everything(other), everything(adapted()))


def test_a_checkpoint_of_what_is_trained_holds_the_adapter_and_no_more(tmp_path: Path) -> None:
    model = adapted()
    save_checkpoint(tmp_path, model, None, {}, trainable_only=True)
    assert all(".lora_" in name for name in model_tensors(model, trainable_only=True))
    other = apply_lora(ours(), r=4, alpha=8, target_modules=ALL)
    load_checkpoint(tmp_path, other)
    assert torch.equal(logits(other), logits(model))
    weights = 4 * count_lora(model.config, 4, ALL)
    assert weights < (tmp_path / "tensors-0.safetensors").stat().st_size < weights + 6000


def test_two_processes_train_what_one_does() -> None:
    found, single = run_two_processes("lora"), train_lora()[1]
    assert found == {mode: pytest.approx(single, abs=1e-5) for mode in ("ddp", "fsdp")}


# Several adapters


def test_adapters_of_different_ranks_and_layers_are_switched_without_a_trace() -> None:
    model = adapted(name="french")
    alone = {"french": logits(model), None: logits(ours())}
    apply_lora(model, r=2, alpha=1, target_modules=("c_attn", "lm_head"), name="summary")
    fill(model, seed=1)
    torch.testing.assert_close(logits(model), logits(by_hand_untied(model)), rtol=0, atol=2e-5)
    alone["summary"] = logits(model)
    for name in ("french", "summary", None, "french", None, "summary"):
        set_lora(model, name)
        assert torch.equal(logits(model), alone[name]), name
        trained = {n.split(".")[-2] for n, p in model.named_parameters() if p.requires_grad}
        assert trained == ({name} - {None})
    assert (alone["french"] - alone["summary"]).abs().max() > 0.1


def by_hand_untied(model: GPT) -> GPT:
    """Returns what by_hand does, for a head with an adapter, which is not the embedding."""
    head = model.lm_head
    model.lm_head = head.base
    plain = by_hand(model)
    model.lm_head = head
    changed = plain.lm_head.weight.detach() + head.scaling * head.lora_B @ head.lora_A
    plain.lm_head.weight = torch.nn.Parameter(changed)
    return plain


def test_training_one_adapter_leaves_the_other_as_it_was() -> None:
    model, _ = train_lora(max_steps=3, warmup_steps=0)
    apply_lora(model, r=2, target_modules=("c_attn",), name="second")
    before = everything(model)
    train(model, TinyData(), tiny_config(max_steps=3, warmup_steps=0))
    for name, (tensor, _) in everything(model).items():
        assert torch.equal(tensor, before[name][0]) == (".second." not in name), name


# Errors


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"r": 0}, "r must be a whole number of at least 1, got 0"),
        ({"r": 33}, r"from 1 to 32 for transformer\.h\.0\.attn\.c_attn, .* \[96, 32\], got 33"),
        ({"alpha": 0}, "alpha must be above 0"),
        ({"dropout": 1}, "dropout must be at least 0 and below 1"),
        ({"init": "zero"}, "init must be one of"),
        ({"name": "a b"}, "an adapter's name is made of"),
        ({"name": "first"}, "already has an adapter 'first'"),
        (
            {"target_modules": ("c_attn", "q_proj")},
            "no linear layer is called 'q_proj'; there are attn.c_attn, attn.c_proj, mlp.c_fc, "
            "mlp.c_proj, lm_head$",
        ),
        ({"target_modules": ("attn",)}, "no linear layer is called 'attn'"),
        ({"target_modules": ("wte",)}, "no linear layer is called 'wte'"),
        ({"target_modules": ("base",)}, "no linear layer is called 'base'"),
        ({"target_modules": ()}, "target_modules is empty; the linear layers are attn.c_attn"),
    ],
)
def test_a_wrong_setting_is_named_and_changes_nothing(settings: dict, sentence: str) -> None:
    model = adapted(name="first")
    before, random_state = everything(model), torch.get_rng_state()
    with pytest.raises(ValueError, match=sentence):
        apply_lora(model, **{"name": "second", **settings})
    assert same(everything(model), before)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_what_is_not_there_cannot_be_switched_merged_or_removed() -> None:
    for attempt in (merge_lora, unmerge_lora, remove_lora, lambda m: set_lora(m, "default")):
        with pytest.raises(ValueError, match="has no adapters; apply_lora or load_lora puts"):
            attempt(ours())
    model = adapted(name="french")
    with pytest.raises(ValueError, match="no adapter 'german'; it has french"):
        set_lora(model, "german")
    set_lora(model, None)
    with pytest.raises(ValueError, match="no adapter is active, so there is nothing to merge"):
        merge_lora(model)
    with pytest.raises(ValueError, match="no adapter of this layer is active; it has french"):
        _ = next(iter(lora_layers(model).values())).lora_A
    with pytest.raises(ValueError, match="every parameter of this GPT is frozen"):
        train(model, TinyData(), tiny_config())

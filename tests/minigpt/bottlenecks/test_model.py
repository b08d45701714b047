"""minigpt.bottlenecks.model: bottlenecks on a model, against the formula in double precision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from minigpt.bottlenecks.layer import Bottleneck, BottleneckLinear
from minigpt.bottlenecks.model import (
    apply_bottlenecks,
    bottleneck_layers,
    remove_bottlenecks,
    save_bottlenecks,
    set_bottlenecks,
)
from minigpt.config import GPTConfig
from minigpt.memory.counts import count_bottlenecks
from minigpt.model import GPT
from minigpt.pretrained.folders import save_gpt2
from minigpt.qlora.model import dequantize_model, quantize_model
from minigpt.training.checkpoint import load_checkpoint, model_tensors, save_checkpoint
from minigpt.training.loop import train
from tests.minigpt.tiny.bottlenecks import PARTS, adapted, by_hand, formula, parts_of, randomized
from tests.minigpt.tiny.gpt2 import IDX, ours
from tests.minigpt.tiny.lora import everything, logits, same
from tests.minigpt.tiny.run import TinyData, tiny_config, tiny_model

# The computation


def test_the_model_computes_the_formula() -> None:
    model = adapted()
    expected = logits(by_hand(parts_of(model)))
    assert (expected - logits(ours())).abs().max() > 1
    torch.testing.assert_close(logits(model).double(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(logits(model.double()), expected, rtol=0, atol=1e-12)


def test_the_gradients_are_those_of_the_formula() -> None:
    model = adapted().double()
    parts = [[part.requires_grad_() for part in numbers] for numbers in parts_of(model)]
    targets = IDX.roll(-1, dims=1)
    model(IDX, targets)[1].backward()
    plain = by_hand(parts)
    plain(IDX, targets)[1].backward()
    for layer, numbers in zip(bottleneck_layers(model).values(), parts, strict=True):
        for name, expected in zip(PARTS, numbers, strict=True):
            found = getattr(layer.bottlenecks["default"], name).grad
            assert found.abs().max() > 1e-4
            torch.testing.assert_close(found, expected.grad, rtol=0, atol=1e-13)


def test_at_the_start_the_model_is_what_it_was_to_the_bit() -> None:
    for change in (GPT.float, GPT.bfloat16):
        plain = change(ours())
        expected = logits(plain)
        assert torch.equal(logits(apply_bottlenecks(plain)), expected)
        assert plain.transformer["h"][0].attn.c_proj.bottlenecks["default"].W_down.any()


def test_the_papers_start_is_normal_and_cut_off_at_two_deviations() -> None:
    adapter = Bottleneck(512, 64, init="normal")
    for matrix in (adapter.W_down, adapter.W_up):
        assert matrix.abs().max() <= 0.02
        # A normal distribution that is cut off at two deviations has 0.8796 of the deviation.
        assert matrix.std().item() == pytest.approx(0.8796e-2, rel=0.02)
    assert not adapter.b_down.any()
    assert not adapter.b_up.any()


def test_generation_with_a_cache_is_that_of_the_formula() -> None:
    model = adapted()
    expected = by_hand(parts_of(model)).generate(IDX, 12, temperature=0)
    assert not torch.equal(expected, ours().generate(IDX, 12, temperature=0))
    assert torch.equal(model.generate(IDX, 12, temperature=0), expected)
    assert torch.equal(model.generate(IDX, 12, temperature=0, use_cache=False), expected)


@pytest.mark.parametrize("autocast", [False, True])
def test_in_bf16_the_bottleneck_itself_stays_fp32(autocast: bool) -> None:
    model = adapted() if autocast else randomized(apply_bottlenecks(ours().bfloat16(), 4))
    layer = model.transformer["h"][1].mlp.c_proj
    x = torch.randn(3, 5, 128)
    x = x if autocast else x.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        h, found = layer.base(x), layer(x)
    assert h.dtype == found.dtype == torch.bfloat16
    found.sum().backward()
    for parameter in layer.bottlenecks["default"].parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32
    expected = formula(h.double(), *parts_of(model)[-1])
    largest = expected.abs().max().item()  # what is rounded to 8 bits on the way is no larger
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2**-8 * largest)


def test_they_stand_behind_layers_in_4_bits_too() -> None:
    model = quantize_model(ours())
    plain = dequantize_model(copy.deepcopy(model))
    alone = logits(model)
    for each in (model, plain):
        randomized(apply_bottlenecks(each, 4))
    assert (logits(model) - alone).abs().max() > 1
    torch.testing.assert_close(logits(model), logits(plain), rtol=0, atol=1e-5)
    for each in (model, plain):
        each(IDX, IDX)[1].backward()
    gradients = [[p.grad for p in each.parameters() if p.requires_grad] for each in (model, plain)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-5)
    assert torch.equal(logits(remove_bottlenecks(model)), alone)


# Training


def test_the_layer_that_a_bottleneck_is_behind_is_frozen() -> None:
    layer = BottleneckLinear(torch.nn.Linear(3, 4))
    assert not any(parameter.requires_grad for parameter in layer.base.parameters())


def test_only_the_bottlenecks_learn() -> None:
    model = apply_bottlenecks(tiny_model(dropout=0.1), 4)
    before = everything(model)
    losses = train(model, TinyData(), tiny_config()).losses
    assert sum(losses[-4:]) < sum(losses[:4])
    for name, (tensor, trained) in everything(model).items():
        assert trained == (".bottlenecks.default." in name)
        assert torch.equal(tensor, before[name][0]) == (not trained), name
    trained_names = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained_names == [
        f"transformer.h.{block}.{sublayer}.c_proj.bottlenecks.default.{part}"
        for block in (0, 1)
        for sublayer in ("attn", "mlp")
        for part in PARTS
    ]


def test_training_one_set_leaves_the_other_as_it_was() -> None:
    model = apply_bottlenecks(apply_bottlenecks(tiny_model(), 4, name="first"), 2, name="second")
    before = everything(model)
    train(model, TinyData(), tiny_config(max_steps=3, warmup_steps=0))
    for name, (tensor, _) in everything(model).items():
        assert torch.equal(tensor, before[name][0]) == (".second." not in name), name


def test_a_checkpoint_of_what_is_trained_holds_the_bottlenecks_and_no_more(tmp_path: Path) -> None:
    model = adapted()
    save_checkpoint(tmp_path, model, None, {}, trainable_only=True)
    names = model_tensors(model, trainable_only=True)
    assert len(names) == 16
    assert all(".bottlenecks." in name for name in names)
    other = apply_bottlenecks(ours(), 4)
    load_checkpoint(tmp_path, other)
    assert torch.equal(logits(other), logits(model))


def test_starting_the_weights_afresh_does_not_touch_the_bottlenecks() -> None:
    model, plain = adapted(), ours()
    before = parts_of(model)
    for each in (model, plain):
        torch.manual_seed(5)
        each.reset_parameters()
    assert all(torch.equal(a, b) for x, y in zip(before, parts_of(model), strict=True)
               for a, b in zip(x, y, strict=True))  # fmt: skip
    set_bottlenecks(model, None)
    assert torch.equal(logits(model), logits(plain))


# Counts


def test_the_gpt3_table_of_hu_et_al_comes_out() -> None:
    config = GPTConfig.preset("gpt3-175b")
    counts = [count_bottlenecks(config, r) for r in (1, 4, 8, 16, 64)]
    assert counts == [7_078_080, 21_234_432, 40_109_568, 77_859_840, 304_361_472]
    assert [round(count / 1e6, 1) for count in counts] == [7.1, 21.2, 40.1, 77.9, 304.4]


@pytest.mark.parametrize("r", [1, 3, 40])
def test_the_count_is_that_of_a_real_model(r: int) -> None:
    for model in (ours(), ours(n_layer=3, n_embd=20, bias=False)):
        apply_bottlenecks(model, r)
        real = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert count_bottlenecks(model.config, r) == real


# Several sets


def test_sets_are_switched_and_removed_without_a_trace() -> None:
    model, plain = adapted(name="french"), ours()
    alone = {"french": logits(model), None: logits(plain)}
    alone["summary"] = logits(randomized(apply_bottlenecks(model, 7, name="summary"), seed=1))
    assert (alone["french"] - alone["summary"]).abs().max() > 0.1
    for name in ("french", "summary", None, "french", None, "summary"):
        set_bottlenecks(model, name)
        assert torch.equal(logits(model), alone[name]), name
        trained = {n.split(".")[-2] for n, p in model.named_parameters() if p.requires_grad}
        assert trained == ({name} - {None})
    assert remove_bottlenecks(model) is model
    assert same(everything(model), everything(plain.requires_grad_(False)))
    assert [type(m) for m in model.modules()] == [type(m) for m in plain.modules()]
    assert torch.equal(logits(model), alone[None])


def test_a_copy_of_the_model_is_independent() -> None:
    model = adapted()
    other, expected = copy.deepcopy(model), logits(model)
    randomized(model, seed=3)
    assert torch.equal(logits(other), expected)
    assert not torch.equal(logits(model), expected)


# Errors


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"r": 0}, "r, the width of the bottleneck, must be a whole number of at least 1, got 0"),
        ({"r": 2.0}, "must be a whole number of at least 1, got 2.0"),
        ({"init": "zero"}, "init must be one of identity, normal, zeros, got 'zero'"),
        ({"name": "a b"}, "an adapter's name is made of"),
        ({"name": "first"}, "already has bottlenecks called 'first'; give the new ones another"),
    ],
)
def test_a_wrong_setting_is_named_and_changes_nothing(settings: dict, sentence: str) -> None:
    model = adapted(name="first")
    before, random_state = everything(model), torch.get_rng_state()
    with pytest.raises(ValueError, match=sentence):
        apply_bottlenecks(model, **{"name": "second", **settings})
    assert same(everything(model), before)
    assert torch.equal(torch.get_rng_state(), random_state)
    if "r" in settings:
        with pytest.raises(ValueError, match=sentence):
            count_bottlenecks(model.config, settings["r"])


def test_what_is_not_there_cannot_be_switched_saved_or_removed(tmp_path: Path) -> None:
    attempts: list[Callable[[GPT], object]] = [
        remove_bottlenecks,
        lambda model: set_bottlenecks(model, "default"),
        lambda model: save_bottlenecks(model, tmp_path / "x"),
    ]
    for attempt in attempts:
        with pytest.raises(
            ValueError, match="has no bottlenecks; apply_bottlenecks or load_bottlenecks"
        ):
            attempt(ours())
    model = adapted(name="french")
    with pytest.raises(ValueError, match="no bottlenecks called 'german'; it has french"):
        set_bottlenecks(model, "german")
    with pytest.raises(
        ValueError, match="no bottlenecks are called 'german' to save; the model has fre"
    ):
        save_bottlenecks(model, tmp_path / "x", "german")
    set_bottlenecks(model, None)
    with pytest.raises(ValueError, match="no bottlenecks are active; the model has french"):
        save_bottlenecks(model, tmp_path / "x")
    with pytest.raises(ValueError, match="every parameter of this GPT is frozen"):
        train(model, TinyData(), tiny_config())
    assert not (tmp_path / "x").exists()


def test_a_model_with_bottlenecks_is_not_saved_as_a_gpt2(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"c_proj\.base.*, which GPT-2 lacks; merge or rem"):
        save_gpt2(adapted(), tmp_path / "model")

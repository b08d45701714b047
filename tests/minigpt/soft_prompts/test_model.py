"""minigpt.soft_prompts: what a model with a soft prompt computes.

How a prompt starts is in test_settings.py, training is in
test_training.py, the files are in test_files.py.
"""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import Tensor

from minigpt.bottlenecks.model import apply_bottlenecks, set_bottlenecks
from minigpt.layers import linear_layers
from minigpt.lora.model import apply_lora, merge_lora, remove_lora, set_lora, unmerge_lora
from minigpt.model import GPT
from minigpt.soft_prompts.model import (
    apply_prefix_tuning,
    apply_prompt_tuning,
    remove_soft_prompts,
    set_soft_prompt,
)
from tests.minigpt.tiny.gpt2 import IDX, ours
from tests.minigpt.tiny.lora import everything, same
from tests.minigpt.tiny.soft_prompts import (
    EVERY_KIND,
    KINDS,
    N,
    apply,
    fill,
    logits,
    plain_logits,
    prompted,
)

# The plain way


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_logits_are_those_of_the_plain_way(kind: str) -> None:
    model = prompted(kind)
    torch.testing.assert_close(logits(model), plain_logits(model), rtol=0, atol=1e-5)
    assert (logits(model) - logits(ours())).abs().max() > 0.1


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_gradients_are_those_of_the_plain_way(kind: str, checkpointing: bool) -> None:
    model = prompted(kind).train()
    model.gradient_checkpointing = checkpointing
    trained = [p for p in model.parameters() if p.requires_grad]
    targets = IDX.roll(-1, dims=1)
    loss = torch.nn.functional.cross_entropy(plain_logits(model).flatten(0, 1), targets.flatten())
    expected = torch.autograd.grad(loss, trained)
    found = torch.autograd.grad(model(IDX, targets)[1], trained)
    for ours_, plain in zip(found, expected, strict=True):
        assert plain.abs().max() > 1e-3
        torch.testing.assert_close(ours_, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_texts_in_a_packed_row_are_read_as_if_each_were_alone_after_the_prompt(kind: str) -> None:
    model, lengths = prompted(kind), (5, 1, 6)
    texts = IDX[0].split(lengths)
    segments = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))[None]
    packed = model(IDX[:1], segments=segments)[0][0].split(lengths)
    for text, found in zip(texts, packed, strict=True):
        torch.testing.assert_close(found, plain_logits(model, text[None])[0], rtol=0, atol=1e-5)


def test_packed_texts_may_be_longer_together_than_the_context() -> None:
    model = prompted("prefix", n_tokens=12)
    segments = torch.arange(2).repeat_interleave(12)[None]
    packed = model(IDX.view(1, 24), segments=segments)[0].view(2, 12, -1)
    torch.testing.assert_close(packed, plain_logits(model), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_text_and_prompt_together_must_fit_the_context(kind: str) -> None:
    model = prompted(kind, n_tokens=13)
    with pytest.raises(ValueError, match=r"25 tokens, 13 of them before idx, .* block_size=24"):
        model(IDX)
    assert model(IDX[:, :11])[0].shape == (2, 11, 100)


# Generation


def plain_greedy(model: GPT, idx: Tensor, n_new: int) -> Tensor:
    with torch.no_grad():
        for _ in range(n_new):
            idx = torch.cat([idx, plain_logits(model, idx)[:, -1:].argmax(-1)], dim=1)
    return idx


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("kind", EVERY_KIND)
def test_generation_continues_as_the_plain_way_does(kind: str, use_cache: bool) -> None:
    model = prompted(kind)
    found = model.generate(IDX[:, :7], 12, temperature=0, use_cache=use_cache)
    assert torch.equal(found, plain_greedy(model, IDX[:, :7], 12))
    assert not torch.equal(found, ours().generate(IDX[:, :7], 12, temperature=0))


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("kind", EVERY_KIND)
def test_prompts_filled_up_on_the_left_are_continued_as_alone(kind: str, use_cache: bool) -> None:
    model, lengths = prompted(kind), (2, 6, 4, 1)
    texts = [IDX[:1, n : 2 * n] for n in lengths]
    idx, segments = torch.full((4, 6), 99), torch.zeros(4, 6, dtype=torch.long)
    for row, text in enumerate(texts):
        idx[row, 6 - text.size(1) :] = text
        segments[row, 6 - text.size(1) :] = 1
    found = model.generate(idx, 9, temperature=0, segments=segments, use_cache=use_cache)
    for row, text in enumerate(texts):
        assert torch.equal(found[row, 6:], plain_greedy(model, text, 9)[0, text.size(1) :])


@pytest.mark.parametrize("use_cache", [True, False])
def test_generation_that_outgrows_the_context_keeps_the_prompt(use_cache: bool) -> None:
    model, idx = prompted("prompt"), IDX[:, :7]
    found = model.generate(idx, 20, temperature=0, use_cache=use_cache)
    for _ in range(20):
        window = idx[:, -(24 - N) :]
        idx = torch.cat([idx, plain_logits(model, window)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(found, idx)


def test_a_model_in_training_generates_without_dropout() -> None:
    model = prompted("prompt")
    expected = model.generate(IDX, 7, temperature=0)
    model.set_dropout(0.5)
    model.train()
    assert not torch.equal(model.prefix()[0].keys, model.prefix()[0].keys)  # there is dropout
    for _ in range(10):  # dropout on the virtual tokens does not change every text
        assert torch.equal(model.generate(IDX, 7, temperature=0), expected)
    assert model.training


# The gate


@pytest.mark.parametrize("start", [{}, {"init_ids": [7, 3]}, {"reparametrize": 7}])
def test_training_with_a_gate_starts_at_the_base_model_to_the_bit(start: dict) -> None:
    model = apply_prefix_tuning(ours(), N, gate=True, **start)
    assert torch.equal(logits(model), logits(ours()))
    assert torch.equal(model.generate(IDX, 9, 0), ours().generate(IDX, 9, 0))
    segments = torch.arange(3).repeat_interleave(4)[None]
    packed = [m(IDX[:1], segments=segments)[0] for m in (model, ours())]
    assert torch.equal(*packed)


def test_the_gate_learns_first_and_the_keys_once_it_is_open() -> None:
    model = apply_prefix_tuning(ours(), N, gate=True)
    prompt = model.soft_prompts["default"]
    gate, start = torch.autograd.grad(model(IDX, IDX)[1], [prompt.gate, prompt.start])
    assert gate.shape == (2, 2)
    assert gate.abs().min() > 0
    assert not start.any()
    prompt.gate.data.fill_(0.1)
    (start,) = torch.autograd.grad(model(IDX, IDX)[1], [prompt.start])
    assert start.abs().max() > 0


def test_with_a_gate_the_whole_context_is_the_texts() -> None:
    model = prompted("gated")
    assert model.prefix() is None
    idx = IDX.view(1, 24)  # block_size
    torch.testing.assert_close(logits(model, idx), plain_logits(model, idx), rtol=0, atol=1e-5)
    grown = model.generate(idx, 3, temperature=0)
    assert torch.equal(grown[:, 24:25], logits(model, idx)[:, -1:].argmax(-1))


def test_heads_whose_gate_is_shut_look_at_the_text_alone() -> None:
    model = prompted("gated")
    prompt = model.soft_prompts["default"]
    prompt.gate.data.zero_()
    assert torch.equal(logits(model), logits(ours()))
    prompt.gate.data[1, 0] = 1
    assert (logits(model) - logits(ours())).abs().max() > 0.01


@pytest.mark.parametrize("use_cache", [True, False])
def test_generation_with_a_gate_may_outgrow_the_context(use_cache: bool) -> None:
    model, idx = prompted("gated"), IDX[:, :7]
    found = model.generate(idx, 20, temperature=0, use_cache=use_cache)
    for _ in range(20):
        idx = torch.cat([idx, plain_logits(model, idx[:, -24:])[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(found, idx)


# Several prompts


def test_prompts_are_switched_and_removed_without_a_trace() -> None:
    model = prompted("prompt", name="french")
    expected = {"french": logits(model), None: logits(ours())}
    for kind, n, name in (("prefix", 9, "summary"), ("gated", 2, "third")):
        fill(apply(model, kind, n, name), seed=n)
        expected[name] = logits(model)
    for name in ("french", "third", None, "summary", None, "french"):
        set_soft_prompt(model, name)
        assert torch.equal(logits(model), expected[name]), name
        trained = {n.split(".")[2] for n, p in model.named_parameters() if p.requires_grad}
        assert trained == ({name} - {None})
    different = list(expected.values())
    for i, one in enumerate(different):
        assert all((one - other).abs().max() > 0.1 for other in different[:i])
    assert remove_soft_prompts(model) is model
    before = ours().state_dict()
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert torch.equal(logits(model), expected[None])
    assert apply(model, "prefix", name="french").soft_prompts.active == "french"


def test_a_copy_of_the_model_is_independent() -> None:
    model = prompted("prefix")
    other = copy.deepcopy(model)
    before = logits(model)
    fill(other, seed=9)
    assert torch.equal(logits(model), before)
    assert not torch.equal(logits(other), before)


# Number formats


@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast_the_numbers_are_nearly_the_same(kind: str) -> None:
    model = prompted(kind)
    expected = logits(model)
    with torch.autocast("cpu", torch.bfloat16):
        found = logits(model)
        assert model.prefix()[0].keys.dtype == torch.bfloat16
        cached, uncached = (model.generate(IDX, 5, 0, use_cache=use) for use in (True, False))
        assert torch.equal(cached, uncached)
    assert 0 < (found - expected).abs().max() < 0.05 * expected.abs().max()
    model.train()
    gradients = []
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = model(IDX, IDX)[1]
        trained = [p for p in model.parameters() if p.requires_grad]
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, trained)]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_model_in_half_precision_takes_a_prompt_in_fp32(kind: str) -> None:
    expected = logits(prompted(kind))
    model = fill(apply(ours().bfloat16(), kind))
    assert all(p.dtype == torch.float32 for p in model.soft_prompts.parameters())
    assert (logits(model).float() - expected).abs().max() < 0.05 * expected.abs().max()
    model.generate(IDX, 5, temperature=0)


@pytest.mark.parametrize("apply_to", [apply_prompt_tuning, apply_prefix_tuning])
def test_a_prompt_that_starts_from_text_is_in_fp32_too(apply_to: object) -> None:
    model = apply_to(ours().bfloat16(), N, [3, 9])
    assert all(p.dtype == torch.float32 for p in model.soft_prompts.parameters())


# Beside LoRA


def test_a_prompt_before_a_model_with_lora_trains_alone() -> None:
    model = apply_lora(ours(), r=4)
    torch.nn.init.normal_(model.transformer["h"][0].attn.c_attn.lora_B)
    fill(apply_prefix_tuning(model, N))
    torch.testing.assert_close(logits(model), plain_logits(model), rtol=0, atol=1e-5)
    assert all("soft_prompts" in n for n, p in model.named_parameters() if p.requires_grad)


def test_what_was_switched_on_last_is_trained_alone() -> None:
    model = apply_prefix_tuning(apply_bottlenecks(apply_lora(ours(), r=4)), N)
    switches = {"soft_prompts": set_soft_prompt, "lora": set_lora, "W_|b_": set_bottlenecks}
    for last in (*switches, *reversed(switches)):
        switches[last](model, "default")
        trained = [name for name, p in model.named_parameters() if p.requires_grad]
        assert trained
        assert all(re.search(last, name) for name in trained), (last, trained)
        for switch in switches.values():
            if switch is not switches[last]:
                switch(model, None)  # switching something else off leaves it as it is
        assert trained == [name for name, p in model.named_parameters() if p.requires_grad]


MERGED = r"'default' is merged into the weights; call unmerge_lora\(model\) first"


@pytest.mark.parametrize("apply_to", [apply_prompt_tuning, apply_prefix_tuning])
def test_a_merged_adapter_must_be_unmerged_first(apply_to: object) -> None:
    model = apply_lora(ours(), r=4)
    merge_lora(model)
    with pytest.raises(ValueError, match=MERGED):
        apply_to(model)
    assert model.soft_prompts is None
    unmerge_lora(model)
    apply_to(model)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_is_merged_only_while_no_prompt_is_active(kind: str) -> None:
    model = apply(apply_lora(ours(), r=4), kind, name="french")
    before = everything(model)
    with pytest.raises(ValueError, match=r"'french' is active .*set_soft_prompt\(model, None\)"):
        merge_lora(model)
    assert same(everything(model), before)
    set_soft_prompt(model, None)
    merge_lora(model)
    before = everything(model)
    with pytest.raises(ValueError, match=MERGED):
        set_soft_prompt(model, "french")
    assert model.soft_prompts.active is None
    assert same(everything(model), before)
    set_soft_prompt(remove_lora(model), "french")  # the merged weights are the model's own now


def test_what_goes_through_the_linear_layers_does_not_find_the_network() -> None:
    names = [name for name, _ in linear_layers(apply(ours(), "network"))]
    assert names == [name for name, _ in linear_layers(ours())]

"""minigpt.soft_prompts: how a prompt starts, its counts, what is refused, nearest tokens."""

from __future__ import annotations

import pytest
import tiktoken
import torch

from minigpt.config import GPTConfig
from minigpt.memory.counts import count_prefix_tuning, count_prompt_tuning
from minigpt.model import GPT
from minigpt.soft_prompts.model import (
    apply_prefix_tuning,
    apply_prompt_tuning,
    nearest_tokens,
    remove_soft_prompts,
    set_soft_prompt,
)
from tests.minigpt.tiny.gpt2 import IDX, ours
from tests.minigpt.tiny.soft_prompts import KINDS, N, apply, logits, prompted

# Where training starts


@pytest.mark.parametrize("apply_to", [apply_prompt_tuning, apply_prefix_tuning])
def test_a_prompt_that_starts_from_text_is_that_text(apply_to: object) -> None:
    text = torch.tensor([7, 3, 99, 0, 3])
    model = apply_to(ours(), 5, text.tolist())
    expected = logits(ours(), torch.cat([text.expand(2, -1), IDX], dim=1))[:, 5:]
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-5)


def test_the_text_is_repeated_or_cut_to_the_number_of_tokens() -> None:
    table = ours().transformer["wte"].weight
    for n, ids in ((5, [3, 9, 3, 9, 3]), (1, [3]), (2, [3, 9])):
        model = apply_prompt_tuning(ours(), n, [3, 9])
        assert torch.equal(model.soft_prompts["default"].vectors(), table[ids])
    table.data.zero_()
    assert model.soft_prompts["default"].vectors().abs().sum() > 0  # a copy


def test_the_keys_of_a_text_are_those_without_the_other_prompts_and_without_dropout() -> None:
    alone = apply_prefix_tuning(ours(), 4, [1, 2, 3, 4]).soft_prompts["default"].vectors()
    model = prompted("prompt").train()
    model.set_dropout(0.5)
    apply_prefix_tuning(model, 4, [1, 2, 3, 4], name="second")
    assert torch.equal(model.soft_prompts["second"].vectors(), alone)
    assert model.training


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
def test_random_vectors_are_normal_with_the_deviation_of_the_embeddings(kind: str) -> None:
    torch.manual_seed(3)
    model = GPT(GPTConfig(1000, 600, n_layer=1, n_head=2, n_embd=64))
    model.transformer["wte"].weight.data.mul_(5)
    vectors = apply(model, kind, 500).soft_prompts["default"].vectors().detach()
    assert vectors.std().item() == pytest.approx(0.1, rel=0.02)
    assert vectors.mean().abs() < 0.002
    within = (vectors.abs() < 0.1).float().mean().item()  # of a normal distribution 68.27%
    assert within == pytest.approx(0.6827, abs=0.01)


def test_a_network_gives_each_virtual_token_its_own_keys() -> None:
    vectors = apply(ours(), "network").soft_prompts["default"].vectors().detach()
    assert vectors.shape == (N, 2 * 2 * 32)
    assert torch.pdist(vectors).min() > 1
    assert 0.1 < vectors.std() < 1


# What is trained, and how much


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_prompt_trains_and_the_closed_form_counts_it(kind: str) -> None:
    model = apply(ours(), kind)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert all(name.startswith("soft_prompts.prompts.default.") for name in trained)
    counted = sum(p.numel() for p in trained.values())
    if kind == "prompt":
        assert counted == count_prompt_tuning(model.config, N) == 5 * 32
    else:
        width = 7 if kind == "network" else None
        assert counted == count_prefix_tuning(model.config, N, width)
        assert width or counted == 5 * 2 * 2 * 32
    model(IDX, IDX)[1].backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == trained.keys()


# Errors


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_tokens": 0}, "n_tokens must be a whole number from 1 to 23, .* got 0"),
        ({"n_tokens": 24}, "from 1 to 23, .* block_size=24 has room for a text .* got 24"),
        ({"n_tokens": 2.0}, "n_tokens must be a whole number from 1 to 23, .* got 2.0"),
        ({"n_tokens": True}, "n_tokens must be a whole number from 1 to 23, .* got True"),
        ({"init_ids": []}, "init_ids is empty; give at least one token id"),
        ({"init_ids": [5, 100]}, "token id 100 is outside the vocabulary of 100"),
        ({"init_ids": [-1]}, "token id -1 is outside the vocabulary"),
        (
            {"init_ids": "a text"},
            r"init_ids must be a list .* encoding.encode gives, got 'a text'$",
        ),
        ({"init_ids": [1.0, 2.0]}, r"init_ids must be a list of token ids, .* got \[1.0, 2.0\]$"),
        ({"init_ids": [[1, 2], [3]]}, r"init_ids must be a list of token ids, .* got \[\[1, 2\], "),
        ({"init_ids": 7}, r"init_ids must be a list of token ids, .* got 7$"),
        ({"name": "old"}, "already has a soft prompt 'old'; give the new one another name"),
        ({"name": "a.b"}, "name is made of letters, digits, - and _, got 'a.b'"),
    ],
)
@pytest.mark.parametrize("apply_to", [apply_prompt_tuning, apply_prefix_tuning])
def test_settings_out_of_range_are_refused_and_change_nothing(
    apply_to: object, settings: dict, sentence: str
) -> None:
    _refused(apply_to, settings, sentence)


def _refused(apply_to: object, settings: dict, sentence: str) -> None:
    model = prompted("prefix", name="old")
    before, state = logits(model), torch.get_rng_state()
    trained = [p.requires_grad for p in model.parameters()]
    with pytest.raises(ValueError, match=sentence):
        apply_to(model, **{"n_tokens": 4, "name": "new", **settings})
    assert list(model.soft_prompts.prompts) == ["old"]
    assert torch.equal(logits(model), before)
    assert [p.requires_grad for p in model.parameters()] == trained
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"reparametrize": 0}, "reparametrize must be a whole number of at least 1, got 0"),
        ({"reparametrize": 1.5}, "reparametrize must be a whole number of at least 1, got 1.5"),
        ({"reparametrize": 8, "init_ids": [1]}, "init_ids cannot be given along with reparam"),
    ],
)
def test_settings_of_the_network_are_checked(settings: dict, sentence: str) -> None:
    _refused(apply_prefix_tuning, settings, sentence)


def test_names_that_are_not_there_are_refused() -> None:
    for function in (lambda m: set_soft_prompt(m, None), remove_soft_prompts):
        with pytest.raises(ValueError, match="the model has no soft prompts; apply_prompt_tuning"):
            function(ours())
    model = prompted("prompt", name="french")
    with pytest.raises(ValueError, match="no soft prompt 'german'; it has french"):
        set_soft_prompt(model, "german")
    assert model.soft_prompts.active == "french"


# What a prompt resembles


@pytest.fixture(scope="module")
def encoding() -> tiktoken.Encoding:
    """Returns an encoding of one id a byte and the end of text: 100 ids, as the tiny model has."""
    ranks = {bytes([32 + i]): i for i in range(95)} | {bytes([i]): 95 + i for i in range(4)}
    return tiktoken.Encoding(
        "bytes", pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 99}
    )


def test_a_prompt_made_of_tokens_resembles_them(encoding: tiktoken.Encoding) -> None:
    model = apply_prompt_tuning(ours(), 3, encoding.encode("A z"))
    model.soft_prompts["default"].embeddings.data.mul_(7)  # the direction counts, not the length
    nearest = nearest_tokens(model, encoding, k=1)
    assert [row[0][0] for row in nearest] == ["A", " ", "z"]
    assert [row[0][1] for row in nearest] == pytest.approx([1, 1, 1], abs=1e-6)


def test_the_nearest_tokens_are_those_of_the_largest_cosines(encoding: tiktoken.Encoding) -> None:
    model = prompted("prompt")
    table, vectors = model.transformer["wte"].weight, model.soft_prompts["default"].vectors()
    found = nearest_tokens(model, encoding, k=100)
    for vector, row in zip(vectors, found, strict=True):
        cosines = [torch.cosine_similarity(vector, token, dim=0).item() for token in table]
        assert sorted(cosines, reverse=True) == pytest.approx([c for _, c in row], abs=1e-6)
        assert row[0][0] == encoding.decode([cosines.index(max(cosines))])
    assert len(nearest_tokens(model, encoding)[0]) == 5
    wider = apply_prompt_tuning(ours(vocab_size=120), 2)  # ids that the encoding does not have
    assert len(nearest_tokens(wider, encoding, k=120)[0]) == 100
    gapped = tiktoken.Encoding(
        "gapped", pat_str=".", mergeable_ranks={bytes([i]): i for i in range(60)},
        special_tokens={"<|endoftext|>": 99},
    )  # fmt: skip
    assert len(nearest_tokens(wider, gapped, k=120)[0]) == 61


def test_keys_and_values_resemble_no_tokens(encoding: tiktoken.Encoding) -> None:
    model = prompted("prefix", name="french")
    with pytest.raises(ValueError, match="'french' comes from prefix tuning: it holds keys and"):
        nearest_tokens(model, encoding)
    set_soft_prompt(model, None)
    with pytest.raises(ValueError, match="no soft prompt is active; the model has french"):
        nearest_tokens(model, encoding)
    with pytest.raises(ValueError, match="the model has no soft prompts"):
        nearest_tokens(ours(), encoding)
    with pytest.raises(ValueError, match="k must be a whole number of at least 1, got 0"):
        nearest_tokens(prompted("prompt"), encoding, k=0)

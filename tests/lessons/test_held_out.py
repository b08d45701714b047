"""Held-out text: what a model needs for each document, and differences with their errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import tiktoken
import torch

from lessons import held_out
from lessons.held_out import Change, HeldOut
from minigpt import GPT, GPTConfig
from minigpt.text.documents import Document

TEXTS = ["aba", "b" * 30, "abababababab", "aab" * 9]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], HeldOut]:
    """Provides drawn: drawn(100) draws 100 bytes or more of TEXTS; a token is a byte."""
    documents = [Document(str(i), text) for i, text in enumerate(TEXTS)]
    monkeypatch.setattr(held_out, "python_library", lambda n_documents=None: documents)
    monkeypatch.setattr(held_out, "split_documents", lambda documents: ([], documents))
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding(
        "bytes", pat_str=".", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 256}
    )
    return lambda n_bytes: HeldOut(encoding, n_bytes, seed=0)


def test_bits_are_those_of_each_document_s_tokens(
    drawn: Callable[[int], HeldOut],
) -> None:
    some = drawn(10**9)
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=257, block_size=16, n_layer=1, n_head=2, n_embd=16, dropout=0.5)
    model = GPT(config).train()
    # Position counts nothing and no token looks back: what a token costs depends on the one before.
    model.transformer["wpe"].weight.data.zero_()
    model.transformer["h"][0].attn.c_proj.weight.data.zero_()
    bits = some.bits(model)
    assert model.training, "it is left as it was"

    model.eval()
    with torch.no_grad():
        logits, _ = model(torch.arange(257)[:, None])  # [257, 1, V]
    cost = -logits[:, 0].log_softmax(-1) / math.log(2)  # [before, after]
    ids, expected, total = some.ids.tolist(), [0.0], len(TEXTS)
    for before, after in pairwise(ids):
        expected[-1] += cost[before, after].item()
        if after == 256 and len(expected) < total:
            expected.append(0.0)
    assert bits == pytest.approx(expected, rel=1e-5)
    assert some.sizes.tolist() == [
        len(text) for text in "".join(map(chr, ids)).split(chr(256))[:-1]
    ]
    assert some.bits_per_byte(model) == pytest.approx(sum(expected) / 72, rel=1e-5)


def test_at_least_two_documents_are_drawn(drawn: Callable[[int], HeldOut]) -> None:
    assert len(drawn(1).sizes) == 2


def test_the_error_of_a_change_covers_the_truth_as_often_as_it_says(
    drawn: Callable[[int], HeldOut],
) -> None:
    """Over many texts with a known change, two standard errors miss it in about 5%."""
    some = drawn(10**9)
    generator = np.random.default_rng(0)
    missed = 0
    for _ in range(2000):
        some.sizes = generator.integers(500, 4000, size=40)
        some.n_bytes = int(some.sizes.sum())
        before = some.sizes * generator.normal(2, 0.5, size=40)  # documents differ far more
        after = before + 0.01 * some.sizes + generator.normal(0, 30, size=40)
        change = some.change(after, before)
        missed += abs(change.bits_per_byte - 0.01) > 2 * change.error
    assert 0.035 < missed / 2000 < 0.075


def test_a_change_in_proportion_to_length_has_no_error(
    drawn: Callable[[int], HeldOut],
) -> None:
    some = drawn(10**9)
    before = np.arange(4.0)
    change = some.change(before + 0.25 * some.sizes, before)
    assert change == pytest.approx((0.25, 0), abs=1e-12)
    assert not change.is_noise
    assert str(Change(-0.00123, 0.00061)) == "-0.0012 ± 0.0006"
    assert Change(-0.0012, 0.00061).is_noise
    assert not Change(-0.0013, 0.00061).is_noise

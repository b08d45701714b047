"""Lesson 4 trains by hand and by the library, resumes, and compares texts of one kind."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from lessons.experiments.read_and_unread import Mean, Sample, knows_by_heart, mixed, ratio
from lessons.experiments.training_curves import (
    beside_fits,
    draw_bits,
    fit_power_law,
    gpt3_training,
)
from lessons.verdicts import Kind, error_of_mean
from minigpt import GPT, GPTConfig, train_bpe
from minigpt.tokenizer import END_OF_TEXT


def test_lesson_04(run_lesson: Callable) -> None:
    lesson = run_lesson(4)
    drawn = {"small_model", "batch_and_rate", "base_model", "read_and_unread", "bits_per_byte"}
    assert set(lesson.figures) == {f"{name}.png" for name in drawn}
    table = lesson.table
    resumed = table["a run stopped and resumed (CPU)"]
    assert resumed["measured here"] == "12 of 12 losses equal to the bit"
    for what in ("first loss of the small model", "learning rates by hand"):
        assert table[what]["kind"] == "holds"
    # Ten steps written by hand are those of train: to the last bit, and in another order nearly.
    assert table["ten steps by hand and by train"]["kind"] == "holds"
    assert table["the same, AdamW in the paper's order"]["kind"] == "holds"
    for claim in ("larger models use larger batches", "larger models need smaller learning rates"):
        assert table[f"{claim} (their text against their table)"]["kind"] == "reproduced"


TEXTS = ["the cat sat on the mat", "a dog", "the dog sat down, and the cat got up again"]


def test_a_sample_needs_the_nats_that_the_model_gives_each_text() -> None:
    """All three texts fit into one context here, so that one forward pass tells the same."""
    torch.manual_seed(0)
    encoding = train_bpe(TEXTS, vocab_size=270, special_tokens=[END_OF_TEXT])
    model = GPT(GPTConfig(encoding.n_vocab, block_size=256, n_layer=1, n_head=2, n_embd=16))
    sample = Sample(TEXTS, encoding, n_tokens=10**9, seed=0)
    idx = torch.from_numpy(sample.ids.astype(np.int64))[None]
    with torch.no_grad():
        logits = model.eval()(idx[:, :-1])[0]
    nats = -logits.log_softmax(-1).gather(-1, idx[:, 1:, None])[0, :, 0].double().numpy()
    ends = np.flatnonzero(sample.ids == encoding.eot_token)
    borders = [0, *ends[:-1].tolist(), len(nats)]
    found = sample.nats(model)
    for i in range(3):
        part = nats[borders[i] : borders[i + 1]]
        assert found[i] == pytest.approx(part.sum(), rel=1e-5)
        assert sample.tokens[i] == len(part)
    assert sorted(sample.n_bytes) == sorted(len(text) for text in TEXTS)
    assert sample.loss(found).value == pytest.approx(nats.mean(), rel=1e-5)
    bits = nats.sum() / math.log(2) / sum(map(len, TEXTS))
    assert sample.bits_per_byte(found).value == pytest.approx(bits, rel=1e-5)


def test_a_sample_has_two_texts_at_least_and_no_more_than_are_asked_for() -> None:
    encoding = train_bpe(TEXTS, vocab_size=270, special_tokens=[END_OF_TEXT])
    assert len(Sample(TEXTS, encoding, n_tokens=1, seed=0).tokens) == 2
    assert len(Sample(TEXTS * 50, encoding, n_tokens=100, seed=0).tokens) < 50


def test_a_ratio_over_texts_of_one_size_has_the_error_of_a_mean() -> None:
    sums = np.array([3.0, 5.0, 4.0, 8.0])
    mean, error = ratio(sums, np.full(4, 2.0))
    assert mean == pytest.approx(2.5)
    assert error == pytest.approx(error_of_mean(sums / 2))


def test_by_heart_is_what_a_model_has_beyond_the_gap_of_a_novice() -> None:
    wide, narrow = Mean(1.4, 0.1), Mean(0.1, 0.1)
    assert knows_by_heart(wide, narrow).kind is Kind.HOLDS
    assert knows_by_heart(narrow, wide).kind is Kind.FAILS
    assert knows_by_heart(narrow, narrow).kind is Kind.UNDECIDED


def test_a_mixture_has_the_mean_and_the_error_of_its_parts() -> None:
    """Of independent parts the variances add up, each times the square of its share."""
    whole = mixed({"a": Mean(1.0, 0.3), "b": Mean(3.0, 0.2)}, {"a": 0.25, "b": 0.75})
    assert whole.value == pytest.approx(2.5)
    assert whole.error**2 == pytest.approx(0.25**2 * 0.3**2 + 0.75**2 * 0.2**2)


def test_a_power_law_is_found_again() -> None:
    x = np.array([1e6, 1e8, 1e9, 3e11])
    law = fit_power_law(x, 7 * x**-0.25)
    assert law == pytest.approx((7, -0.25, 1))
    off = fit_power_law(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 1.0]))
    assert off.exponent == pytest.approx(0)
    assert off.farthest == pytest.approx(2 ** (2 / 3))  # the mean of log2 y is 1/3


def test_the_eight_gpt_3s_stand_in_order_of_size() -> None:
    sizes, batches, rates = gpt3_training()
    assert len(sizes) == len(batches) == len(rates) == 8
    assert (np.diff(sizes) > 0).all()
    assert sizes[-1] == pytest.approx(175e9, rel=0.003)


def test_the_table_sets_each_gpt_3_beside_both_power_laws() -> None:
    sizes, batches, rates = gpt3_training()
    header, *rows = beside_fits(fit_power_law(sizes, batches), fit_power_law(sizes, 0 * rates + 2))
    assert header.split() == ["parameters", "batch", "fit", "rate", "fit"]
    assert len(rows) == 8
    assert all(row.split()[-1] == "2.0e+00" for row in rows)  # a law through equal rates is flat
    assert rows[-1].split()[:3] == ["gpt3-175b", f"{sizes[-1]:,.0f}", "3,200,000"]


def test_the_models_stand_out_among_the_compressors() -> None:
    figure = draw_bits({"plain": 8.0, "zip": 2.5, "small model": 2.0, "large model": 1.5})
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == [8.0, 2.5, 2.0, 1.5]
    colors = [bar.get_facecolor() for bar in bars]
    assert colors[0] == colors[1] != colors[2] == colors[3]

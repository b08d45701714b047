"""Packing, next-token pairs, and the batches cut from packed ids."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from minigpt.config import check_ids
from minigpt.dataset import (
    Batch,
    PackedText,
    bits_per_byte,
    next_token_pairs,
    overlapping_windows,
    pack,
)


def test_targets_are_the_inputs_one_step_later() -> None:
    inputs, targets = next_token_pairs([12, 7, 431, 9, 50])
    assert inputs.tolist() == [12, 7, 431, 9]
    assert targets.tolist() == [7, 431, 9, 50]
    many = np.arange(10, dtype=np.uint16).reshape(2, 5)
    inputs, targets = next_token_pairs(many)
    assert inputs.dtype == targets.dtype == torch.int64
    assert inputs.tolist() == [[0, 1, 2, 3], [5, 6, 7, 8]]
    assert torch.equal(targets, inputs + 1)


@pytest.mark.parametrize("ids", [[], [5], [[1], [2]], 3])
def test_a_single_id_has_no_successor(ids) -> None:
    with pytest.raises(ValueError, match="at least 2 ids in a row"):
        next_token_pairs(ids)


def test_packing_puts_the_end_token_after_every_document() -> None:
    packed = pack(iter([[1, 2], [], (3,)]), end_token=0)
    assert packed.tolist() == [1, 2, 0, 3, 0]


@pytest.mark.parametrize(
    ("largest", "dtype"), [(50256, np.uint16), (65535, np.uint16), (65536, np.uint32)]
)
def test_ids_are_stored_in_the_smallest_type_that_holds_them(largest: int, dtype: type) -> None:
    for documents, end in (([[1, largest]], 0), ([[1]], largest)):
        packed = pack(documents, end)
        assert packed.dtype == dtype
        assert largest in packed.tolist()


def test_bad_ids_and_empty_corpora_are_one_sentence() -> None:
    for documents in ([], [[], []]):
        with pytest.raises(ValueError, match="the corpus is empty"):
            pack(documents, 0)
    with pytest.raises(ValueError, match="id -1 is outside the vocabulary"):
        pack([[4, -1]], 0)
    check_ids(torch.tensor([[0, 99]]), 100)
    with pytest.raises(ValueError, match=r"token id 100 .* of 100 \(ids 0 to 99\)"):
        check_ids(torch.tensor([0, 99, 100]), 100)


def test_windows_are_stretches_of_the_text() -> None:
    data = PackedText(np.arange(1000, dtype=np.uint16), np.arange(50), block_size=16)
    idx, targets, _ = data.train_batch(step=3, batch_size=8)
    assert idx.shape == targets.shape == (8, 16)
    assert idx.dtype == targets.dtype == torch.int64
    assert torch.equal(idx, idx[:, :1] + torch.arange(16))
    assert torch.equal(targets, idx + 1)


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30])
def test_a_seed_that_no_generator_takes_is_refused(seed: int) -> None:
    ids = np.arange(50)
    with pytest.raises(ValueError, match=r"seed must be from 0 to 2\^63 - 1, got -?\d+"):
        PackedText(ids, ids, 8, seed)
    PackedText(ids, ids, 8, 2**63 - 1).train_batch(2**31, 2)


def test_a_batch_depends_on_nothing_but_seed_and_step() -> None:
    ids = np.random.default_rng(0).integers(0, 500, 5000).astype(np.uint16)
    data = PackedText(ids, ids[:50], 32, seed=7)
    forwards = [data.train_batch(step, 4) for step in range(20)]
    torch.manual_seed(99)
    np.random.seed(99)
    again = PackedText(ids, ids[:50], 32, seed=7)
    for step in reversed(range(20)):
        assert torch.equal(again.train_batch(step, 4).idx, forwards[step].idx)
    assert len({batch.idx.numpy().tobytes() for batch in forwards}) == 20
    other_seed = PackedText(ids, ids[:50], 32, seed=8)
    assert not torch.equal(other_seed.train_batch(0, 4).idx, forwards[0].idx)
    assert not torch.equal(other_seed.train_batch(0, 4).idx, forwards[1].idx)


def test_every_start_is_equally_likely_including_the_last() -> None:
    data = PackedText(np.arange(25), np.arange(5), block_size=5)  # 20 possible starts
    starts = torch.cat([data.train_batch(step, 100).idx[:, 0] for step in range(200)])
    counts = torch.bincount(starts, minlength=20).double()
    assert len(counts) == 20
    chi_square = ((counts - 1000) ** 2 / 1000).sum()
    assert chi_square < 43.8  # 19 degrees of freedom: exceeded once in a thousand seeds
    only = PackedText(np.arange(6), np.arange(5), block_size=5)
    assert only.train_batch(0, 3).targets.tolist() == [[1, 2, 3, 4, 5]] * 3


def test_sources_are_drawn_by_weight_and_not_by_size() -> None:
    sources = [(np.arange(100), 3.0), (np.arange(1000, 9000), 1.0), (np.arange(9000, 9100), 0.5)]
    data = PackedText(sources, np.arange(5), block_size=8)
    first = torch.cat([data.train_batch(step, 64).idx[:, 0] for step in range(150)]).numpy()
    n = len(first)
    for low, high, weight in ((0, 100, 3.0), (1000, 9000, 1.0), (9000, 9100, 0.5)):
        p = weight / 4.5
        drawn = np.count_nonzero((first >= low) & (first < high))
        assert abs(drawn - n * p) < 4 * math.sqrt(n * p * (1 - p))  # binomial, 4 sigma
    idx, targets, _ = data.train_batch(0, 64)
    assert torch.equal(targets, idx + 1)  # no window spans two sources


@pytest.mark.parametrize("n_ids", [2, 9, 17, 18, 100])
@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_validation_asks_for_every_id_once_and_in_order(n_ids: int, batch_size: int) -> None:
    ids = np.random.default_rng(1).integers(0, 1000, n_ids).astype(np.uint16)
    data = PackedText(np.arange(9), ids, block_size=8)
    batches = list(data.validation_batches(batch_size))
    idx = torch.cat([batch.idx for batch in batches])
    targets = torch.cat([batch.targets for batch in batches])
    assert idx.shape == targets.shape
    assert idx.shape[1] == 8
    counted = targets != -100
    assert targets[counted].tolist() == ids[1:].tolist()
    assert idx[counted].tolist() == ids[:-1].tolist()
    assert all(len(batch.idx) <= batch_size for batch in batches)


def test_validation_loss_is_that_of_the_text_in_one_piece() -> None:
    ids = np.random.default_rng(2).integers(0, 50, 77).astype(np.uint16)
    data = PackedText(ids, ids, block_size=10)
    bigram = torch.randn(50, 50, dtype=torch.float64)  # logits that depend on one id only
    whole = F.cross_entropy(bigram[ids[:-1].astype(int)], torch.tensor(ids[1:].astype(int)))
    total = sum(
        F.cross_entropy(bigram[idx].flatten(0, 1), targets.flatten(), reduction="sum")
        for idx, targets, _ in data.validation_batches(4)
    )
    assert total / 76 == pytest.approx(whole.item(), rel=1e-12)


@pytest.mark.parametrize("n_ids", [2, 8, 9, 10, 13, 33, 100])
@pytest.mark.parametrize("stride", [1, 3, 4, 8])
def test_overlapping_windows_ask_for_every_id_once_with_a_long_past(
    n_ids: int, stride: int
) -> None:
    asked = []
    windows = overlapping_windows(np.arange(n_ids), 8, stride, batch_size=3)
    for number, (idx, targets, _) in enumerate(windows):
        counted = targets != -100
        assert torch.equal(targets[counted], idx[counted] + 1)
        asked += targets[counted].tolist()
        for row, counts in enumerate(counted):
            if number > 0 or row > 0:  # after the first window
                assert int(counts.int().argmax()) >= 8 - stride
    assert asked == list(range(1, n_ids))


def test_a_stride_that_skips_ids_is_refused() -> None:
    for stride in (0, 9):
        with pytest.raises(
            ValueError, match=f"stride must be from 1 to block_size=8, got {stride}"
        ):
            list(overlapping_windows(np.arange(50), 8, stride))


@pytest.mark.parametrize(
    ("train", "validation", "block_size", "message"),
    [
        (np.arange(16), np.arange(9), 16, "source 0 has 16 ids, but one window .* needs 17"),
        ([(np.arange(99), 1), (np.arange(3), 1)], np.arange(9), 4, "source 1 has 3 ids"),
        ([], np.arange(9), 4, "no training source"),
        ([(np.arange(99), 0)], np.arange(9), 4, "weight of training source 0 .* got 0"),
        ([(np.arange(99), math.nan)], np.arange(9), 4, "weight of training source 0"),
        (np.arange(99), np.arange(1), 4, "validation text has 1 ids"),
        (np.arange(99), np.arange(9), 0, "block_size must be at least 1, got 0"),
    ],
)
def test_too_little_text_is_one_sentence(train, validation, block_size, message) -> None:
    with pytest.raises(ValueError, match=message):
        PackedText(train, validation, block_size)


@pytest.mark.parametrize("with_segments", [True, False])
def test_a_batch_is_cut_and_moved_with_all_its_parts(with_segments: bool) -> None:
    idx, targets, segments = torch.arange(42).view(3, 7, 2)
    targets[3:, 0] = -100
    whole = Batch(idx, targets, segments if with_segments else None)
    assert whole.n_targets == 14 - 4
    every_third = whole.rows(slice(1, None, 3))
    parts = whole.split(3)
    assert [len(part.idx) for part in parts] == [3, 3, 1]
    for tensor, chosen, *cut, moved in zip(
        whole, every_third, *parts, whole.to("meta"), strict=True
    ):
        if tensor is None:
            assert (chosen, cut, moved) == (None, [None] * 3, None)
            continue
        assert torch.equal(chosen, tensor[[1, 4]])
        assert torch.equal(torch.cat(cut), tensor)
        assert (moved.shape, moved.device.type) == (tensor.shape, "meta")


def test_bits_per_byte_of_a_guess_among_equals() -> None:
    # A uniform guess among 256 bytes needs 8 bits a byte; among 4,096 tokens of 3 bytes, 12 / 3.
    assert bits_per_byte(math.log(256), n_tokens=500, n_bytes=500) == pytest.approx(8, rel=1e-12)
    assert bits_per_byte(math.log(4096), n_tokens=100, n_bytes=300) == pytest.approx(4, rel=1e-12)
    with pytest.raises(ValueError, match="0 tokens"):
        bits_per_byte(1.0, 0, 0)

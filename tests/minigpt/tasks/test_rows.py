"""Examples packed into rows, sources mixed, and what a model makes of the rows."""

import itertools
import math

import numpy as np
import pytest
import tiktoken
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from minigpt.config import IGNORE, GPTConfig
from minigpt.dataset import Batch
from minigpt.model import GPT
from minigpt.tasks.rows import (
    Example,
    InstructionData,
    Rows,
    encode_examples,
    fill_bins,
    pack_examples,
    text_rows,
)
from minigpt.tasks.task import TASKS
from minigpt.text.task_sets import task_set
from tests.minigpt.tiny.finetune import shipped_encoding

END = 0


@pytest.fixture(scope="module")
def encoding() -> tiktoken.Encoding:
    """Returns the shipped tokenizer."""
    return shipped_encoding()


def random_examples(n: int, seed: int = 0) -> list[Example]:
    """Returns n examples of ids 1 to 49: up to 9 of prompt, up to 5 of completion and END."""
    random = np.random.default_rng(seed)
    return [
        Example(
            random.integers(1, 50, random.integers(1, 10)).tolist(),
            [*random.integers(1, 50, random.integers(0, 6)).tolist(), END],
        )
        for _ in range(n)
    ]


def unpacked(rows: Rows) -> list[Example]:
    """Returns the examples in the rows, found by looking at segments and targets alone."""
    examples = []
    for idx, targets, segments in zip(rows.idx, rows.targets, rows.segments, strict=True):
        for segment in np.unique(segments):
            counted = (segments == segment) & (targets != IGNORE)
            if counted.any():
                end_of_prompt = int(np.flatnonzero(counted)[0]) + 1
                in_prompt = (segments == segment) & (np.arange(len(idx)) < end_of_prompt)
                examples.append(Example(idx[in_prompt].tolist(), targets[counted].tolist()))
    return examples


# Ids to rows


def test_a_packed_row_written_out() -> None:
    rows = pack_examples([Example([5, 6, 7], [8, END]), Example([9], [3, 4, END])], 9, END)
    assert rows.idx.tolist() == [[5, 6, 7, 8, 9, 3, 4, END, END]]
    assert rows.targets.tolist() == [
        [IGNORE, IGNORE, 8, END, 3, 4, END, IGNORE, IGNORE],
    ]
    assert rows.segments.tolist() == [[0, 0, 0, 0, 1, 1, 1, 2, 2]]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32), st.integers(14, 40))
def test_every_example_is_in_the_rows_once_and_whole(n: int, seed: int, row_length: int) -> None:
    examples = random_examples(n, seed)
    rows = pack_examples(examples, row_length, END)
    assert rows.idx.shape == rows.targets.shape == rows.segments.shape == (len(rows), row_length)
    assert sorted(unpacked(rows)) == sorted(examples)
    assert (np.diff(rows.segments, axis=1) >= 0).all()
    within = np.diff(rows.segments, axis=1) == 0  # a target is the token that comes next
    counted = rows.targets[:, :-1] != IGNORE
    assert (rows.targets[:, :-1] == rows.idx[:, 1:])[within & counted].all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(30, 50))
def test_each_bin_is_as_full_as_what_is_left_allows(lengths: list[int], room: int) -> None:
    bins = fill_bins(lengths, room)
    assert sorted(i for members in bins for i in members) == list(range(len(lengths)))
    left = set(range(len(lengths)))
    for members in bins:
        assert max(lengths[i] for i in left) == lengths[members[0]]
        totals = (
            lengths[members[0]] + sum(lengths[i] for i in others)
            for n in range(len(left))
            for others in itertools.combinations(left - {members[0]}, n)
        )
        best = max(total for total in totals if total <= room)
        assert sum(lengths[i] for i in members) == best
        left -= set(members)


def test_rows_of_real_tasks_are_full(encoding: tiktoken.Encoding) -> None:
    for name, row_length, least in (("translation", 128, 0.99), ("summarization", 512, 0.94)):
        records = task_set(TASKS[name].task_set, "train")[:4000]
        examples = encode_examples(records, TASKS[name], encoding, row_length + 1)
        rows = pack_examples(examples, row_length, encoding.eot_token)
        used = sum(len(prompt) + len(completion) - 1 for prompt, completion in examples)
        assert used / rows.idx.size > least


@pytest.mark.parametrize(("largest", "dtype"), [(65535, np.uint16), (65536, np.uint32)])
def test_rows_are_small_and_batches_int64(largest: int, dtype: type) -> None:
    rows = pack_examples([Example([1], [largest, 2])], 4, 2)
    assert (rows.idx.dtype, rows.targets.dtype, rows.segments.dtype) == (dtype, np.int32, np.int16)
    batch = rows.batch(np.array([0]))
    assert {part.dtype for part in batch} == {torch.int64}
    assert batch[0].tolist() == [[1, largest, 2, 2]]
    assert batch[1].tolist() == [[largest, 2, IGNORE, IGNORE]]


def test_examples_that_cannot_be_packed_are_one_sentence() -> None:
    with pytest.raises(ValueError, match="no examples to pack"):
        pack_examples([], 8, END)
    for nothing in (Example([], [1]), Example([1], [])):
        with pytest.raises(ValueError, match="example 2 needs at least one token of prompt and"):
            pack_examples([Example([1], [2]), nothing], 8, END)
    assert len(pack_examples([Example([1] * 5, [2] * 4)], 8, END)) == 1
    with pytest.raises(ValueError, match=r"example 1 needs 9 positions, .* has 8; .*max_tokens=9"):
        pack_examples([Example([1] * 5, [2] * 5)], 8, END)
    with pytest.raises(ValueError, match="token id -1 is outside"):
        pack_examples([Example([1, -1], [2])], 8, END)


def test_text_rows_have_every_token_as_target_once() -> None:
    ids = np.arange(100, 132, dtype=np.uint16)
    rows = text_rows(ids, 10)
    assert rows.idx.tolist() == np.arange(100, 130).reshape(3, 10).tolist()
    assert rows.targets.tolist() == np.arange(101, 131).reshape(3, 10).tolist()
    assert not rows.segments.any()
    assert len(text_rows(ids[:11], 10)) == 1
    with pytest.raises(ValueError, match="one row of 10 tokens needs 11 ids, but the text has 10"):
        text_rows(ids[:10], 10)


# Rows to batches


def numbered_rows(n: int, first: int = 0, row_length: int = 4) -> Rows:
    """Returns n rows, each filled with a number of its own."""
    idx = np.repeat(np.arange(first, first + n)[:, None], row_length, axis=1)
    return Rows(idx.astype(np.uint16), idx.astype(np.int32), np.zeros(idx.shape, dtype=np.int16))


def numbers(data: InstructionData, n_steps: int, batch_size: int) -> list[int]:
    """Returns the numbers of the rows that the first steps draw."""
    batches = [data.train_batch(step, batch_size)[0] for step in range(n_steps)]
    return torch.cat(batches)[:, 0].tolist()


def test_every_row_comes_once_an_epoch_in_an_order_of_its_own() -> None:
    rows = numbered_rows(24)
    drawn = numbers(InstructionData([(rows, 1.0)], rows), n_steps=9, batch_size=8)
    epochs = [drawn[i : i + 24] for i in (0, 24, 48)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(24))
        assert epoch != list(range(24))
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    other = numbers(InstructionData([(rows, 1.0)], rows, seed=1), n_steps=3, batch_size=8)
    assert sorted(other) == sorted(epochs[0])
    assert other != epochs[0]


def test_epochs_and_batches_need_not_fit_together() -> None:
    rows = numbered_rows(7)
    drawn = numbers(InstructionData([(rows, 1.0)], rows), n_steps=7, batch_size=5)
    for i in range(0, 35, 7):
        assert sorted(drawn[i : i + 7]) == list(range(7))


def test_a_batch_depends_on_nothing_but_seed_and_step() -> None:
    sources = [(numbered_rows(30), 1.0), (numbered_rows(11, first=100), 2.0)]
    data = InstructionData(sources, numbered_rows(2), seed=7)
    forwards = [data.train_batch(step, 6) for step in range(20)]
    torch.manual_seed(99)
    np.random.seed(99)
    again = InstructionData(sources, numbered_rows(2), seed=7)
    for step in reversed(range(20)):
        for part, same in zip(forwards[step], again.train_batch(step, 6), strict=True):
            assert part.dtype == torch.int64
            assert torch.equal(part, same)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=5))
def test_sources_are_mixed_by_weight_and_each_is_used_up_before_it_repeats(
    weights: list[float],
) -> None:
    sizes = [5 + 3 * i for i in range(len(weights))]
    sources = [(numbered_rows(size, first=100 * i), 1.0) for i, size in enumerate(sizes)]
    sources = [(rows, weight) for (rows, _), weight in zip(sources, weights, strict=True)]
    drawn = numbers(InstructionData(sources, numbered_rows(1)), n_steps=100, batch_size=4)
    for n in (40, 200, 400):
        for i, weight in enumerate(weights):
            count = sum(number // 100 == i for number in drawn[:n])
            assert abs(count - n * weight / sum(weights)) <= len(weights)
    for i, size in enumerate(sizes):
        own = [number - 100 * i for number in drawn if number // 100 == i]
        for epoch in range(0, len(own), size):
            part = own[epoch : epoch + size]
            assert len(set(part)) == len(part)


def test_validation_covers_every_row_in_order() -> None:
    data = InstructionData([(numbered_rows(3), 1.0)], numbered_rows(10))
    for _ in range(2):
        batches = list(data.validation_batches(4))
        assert [len(idx) for idx, _, _ in batches] == [4, 4, 2]
        assert torch.cat([idx for idx, _, _ in batches])[:, 0].tolist() == list(range(10))


def test_data_that_cannot_be_trained_on_is_one_sentence() -> None:
    rows = numbered_rows(3)
    with pytest.raises(ValueError, match="4 rows is more than the training data, which fills 3"):
        InstructionData([(rows, 1.0)], rows).train_batch(0, 4)
    assert len(InstructionData([(rows, 1.0), (rows, 1.0)], rows).train_batch(0, 6)[0]) == 6
    for sources in ([], [(numbered_rows(0), 1.0)]):
        with pytest.raises(ValueError, match="a training set is empty"):
            InstructionData(sources, rows)
    with pytest.raises(ValueError, match="the validation set is empty"):
        InstructionData([(rows, 1.0)], numbered_rows(0))
    with pytest.raises(ValueError, match=r"rows of one length, got \[4, 5\]"):
        InstructionData([(rows, 1.0), (numbered_rows(3, row_length=5), 1.0)], rows)
    for weight in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"weight of training source 1 .* got {weight}"):
            InstructionData([(rows, 1.0), (rows, weight)], rows)
    with pytest.raises(ValueError, match="seed must be 0 or more, got -1"):
        InstructionData([(rows, 1.0)], rows, seed=-1)


# What a model makes of them


@pytest.fixture(scope="module")
def model() -> GPT:
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=50, block_size=64, n_layer=2, n_head=2, n_embd=32)
    return GPT(config).eval()


@pytest.fixture(scope="module")
def packed() -> Batch:
    rows = pack_examples(random_examples(40), 40, END)
    return rows.batch(np.arange(len(rows)))


def test_an_example_in_a_packed_row_is_read_as_if_it_were_alone(model: GPT, packed) -> None:
    idx, targets, segments = packed
    with torch.no_grad():
        logits = model(idx, segments=segments)[0]  # [B, T, V]
    n_examples = 0
    for row in range(len(idx)):
        for segment in segments[row].unique():
            own = segments[row] == segment
            with torch.no_grad():
                alone = model(idx[row, own][None])[0][0]  # [t, V]
            torch.testing.assert_close(logits[row, own], alone, atol=1e-5, rtol=1e-5)
            n_examples += int((targets[row, own] != IGNORE).any())
    assert n_examples == 40


def test_the_loss_of_packed_rows_is_that_of_their_answers_one_by_one(model: GPT, packed) -> None:
    idx, targets, segments = packed
    with torch.no_grad():
        packed_loss = float(model(idx, targets, segments=segments)[1])
        losses = []
        for prompt, completion in random_examples(40):
            whole = torch.tensor([prompt + completion])
            logits = model(whole[:, :-1])[0][0, len(prompt) - 1 :]  # [n, V]
            losses += F.cross_entropy(logits, torch.tensor(completion), reduction="none").tolist()
    assert packed_loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_positions_of_prompts_and_padding_get_no_gradient(model: GPT, packed) -> None:
    idx, targets, segments = packed
    logits, loss = model(idx, targets, segments=segments)
    (gradient,) = torch.autograd.grad(loss, logits)
    of_position = gradient.abs().sum(-1)  # [B, T]
    answer_tokens = sum(len(completion) for _, completion in random_examples(40))
    assert int((of_position > 0).sum()) == answer_tokens
    assert (of_position[targets == IGNORE] == 0).all()


def test_no_answer_learns_from_another_example(model: GPT, packed) -> None:
    idx, _, segments = packed
    vectors = model.transformer["wte"](idx).detach().requires_grad_()  # [B, T, C]
    hook = model.transformer["wte"].register_forward_hook(lambda *_: vectors)
    logits = model(idx, segments=segments)[0]
    hook.remove()
    second = segments == 1
    (gradient,) = torch.autograd.grad(logits[second].sum(), vectors)
    reached = gradient.abs().sum(-1) > 0  # [B, T]
    assert torch.equal(reached, second)

"""Instruction data: turns a task's records into the packed rows that a model is fine-tuned on.

The model learns the answer and not the prompt, which it will be given: the targets inside the
prompt are -100, which the loss leaves out.

    prompt      I was lucky. ->
    completion   J'avais de la chance.<|endoftext|>        the space before it is part of it

    idx         I    was  lucky  .  ->  J'     avais  de  la      chance  .
    targets    -100 -100  -100 -100 J'  avais  de     la  chance  .       <|endoftext|>

Examples are short and rows long, so several examples share a row. `segments` numbers them, and a
model that is given the segments (`GPT.forward`) reads each example as if it were alone: a packed
row teaches what its examples teach one by one, with less padding. Source: Krell et al. 2021,
"Efficient Sequence Packing without Cross-contamination".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tiktoken
import torch

from minigpt.config import IGNORE, check_ids
from minigpt.dataset import Batch
from minigpt.tasks.task import Task
from minigpt.text.records import Record


class Example(NamedTuple):
    """The ids of a prompt, and those of its completion with the end token."""

    prompt: list[int]
    completion: list[int]


def encode_examples(
    records: Sequence[dict[str, Any]],
    task: Task,
    encoding: tiktoken.Encoding,
    max_tokens: int,
    wording: int | None = 0,
    seed: int = 0,
) -> list[Example]:
    """Encodes the records as examples of at most max_tokens ids each.

    Prompt and completion are encoded separately, as they will be when the model is asked, and as
    ordinary text: no record can put an end token between them. A prompt that is too long loses its
    beginning, so that the cue at its end stays; a completion is never cut.

    Args:
        max_tokens: a row of T positions has room for an example of T + 1 tokens, since the last one
            is only a target.
        wording: which of the task's templates; None draws one for each record, by seed.

    Raises:
        ValueError: there are no records; the wording does not exist; or, naming the record: a field
            is missing, or the completion and one token of the prompt are more than max_tokens.
    """
    if not records:
        raise ValueError(f"there are no examples of {task.name} to encode: the set is empty")
    if wording is None:
        random = np.random.Generator(np.random.Philox(key=[seed, len(task.templates)]))
        wordings = random.integers(len(task.templates), size=len(records)).tolist()
    else:
        wordings = [wording] * len(records)
    end_token = encoding.eot_token
    examples = []
    for i, record in enumerate(records):
        try:
            prompt = encoding.encode_ordinary(task.prompt(record, wordings[i]))
            completion = [*encoding.encode_ordinary(task.completion(record)), end_token]
            room = max_tokens - len(completion)
            if room < 1:
                raise ValueError(
                    f"the answer has {len(completion)} tokens, and there is room for "
                    f"{max_tokens - 1} behind a prompt; make rows longer or a soft prompt shorter, "
                    "or leave the record out"
                )
        except ValueError as error:
            origin = f" ({record.source}, line {record.line})" if isinstance(record, Record) else ""
            raise ValueError(f"record {i + 1} of {len(records)}{origin}: {error}") from None
        examples.append(Example(prompt[-room:], completion))
    return examples


@dataclass
class Rows:
    """N rows of T tokens: idx, targets and segments, each [N, T], in the smallest integer types."""

    idx: np.ndarray
    targets: np.ndarray
    segments: np.ndarray

    def __len__(self) -> int:
        return len(self.idx)

    @property
    def row_length(self) -> int:
        """Returns T, the number of positions in a row."""
        return self.idx.shape[1]

    def batch(self, which: np.ndarray) -> Batch:
        """Returns the rows with these numbers as a batch [len(which), T]."""
        parts = (self.idx, self.targets, self.segments)
        return Batch(*(torch.from_numpy(a[which].astype(np.int64)) for a in parts))


def pack_examples(examples: Sequence[Example], row_length: int, end_token: int) -> Rows:
    """Puts whole examples side by side in rows of T = row_length positions, each its own segment.

    Free positions are filled with end_token, which belongs to no example and has no target. The
    order of the rows means nothing: `InstructionData` shuffles them.

    Raises:
        ValueError: there are no examples, one is longer than a row, one has no prompt or no
            completion, or an id is negative.
    """
    if not examples:
        raise ValueError("there are no examples to pack: the set is empty")
    lengths = []  # positions that each example takes: its last token is only a target
    for i, (prompt, completion) in enumerate(examples):
        lengths.append(len(prompt) + len(completion) - 1)
        if not prompt or not completion:
            raise ValueError(f"example {i + 1} needs at least one token of prompt and completion")
        if lengths[i] > row_length:
            raise ValueError(
                f"example {i + 1} needs {lengths[i]} positions, but a row has {row_length}; "
                f"encode with max_tokens={row_length + 1}, or take longer rows"
            )
    together = fill_bins(lengths, row_length)
    largest = max(end_token, max(max(max(p), max(c)) for p, c in examples))
    smallest = min(end_token, min(min(min(p), min(c)) for p, c in examples))
    check_ids(torch.tensor([smallest, largest]), 2**31)

    shape = (len(together), row_length)
    idx = np.full(shape, end_token, dtype=np.uint16 if largest < 2**16 else np.uint32)  # (N, T)
    targets = np.full(shape, IGNORE, dtype=np.int32)  # (N, T)
    segments = np.empty(shape, dtype=np.int16 if row_length < 2**15 else np.int32)  # (N, T)
    for row, members in enumerate(together):
        start = 0
        for segment, i in enumerate(members):
            prompt, completion = examples[i]
            end = start + lengths[i]
            idx[row, start:end] = prompt + completion[:-1]
            targets[row, start + len(prompt) - 1 : end] = completion
            segments[row, start:end] = segment
            start = end
        segments[row, start:] = len(members)
    return Rows(idx, targets, segments)


def fill_bins(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Distributes items over bins of length `room`; returns the item numbers of each bin.

    Each bin gets the longest item that is left, and then those others that fill it best (Fleszar
    and Hindi 2002, "New heuristics for one-dimensional bin-packing", there called MBS'). The totals
    that can be reached are the set bits of one integer, so that adding an item is a shift.
    """
    waiting: dict[int, list[int]] = {}  # length -> the items that have it
    for item, length in enumerate(lengths):
        waiting.setdefault(length, []).append(item)
    bins = []
    while waiting:
        longest = max(waiting)
        members = [waiting[longest].pop()]
        left = room - longest
        sizes = [size for size in sorted(waiting, reverse=True) if size <= left]
        reachable = [1]  # bit t of entry k: the first k sizes can add up to t
        for size in sizes:
            totals = reachable[-1]
            for _ in range(min(len(waiting[size]), left // size)):
                totals |= (totals << size) & ((2 << left) - 1)
            reachable.append(totals)
        total = reachable.pop().bit_length() - 1  # the highest total
        for size, without in zip(reversed(sizes), reversed(reachable), strict=True):
            while not without >> total & 1:
                members.append(waiting[size].pop())
                total -= size
        for size in {longest, *sizes}:
            if not waiting[size]:
                del waiting[size]
        bins.append(members)
    return bins


def text_rows(ids: np.ndarray, row_length: int) -> Rows:
    """Cuts packed plain text (`dataset.pack`) into rows of one segment, in which all targets count.

    As a source beside instructions they keep a model from forgetting what it was pretrained on.
    The rows do not overlap, and an incomplete last one is left out. Unlike an example, which is
    shorter than its row, the text fills it, so row_length must not exceed the context.

    Raises:
        ValueError: there are not enough ids for one window.
    """
    n_rows = (len(ids) - 1) // row_length
    if n_rows < 1:
        raise ValueError(
            f"one row of {row_length} tokens needs {row_length + 1} ids, but the text has "
            f"{len(ids)}; give more text or shorter rows"
        )
    shape = (n_rows, row_length)
    idx = ids[: n_rows * row_length].reshape(shape)
    targets = ids[1 : n_rows * row_length + 1].reshape(shape).astype(np.int32)
    return Rows(idx, targets, np.zeros(shape, dtype=np.int16))


class InstructionData:
    """Makes batches of packed rows from one or several sources (`dataset.Data` for fine-tuning).

    All rows of a source come once, in an order that is shuffled anew for every epoch, before any
    comes again. Several sources take turns by their weights: of the first n rows, source i gives
    the share weight_i / (sum of weights), to within a row or two.

    Args:
        sources: [(rows, weight), ...], all with rows of the same length.
        validation: rows that training never sees.
        seed: decides the order of the rows.

    Raises:
        ValueError: there is no source, a source or the validation set has no rows, rows have
            different lengths, a weight is not above 0, or seed is negative.
    """

    def __init__(
        self, sources: Sequence[tuple[Rows, float]], validation: Rows, seed: int = 0
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, got {seed}")
        if not sources or not all(len(rows) for rows, _ in sources):
            raise ValueError("there are no examples to train on: a training set is empty")
        if not len(validation):
            raise ValueError("the validation set is empty; leave some examples for it")
        lengths = sorted({rows.row_length for rows, _ in sources})
        if len(lengths) > 1:
            raise ValueError(f"all sources must have rows of one length, got {lengths}")
        for i, (_, weight) in enumerate(sources):
            if not 0 < weight < float("inf"):
                raise ValueError(f"the weight of training source {i} must be above 0, got {weight}")
        self.sources = [rows for rows, _ in sources]
        weights = np.array([weight for _, weight in sources], dtype=np.float64)
        # Source i takes the share shares[i] of the rows that earlier sources leave; the last, all.
        self.shares = (weights / weights[::-1].cumsum()[::-1]).tolist()
        self.validation = validation
        self.seed = seed

    def train_batch(self, step: int, batch_size: int) -> Batch:
        """Returns the rows of this step [B, T]: a pure function of (seed, step).

        Raises:
            ValueError: batch_size is more than all sources have together.
        """
        n_rows = sum(map(len, self.sources))
        if batch_size > n_rows:
            raise ValueError(
                f"a batch of {batch_size} rows is more than the training data, which fills "
                f"{n_rows}; give more examples, a batch_size of at most {n_rows}, or shorter rows"
            )
        orders: dict[tuple[int, int], np.ndarray] = {}
        rows = []
        for row in range(batch_size):
            source, turn = self._whose(step * batch_size + row)
            epoch, place = divmod(turn, len(self.sources[source]))
            if (source, epoch) not in orders:
                orders[source, epoch] = self._order(source, epoch)
            which = orders[source, epoch][place : place + 1]
            rows.append(self.sources[source].batch(which))
        return Batch(*map(torch.cat, zip(*rows, strict=True)))

    def _whose(self, n: int) -> tuple[int, int]:
        """Returns which source gives row n of all rows ever drawn, and how many it gave before."""
        for source, share in enumerate(self.shares):
            before, after = int(n * share), int((n + 1) * share)
            if after > before:
                return source, before
            n -= before  # the row's number among those left over
        raise AssertionError("the last share is 1")

    def _order(self, source: int, epoch: int) -> np.ndarray:
        """Returns the order of the source's rows in an epoch, from a counter-based generator.

        The key is (seed, source), and the epoch stands in the counter's high words, so that the
        random numbers of no two epochs overlap and those of any epoch need none of an earlier one.
        """
        bits = np.random.Philox(key=[self.seed, source], counter=[0, 0, epoch, 0])
        return np.random.Generator(bits).permutation(len(self.sources[source]))

    def validation_batches(self, batch_size: int) -> Iterator[Batch]:
        """Yields all validation rows in batches [B or fewer, T]."""
        for first in range(0, len(self.validation), batch_size):
            last = min(first + batch_size, len(self.validation))
            yield self.validation.batch(np.arange(first, last))

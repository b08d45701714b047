"""From ids to batches: packing documents into one long row, and cutting windows from it.

A decoder learns by guessing, at every position, the token that comes next. So the targets of a
window are the same window moved by one:

    ids      12  7  431  9  50        "The cat sat on the"
    inputs   12  7  431  9
    targets   7  431  9  50           at each position, the id that follows

Documents are packed end to end, with an end token after each, into one array; a training example
is any stretch of `block_size + 1` ids of it, so no batch position is wasted on padding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from minigpt.config import IGNORE, check_ids


class Batch(NamedTuple):
    """B rows of T tokens, and what is to be guessed in them.

    Attributes:
        idx: the ids, int64 [B, T].
        targets: the id to guess at each position, int64 [B, T]; IGNORE where nothing is.
        segments: int64 [B, T], which of the texts in its row a position belongs to (see
            GPT.forward); None if each row is one text.
    """

    idx: Tensor
    targets: Tensor
    segments: Tensor | None = None

    @property
    def n_targets(self) -> int:
        """Returns the number of positions at which there is something to guess."""
        return int((self.targets != IGNORE).sum())

    def rows(self, which: slice) -> Batch:
        """Returns the batch that these rows make."""
        return self._each(lambda tensor: tensor[which])

    def split(self, size: int) -> list[Batch]:
        """Returns the rows in batches of size; the last has what is left."""
        return [self.rows(slice(i, i + size)) for i in range(0, len(self.idx), size)]

    def to(self, device: torch.device | str) -> Batch:
        """Returns the batch on a device."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(*(None if tensor is None else change(tensor) for tensor in self))  # type: ignore[arg-type]


class Data(Protocol):
    """What the training loop needs to know about its data."""

    def train_batch(self, step: int, batch_size: int) -> Batch:
        """Returns the batch of this step: the same step, the same batch."""
        ...

    def validation_batches(self, batch_size: int) -> Iterator[Batch]:
        """Yields the validation examples, in the same order every time."""
        ...


def next_token_pairs(ids: Sequence[int] | np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
    """Returns (inputs, targets): the ids without the last, and the ids without the first.

    targets[..., t] = ids[..., t + 1]. Works on one row of ids [T + 1] or on many [B, T + 1]; both
    results are int64 with T in the last dimension.

    Raises:
        ValueError: fewer than two ids in a row: the first has no successor to predict.
    """
    if not isinstance(ids, Tensor):
        ids = torch.from_numpy(np.asarray(ids, dtype=np.int64))
    ids = ids.long()  # (..., T+1)
    if ids.ndim == 0 or ids.shape[-1] < 2:
        raise ValueError(
            f"a next-token pair needs at least 2 ids in a row, got shape {list(ids.shape)}"
        )
    return ids[..., :-1], ids[..., 1:]  # (..., T) and (..., T)


def pack(documents: Iterable[Sequence[int]], end_token: int) -> np.ndarray:
    """Puts all documents into one row of ids, each followed by `end_token`.

    Returns:
        uint16 [N] where every id is below 65,536, as in GPT-2's vocabulary, else uint32 [N]: two
        bytes an id instead of the eight that torch computes with.

    Raises:
        ValueError: there are no documents or only empty ones, or an id is below 0 or above 2^32.
    """
    ids, n = np.empty(2**16, dtype=np.uint16), 0
    for document in documents:
        if not len(document):
            continue
        row = np.append(np.asarray(document, dtype=np.int64), end_token)
        check_ids(torch.from_numpy(row), 2**32)
        if row.max() >= 2**16 and ids.dtype == np.uint16:
            ids = ids.astype(np.uint32)
        if n + len(row) > len(ids):
            ids.resize(n + len(row) + n // 8, refcheck=False)  # in place, if there is room behind
        ids[n : n + len(row)] = row
        n += len(row)
    if not n:
        raise ValueError("the corpus is empty: there is not a single token in it to train on")
    ids.resize(n, refcheck=False)
    return ids


class PackedText:
    """Training and validation batches cut from packed ids (`Data` for pretraining).

    Args:
        train: ids [N], or several sources with their weights, [(ids, weight), ...]: a batch
            takes each of its windows from source i with probability weight_i / (sum of weights),
            so that a small, clean source can be seen more often than its size alone would have it.
        validation: ids [M] that training never sees.
        block_size: T, the tokens in a window.
        seed: another seed gives other windows.

    Raises:
        ValueError: too few ids for one window, or a weight that is not above 0.
    """

    def __init__(
        self,
        train: np.ndarray | Sequence[tuple[np.ndarray, float]],
        validation: np.ndarray,
        block_size: int,
        seed: int = 0,
    ) -> None:
        if block_size < 1:
            raise ValueError(f"block_size must be at least 1, got {block_size}")
        if not 0 <= seed < 2**63:
            raise ValueError(f"seed must be from 0 to 2^63 - 1, got {seed}")
        sources = [(train, 1.0)] if isinstance(train, np.ndarray) else list(train)
        if not sources:
            raise ValueError("the corpus is empty: no training source was given")
        for i, (ids, weight) in enumerate(sources):
            if not (weight > 0 and math.isfinite(weight)):
                raise ValueError(f"the weight of training source {i} must be above 0, got {weight}")
            if len(ids) < block_size + 1:
                raise ValueError(
                    f"training source {i} has {len(ids)} ids, but one window of block_size "
                    f"{block_size} needs {block_size + 1}; give more text or a smaller block_size"
                )
        if len(validation) < 2:
            raise ValueError(
                f"the validation text has {len(validation)} ids, too few to predict one from "
                "another; give more text or a larger validation fraction"
            )
        self.sources = [ids for ids, _ in sources]
        weights = np.array([weight for _, weight in sources])
        self.cumulative = np.cumsum(weights / weights.sum())  # last is 1: where a source ends
        self.validation = validation
        self.block_size = block_size
        self.seed = seed

    def train_batch(self, step: int, batch_size: int) -> Batch:
        """Returns B random windows of T tokens: a pure function of (seed, step).

        Nothing is remembered between calls, so that training which was interrupted needs to know
        only its step to go on with exactly the batches it would have had. The random numbers come
        from a counter-based generator, which is made for that: Philox, keyed with (seed, step).
        Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.
        """
        random = np.random.Generator(np.random.Philox(key=[self.seed, step]))
        which = np.searchsorted(self.cumulative[:-1], random.random(batch_size), side="right")
        where = random.random(batch_size)
        windows = np.empty((batch_size, self.block_size + 1), dtype=np.int64)  # (B, T+1)
        for row, (source, fraction) in enumerate(zip(which, where, strict=True)):
            ids = self.sources[source]
            start = int(fraction * (len(ids) - self.block_size))  # each possible start alike
            windows[row] = ids[start : start + self.block_size + 1]
        return Batch(*next_token_pairs(torch.from_numpy(windows)))

    def validation_batches(self, batch_size: int) -> Iterator[Batch]:
        """Yields batches of B windows, the last of fewer, that cover the validation ids in order.

        The windows do not overlap, and every id but the first is a target exactly once. The last
        window is filled up with id 0 in idx and -100 in targets, which the loss ignores.
        """
        T = self.block_size
        n_windows = math.ceil((len(self.validation) - 1) / T)
        for first in range(0, n_windows, batch_size):
            starts = range(first * T, min(first + batch_size, n_windows) * T, T)
            idx = torch.zeros(len(starts), T, dtype=torch.int64)
            targets = torch.full((len(starts), T), IGNORE)
            for row, start in enumerate(starts):
                inputs, wanted = next_token_pairs(self.validation[start : start + T + 1])
                idx[row, : len(inputs)] = inputs
                targets[row, : len(wanted)] = wanted
            yield Batch(idx, targets)


def overlapping_windows(
    ids: np.ndarray, block_size: int, stride: int, batch_size: int = 16
) -> Iterator[Batch]:
    """Yields batches [B or fewer, T] that give every target a long past to look at.

    Windows that lie side by side ask a model to guess the first tokens of each from nothing. Here
    each window starts `stride` ids after the one before and repeats the rest of it; only what is
    new counts (targets are -100 elsewhere), so that every id but the first is a target exactly
    once, and has at least block_size - stride ids before it, except in the first window.

    Raises:
        ValueError: stride is not from 1 to block_size.
    """
    if not 1 <= stride <= block_size:
        raise ValueError(f"stride must be from 1 to block_size={block_size}, got {stride}")
    last = max(0, len(ids) - 1 - block_size)  # where the last full window starts
    starts = [*range(0, last, stride), last]
    rows = []
    counted = 0  # how many targets have had their turn
    for start in starts:
        idx, targets = next_token_pairs(ids[start : start + block_size + 1])  # [T] each
        targets = targets.clone()
        targets[: counted - start] = IGNORE
        counted = start + len(targets)
        rows.append((idx, targets))
    for first in range(0, len(rows), batch_size):
        some_idx, some_targets = zip(*rows[first : first + batch_size], strict=True)
        yield Batch(torch.stack(some_idx), torch.stack(some_targets))


def bits_per_byte(loss: float, n_tokens: int, n_bytes: int) -> float:
    """Returns the loss as the size of the compressed text: bits needed for each byte of it.

        bits per byte = loss / ln 2 * n_tokens / n_bytes

    A loss in nats per token depends on the tokenizer: longer tokens are harder to guess, but there
    are fewer of them. Per byte of UTF-8 text, models with different vocabularies can be compared
    with each other and with compressors: arithmetic coding with a model that reaches b bits per
    byte compresses the text to b / 8 of its size.

    Args:
        loss: mean cross-entropy in nats over n_tokens predicted tokens.
        n_bytes: length in bytes of the text that those tokens spell.
    """
    if n_tokens < 1 or n_bytes < 1:
        raise ValueError(
            f"bits per byte need some text: got {n_tokens} tokens that spell {n_bytes} bytes"
        )
    return loss / math.log(2) * n_tokens / n_bytes

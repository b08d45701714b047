"""Compares how well a model predicts texts it was trained on with others of the same kind.

A training curve often shows the loss of training batches beside that of held-out text. The two can
differ because the model knows the first by heart, or only because the second is another kind of
text. Here both are measured with the same weights, without dropout, for each kind by itself.
Lesson 4 uses it for the base model.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import numpy as np
import tiktoken

from lessons.held_out import nats_of_texts, ratio
from lessons.verdicts import Verdict, is_more
from minigpt import GPT
from minigpt.dataset import pack


class Mean(NamedTuple):
    """A mean over texts, and its standard error: how much it varies with the texts."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"

    def above(self, other: Mean) -> Mean:
        """Returns how far this mean is above that of other texts."""
        return Mean(self.value - other.value, math.hypot(self.error, other.error))


def mixed(means: dict[str, Mean], shares: dict[str, float]) -> Mean:
    """Returns the mean over a mixture, of which each kind of text makes up a share."""
    value = sum(share * means[kind].value for kind, share in shares.items())
    return Mean(value, math.hypot(*(share * means[kind].error for kind, share in shares.items())))


class Sample:
    """Some texts of one kind, as a model's tokenizer cuts them.

    Args:
        texts: those to draw from.
        n_tokens: texts are drawn until there are about so many tokens, but at least two.
        seed: decides which come first.

    Attributes:
        ids: the tokens of all texts, an end token after each, [N].
        tokens: how many targets each text has, [texts].
        n_bytes: how long each text is in UTF-8, [texts].
    """

    def __init__(
        self, texts: list[str], encoding: tiktoken.Encoding, n_tokens: int, seed: int
    ) -> None:
        order = list(texts)
        random.Random(seed).shuffle(order)
        rows: list[list[int]] = []
        while len(rows) < len(order) and (len(rows) < 2 or sum(map(len, rows)) < n_tokens):
            rows.append(encoding.encode_ordinary(order[len(rows)]))
        self.end = encoding.eot_token
        self.ids = pack(rows, self.end)
        self.tokens = np.bincount(np.cumsum(self.ids == self.end)[:-1])
        self.n_bytes = np.array([len(text.encode()) for text in order[: len(rows)]])

    def nats(self, model: GPT) -> np.ndarray:
        """Returns the nats that the model needs for each text, [texts].

        Each token, including those that end a text, is predicted from at least half the context.
        """
        stride = model.config.block_size // 2
        return nats_of_texts(model, self.ids, self.end, stride, batch_size=4)

    def loss(self, nats: np.ndarray) -> Mean:
        """Returns the loss of the texts in nats a token."""
        return Mean(*ratio(nats, self.tokens))

    def bits_per_byte(self, nats: np.ndarray) -> Mean:
        """Returns the loss of the texts in bits a byte, which no tokenizer changes."""
        return Mean(*ratio(nats / math.log(2), self.n_bytes))


def knows_by_heart(gap: Mean, of_a_novice: Mean) -> Verdict:
    """Judges whether a gap between unread and read text is more than the texts themselves explain.

    Args:
        gap: bits a byte on held-out texts minus those on training texts.
        of_a_novice: the same for a model that has read the training texts about once.
    """
    more = gap.above(of_a_novice)
    return is_more(
        more.value, more.error, unit=" bits", checked=True,
        no="the gap is no wider than that of a model that has read the text once",
    )  # fmt: skip

"""Measures how well a model predicts text that the base model has never seen."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import numpy as np
import tiktoken
import torch
from torch.nn import functional as F

from minigpt import GPT
from minigpt.config import IGNORE
from minigpt.dataset import overlapping_windows, pack
from minigpt.layers import evaluated
from minigpt.text.documents import split_documents
from minigpt.text.python_library import python_library


class Change(NamedTuple):
    """A difference in bits per byte, and its standard error: how much it varies with the text."""

    bits_per_byte: float
    error: float

    @property
    def is_noise(self) -> bool:
        """Returns whether it is below two standard errors, so that it may well be chance."""
        return abs(self.bits_per_byte) < 2 * self.error

    def __str__(self) -> str:
        return f"{self.bits_per_byte:+.4f} ± {self.error:.4f}"


class HeldOut:
    """Some validation documents of the base model's corpus.

    Args:
        encoding: the model's tokenizer.
        n_bytes: documents are drawn until there are this many bytes of text, but at least two; the
            last is kept whole.
        seed: decides which documents come first.
        n_documents: read only so many documents, and 500 characters of each, as a quick run does:
            it takes no time and means nothing. None reads all of them whole.

    Attributes:
        sizes: the bytes of UTF-8 in each document, [documents].
        n_bytes: the bytes of all of them.
    """

    def __init__(
        self, encoding: tiktoken.Encoding, n_bytes: int, seed: int, n_documents: int | None = None
    ) -> None:
        _, documents = split_documents(python_library(n_documents))
        n_characters = None if n_documents is None else 500
        texts = [document.text[:n_characters] for document in documents]
        random.Random(seed).shuffle(texts)
        sizes = np.array([len(text.encode()) for text in texts])
        n_texts = max(2, 1 + int(np.searchsorted(sizes.cumsum(), n_bytes)))
        self.sizes = sizes[:n_texts]
        self.n_bytes = int(self.sizes.sum())
        self.end = encoding.eot_token
        self.ids = pack(encoding.encode_ordinary_batch(texts[:n_texts]), self.end)

    def bits(self, model: GPT) -> np.ndarray:
        """Returns the bits that the model needs for each document, [documents].

        Every token, including the one that ends a document, is predicted from at least 1/4 of the
        context.
        """
        stride = 3 * model.config.block_size // 4
        return nats_of_texts(model, self.ids, self.end, stride, batch_size=2) / math.log(2)

    def bits_per_byte(self, model: GPT) -> float:
        """Returns the bits that the model needs for a byte of the text."""
        return float(self.bits(model).sum()) / self.n_bytes

    def change(self, bits: np.ndarray, before: np.ndarray) -> Change:
        """Returns the change in bits per byte between two models, from `bits` of each, [documents].

        Both models find the same documents hard, so the difference between the two varies far less
        from document to document than the bits themselves. Hence they are compared document by
        document.
        """
        return Change(*ratio(bits - before, self.sizes))


@torch.no_grad()
def nats_of_texts(
    model: GPT, ids: np.ndarray, end: int, stride: int, batch_size: int
) -> np.ndarray:
    """Returns the nats that a model needs for each of K texts, [K], without dropout.

    Args:
        ids: the tokens of all texts, [N], each text closed by the token `end`, which is predicted
            too; the very first token has none before it and is not.
        stride: by how many tokens each window begins after the one before. Windows are as long as
            the context, and a token counts in the first that holds it. So at least context -
            stride tokens stand before it, except in the first window.
    """
    text = np.cumsum(ids == end)[:-1]  # the number of each target's text: of all ids but the first
    device = next(model.parameters()).device
    model = evaluated(model)
    losses = []
    for window in overlapping_windows(ids, model.config.block_size, stride, batch_size):
        idx, targets, _ = window.to(device)  # [B, T] each
        counted = targets != IGNORE  # [B, T]
        logits = model(idx)[0][counted]  # [n, V]
        losses.append(F.cross_entropy(logits, targets[counted], reduction="none"))
    return np.bincount(text, torch.cat(losses).double().cpu().numpy())


def ratio(sums: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Returns sum(sums) / sum(sizes) of K texts or batches, and its standard error.

    With r the ratio, the error is sqrt(K / (K - 1) sum((sums - r sizes)^2)) / sum(sizes) (Cochran
    1977, "Sampling Techniques", section 6.4); nan for a single one.
    """
    r, K = sums.sum() / sizes.sum(), len(sizes)
    spread = math.sqrt(K / (K - 1) * np.square(sums - r * sizes).sum()) if K > 1 else math.nan
    return float(r), float(spread / sizes.sum())

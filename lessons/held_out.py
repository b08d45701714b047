"""Text that the base model has never seen, and how well a model predicts it."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import tiktoken

from minigpt import GPT
from minigpt.batch_loss import evaluate_loss
from minigpt.corpus import python_library, split_documents
from minigpt.dataset import bits_per_byte, overlapping_windows, pack
from minigpt.distributed import SINGLE


class HeldOut:
    """Some validation documents of the base model's corpus.

    Args:
        encoding: the model's tokenizer.
        n_bytes: documents are drawn until there is so much text; the last is kept whole.
        seed: which documents come first.

    Attributes:
        n_bytes: of UTF-8 text that was drawn.
    """

    def __init__(self, encoding: tiktoken.Encoding, n_bytes: int, seed: int) -> None:
        _, documents = split_documents(python_library())
        texts = [document.text for document in documents]
        random.Random(seed).shuffle(texts)
        sizes = np.cumsum([len(text.encode()) for text in texts])
        n_texts = 1 + int(np.searchsorted(sizes, n_bytes))
        self.n_bytes = int(sizes[min(n_texts, len(sizes)) - 1])
        self.ids = pack(encoding.encode_ordinary_batch(texts[:n_texts]), encoding.eot_token)

    def bits_per_byte(self, model: GPT) -> float:
        """Bits that the model needs for a byte, each token predicted with at least 1/4 context."""
        context = model.config.block_size
        windows = overlapping_windows(self.ids, context, 3 * context // 4)
        team = replace(SINGLE, device=next(model.parameters()).device)
        return bits_per_byte(evaluate_loss(model, windows, team), len(self.ids) - 1, self.n_bytes)

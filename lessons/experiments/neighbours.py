"""Measures whether the words that a soft prompt resembles belong together, and are French.

The prompts of lesson 13 have learned to ask for French. A token counts as French if the French
sentences that they learned from have it more than twice as often as the English ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tiktoken
from torch.nn import functional as F

from minigpt import GPT
from minigpt.dataset import pack
from minigpt.soft_prompts.layer import token_embeddings
from minigpt.soft_prompts.model import nearest_tokens, soft_prompts_of


def french_tokens(records: Sequence[dict], encoding: tiktoken.Encoding) -> np.ndarray:
    """Returns for each id whether its token is French by the count above, bool [V]."""
    shares = []
    for field in ("en", "fr"):
        sentences = encoding.encode_ordinary_batch([f" {record[field]}" for record in records])
        counts = np.bincount(pack(sentences, encoding.eot_token), minlength=encoding.n_vocab)
        shares.append(counts / counts.sum())  # [V]
    return shares[1] > 2 * shares[0]


class Neighbours(NamedTuple):
    """The nearest tokens of each of n virtual tokens.

    Attributes:
        rows: n lists of k texts with their cosines, the nearest first.
        ids: the same tokens' ids, [n, k].
        french: the share of the k that are French, for each virtual token, [n].
        together: the mean cosine between two different ones of the k, [n].
    """

    rows: list[list[tuple[str, float]]]
    ids: np.ndarray
    french: np.ndarray
    together: np.ndarray

    @property
    def cosine(self) -> float:
        """Returns the mean cosine to the nearest token."""
        return sum(row[0][1] for row in self.rows) / len(self.rows)


def look_up(model: GPT, encoding: tiktoken.Encoding, is_french: np.ndarray, k: int) -> Neighbours:
    """Returns the k nearest tokens of each vector of the model's active soft prompt."""
    prompts = soft_prompts_of(model)
    vectors = prompts[str(prompts.active)].vectors().detach()  # [n, C]
    table = token_embeddings(model).detach()[: encoding.n_vocab]  # [V, C]
    directions = F.normalize(table, dim=-1)
    nearest = (F.normalize(vectors, dim=-1) @ directions.T).topk(k).indices  # [n, k]
    found = directions[nearest]  # [n, k, C]
    pairs = found @ found.transpose(1, 2)  # [n, k, k], 1 on the diagonal
    together = ((pairs.sum(dim=(1, 2)) - k) / (k * (k - 1))).cpu().numpy()  # [n]
    rows, ids = nearest_tokens(model, encoding, k=k), nearest.cpu().numpy()
    return Neighbours(rows, ids, is_french[ids].mean(axis=1), together)

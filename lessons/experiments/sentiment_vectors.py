"""Classifies reviews by one vector: an encoder's at [CLS], or a decoder's at the last token.

Lesson 2 puts the same small linear layer on both and trains each whole. In the comments B is the
batch, T the number of tokens, C the width of the model.

Sources: Devlin et al. 2018, "BERT" (section 3, [CLS]); Radford et al. 2018, GPT-1 (section 3.2,
the last token's vector).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minigpt import GPT
from minigpt.model import Visible


class Review(NamedTuple):
    """The ids of a review, [CLS] first and the end token last, and its label, 0 or 1."""

    ids: list[int]
    label: int


class Classifier(nn.Module):
    """A linear layer on the vector that a GPT has at one place of the text.

    Args:
        gpt: its blocks and embeddings are used, not its LM head.
        causal: with the mask, as a decoder; or without, as an encoder.
        place: the position whose vector is used: 0 for [CLS], -1 for the last token.
    """

    def __init__(self, gpt: GPT, causal: bool, place: int) -> None:
        super().__init__()
        self.gpt, self.causal, self.place = gpt, causal, place
        self.head = nn.Linear(gpt.config.n_embd, 2)

    def vector(self, idx: Tensor) -> Tensor:
        """Returns the vector at the place, [B, C], for idx [B, T]."""
        parts = self.gpt.transformer
        positions = torch.arange(idx.size(1), device=idx.device)  # [T]
        x = parts["wte"](idx) + parts["wpe"](positions)  # [B, T, C]
        for block in self.gpt.blocks():
            x = block(x, Visible(causal=self.causal))  # [B, T, C]
        return parts["ln_f"](x[:, self.place])

    def forward(self, idx: Tensor) -> Tensor:
        """Returns the scores of the two labels, [B, 2]."""
        return self.head(self.vector(idx))


def batches(reviews: Sequence[Review], size: int) -> list[tuple[Tensor, Tensor, list[int]]]:
    """Returns batches of reviews of one length, so that none needs padding.

    Returns:
        For each batch the ids [B, T], the labels [B], and which of the reviews they are.
    """
    by_length = defaultdict(list)
    for number, review in enumerate(reviews):
        by_length[len(review.ids)].append(number)
    made = []
    for numbers in by_length.values():
        for start in range(0, len(numbers), size):
            chosen = numbers[start : start + size]
            ids = torch.tensor([reviews[n].ids for n in chosen])
            made.append((ids, torch.tensor([reviews[n].label for n in chosen]), chosen))
    return made


def train_classifier(
    model: Classifier, reviews: Sequence[Review], epochs: int, learning_rate: float, seed: int
) -> None:
    """Trains all weights of model by AdamW; the rate falls to 0 in a straight line."""
    dice, device = random.Random(seed), model.head.weight.device
    order = list(range(len(reviews)))
    steps = []
    for _ in range(epochs):
        dice.shuffle(order)  # other reviews come together in each epoch
        epoch = batches([reviews[n] for n in order], 32)
        dice.shuffle(epoch)
        steps += epoch
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    model.train()
    for number, (idx, labels, _) in enumerate(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - number / len(steps))
        loss = F.cross_entropy(model(idx.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()


@torch.inference_mode()
def classify(model: Classifier, reviews: Sequence[Review]) -> Tensor:
    """Returns for each review whether its label was found, bool [len(reviews)]."""
    model.eval()
    right = torch.zeros(len(reviews), dtype=torch.bool)
    device = model.head.weight.device
    for idx, labels, chosen in batches(reviews, 256):
        right[chosen] = model(idx.to(device)).argmax(-1).cpu() == labels
    return right

"""A sentiment model small enough to read: logistic regression on a bag of words.

A review becomes a vector that holds a 1 for each word that is in it, and the model gives each word
a weight:

    P(positive | review) = sigmoid(sum of the weights of its words + bias)

Lesson 6 asks whether such probabilities are calibrated, and what typing errors cost. In the
comments N is the number of reviews, V that of different words.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lessons.experiments.share_interval import share_interval
from minigpt.classification import Bin
from minigpt.rouge import tokenize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = ("negative", "positive")


@dataclass(frozen=True)
class BagOfWords:
    """The model.

    Attributes:
        vocabulary: {word: its place}; words that are not in it do not count.
        weights: one a word, and the bias last, [V + 1].
    """

    vocabulary: Mapping[str, int]
    weights: Tensor

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the probability of "positive" for each text, [N]."""
        scores = vectors(texts, self.vocabulary) @ self.weights  # [N]
        return scores.sigmoid().double().numpy()


def vectors(texts: Sequence[str], vocabulary: Mapping[str, int]) -> Tensor:
    """Returns a 1 for each word that a text has, and 1 for the bias: [N, V + 1]."""
    found = torch.zeros(len(texts), len(vocabulary) + 1)
    found[:, -1] = 1
    for row, text in enumerate(texts):
        found[row, [vocabulary[word] for word in tokenize(text) if word in vocabulary]] = 1
    return found


def fit(
    records: Sequence[Mapping[str, str]], penalty: float, n_steps: int, learning_rate: float = 0.05
) -> BagOfWords:
    """Trains the model on all records at once, n_steps times.

    Args:
        records: reviews with the fields text and label.
        penalty: what the sum of the squared weights (without the bias) costs in the loss.
        n_steps: 200 are enough for the loss to stop falling at a penalty of 1e-4; without one it
            goes on falling, the weights growing.
        learning_rate: Adam's.
    """
    words = sorted({word for record in records for word in tokenize(record["text"])})
    vocabulary = {word: place for place, word in enumerate(words)}
    x = vectors([record["text"] for record in records], vocabulary)  # [N, V + 1]
    y = torch.tensor([float(record["label"] == "positive") for record in records])  # [N]
    weights = torch.zeros(len(vocabulary) + 1, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=learning_rate)
    for _ in range(n_steps):
        loss = F.binary_cross_entropy_with_logits(x @ weights, y)
        loss = loss + penalty * weights[:-1].square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return BagOfWords(vocabulary, weights.detach())


@dataclass(frozen=True)
class Answers:
    """What a model says of some reviews.

    Attributes:
        predictions: the likelier label of each.
        confidences: the probability of that label, from 0.5 to 1, [N].
        right: whether it is the review's label, [N].
    """

    predictions: list[str]
    confidences: np.ndarray
    right: np.ndarray


def answer(model: BagOfWords, texts: Sequence[str], labels: Sequence[str]) -> Answers:
    """Returns the likelier label of each text, and how sure the model is of it."""
    p = model.probabilities(texts)
    predictions = [LABELS[int(positive)] for positive in p > 0.5]
    return Answers(predictions, np.maximum(p, 1 - p), np.array(predictions) == np.array(labels))


def with_typos(text: str, share: float, dice: random.Random) -> str:
    """Exchanges two neighbouring letters inside a word; its first and last character stay.

    It happens to a word, with probability share, if it has two different neighbours inside.
    """
    words = text.split(" ")
    for i, word in enumerate(words):
        places = [k for k in range(1, len(word) - 2) if word[k : k + 2].isalpha()]
        places = [k for k in places if word[k] != word[k + 1]]
        if places and dice.random() < share:
            k = dice.choice(places)
            words[i] = word[:k] + word[k + 1] + word[k] + word[k + 2 :]
    return " ".join(words)


def draw_reliability(diagrams: Mapping[str, Sequence[Bin]], n_answers: int) -> Figure:
    """Draws accuracy over confidence for each model, with two standard errors to each side.

    Args:
        diagrams: {name of a model: its bins}.
        n_answers: how many answers each model gave.
    """
    import matplotlib.pyplot as plt

    size: dict[str, Any] = {"figsize": (9, 4.6), "sharey": True, "layout": "constrained"}
    figure, axes = plt.subplots(1, len(diagrams), **size)
    for axis, (name, bins) in zip(axes, diagrams.items(), strict=True):
        sure, right = (
            [100 * getattr(b, what) for b in bins] for what in ("confidence", "accuracy")
        )
        axis.plot([50, 100], [50, 100], color="black", ls="--", lw=1)
        errors = np.array([share_interval(b.accuracy, b.count) for b in bins]).T * 100  # [2, bins]
        axis.errorbar(sure, right, yerr=np.abs(errors - right), fmt="o", capsize=3)
        for x, each in zip(sure, bins, strict=True):
            axis.text(x, 3, f"{each.count}", ha="center")
        axis.set(xlabel="confidence (%)", title=name, xlim=(48, 102), ylim=(0, 102))
    axes[0].set_ylabel("answers that are right (%)")
    figure.suptitle(
        f"When the model is so sure, how often is it right? {n_answers} reviews in bins\n"
        "(numbers: answers in the bin; lines: two standard errors; dashed: as often as it is sure)"
    )
    return figure

"""Picks summaries that were written for other dialogues, whose scores a model has to beat.

A summary's words also tell what it is about: see `topics`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from minigpt.rouge import tokenize

Records = Sequence[dict[str, str]]


def random_summaries(train: Records, dialogues: Records, seed: int) -> list[str]:
    """Returns for each dialogue the summary of a random training dialogue of the same topic."""
    by_topic: dict[str, list[str]] = {}
    for record in train:
        by_topic.setdefault(record["topic"], []).append(record["summary"])
    dice = random.Random(seed)
    return [dice.choice(by_topic[record["topic"]]) for record in dialogues]


def nearest_summaries(train: Records, dialogues: Records) -> list[str]:
    """Returns for each dialogue the summary of the most similar training dialogue."""
    found = nearest(train, "dialogue", [record["dialogue"] for record in dialogues])
    return [record["summary"] for record in found]


def topics(train: Records, summaries: Sequence[str]) -> list[str]:
    """Returns for each summary the topic of the most similar training summary."""
    return [record["topic"] for record in nearest(train, "summary", summaries)]


def nearest(train: Records, field: str, texts: Sequence[str]) -> list[dict[str, str]]:
    """Returns for each text the training record whose field is the most similar.

    Similarity is the intersection of the two sets of words divided by their union (Jaccard).
    """
    known = [(set(tokenize(record[field])), record) for record in train]

    def best(words: set[str]) -> dict[str, str]:
        return max(known, key=lambda entry: len(words & entry[0]) / len(words | entry[0]))[1]

    return [best(set(tokenize(text))) for text in texts]

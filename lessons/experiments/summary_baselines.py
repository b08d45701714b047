"""Picks summaries that were written for other dialogues, whose scores a model has to beat."""

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
    generator = random.Random(seed)
    return [generator.choice(by_topic[record["topic"]]) for record in dialogues]


def nearest_summaries(train: Records, dialogues: Records) -> list[str]:
    """Returns for each dialogue the summary of the most similar training dialogue.

    Similarity is the intersection of the two sets of words divided by their union (Jaccard).
    """
    known = [(set(tokenize(record["dialogue"])), record["summary"]) for record in train]

    def nearest(dialogue: str) -> str:
        words = set(tokenize(dialogue))
        return max(known, key=lambda entry: len(words & entry[0]) / len(words | entry[0]))[1]

    return [nearest(record["dialogue"]) for record in dialogues]

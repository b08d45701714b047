"""Reads Multi30k, English and French captions of photographs, once a learner has fetched it.

Sources: Elliott et al. 2016, "Multi30K: Multilingual English-German Image Descriptions"; Elliott et
al. 2017 (the French captions).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import tiktoken

from minigpt.tasks.data import TaskData, task_data
from minigpt.tasks.task import TRANSLATION
from minigpt.text.data_sets import FETCHED
from minigpt.text.fetch import missing_files

FOLDER = FETCHED / "multi30k"


def multi30k(folder: Path = FOLDER) -> TaskData | None:
    """Returns Multi30k's own three parts as translation data; None unless all files are there."""
    if missing_files("multi30k", folder):
        return None
    train, validation, test = (
        [folder / f"{part}.{language}.gz" for language in ("en", "fr")]
        for part in ("train", "val", "test_2016_flickr")
    )
    return task_data(TRANSLATION, train, validation, test)


def words(text: str) -> list[str]:
    """Returns the words of a text in small letters; "J'avais" is two."""
    return re.findall(r"\w+", text.lower())


def described(data: TaskData, encoding: tiktoken.Encoding) -> str:
    """Says in a line how many words the French sentences use, and how long those to test with are.

    Words are counted in all training sentences together, and on average in those to test with.
    """
    texts = [record["fr"] for record in data.test]
    tokens = sum(map(len, encoding.encode_ordinary_batch(texts)))
    n_words = sum(len(words(text)) for text in texts)
    n_bytes = sum(len(text.encode()) for text in texts)
    vocabulary = {word for record in data.train for word in words(record["fr"])}
    return (
        f"{len(data.train):,} sentence pairs to train with, {len(vocabulary):,} different French "
        f"words; a French test sentence has {n_words / len(texts):.1f} words and "
        f"{tokens / len(texts):.1f} tokens on average, {n_bytes / tokens:.2f} bytes a token"
    )


def known_words(test: Sequence[dict], train: Sequence[dict]) -> float:
    """Returns the share of all words in French test sentences that training sentences have too."""
    known = {word for record in train for word in words(record["fr"])}
    asked = [word for record in test for word in words(record["fr"])]
    return sum(word in known for word in asked) / len(asked)

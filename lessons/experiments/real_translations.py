"""Reads Multi30k, English and French captions of photographs, once a learner has fetched it.

Sources: Elliott et al. 2016, "Multi30K: Multilingual English-German Image Descriptions"; Elliott et
al. 2017 (the French captions).
"""

from __future__ import annotations

from pathlib import Path

import tiktoken

from minigpt.tasks.data import TaskData, task_data
from minigpt.tasks.task import TRANSLATION
from minigpt.text.fetch import missing_files

FOLDER = Path("runs/data/multi30k")  # where `minigpt data fetch multi30k` puts it


def multi30k(folder: Path = FOLDER) -> TaskData | None:
    """Returns Multi30k's own three parts as translation data; None unless all files are there."""
    if missing_files("multi30k", folder):
        return None
    train, validation, test = (
        [folder / f"{part}.{language}.gz" for language in ("en", "fr")]
        for part in ("train", "val", "test_2016_flickr")
    )
    return task_data(TRANSLATION, train, validation, test)


def described(data: TaskData, encoding: tiktoken.Encoding) -> str:
    """Says in a line how long the French test sentences are, in words, tokens and bytes a token."""
    texts = [record["fr"] for record in data.test]
    tokens = sum(map(len, encoding.encode_ordinary_batch(texts)))
    words = sum(len(text.split()) for text in texts)
    n_bytes = sum(len(text.encode()) for text in texts)
    return (
        f"{len(data.train):,} training records; a French test sentence has "
        f"{words / len(texts):.1f} words and {tokens / len(texts):.1f} tokens on average, "
        f"{n_bytes / tokens:.2f} bytes a token"
    )

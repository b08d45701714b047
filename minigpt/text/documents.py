"""Texts with names, and their division into a part to train on and a part to measure on.

Every text is a `Document(name, text)`, whose name decides on which side of the split it falls.
Nothing in the validation part is in the training part, even where one document quotes another.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

MIN_LEAK = 60  # a validation paragraph of this many characters must not be in the training text
LONG_BEGINNING = 1000


class Document(NamedTuple):
    """One text and the name it is known by (a module, a help topic, a file)."""

    name: str
    text: str


def paragraphs(text: str) -> list[str]:
    """Splits text at its blank lines."""
    return [part for part in re.split(r"\n\s*\n|\n+\Z", text) if part.strip()]


def squeezed(paragraph: str) -> str:
    """Replaces every run of white space by one space, to compare paragraphs."""
    return " ".join(paragraph.split())


def split_documents(
    documents: Iterable[Document], validation_fraction: float = 0.05
) -> tuple[list[Document], list[Document]]:
    """Returns (training, validation) documents; no validation paragraph is in the training text.

    A hash of its name decides a document's side, which is therefore the same whatever other
    documents there are and in every Python version: a model trained with one version can be
    measured with another. If one side would be empty, one document moves over. A validation
    paragraph of 60 characters or more is removed from every training document that contains it,
    however its lines are wrapped.

    Raises:
        ValueError: validation_fraction is not between 0 and 1; there are fewer than two documents
            that are not blank; or the training text has nothing that is not in the validation text.
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(f"validation_fraction must be between 0 and 1, got {validation_fraction}")
    written = [document for document in documents if document.text.strip()]
    ranked = sorted(written, key=lambda document: name_hash(document.name))
    if len(ranked) < 2:
        raise ValueError(
            f"a corpus of {len(ranked)} documents cannot be split into training and validation "
            "text: give at least two documents, or a longer text file with blank lines in it"
        )
    n_validation = sum(name_hash(document.name) < validation_fraction for document in ranked)
    n_validation = min(max(n_validation, 1), len(ranked) - 1)
    validation, train = sorted(ranked[:n_validation]), sorted(ranked[n_validation:])

    # Comparing whole paragraphs would miss one that is quoted inside a longer one. Therefore the
    # first 60 characters of every validation paragraph are looked up wherever a word begins in a
    # training paragraph, and then its first 1,000: many may begin alike.
    held_out: dict[str, set[str]] = {}  # paragraphs by their beginnings
    lengths: dict[str, set[int]] = {}  # of the beginnings that open so
    for document in validation:
        for paragraph in map(squeezed, paragraphs(document.text)):
            if len(paragraph) >= MIN_LEAK:
                beginning = paragraph[:LONG_BEGINNING]
                held_out.setdefault(beginning, set()).add(paragraph)
                lengths.setdefault(paragraph[:MIN_LEAK], set()).add(len(beginning))

    def leaks(paragraph: str) -> bool:
        text = squeezed(paragraph)
        found = set()  # each beginning once, however often it is repeated
        for start in [0] + [space.end() for space in re.finditer(" ", text)]:
            for length in lengths.get(text[start : start + MIN_LEAK], ()):
                if (beginning := text[start : start + length]) in held_out:
                    found.add(beginning)
        return any(held in text for beginning in found for held in held_out[beginning])

    kept = []
    for name, text in train:
        clean_text = "\n\n".join(part for part in paragraphs(text) if not leaks(part))
        if clean_text:
            kept.append(Document(name, clean_text))
    if not kept:
        raise ValueError(
            "the text repeats itself: every paragraph of the documents to train on stands in those "
            "to validate with as well, so nothing is left to learn; give text that says more"
        )
    return kept, validation


def name_hash(name: str) -> float:
    """Returns a number in [0, 1) that looks random but is always the same for the same name."""
    digest = hashlib.md5(name.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big") / 2**64

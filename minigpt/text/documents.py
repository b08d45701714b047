"""Texts with names, and their division into a part to train on and a part to measure on.

Every text is a `Document(name, text)`, whose name decides on which side of the split it falls.
Nothing in the validation part is in the training part, even where one document quotes another.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Set
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


class TrainingPart:
    """The documents that are not for validation, without paragraphs that stand in those that are.

    They are read anew each time that somebody iterates, and never all in memory.

    Args:
        read: yields all documents that are not blank, the same each time.
        validation: the numbers of those that are for validation.
        leaks: whether a paragraph holds one of theirs.

    Attributes:
        n_documents, n_characters: what the last iteration has yielded.
    """

    def __init__(
        self,
        read: Callable[[], Iterator[Document]],
        validation: Set[int],
        leaks: Callable[[str], bool],
    ) -> None:
        self.read, self.validation, self.leaks = read, validation, leaks
        self.n_documents = self.n_characters = 0
        self.leaking: set[int] | None = None  # documents that leak, once all have been looked at

    def __iter__(self) -> Iterator[Document]:
        """Yields the documents; raises ValueError if all that they hold leaks."""
        self.n_documents = self.n_characters = 0
        leaking: set[int] = set()
        for i, (name, text) in enumerate(self.read()):
            if i in self.validation:
                continue
            parts = paragraphs(text)
            if self.leaking is None or i in self.leaking:
                kept = [part for part in parts if not self.leaks(part)]
                if len(kept) < len(parts):
                    leaking.add(i)
                parts = kept
            if parts:
                text = "\n\n".join(parts)
                self.n_documents += 1
                self.n_characters += len(text)
                yield Document(name, text)
        self.leaking = leaking
        if not self.n_documents:
            raise ValueError(
                "the text repeats itself: every paragraph of the documents to train on stands in "
                "those to validate with as well, so nothing is left to learn; give text that says "
                "more"
            )


def divide(
    read: Callable[[], Iterable[Document]], validation_fraction: float = 0.05
) -> tuple[TrainingPart, list[Document]]:
    """Returns (training, validation) documents; no validation paragraph is in the training text.

    A hash of its name decides a document's side, which is therefore the same whatever other
    documents there are and in every Python version: a model trained with one version can be
    measured with another. If one side would be empty, one document moves over. A validation
    paragraph of 60 characters or more is removed from every training document that contains it,
    however its lines are wrapped.

    Args:
        read: yields the documents, in the same order each time; they need not fit into memory.

    Raises:
        ValueError: validation_fraction is not between 0 and 1; or there are fewer than two
            documents that are not blank.
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(f"validation_fraction must be between 0 and 1, got {validation_fraction}")

    def written() -> Iterator[Document]:
        return (document for document in read() if document.text.strip())

    hashes = array("d", (name_hash(document.name) for document in written()))
    if len(hashes) < 2:
        raise ValueError(
            f"a corpus of {len(hashes)} documents cannot be split into training and validation "
            "text; give at least two documents, or a longer text file with blank lines in it"
        )
    n_validation = sum(value < validation_fraction for value in hashes)
    n_validation = min(max(n_validation, 1), len(hashes) - 1)
    chosen = set(sorted(range(len(hashes)), key=hashes.__getitem__)[:n_validation])
    validation = sorted(document for i, document in enumerate(written()) if i in chosen)
    return TrainingPart(written, chosen, finder_of(validation)), validation


def finder_of(documents: Iterable[Document]) -> Callable[[str], bool]:
    """Returns a function that tells whether a paragraph contains one of the documents'."""
    # Comparing whole paragraphs would miss one that is quoted inside a longer one. Therefore the
    # first 60 characters of every held-out paragraph are looked up wherever a word begins in a
    # training paragraph, and then its first 1,000: many may begin alike.
    held_out: dict[str, set[str]] = {}  # paragraphs by their beginnings
    lengths: dict[str, set[int]] = {}  # of the beginnings that open so
    for document in documents:
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

    return leaks


def split_documents(
    documents: Iterable[Document], validation_fraction: float = 0.05
) -> tuple[list[Document], list[Document]]:
    """Returns the (training, validation) documents of `divide` as sorted lists.

    Raises:
        ValueError: as divide; or the training text has nothing that is not in the validation text.
    """
    documents = sorted(documents)
    train, validation = divide(lambda: documents, validation_fraction)
    return list(train), validation


def name_hash(name: str) -> float:
    """Returns a number in [0, 1) that looks random but is always the same for the same name."""
    digest = hashlib.md5(name.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big") / 2**64

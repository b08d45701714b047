"""Reads files of text as documents to train on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from minigpt.text.decoding import read_lines
from minigpt.text.documents import Document

SEPARATOR = "<|endoftext|>"  # stands alone on a line between documents, in TinyStories for one
BLANKS = " \t\r\n"  # may stand beside it
LONG, TOO_LONG = 4000, 8000  # characters of a piece of a text without separators


def read_text(path: str | Path, separator: str = SEPARATOR) -> Iterator[Document]:
    """Yields the documents in a text file, named `FILE:1`, `FILE:2` and so on.

    They are the parts between the lines that hold nothing but the separator. A file without such
    lines is cut into pieces of about 4,000 characters, on blank lines if it has any, else on line
    ends or, inside long lines, on spaces, so that `divide` has something to divide.

    Args:
        separator: "" for none.

    Raises:
        OSError: there is no such file, or it may not be read.
        ValueError: the file is empty or not UTF-8, or no line can hold the separator.
    """
    path, n = Path(path), 0
    parts = between(read_lines(path, longest=None), separator)
    written = sum(1 for part in parts if any(line.strip() for line in part))
    for part in between(read_lines(path, longest=None), separator):
        texts = pieces(part) if written == 1 else ["\n".join(part)]
        for text in (text.strip("\n") for text in texts):
            if text.strip():
                n += 1
                yield Document(f"{path.name}:{n}", text)
    if not n:
        raise ValueError(f"{path} is empty: there is no text to read in it")


def split_at_separator(text: str, separator: str = SEPARATOR) -> list[str]:
    """Returns the texts between lines that hold nothing but the separator, without blank ones."""
    parts = ("\n".join(part).strip("\n") for part in between(text.split("\n"), separator))
    return [part for part in parts if part.strip()]


def between(lines: Iterable[str], separator: str) -> Iterator[Iterator[str]]:
    """Yields the lines between separators, part after part; each must be read before the next.

    Raises:
        ValueError: no line can hold the separator.
    """
    alone = separator.strip(BLANKS)
    if separator and (not alone or "\n" in alone):
        raise ValueError(
            f"a separator must be text on one line, or empty for none, got {separator!r}"
        )
    groups = groupby(lines, lambda line: alone != "" and line.strip(BLANKS) == alone)
    return (part for is_separator, part in groups if not is_separator)


def pieces(lines: Iterable[str]) -> Iterator[str]:
    """Cuts lines into pieces of 4,000 to 8,000 characters, except the last."""
    begun: list[str] = []
    size = 0
    for part in short_parts(lines):
        begun.append(part)
        size += len(part)
        ends = not part.strip() or not part.endswith("\n")
        if size > TOO_LONG or (size > LONG and ends):
            yield "".join(begun)
            begun, size = [], 0
    yield "".join(begun)


def short_parts(lines: Iterable[str]) -> Iterator[str]:
    r"""Yields lines with a "\n", those of more than 8,000 characters in parts that end in a space.

    Where there is no space, a part ends anywhere.
    """
    for line in lines:
        start = 0
        while len(line) - start > TOO_LONG:
            end = line.rfind(" ", start, start + TOO_LONG) + 1
            end = end if end > start else start + TOO_LONG
            yield line[start:end]
            start = end
        yield line[start:] + "\n"

"""README.md taken apart: its blocks of code, its tables, its links and pictures."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
TOKENS = MarkdownIt("commonmark").enable("table").parse(TEXT)
TWO_PROCESSES = "torchrun --nproc-per-node 2 -m "


class Block(NamedTuple):
    """A block of code, the language that is named above it, and the heading of its section."""

    language: str
    code: str
    section: str


def read_blocks() -> Iterator[Block]:
    """Yields all blocks of code from top to bottom."""
    section = ""
    for before, token in pairwise(TOKENS):
        if before.type == "heading_open":
            section = token.content
        if token.type == "fence":
            yield Block(token.info, token.content, section)


BLOCKS = list(read_blocks())


def blocks(language: str) -> list[Block]:
    """Returns the blocks in a language, of which there must be some."""
    found = [block for block in BLOCKS if block.language == language]
    assert found, f"README.md has no block in {language}"
    return found


def commands(block: Block) -> list[str]:
    """Returns the single commands of a block in sh, without their comments."""
    typed = block.code.replace("\\\n", " ").splitlines()
    lines = (shlex.join(shlex.split(line, comments=True)) for line in typed)
    return [part for line in lines for part in line.split(" '&&' ")]


def minigpts(command: str) -> list[str] | None:
    """Returns the arguments of minigpt in a command that starts it, None for another command."""
    _, found, arguments = command.removeprefix(TWO_PROCESSES).rpartition("minigpt ")
    starts = found and not _.removeprefix(".venv/bin/")
    return shlex.split(arguments) if starts else None


def tables() -> list[list[dict[str, str]]]:
    """Returns the tables: of each row the text of its cells, by the heads of their columns."""
    found: list[list[list[str]]] = []
    for before, token in pairwise(TOKENS):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif before.type in ("th_open", "td_open"):
            found[-1][-1].append(token.content)
    return [[dict(zip(head, row, strict=True)) for row in rows] for head, *rows in found]


def table(first: str) -> list[dict[str, str]]:
    """Returns the one table whose first column has this head."""
    (found,) = (rows for rows in tables() if next(iter(rows[0])) == first)
    return found


def inline() -> Iterator[Token]:
    """Yields what stands in the lines of text: words, links, pictures, code."""
    for token in TOKENS:
        yield from token.children or []


def links() -> list[str]:
    """Returns where the links lead."""
    return [str(token.attrs["href"]) for token in inline() if token.type == "link_open"]


def pictures() -> list[tuple[str, str]]:
    """Returns each picture's file and what it shows, in words."""
    return [(str(t.attrs["src"]), t.content) for t in inline() if t.type == "image"]


def headings() -> list[str]:
    """Returns the names by which links within the page find its headings."""
    titles = (t.content for b, t in pairwise(TOKENS) if b.tag[:1] == "h")
    return [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]

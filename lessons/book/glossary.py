"""Reads the glossary: its page, and where each term stands on it."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import NamedTuple

from markdown_it.token import Token

from lessons.book.links import Links
from lessons.book.markup import Heading, parse, render, slug, unique

FILE = "glossary.html"
SCRIPT = re.compile(r"(\d\d)_\w+\.py")


class Glossary(NamedTuple):
    """The glossary as HTML, its letters, and its entries as `Links` needs them."""

    html: str
    headings: list[Heading]
    terms: dict[str, list[tuple[int, str]]]


def read_glossary(markdown: str) -> Glossary:
    """Returns the glossary, with a name for links at each entry.

    An entry is a point of a list: its terms in bold, and a link to a lesson's script.
    """
    tokens = parse(markdown, Links())
    headings: list[Heading] = []
    terms: dict[str, list[tuple[int, str]]] = defaultdict(list)
    anchors: set[str] = set()
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            content = tokens[i + 1].content
            token.attrSet("id", slug(content))
            headings.append(Heading(int(token.tag[1]), content, slug(content)))
        if token.type == "list_item_open":
            names, lesson = entry(tokens[i + 2].children or [])
            if names:
                anchor = unique(f"term-{slug(names[0])}", anchors)
                anchors.add(anchor)
                token.attrSet("id", anchor)
                for name in names:
                    terms[name.lower()].append((lesson, f"{FILE}#{anchor}"))
    return Glossary(render(tokens), headings, dict(terms))


def entry(tokens: list[Token]) -> tuple[list[str], int]:
    """Returns the terms in bold that stand before the link to a lesson, and the lesson; 0 if none.

    Args:
        tokens: what the entry's paragraph consists of.
    """
    names = []
    for i, token in enumerate(tokens):
        if token.type == "strong_open":
            names.append(tokens[i + 1].content)
        if token.type == "link_open":
            script = SCRIPT.fullmatch(str(token.attrGet("href")))
            return names, int(script[1]) if script else 0
    return names, 0

"""Reads the pages of a book without a browser and says what is wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

VOID = {"img", "meta", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """What a page consists of, as far as it must lead somewhere or be named.

    Attributes:
        tags: each tag in its order with its attributes.
        crossed: tags that closed while another was open.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.crossed: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def named(self, *names: str) -> list[dict[str, str | None]]:
        """Returns the attributes of all tags with these names."""
        return [attributes for tag, attributes in self.tags if tag in names]

    @property
    def ids(self) -> list[str]:
        """The names of its parts."""
        return [attributes["id"] or "" for _, attributes in self.tags if "id" in attributes]

    @property
    def levels(self) -> list[int]:
        """The levels of its headings in their order."""
        return [int(tag[1]) for tag, _ in self.tags if tag in ("h1", "h2", "h3", "h4", "h5", "h6")]


def faults(book: Path) -> list[str]:
    """Returns a sentence for all that is wrong with the pages of a book."""
    pages = {path.name: Page(path) for path in sorted(book.glob("*.html"))}
    return [
        f"{name}: {fault}"
        for name, page in pages.items()
        for check in (nesting, names, headings, landmarks, pictures, tables)
        for fault in check(page)
    ] + [f"{name}: {fault}" for name, page in pages.items() for fault in links(page, pages)]


def nesting(page: Page) -> Iterator[str]:
    """Each tag that opens closes, in order."""
    yield from (f"</{tag}> closes another tag" for tag in page.crossed)
    yield from (f"<{tag}> is left open" for tag in page.open)


def names(page: Page) -> Iterator[str]:
    """No two parts have one name, and what is referred to within the page is there."""
    yield from (f"two parts are named {name}" for name, n in Counter(page.ids).items() if n > 1)
    for _, attributes in page.tags:
        label = attributes.get("aria-labelledby")
        if label and label not in page.ids:
            yield f"a label {label} is not there"


def headings(page: Page) -> Iterator[str]:
    """There is one heading of level 1, the first, and no level is skipped."""
    levels = page.levels
    if levels[:1] != [1] or levels.count(1) != 1:
        yield f"the levels of its headings are {levels}"
    for before, after in pairwise(levels):
        if after > before + 1:
            yield f"a heading of level {after} follows one of level {before}"


def landmarks(page: Page) -> Iterator[str]:
    """It has a language, a title, one main part, a way to skip to it, and named navigation."""
    if [tag.get("lang") for tag in page.named("html")] != ["en"]:
        yield "its language is not named"
    if len(page.named("title")) != 1:
        yield "it has no title"
    if [tag.get("id") for tag in page.named("main")] != ["text"]:
        yield "it has no main part"
    if not any(tag.get("href") == "#text" for tag in page.named("a")):
        yield "nothing leads to its main part"
    labels = [tag.get("aria-label") for tag in page.named("nav")]
    if None in labels or len(set(labels)) != len(labels):
        yield f"its navigation is named {labels}"


def pictures(page: Page) -> Iterator[str]:
    """Every picture is there, and is described."""
    for picture in page.named("img"):
        if not (page.path.parent / (picture.get("src") or "")).is_file():
            yield f"the picture {picture.get('src')} is not there"
        if not (picture.get("alt") or "").strip():
            yield f"the picture {picture.get('src')} is not described"


def tables(page: Page) -> Iterator[str]:
    """Every heading of a table says whether it is a column's or a row's."""
    for heading in page.named("th"):
        if heading.get("scope") not in ("col", "row"):
            yield "a <th> has no scope"


def links(page: Page, pages: dict[str, Page]) -> Iterator[str]:
    """Every link leads to a file or a part of a page that is there, and none to the network."""
    for link in page.named("a", "link"):
        address = link.get("href") or ""
        file, _, part = address.partition("#")
        if address.startswith("data:"):
            continue
        if file and not (page.path.parent / file).is_file():
            yield f"a link leads to {address}, which is not there"
        elif part and part not in pages[file or page.path.name].ids:
            yield f"a link leads to {address}, which the page does not have"

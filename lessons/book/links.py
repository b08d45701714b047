"""Links words of a lesson's text: "lesson 3" to its page, and a term to its glossary entry.

The Markdown parser calls it with the pieces of a paragraph, which it calls tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from markdown_it.token import Token

LESSON = re.compile(r"\blessons?\s(\d{1,2})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Links:
    """What the words of a text lead to.

    Attributes:
        here: the lesson whose text it is, to which nothing is linked; None for none.
        lessons: the lessons that have a page.
        terms: the lesson and the address of each glossary entry, by its terms in small letters.
    """

    here: int | None = None
    lessons: frozenset[int] = frozenset()
    terms: Mapping[str, Sequence[tuple[int, str]]] = field(default_factory=dict)

    def of_lesson(self, number: int) -> str | None:
        """Returns the address of a lesson's page; None for this lesson and for unknown ones."""
        known = number in self.lessons and number != self.here
        return f"lesson-{number:02d}.html" if known else None

    def of_term(self, term: str) -> str | None:
        """Returns the address of a glossary entry; of several, this lesson's or else the first."""
        entries = self.terms.get(" ".join(term.split()).lower(), ())
        own = [address for lesson, address in entries if lesson == self.here]
        return next(iter([*own, *(address for _, address in entries)]), None)


def linked(tokens: Sequence[Token], links: Links) -> list[Token]:
    """Returns the tokens of a paragraph with links around lessons and terms."""
    found: list[Token] = []
    inside = False  # of a link that is there already
    tokens = joined(tokens)
    for i, token in enumerate(tokens):
        inside = token.type == "link_open" or (inside and token.type != "link_close")
        if inside:
            found.append(token)
        elif token.type == "text":
            found += with_lessons(token.content, links)
        elif is_bold(tokens[i : i + 3]) and (address := links.of_term(tokens[i + 1].content)):
            found += [opening(address, "term"), token]
        elif is_bold(tokens[i - 2 : i + 1]) and links.of_term(tokens[i - 1].content):
            found += [token, Token("link_close", "a", -1)]
        else:
            found.append(token)
    return found


def joined(tokens: Sequence[Token]) -> list[Token]:
    """Returns tokens with the text of neighbouring lines in one, as "lesson\\n3" is one name."""
    found: list[Token] = []
    for token in tokens:
        content = "\n" if token.type == "softbreak" else token.content
        if token.type not in ("text", "softbreak"):
            found.append(token)
        elif found and found[-1].type == "text":
            found[-1] = text(found[-1].content + content)
        else:
            found.append(text(content))
    return found


def is_bold(tokens: Sequence[Token]) -> bool:
    """Returns whether these three tokens are a text in bold."""
    return [token.type for token in tokens] == ["strong_open", "text", "strong_close"]


def with_lessons(content: str, links: Links) -> Iterator[Token]:
    """Yields a text with a link around each lesson that it names."""
    done = 0
    for match in LESSON.finditer(content):
        address = links.of_lesson(int(match[1]))
        if address is not None:
            yield text(content[done : match.start()])
            yield from (opening(address), text(match[0]), Token("link_close", "a", -1))
            done = match.end()
    yield text(content[done:])


def text(content: str) -> Token:
    """Returns a token of text."""
    return Token("text", "", 0, content=content)


def opening(address: str, kind: str = "") -> Token:
    """Returns the token that begins a link."""
    attributes: dict[str, str | int | float] = {"href": address}
    if kind:
        attributes["class"] = kind
    return Token("link_open", "a", 1, attrs=attributes)

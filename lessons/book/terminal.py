"""Sets a lesson's Markdown for a terminal: the beginning of a cell, or all of it.

print(announcement(cell), end="")      # its heading and its first sentence
print(whole(cell), end="")             # `minigpt lesson 8 --prose`
"""

from __future__ import annotations

import itertools
import re
import shutil
import sys
import textwrap

from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, Markdown
from rich.text import Text
from rich.theme import Theme

from lessons.book.cells import Cell
from lessons.book.formulas import formula_text
from lessons.book.markup import parser

WIDTH = 88  # of prose


def announcement(cell: Cell) -> str:
    """Returns a Markdown cell's heading and its first sentence."""
    heading = text = ""
    for before, token in itertools.pairwise([Token("", "", 0), *parser().parse(cell.source)]):
        if before.type == "heading_open":
            heading = heading or plain_text(token)
        elif token.type in ("inline", "math_block"):
            text = plain_text(token)
            break
    above = f"\n{heading}\n{'-' * len(heading)}\n" if heading else "\n"
    sentence = re.split(r"(?<=[.?!])(?<!\bal\.)\s", text, maxsplit=1)[0]
    return above + (textwrap.fill(sentence, WIDTH) + "\n" if sentence else "")


def plain_text(token: Token) -> str:
    """Returns a line of Markdown without its signs, and with its formulas as text."""
    if token.type in ("math_inline", "math_block"):
        return formula_text(token.content)
    if token.children:
        return "".join(map(plain_text, token.children))
    return " " if token.type == "softbreak" else token.content


def whole(cell: Cell) -> str:
    """Returns all of a Markdown cell, in colours if standard output is a terminal that has them."""
    markdown = Markdown("", code_theme="ansi_dark", hyperlinks=False)
    markdown.elements = {**Markdown.elements, "heading_open": UnderlinedHeading}  # type: ignore[misc]
    markdown.parsed = [part for token in parser().parse(cell.source) for part in readable(token)]
    width = min(WIDTH, shutil.get_terminal_size().columns)
    theme = Theme({"markdown.code": "cyan", "markdown.h1": "bold", "markdown.h2": "bold"})
    console = Console(file=sys.stdout, width=width, highlight=False, theme=theme)
    with console.capture() as captured:
        console.print(markdown)
    return "\n" + "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n\n"


class UnderlinedHeading(Heading):
    """A heading that starts where the text does, and looks like one also without bold type."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the heading and its line."""
        yield self.text
        yield Text("-" * self.text.cell_len)


def readable(token: Token) -> list[Token]:
    """Returns a token of Markdown; in the place of formulas, code that a terminal can show."""
    if token.type == "math_inline":
        return [Token("code_inline", "code", 0, content=formula_text(token.content))]
    if token.type == "math_block":
        formula = Token("code_inline", "code", 0, content="    " + formula_text(token.content))
        return [Token("paragraph_open", "p", 1), formula, Token("paragraph_close", "p", -1)]
    if token.children:
        token.children = [part for child in token.children for part in readable(child)]
    return [token]

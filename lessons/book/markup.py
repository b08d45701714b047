"""Turns a lesson's Markdown, formulas and code into HTML that needs no network.

html_of("The loss is $-\\ln p$.", headings)     # Markdown, with formulas as MathML
code_html("y = x @ W")                          # highlighted Python
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from lessons.book.links import Links, linked

SCRIPT_LINK = re.compile(r'href="(\d\d)_\w+\.py"')
FUNCTION = r"\\(?:(?:ln|log|tanh)(?![a-z])|text\{(?:max|min)\})(?:_\w)?"
OWN_NAMES = {"text", "end"}  # of parts of a page, in its template
LIGHT, DARK = "default", "github-dark"  # Pygments' styles


class Heading(NamedTuple):
    """A heading of a page: its level from 1, its text, and the name that links lead to."""

    level: int
    text: str
    anchor: str


@cache
def parser() -> MarkdownIt:
    """Returns the Markdown parser: CommonMark with tables, $formulas$ and links of words."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.use(dollarmath_plugin, allow_space=False, renderer=formula)
    markdown.core.ruler.push("link_words", link_words)
    return markdown


def formula(latex: str, options: dict) -> str:
    """Returns a formula as MathML, which browsers set without help.

    Raises:
        ValueError: the formula cannot be read.
    """
    display = "block" if options["display_mode"] else "inline"
    try:
        return convert(spaced(latex.strip()), display=display)
    except Exception as error:  # the package has no one class for its errors
        raise ValueError(f"this formula cannot be set: {latex!r} ({error})") from error


def spaced(latex: str) -> str:
    """Returns a formula with thin spaces around names of functions, which the converter forgets."""
    latex = re.sub(r"\\(max|min)(?![a-z])", r"\\text{\1}", latex)  # it sets them as operators
    latex = re.sub(rf"(?<=[\w}}])\s+(?={FUNCTION})", r"\\,", latex)
    return re.sub(rf"({FUNCTION})\s*(?=[A-Za-z|]|\\(?!left))", r"\1\\,", latex)


def link_words(state: StateCore) -> None:
    """Links the words of a text that is being parsed for a page, as a rule of the parser."""
    for token in state.tokens:
        if token.children and "links" in state.env:
            token.children = linked(token.children, state.env["links"])


def parse(markdown: str, links: Links) -> list[Token]:
    """Returns the tokens of Markdown, with its words linked."""
    return parser().parse(markdown, {"links": links})


def render(tokens: Sequence[Token]) -> str:
    """Returns tokens as HTML; links to lessons' scripts and to the glossary lead to their pages."""
    text = parser().renderer.render(tokens, parser().options, {})
    text = text.replace("<table>", '<div class="wide" tabindex="0"><table>')
    text = text.replace("</table>", "</table></div>")
    text = re.sub(r"<th\b", '<th scope="col"', text)
    text = text.replace('href="GLOSSARY.md"', 'href="glossary.html"')
    return SCRIPT_LINK.sub(r'href="lesson-\1.html"', text)


def html_of(markdown: str, headings: list[Heading], links: Links | None = None) -> str:
    """Returns Markdown as HTML, and appends its headings to a list.

    Args:
        links: what words of the text lead to; none do if it is left out.
    """
    tokens = parse(markdown, links or Links())
    for opening, inline in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            taken = {heading.anchor for heading in headings} | OWN_NAMES
            anchor = unique(slug(inline.content), taken)
            opening.attrSet("id", anchor)
            headings.append(Heading(int(opening.tag[1]), plain(inline.content), anchor))
    return render(tokens)


def plain(markdown: str) -> str:
    """Returns a heading without the signs of its Markdown."""
    return re.sub(r"[*`$]|\\(?=[a-z])", "", markdown)


def slug(heading: str) -> str:
    """Returns a heading as a name for links: lower case letters and digits, joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-") or "part"


def unique(name: str, taken: set[str]) -> str:
    """Returns a name that is not taken yet: the name itself, or with a number behind it."""
    names = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))]
    return next(one for one in names if one not in taken)


def code_html(source: str) -> str:
    """Returns Python code as HTML, with a class for each kind of word."""
    text = highlight(source, PythonLexer(stripnl=False), HtmlFormatter(cssclass="code"))
    return text.replace("<pre>", '<pre tabindex="0">', 1)  # whoever has no mouse can scroll it


def output_html(text: str) -> str:
    """Returns printed text as HTML."""
    return f'<pre class="output" tabindex="0">{html.escape(text)}</pre>'


def code_styles() -> str:
    """Returns the colours of code, in light and in dark surroundings."""
    light, dark = (
        "\n".join(HtmlFormatter(style=style).get_token_style_defs(".code"))
        for style in (LIGHT, DARK)
    )
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"

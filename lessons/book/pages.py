"""Makes the book: a page for each lesson that has run, and a page of contents with all verdicts.

write_book(Path("runs"))      # reads runs/lesson-NN/, writes runs/book/index.html
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lessons.book.markup import Heading, code_html, code_styles, html_of, output_html
from lessons.book.play.playgrounds import copy_scripts, part_of, scripts_of
from lessons.book.record import Record, read_record
from lessons.verdicts import Kind
from minigpt.files.atomic import write_text

CSS_CLASS = {
    Kind.REPRODUCED: "reproduced", Kind.DIFFERS: "differs", Kind.WRONG: "wrong",
    Kind.UNKNOWN: "unknown", Kind.UNDECIDED: "undecided", Kind.HOLDS: "holds",
    Kind.FAILS: "fails",
}  # fmt: skip
MARKED = ("[figure] ", "[play] ")  # begins lines that say where something is that the page shows


@dataclass
class Page:
    """A lesson's page.

    Attributes:
        title: "Lesson 3: GPT-2, assembled".
        facts: when and how it ran.
        parts: what stands on it, one of prose, code, output, figure (and alt), play or tables each.
    """

    number: int
    title: str
    facts: str = ""
    headings: list[Heading] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    table: dict[str, Any] = field(default_factory=dict)
    status: str = "not run yet"
    seconds: float = 0.0

    @property
    def file(self) -> str:
        """The page's file in the book."""
        return f"lesson-{self.number:02d}.html"

    @property
    def there(self) -> bool:
        """Whether there is a page to link to."""
        return bool(self.parts)

    @property
    def time(self) -> str:
        """How long the lesson took, or why there is no time."""
        return f"{self.seconds:.0f} s" if self.status == "done" else self.status

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the closing tables."""
        return self.table.get("rows", [])

    @property
    def published(self) -> list[dict[str, Any]]:
        """The rows whose figure somebody has published."""
        return [row for row in self.rows if row["source"] is not None]

    @property
    def checked(self) -> list[dict[str, Any]]:
        """The rows that nobody has published."""
        return [row for row in self.rows if row["source"] is None]

    @property
    def judged(self) -> bool:
        """Whether the run gave verdicts; a quick one does not."""
        return any(row["kind"] for row in self.rows)

    @property
    def counts(self) -> list[tuple[str, int]]:
        """How often each verdict was given, in the order of `Kind`."""
        found = Counter(row["kind"] for row in self.rows if row["kind"])
        return [(kind.value, found[kind.value]) for kind in Kind if found[kind.value]]


def page_of(record: Record, folder: Path) -> Page:
    """Returns the page of a lesson that has run."""
    page = Page(record.number, "", status=record.status, seconds=record.seconds)
    for done in record.cells:
        if done.cell.is_prose:
            page.parts.append({"prose": html_of(done.cell.source, page.headings)})
            continue
        page.parts.append({"code": code_html(done.cell.source)})
        for output in done.outputs:
            page.parts += shown(output, folder)
    page.title = page.headings[0].text if page.headings else f"Lesson {record.number}"
    path = folder / "table.json"
    if record.status == "done" and path.is_file():
        page.table = json.loads(path.read_text(encoding="utf-8"))
        page.facts = facts_of(page)
    return page


def shown(output: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Returns the parts of a page for what a cell has put out."""
    if "figure" in output:
        return [{"figure": f"../{folder.name}/{output['figure']}", "alt": output["alt"]}]
    if "play" in output:
        return [{"play": part_of(output["play"], folder / output["data"])}]
    if "tables" in output:
        return [{"tables": True}]
    lines = [line for line in output["text"].splitlines() if not line.startswith(MARKED)]
    text = "\n".join(lines).strip("\n")
    return [{"output": output_html(text)}] if text.strip() else []


def facts_of(page: Page) -> str:
    """Returns in a line how a lesson ran."""
    table = page.table
    how = ["quick run: numbers mean nothing"] if table["quick"] else []
    how += ["large settings"] if table["full"] else []
    parts = [f"Ran in {page.seconds:.0f} s", f"device {table['device']}", f"seed {table['seed']}"]
    return ", ".join([*parts, *how]) + "."


def write_book(runs: Path, titles: Sequence[tuple[int, str]]) -> Path:
    """Writes the book of all lessons that have run, and returns the path of its contents.

    Args:
        runs: the folder that holds lesson-01 and so on; the book becomes runs/book.
        titles: the number and the title of every lesson, for those that have not run.
    """
    book = runs / "book"
    book.mkdir(parents=True, exist_ok=True)
    pages = []
    for number, title in titles:
        folder = runs / f"lesson-{number:02d}"
        try:
            pages.append(page_of(read_record(folder), folder))
        except FileNotFoundError:
            pages.append(Page(number, title))
    environment = Environment(
        loader=PackageLoader("lessons.book"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True,
    )  # fmt: skip
    environment.filters["css"] = lambda kind: CSS_CLASS[Kind(kind)] if kind else ""
    lesson = environment.get_template("lesson.html")
    for i, page in enumerate(pages):
        if page.there:
            before = next((one for one in reversed(pages[:i]) if one.there), None)
            after = next((one for one in pages[i + 1 :] if one.there), None)
            scripts = scripts_of(page.parts)
            copy_scripts(book, scripts)
            text = lesson.render(page=page, before=before, after=after, scripts=scripts)
            write_text(book / page.file, text)
    terms = (Path(__file__).parents[1] / "GLOSSARY.md").read_text(encoding="utf-8")
    glossary = environment.get_template("glossary.html").render(prose=html_of(terms, []))
    write_text(book / "glossary.html", glossary)
    styles = Path(__file__).parent / "templates" / "style.css"
    shutil.copyfile(styles, book / "style.css")
    with (book / "style.css").open("a", encoding="utf-8") as file:
        file.write(code_styles())
    index = book / "index.html"
    contents = environment.get_template("index.html")
    write_text(index, contents.render(pages=pages, machine=machine_of(pages), **sums(pages)))
    return index


def sums(pages: Sequence[Page]) -> dict[str, Any]:
    """Returns the counts of all verdicts, and the rows in which the source is wrong."""
    rows = [(row, row["source"] is not None) for page in pages for row in page.rows]
    found = Counter((row["kind"], published) for row, published in rows if row["kind"])
    totals = [
        (kind.value, found[kind.value, True], found[kind.value, False])
        for kind in Kind
        if found[kind.value, True] or found[kind.value, False]
    ]
    errata = [row for row, _ in rows if row["kind"] == Kind.WRONG.value]
    return {"totals": totals, "errata": errata}


def machine_of(pages: Sequence[Page]) -> str:
    """Returns in a line on what the lessons ran."""
    tables = [page.table for page in pages if page.table]
    if not tables:
        return "No lesson has run to its end yet."
    parts = [f"{name} {version}" for name, version in tables[-1]["versions"].items()]
    return ", ".join(parts)

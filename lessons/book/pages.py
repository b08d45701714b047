"""Makes the book: a page for each lesson, the glossary, and the contents with all verdicts.

write_book(Path("runs"), lesson_scripts())      # reads runs/lesson-NN/, writes runs/book/index.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lessons.book import summary
from lessons.book.cells import read_cells
from lessons.book.glossary import Glossary, read_glossary
from lessons.book.links import Links
from lessons.book.markup import Heading, code_html, code_styles, html_of, output_html
from lessons.book.opening import read_opening
from lessons.book.play.playgrounds import copy_scripts, part_of, scripts_of
from lessons.book.record import Record, counts, read_record, read_table
from lessons.folders import folder_of, results
from lessons.verdicts import Kind
from minigpt.files.atomic import write_text

NOT_RUN = "not run yet"
DAMAGED = "record damaged"
MARKED = ("[figure] ", "[play] ")  # begins lines that say where something is that the page shows


@dataclass
class Page:
    """A lesson's page.

    Attributes:
        title: "Lesson 3: GPT-2, assembled".
        about, goals: what the lesson is about and what it teaches, as HTML.
        status: a record's (lessons/book/record.py), NOT_RUN or DAMAGED.
        trouble: what is wrong with a damaged record.
        settings, started, error: a record's.
        parts: what stands on it, one of prose, code, output, figure (and alt), play or tables each.
        rows: the rows of the closing tables.
    """

    number: int
    title: str
    about: str = ""
    goals: str = ""
    status: str = NOT_RUN
    trouble: str = ""
    seconds: float = 0.0
    started: float = 0.0
    error: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    headings: list[Heading] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def file(self) -> str:
        """Returns the name of the page's file in the book."""
        return f"lesson-{self.number:02d}.html"

    @property
    def has_run(self) -> bool:
        """Returns whether a run has left something, to its end or not."""
        return self.status not in (NOT_RUN, DAMAGED)

    @property
    def outcome(self) -> str:
        """Returns how the run ended, in a word or two."""
        return {"running": "cut short"}.get(self.status, self.status)

    @property
    def quick(self) -> bool:
        """Returns whether it was a --quick run, whose numbers mean nothing."""
        return bool(self.settings.get("quick"))

    @property
    def published(self) -> list[dict[str, Any]]:
        """Returns the rows whose figure somebody has published."""
        return [row for row in self.rows if row["source"] is not None]

    @property
    def checked(self) -> list[dict[str, Any]]:
        """Returns the rows that nobody has published."""
        return [row for row in self.rows if row["source"] is None]

    @property
    def judged(self) -> bool:
        """Returns whether the run gave verdicts; a quick one does not."""
        return any(row["kind"] for row in self.rows)

    @property
    def counts(self) -> list[tuple[Kind, int]]:
        """Returns how often each verdict was given, in the order of `Kind`."""
        return counts(self.rows)


def read_page(number: int, script: Path, folder: Path, links: Links) -> Page:
    """Returns the page of a lesson as it ran in a folder, or how it begins if it has not run."""
    trouble = ""
    try:
        record = read_record(folder)
        if record.number != number:
            raise ValueError(f"{folder} holds a run of lesson {record.number}; run {number} again")
        return page_of(record, folder, links)
    except FileNotFoundError:
        status = NOT_RUN
    except (ValueError, OSError) as error:
        status, trouble = DAMAGED, str(error)
    except (KeyError, TypeError, AttributeError) as error:
        status, trouble = DAMAGED, f"{folder} holds no whole run of a lesson ({error!r})"
    page = Page(number, "", status=status, trouble=trouble)
    add_prose(page, read_cells(script.read_text(encoding="utf-8"))[0].source, links)
    return page


def page_of(record: Record, folder: Path, links: Links) -> Page:
    """Returns the page of a lesson that has run.

    Raises:
        ValueError: its table is damaged, or a formula cannot be set.
    """
    page = Page(record.number, "", status=record.status, seconds=record.seconds)
    page.settings, page.started, page.error = record.settings, record.started, record.error
    for done in record.cells:
        if done.cell.is_prose:
            add_prose(page, done.cell.source, links)
            continue
        page.parts.append({"code": code_html(done.cell.source)})
        for output in done.outputs:
            page.parts += shown(output, folder)
    if record.status == "done":
        table = read_table(folder)
        page.rows = [row | {"id": f"row-{i}"} for i, row in enumerate(table["rows"], start=1)]
    return page


def add_prose(page: Page, markdown: str, links: Links) -> None:
    """Adds a Markdown cell to a page; the first says what the lesson is about."""
    if not page.parts:
        opening = read_opening(markdown)
        page.title = opening.title
        page.about, page.goals = (
            html_of(text, [], links) for text in (opening.about, opening.goals)
        )
    page.parts.append({"prose": html_of(markdown, page.headings, links)})


def shown(output: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Returns the parts of a page for what a cell has put out."""
    if "figure" in output:
        if not (folder / output["figure"]).is_file():
            return [{"output": output_html(f"The figure {output['figure']} is gone.")}]
        return [{"figure": f"../{folder.name}/{output['figure']}", "alt": output["alt"]}]
    if "play" in output:
        if not (folder / output["data"]).is_file():
            return [{"output": output_html(f"The data of the figure, {output['data']}, are gone.")}]
        return [{"play": part_of(output["play"], folder / output["data"])}]
    if "tables" in output:
        return [{"tables": True}]
    lines = [line for line in output.get("text", "").split("\n") if not line.startswith(MARKED)]
    text = "\n".join(lines).strip("\n")
    return [{"output": output_html(text)}] if text.strip() else []


def write_book(runs: Path, scripts: Mapping[int, Path]) -> Path:
    """Writes the book, and returns the path of its contents.

    A lesson that has not run gets a page that says how to run it; one whose record is damaged, a
    page that says so.

    Args:
        runs: the folder that holds lesson-01 and so on; the book becomes runs/book.
        scripts: the script of every lesson, by its number.
    """
    book = runs / "book"
    book.mkdir(parents=True, exist_ok=True)
    terms = (Path(__file__).parents[1] / "GLOSSARY.md").read_text(encoding="utf-8")
    glossary = read_glossary(terms)
    links = Links(lessons=frozenset(scripts), terms=glossary.terms)
    pages = [
        read_page(number, script, folder_of(runs, number), replace(links, here=number))
        for number, script in scripts.items()
    ]
    copy_scripts(book, [script for page in pages for script in scripts_of(page.parts)])
    for name, text in rendered(pages, glossary, size_of(runs)).items():
        write_text(book / name, text)
    styles = Path(__file__).parent / "templates" / "style.css"
    write_text(book / "style.css", styles.read_text(encoding="utf-8") + code_styles())
    return book / "index.html"


def size_of(runs: Path) -> str:
    """Returns the option of `minigpt lesson` that leaves results in a folder, "" for none."""
    sizes = {results(quick=True): " --quick", results(full=True): " --full"}
    return sizes.get(runs, "")


def rendered(pages: Sequence[Page], glossary: Glossary, size: str = "") -> dict[str, str]:
    """Returns the HTML of every page by its file's name.

    Args:
        size: the option with which lessons become part of this book: "", " --quick" or " --full".
    """
    environment = Environment(
        loader=PackageLoader("lessons.book"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["css"] = lambda kind: Kind(kind).name.lower()
    environment.filters["label"] = lambda kind: summary.LABEL[kind]
    environment.globals["size"] = size
    for function in (summary.reason, summary.duration, summary.day_and_time, summary.listing):
        environment.filters[function.__name__] = function
    lesson = environment.get_template("lesson.html")
    texts = {}
    for i, page in enumerate(pages):
        before, after = pages[i - 1] if i else None, pages[i + 1] if i + 1 < len(pages) else None
        texts[page.file] = lesson.render(
            page=page, before=before, after=after, scripts=scripts_of(page.parts)
        )
    texts["glossary.html"] = environment.get_template("glossary.html").render(glossary=glossary)
    contents = environment.get_template("index.html")
    texts["index.html"] = contents.render(summary=summary.Summary(pages))
    return texts

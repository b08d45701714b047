"""The closing tables of a lesson, as a terminal and as a notebook show them.

for table in closing_tables(rows):      # rows as table.json holds them
    print(table.title, table.as_text(), sep="\n\n")
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

# The columns: the row's key in table.json, the heading, and the width in a terminal.
COLUMNS = {
    "what": ("", 30), "source": ("source", 20), "published": ("published", 20),
    "measured here": ("measured here", 24), "verdict": ("verdict", 40),
}  # fmt: skip


class Table(NamedTuple):
    """A table under a title; each row has a text for each column."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def as_text(self) -> str:
        """Returns the table for a terminal."""
        headings, widths = zip(*(COLUMNS[column] for column in self.columns), strict=True)
        return format_table([headings, *self.rows], widths)

    def as_html(self) -> str:
        """Returns the table for a notebook, which has styles of its own for all but the sides."""
        headings = [COLUMNS[column][0] or "what" for column in self.columns]
        rows = [html_row("th", headings), *(html_row("td", row) for row in self.rows)]
        title = f"<p><b>{escape(self.title.capitalize())}</b></p>"
        return "\n".join([title, "<table>", *rows, "</table>"])


def closing_tables(rows: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """Yields the table of what others have published and that of what was checked here.

    A table without rows is left out; so is the column of verdicts if the run gave none.

    Args:
        rows: as table.json holds them.
    """
    last = ["measured here"] + ["verdict"] * any(row["kind"] for row in rows)
    published = [row for row in rows if row["source"] is not None]
    checked = [row for row in rows if row["source"] is None]
    for title, columns, chosen in (
        ("published figures, measured again", ("what", "source", "published", *last), published),
        ("checked on this machine", ("what", *last), checked),
    ):
        if chosen:
            cells = [tuple(str(row[column]) for column in columns) for row in chosen]
            yield Table(title, columns, cells)


def html_row(tag: str, cells: Sequence[str]) -> str:
    """Returns a row of a table in HTML, aligned as text is."""
    style = "text-align: left; vertical-align: top"
    parts = (f'<{tag} style="{style}">{escape(cell)}</{tag}>' for cell in cells)
    return f"<tr>{''.join(parts)}</tr>"


def format_table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    """Returns rows as an aligned table: the first row is the header, long cells wrap at widths."""
    wrapped = [
        [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
        for row in rows
    ]
    actual = [max(len(line) for row in wrapped for line in row[i]) for i in range(len(widths))]
    lines = []
    for number, row in enumerate(wrapped):
        for depth in range(max(len(cell) for cell in row)):
            parts = (cell[depth] if depth < len(cell) else "" for cell in row)
            lines.append(
                " | ".join(f"{part:<{width}}" for part, width in zip(parts, actual, strict=True))
            )
        if number == 0:
            lines.append("-+-".join("-" * width for width in actual))
    return "\n".join(line.rstrip() for line in lines)

"""Tables as text: CSV (RFC 4180), and values separated by tabs, row by row.

In CSV a cell may stand in quotes, and then hold the separator, line breaks, and quotes written
twice. Values separated by tabs usually have no such rule: a quote is a letter like any other, as in
the sentence pairs of WMT. But some programs write them by CSV's, which shows in the first cells.
NaN, NULL and the like without quotes say that there is no value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from minigpt.text.decoding import LONGEST

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
IN_QUOTES = re.compile(r'"(?:[^"]|"")*"')
PROMISE = re.compile(r'"?sep=([,\t;|])"?\r?', re.IGNORECASE)  # Excel's first line
NO_VALUES = {"NaN", "nan", "-nan", "NaT", "<NA>", "#N/A", "NULL", "\\N"}  # of pandas, Excel, SQL
MOST = 0.75  # of the rows
Cells = list[str | None]  # None: there is no value


class TableError(ValueError):
    """What is wrong with a row, and in which line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


class Layout(NamedTuple):
    """How a table is written: what separates its cells, and whether quotes have a meaning."""

    separator: str
    quoted: bool


def tabs_are_quoted(lines: Sequence[str]) -> bool:
    """Returns whether a table with tabs puts its cells in quotes, judging by its first lines.

    It does if every cell with a quote stands in quotes, with those inside it written twice, and if
    there is such a quote inside one, or no cell without quotes. It does too if so more rows have as
    many cells as the first.
    """
    if "\t" not in lines[0]:
        return False
    cells = [cell for line in lines for cell in line.removesuffix("\r").split("\t") if cell]
    quoted = [cell for cell in cells if '"' in cell]
    if all(IN_QUOTES.fullmatch(cell) for cell in quoted):
        return any('""' in cell[1:-1] for cell in quoted) or 0 < len(quoted) == len(cells)
    as_letters, as_quotes = (share_as_wide(lines, Layout("\t", quoted)) for quoted in (False, True))
    return as_letters < as_quotes


def share_as_wide(lines: Sequence[str], layout: Layout) -> float:
    """Returns the share of rows with as many cells as the first, counting what is not a row."""
    widths = []
    try:
        for _, cells in rows(lines, layout):
            widths.append(len(cells))
    except TableError:
        widths.append(0)
    first, *others = widths or [0]
    return others.count(first) / len(others) if others else float(first > 0)


def promised_separator(line: str) -> str:
    """Returns the separator that a line such as sep=; tells Excel, or "" of any other line."""
    found = PROMISE.fullmatch(line)
    return found[1] if found else ""


def layout_of(
    first_line: str,
    ending: str,
    wanted: Collection[str],
    quoted_tabs: bool = False,
    separator: str = "",
) -> Layout:
    """Returns how a table is written, judging by its first line.

    The separator is the one by which the header has all wanted fields. If none does, or fields are
    wanted by number, it is the one that the file's ending promises if it divides the line often
    enough, or else the one that makes the most cells.

    Args:
        quoted_tabs: whether quotes have a meaning between tabs (tabs_are_quoted).
        separator: the one to take if it is known.
    """
    usual = "," if ending == "csv" else "\t"
    order = [separator] if separator else sorted(SEPARATORS, key=lambda sign: sign != usual)
    layouts = [Layout(separator, separator != "\t" or quoted_tabs) for separator in order]
    headers = [header_of(first_line, layout) for layout in layouts]
    needed = max(map(int, wanted)) + 1 if by_number(wanted) else 2

    def fit(i: int) -> tuple[bool, bool, int]:
        named = bool(wanted) and set(wanted) <= set(headers[i])
        return named, i == 0 and len(headers[0]) >= needed, len(headers[i])

    return layouts[max(range(len(order)), key=fit)]


def header_of(first_line: str, layout: Layout) -> list[str]:
    """Returns the names that a first line gives to the columns; [] if it is not a row."""
    try:
        _, cells = next(rows([first_line], layout, strict=False))
    except (TableError, StopIteration):
        return []
    names = [(cell or "").strip() for cell in cells]
    drawn = layout.separator == "|" and len(names) > 2 and names[0] == names[-1] == ""
    return [] if drawn else names  # a table of Markdown, with a rule below its header


def is_table(lines: Sequence[str], layout: Layout, wanted: Collection[str]) -> bool:
    """Returns whether lines without a telling name are a table, and not text.

    The first names all wanted fields and others, or it has as many tabs as fields wanted by number
    need; and most rows have as many cells as it has: a sentence may begin "Text, and".
    """
    if by_number(wanted):
        begins = lines[0].count("\t") >= max(map(int, wanted)) > 0
    else:
        names = header_of(lines[0], layout)
        begins = len(names) > 1 and bool(wanted) and set(wanted) <= set(names)
    return begins and share_as_wide(lines, layout) > MOST


def by_number(wanted: Collection[str]) -> bool:
    """Returns whether fields are wanted by the number of their column, from 0: no header then."""
    return bool(wanted) and all(re.fullmatch("[0-9]{1,9}", name) for name in wanted)


def rows(lines: Iterable[str], layout: Layout, strict: bool = True) -> Iterator[tuple[int, Cells]]:
    r"""Yields the cells of each row with the number of its first line; blank lines are skipped.

    Args:
        lines: without the "\n" at their end; a "\r" before it is dropped outside quotes.
        strict: whether an open quote at the end is an error.

    Raises:
        TableError: a quote is not closed, or something follows the quote that closes a cell.
    """
    cells: Cells = []
    quoted: list[str] | None = None  # the pieces of a cell in quotes whose end is still to come
    start, size = 1, 0
    for number, line in enumerate(lines, start=1):
        if quoted is None:
            whole = line.removesuffix("\r")
            if not whole.strip(" " if layout.separator == "\t" else None):
                continue
            if not layout.quoted or '"' not in line:
                yield number, list(map(value_of, whole.split(layout.separator)))
                continue
            start, size = number, 0
        elif '"' not in line:
            quoted.append(line + "\n")
            size += len(line) + 1
            if size > LONGEST:
                break
            continue
        quoted = add_cells(cells, quoted, line, layout.separator, number)
        if quoted is None:
            yield start, cells
            cells = []
    if quoted is not None:
        if strict:
            raise TableError(start, "a cell begins with a quote that is never closed")
        yield start, cells


def value_of(cell: str) -> str | None:
    """Returns what a cell without quotes says."""
    return None if cell in NO_VALUES else cell


def add_cells(
    cells: Cells, quoted: list[str] | None, line: str, separator: str, number: int
) -> list[str] | None:
    """Adds the cells of a line that has quotes in it; returns the pieces of one that goes on.

    Args:
        quoted: the pieces of the cell that goes on from the line before; None if there is none.
    """
    at, end = 0, len(line.removesuffix("\r"))
    while True:
        if quoted is None and line[at : at + 1] == '"':
            quoted, at = [], at + 1
        if quoted is None:
            stop = line.find(separator, at)
            cells.append(value_of(line[at : end if stop < 0 else stop]))
            if stop < 0:
                return None
            at = stop + 1
            continue
        stop = line.find('"', at)
        if stop < 0:
            quoted.append(line[at:] + "\n")
            return quoted
        quoted.append(line[at:stop])
        at = stop + 1
        if line[at : at + 1] == '"':  # two quotes are one of the text
            quoted.append('"')
            at += 1
            continue
        cells.append("".join(quoted))
        quoted = None
        if at == end:
            return None
        if not line.startswith(separator, at):
            raise TableError(
                number,
                f"after the quote that closes a cell comes {line[at : at + 10]!r}; inside a cell "
                "in quotes a quote is written twice",
            )
        at += 1


def read_table(
    lines: Iterable[str], layout: Layout, wanted: Collection[str]
) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Yields each row as {field: text} with its line; the first row names the fields.

    If the wanted fields are numbers, no row is a header, and the fields are "0", "1" and so on.
    Columns without a name have their number as a name.

    Raises:
        TableError: two columns have one name, or a row has more or fewer cells than the first.
    """
    names: list[str] = []
    for line, cells in rows(lines, layout):
        if any("\0" in cell for cell in cells if cell):
            raise TableError(line, "a NUL byte, which a table in text does not have")
        if not names:
            headless = by_number(wanted)
            if promised_separator(layout.separator.join(cell or "" for cell in cells)):
                continue
            given = [(cell or "").strip() for cell in cells]
            names = [str(i) if headless else name or str(i) for i, name in enumerate(given)]
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise TableError(line, f'two columns are called "{twice}"; rename one of them')
            if not headless:
                continue
        if len(cells) != len(names):
            raise TableError(
                line,
                f"{len(cells)} cells, separated by {SEPARATORS[layout.separator]}, where the first "
                f"row has {len(names)}"
                + ("" if layout.quoted else "; with tabs, quotes do not keep a cell together"),
            )
        yield line, dict(zip(names, cells, strict=True))

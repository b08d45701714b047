"""Divides a lesson's script into cells, and runs one in its place.

    # %% [markdown]
    # ## Heads
    #
    # One set of weights can look for one thing.

    # %%
    y = attention(x)

is a Markdown cell and a code cell (the percent format, which editors and Jupytext read).

cells = read_cells(script.read_text(encoding="utf-8"))
execute(cells[2], script, namespace)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A cell of a lesson.

    Attributes:
        kind: "markdown" or "code".
        source: its text; a Markdown cell's without the comment signs.
        line: the number of its first line in the script, from 1.
    """

    kind: str
    source: str
    line: int

    @property
    def is_prose(self) -> bool:
        """Returns whether it is a Markdown cell."""
        return self.kind == "markdown"


def read_cells(script: str) -> list[Cell]:
    """Returns the cells of a script in their order, without empty ones.

    What stands before the first mark is left out: a script has a shebang or nothing there.

    Raises:
        ValueError: a line of a Markdown cell is no comment, or there are no cells.
    """
    cells: list[Cell] = []
    lines = script.splitlines()
    marks = [number for number, line in enumerate(lines) if line.startswith("# %%")]
    if not marks:
        raise ValueError('the script has no cells: no line starts with "# %%"')
    for start, end in zip(marks, [*marks[1:], len(lines)], strict=True):
        markdown = "[markdown]" in lines[start]
        body, first = trimmed(lines[start + 1 : end], start + 2)
        if not body:
            continue
        if markdown:
            body = [uncommented(line, first + i) for i, line in enumerate(body)]
        cells.append(Cell("markdown" if markdown else "code", "\n".join(body), first))
    return cells


def trimmed(lines: list[str], first: int) -> tuple[list[str], int]:
    """Returns lines without empty ones at both ends, and the number of the first that is left."""
    full = [i for i, line in enumerate(lines) if line.strip()]
    return (lines[full[0] : full[-1] + 1], first + full[0]) if full else ([], first)


def uncommented(line: str, number: int) -> str:
    """Returns a line of Markdown without its "# "."""
    if not line.strip():
        return ""
    if not line.startswith("#"):
        raise ValueError(f"line {number} of a Markdown cell does not start with #: {line[:60]!r}")
    return line[1:].removeprefix(" ")


def execute(cell: Cell, script: Path, namespace: dict[str, Any]) -> None:
    """Runs a code cell in a namespace; tracebacks and `inspect` find its lines in the script."""
    source = "\n" * (cell.line - 1) + cell.source
    code = compile(source, str(script), "exec", dont_inherit=True)  # by the rules of a script
    exec(code, namespace)

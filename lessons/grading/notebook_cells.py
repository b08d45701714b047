"""Finds the solutions in a notebook's cells.

Only what the exercises need is a solution: functions, classes, and the imports and constants that
they reach. A plot or a print beside them is ignored.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from lessons.grading.needs import needed
from lessons.grading.task import first_line
from minigpt.files.json_objects import parse_json
from minigpt.files.schema import Either, ListOf, Object, Text, check

CELL = Object({"cell_type": Text(), "source": Either(Text(), ListOf(Text()))})
NOTEBOOK = Object({"cells": ListOf(CELL)})


def without_magics(cell: str) -> str:
    """Returns a cell with an empty line for each %magic, !command and ?question."""
    if cell.lstrip().startswith("%%"):
        return ""
    lines = cell.splitlines()
    return "\n".join(
        "" if line.lstrip()[:1] in ("%", "!", "?") or line.rstrip().endswith("?") else line
        for line in lines
    )


def solution_of(cells: Iterable[str], names: Iterable[str]) -> str:
    """Returns the text of the cells that these names need; its other lines are empty.

    Text that does not parse comes back whole, so that the learner is told where.
    """
    text = "\n\n".join(map(without_magics, cells))
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    kept: set[int] = set()
    for statement in needed(tree, *names):
        first = statement.lineno
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            first = first_line(statement)
        kept |= set(range(first, (statement.end_lineno or first) + 1))
    lines = enumerate(text.splitlines(), start=1)
    return "\n".join(line if number in kept else "" for number, line in lines) + "\n"


def cells_of(text: str) -> list[str]:
    """Returns the code cells of a notebook's file.

    Raises:
        ValueError: it is not a notebook.
    """
    book = parse_json(text, "the notebook")
    check(book, NOTEBOOK, "the notebook")
    found = [cell["source"] for cell in book["cells"] if cell["cell_type"] == "code"]
    return ["".join(source) for source in found]

"""Checks what stands in a notebook: its file, or the cells that have been run so far.

    check("8.2")    # in a cell below the exercise

Of cells only what the exercises need is a solution: functions, classes, and the imports and
constants that they reach. A plot or a print beside them is nobody's business.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from typing import Any

from lessons.grading.needs import needed
from lessons.grading.registry import task_of, tasks_of
from lessons.grading.task import first_line


def check(number: str, seed: int = 0) -> None:
    """Checks an exercise ("8.2") of the notebook that this is called in, and prints the report.

    Raises:
        RuntimeError: this is no notebook.
    """
    from lessons.grading.check import check_text
    from lessons.grading.report import Report

    try:
        history = get_ipython().user_ns["In"]  # type: ignore[name-defined]
    except NameError:
        raise RuntimeError(
            "check works in a notebook; for a file there is: minigpt exercise check FILE"
        ) from None
    task = task_of(number)
    tasks = tasks_of(task.lesson)
    code = solution_of(filter(parses, history), [task.name for task in tasks])
    report = Report()
    report.show(check_text(code, tasks, seed=seed, only=[number]))


def parses(cell: str) -> bool:
    """Tells whether a cell is Python, apart from its magics."""
    try:
        ast.parse(without_magics(cell))
    except (SyntaxError, ValueError):
        return False
    return True


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
        ValueError: it is no notebook.
    """
    try:
        book: Any = json.loads(text)
        found = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
        return ["".join(cell["source"]) for cell in found]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"it is no notebook that Jupyter could read ({error})") from None

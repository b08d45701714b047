"""Checks an exercise in the notebook that it stands in, by the cells that have been run so far.

check("8.2")    # in a cell below the exercise
"""

from __future__ import annotations

import ast

from lessons.grading.check import check_text
from lessons.grading.many import sandbox_for
from lessons.grading.notebook_cells import solution_of, without_magics
from lessons.grading.registry import task_of, tasks_of
from lessons.grading.report import Report


def check(number: str, seed: int = 0) -> None:
    """Checks an exercise ("8.2") of the notebook that this is called in, and prints the report.

    Raises:
        RuntimeError: this is not a notebook.
    """
    try:
        history = get_ipython().user_ns["In"]  # type: ignore[name-defined]
    except NameError:
        raise RuntimeError(
            "check works in a notebook; for a file there is: minigpt exercise check FILE"
        ) from None
    task = task_of(number)
    tasks = tasks_of(task.lesson)
    code = solution_of(filter(parses, history), [task.name for task in tasks])
    Report().show(check_text(code, tasks, seed, [number], sandbox=sandbox_for(task.lesson)))


def parses(cell: str) -> bool:
    """Returns whether a cell is Python, apart from its magics."""
    try:
        ast.parse(without_magics(cell))
    except (SyntaxError, ValueError):
        return False
    return True

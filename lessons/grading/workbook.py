"""Writes the files that a learner works in: stubs as a script or a notebook, and the task sheet."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lessons.grading.audit import importable
from lessons.grading.progress import make_folder
from lessons.grading.registry import Lesson, lesson, tasks_of
from lessons.grading.stub import WIDTH, import_lines, stub_of
from minigpt.files.atomic import write_text

if TYPE_CHECKING:
    from lessons.grading.task import Task

CHECKS = "checks an exercise"  # the tag of a notebook's cells that are not part of the solution


def start(number: int, folder: Path, notebook: bool = False) -> Path:
    """Writes the file of a lesson's stubs into a folder and returns its path.

    Raises:
        FileExistsError: the file is there; nothing is overwritten.
        ValueError: the lesson has no exercises.
    """
    path = folder / f"{lesson(number).stem}.{'ipynb' if notebook else 'py'}"
    if path.exists():
        raise FileExistsError(
            f"{path} is there already and stays as it is; go on in it, rename it to start anew, or "
            f"start in another folder with --dir"
        )
    make_folder(folder)
    write_text(path, notebook_text(number) if notebook else script_text(number))
    return path


def script_text(number: int) -> str:
    """Returns a lesson's stubs as a script in percent cells."""
    first, *tasks = cells(number)
    text = as_comment(first[0]) + "\n\n# %%\n" + first[1] + "\n"
    for markdown, code in tasks:
        text += f"\n{as_comment(markdown)}\n\n\n# %%\n{code}\n\n"
    return text.rstrip() + "\n"


def as_comment(markdown: str) -> str:
    """Returns a markdown cell as a script holds it."""
    return "\n".join(["# %% [markdown]", *(f"# {line}".rstrip() for line in markdown.splitlines())])


def notebook_text(number: int) -> str:
    """Returns a lesson's stubs as a notebook; the last cell of each exercise checks it.

    Raises:
        ImportError: nbformat is missing.
    """
    try:
        from nbformat import v4
    except ImportError:
        raise ImportError("writing a notebook needs nbformat: pip install nbformat") from None
    (head, imports), *tasks = cells(number, "the cell below an exercise checks it")
    made: list[Any] = [v4.new_markdown_cell(head), v4.new_code_cell(imports)]
    for task, (markdown, code) in zip(tasks_of(number), tasks, strict=True):
        tags = {"metadata": {"tags": [CHECKS]}}
        made += [v4.new_markdown_cell(markdown), v4.new_code_cell(code)]
        made.append(v4.new_code_cell(f'check("{task.id}")', **tags))
    for i, cell in enumerate(made):
        cell["id"] = f"{lesson(number).stem}-{i}".replace("_", "-")  # the same file each time
    made[1]["source"] += "\n\nfrom lessons.grading.notebook import check"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    book = v4.new_notebook(cells=made, metadata={"kernelspec": kernel})
    return json.dumps(book, ensure_ascii=False, indent=1) + "\n"


def cells(number: int, how: str = "") -> list[tuple[str, str]]:
    """Returns a (markdown, code) pair for the head of a lesson's file and for each exercise.

    Args:
        how: how an exercise is checked; empty for the command.
    """
    here, tasks = lesson(number), tasks_of(number)
    stubs = [stub_of(task) for task in tasks]
    aliases = list(dict.fromkeys(alias for stub in stubs for alias in stub.aliases))
    imports = import_lines(stubs)
    code = "\n".join([*imports, "", *aliases]).strip()
    head = heading(here, how or f"`minigpt exercise check {number}` checks what you have written")
    return [(head, code), *((introduction(t), s.code) for t, s in zip(tasks, stubs, strict=True))]


def heading(here: Lesson, how: str) -> str:
    """Returns the first cell of a lesson's file."""
    triton = any(task.triton for task in tasks_of(here.number))
    text = (
        f"Replace each `raise NotImplementedError` by your own code; {how}, and "
        f"`minigpt exercise hint {tasks_of(here.number)[0].id}` gives a hint. Write helper "
        f"functions and imports as you like. Allowed are {importable(triton)}."
    )
    return f"# Exercises {here.number}: {here.title}\n\n{textwrap.fill(text, WIDTH - 2)}"


def introduction(task: Task) -> str:
    """Returns the markdown cell in front of an exercise."""
    return f"## Exercise {task.id}: {task.name}\n\n{textwrap.fill(task.idea, WIDTH - 2)}"


def sheet_text(number: int) -> str:
    """Returns the task sheet of a lesson in Markdown: ideas, stubs, examples and points."""
    here, tasks = lesson(number), tasks_of(number)
    total = sum(task.points for task in tasks)
    parts = [
        f"# Exercises {number}: {here.title}",
        f"Hand in one file, `{here.stem}.py` or `{here.stem}.ipynb`. It is checked function by "
        f"function: each is called by its name, so keep names and signatures. There are "
        f"{total} points.",
    ]
    for task in tasks:
        code = stub_of(task).code
        points = f"{task.points} point{'s' if task.points != 1 else ''}"
        parts += [f"## {task.id} {task.name} ({points})", task.idea, f"```python\n{code}\n```"]
    return "\n\n".join(parts) + "\n"

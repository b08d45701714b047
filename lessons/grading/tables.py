"""Verdicts for other programs and for many files: JSON lines, CSV, a Markdown table, a grid."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lessons.grading.check import Checked
from lessons.grading.registry import tasks_of

if TYPE_CHECKING:
    from rich.console import Console

    from lessons.grading.judge import Verdict

FIELDS = ("id", "name", "status", "mistake", "message", "seconds")


def json_line(checked: Checked) -> str:
    """Returns a file's verdicts as one line of JSON: file, lesson, seed and tasks."""
    tasks = [{name: getattr(verdict, name) for name in FIELDS} for verdict in checked.verdicts]
    for task in tasks:
        task["seconds"] = round(task["seconds"], 3)
    whole = {"file": checked.file, "lesson": checked.lesson, "seed": checked.seed, "tasks": tasks}
    return json.dumps(whole, ensure_ascii=False)


def points(checked: Checked) -> tuple[int, int]:
    """Returns the points of a file and those there are for the tasks that were checked."""
    worth = {task.id: task.points for task in tasks_of(checked.lesson)}
    passed = [verdict.id for verdict in checked.verdicts if verdict.status == "passed"]
    return sum(map(worth.__getitem__, passed)), sum(worth[v.id] for v in checked.verdicts)


def described(verdict: Verdict) -> str:
    """Returns a status, and the mistake behind it if it has a name."""
    return verdict.status + (f" ({verdict.mistake})" if verdict.mistake else "")


def csv_text(files: Sequence[Checked]) -> str:
    """Returns a table with a row a file and a column a task."""
    ids = column_ids(files)
    written = io.StringIO()
    table = csv.writer(written)
    table.writerow(["file", "lesson", "seed", "points", "of", *ids])
    for checked in files:
        states = {verdict.id: described(verdict) for verdict in checked.verdicts}
        row = [checked.file, checked.lesson, checked.seed, *points(checked)]
        table.writerow([*row, *(states.get(i, "") for i in ids)])
    return written.getvalue()


def column_ids(files: Sequence[Checked]) -> list[str]:
    """Returns the ids of all tasks of some files, each once, in the course's order."""
    ids = {verdict.id for checked in files for verdict in checked.verdicts}
    return sorted(ids, key=lambda i: tuple(map(int, i.split("."))))


def markdown_text(files: Sequence[Checked]) -> str:
    """Returns a table a file in Markdown, as GitHub shows it in the summary of a job."""
    parts = []
    for checked in files:
        got, of = points(checked)
        lines = [f"### {checked.file}: {got} of {of} points", "", "| | task | | |", "|-|-|-|-|"]
        for verdict in checked.verdicts:
            mark = "✅" if verdict.status == "passed" else "❌"
            cells = [mark, f"{verdict.id} `{verdict.name}`", verdict.status, verdict.message]
            lines.append(f"| {' | '.join(map(in_a_cell, cells))} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def in_a_cell(text: str) -> str:
    """Returns text that a cell of a Markdown table can hold; nothing in it is HTML."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(text.split())


def append_markdown(path: Path, files: Sequence[Checked]) -> None:
    """Adds the table to a file that may have other contents: a job's summary."""
    with path.open("a", encoding="utf-8") as file:
        file.write(markdown_text(files) + "\n")


def print_grid(files: Sequence[Checked], console: Console) -> None:
    """Prints a row a file and a column a task, and the commonest mistakes below."""
    from rich.table import Table
    from rich.text import Text

    ids = column_ids(files)
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column("file", overflow="fold")
    for name in (*ids, "points"):
        grid.add_column(name, justify="right", no_wrap=True)
    names = without_folder([checked.file for checked in files])
    for name, checked in zip(names, files, strict=True):
        states = {verdict.id: verdict.status for verdict in checked.verdicts}
        got, of = points(checked)
        cells = [cell(states.get(i)) for i in ids]
        grid.add_row(Text(name), *cells, f"{got}/{of}")
    console.print(grid)
    if shared := commonest(files):
        console.print("\nMistakes that several files share:")
    for count, number, name in shared:
        console.print(f"{count} x {number}: {name}")


def without_folder(names: Sequence[str]) -> list[str]:
    """Returns the names of files without the folders that all of them begin with."""
    folders = {Path(name).parent for name in names}
    try:
        shared = os.path.commonpath(folders)
    except ValueError:  # some begin at the root and some do not
        return list(names)
    return [str(Path(name).relative_to(shared)) for name in names]


def cell(status: str | None) -> str:
    """Returns a status in few letters."""
    short = {"passed": "ok", "not_started": "-", "missing": "-", "unchecked": "?", None: ""}
    return short.get(status, str(status))


def commonest(files: Sequence[Checked], most: int = 5) -> list[tuple[int, str, str]]:
    """Returns (how often, task, name) of the mistakes that most files share."""
    count: dict[tuple[str, str], int] = {}
    for checked in files:
        for verdict in checked.verdicts:
            if verdict.mistake:
                key = (verdict.id, verdict.mistake)
                count[key] = count.get(key, 0) + 1
    ranked = sorted(((n, *key) for key, n in count.items()), key=lambda row: (-row[0], row[1:]))
    return [row for row in ranked if row[0] > 1][:most]

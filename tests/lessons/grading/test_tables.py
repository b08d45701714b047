"""Verdicts for programs and for whole classes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from lessons.grading import tables
from lessons.grading.check import Checked
from lessons.grading.judge import Verdict

pytestmark = pytest.mark.usefixtures("small_course")


def checked(file: str, *states: str, mistake: str | None = None, message: str = "") -> Checked:
    """Returns a file with these states; every task that failed has the mistake."""
    verdicts = [
        Verdict(
            f"99.{i}", name, state, mistake if state == "failed" else None, message, seconds=0.12345
        )
        for i, (name, state) in enumerate(
            zip(("double", "quadruple", "add_up"), states, strict=False), start=1
        )
    ]
    return Checked(file, 99, 7, verdicts)


FILES = [
    checked("anna.py", "passed", "passed", "passed"),
    checked("ben, b.py", "passed", "failed", "timeout", mistake="eight times"),
    checked("cleo.py", "passed", "failed", "not_started", mistake="eight times"),
]


def test_json_has_exactly_the_fields_that_are_promised() -> None:
    line = tables.json_line(FILES[1])
    assert "\n" not in line
    found = json.loads(line)
    assert list(found) == ["file", "lesson", "seed", "tasks"]
    assert (found["file"], found["lesson"], found["seed"]) == ("ben, b.py", 99, 7)
    assert found["tasks"][1] == {
        "id": "99.2", "name": "quadruple", "status": "failed", "mistake": "eight times",
        "message": "", "seconds": 0.123,
    }  # fmt: skip
    assert [task["mistake"] for task in found["tasks"]] == [None, "eight times", None]


def test_points_are_those_of_the_tasks_that_passed() -> None:
    assert [tables.points(file) for file in FILES] == [(5, 5), (1, 5), (1, 5)]
    assert tables.points(checked("x.py", "passed")) == (1, 1)  # only this one was checked


def test_csv_has_a_row_a_file_and_a_column_a_task() -> None:
    rows = list(csv.reader(io.StringIO(tables.csv_text(FILES))))
    assert rows[0] == ["file", "lesson", "seed", "points", "of", "99.1", "99.2", "99.3"]
    assert rows[2] == [
        "ben, b.py",
        "99",
        "7",
        "1",
        "5",
        "passed",
        "failed (eight times)",
        "timeout",
    ]
    assert len(rows) == 4


def test_markdown_keeps_what_a_learner_wrote_out_of_its_table() -> None:
    text = tables.markdown_text([checked("a.py", "error", message="a | b\n<script>&")])
    row = text.splitlines()[-1]
    assert row == "| ❌ | 99.1 `double` | error | a \\| b &lt;script>&amp; |"
    assert "### a.py: 0 of 1 points" in text


def test_markdown_is_added_to_what_is_there(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# Before\n", encoding="utf-8")
    tables.append_markdown(summary, FILES[:1])
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("# Before\n### anna.py: 5 of 5 points\n")
    assert text.count("✅") == 3


def test_the_grid_has_all_files_and_the_mistakes_they_share() -> None:
    written = io.StringIO()
    tables.print_grid(FILES, Console(file=written, width=100))
    lines = [line.split() for line in written.getvalue().splitlines() if line.strip()]
    assert ["anna.py", "ok", "ok", "ok", "5/5"] in lines
    assert ["cleo.py", "ok", "failed", "-", "1/5"] in lines
    assert lines[-1] == ["2", "x", "99.2:", "eight", "times"]


def test_the_grid_leaves_out_the_folder_that_all_files_are_in() -> None:
    assert tables.without_folder(["a/b/c.py", "a/d.py"]) == ["b/c.py", "d.py"]
    assert tables.without_folder(["/x/c.py", "/x/d.py"]) == ["c.py", "d.py"]
    assert tables.without_folder(["c.py", "/x/d.py"]) == ["c.py", "/x/d.py"]


def test_columns_are_in_the_course_s_order() -> None:
    files = [
        Checked("a.py", 10, 0, [Verdict("10.1", "a", "passed"), Verdict("10.10", "b", "passed")]),
        Checked("b.py", 9, 0, [Verdict("9.2", "c", "passed"), Verdict("10.2", "d", "passed")]),
    ]
    assert tables.column_ids(files) == ["9.2", "10.1", "10.2", "10.10"]

"""Runs checks and says how they go: verdict by verdict for one file, with a bar for many."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lessons.grading import gradescope, tables
from lessons.grading.bank_audit import TaskAudit, audit, ids_here
from lessons.grading.check import Checked, check_submission
from lessons.grading.kernel_code import ARCH, machine_code, right_kernels
from lessons.grading.many import check_submissions
from lessons.grading.report import Report, make_console
from lessons.grading.submission import Submission
from minigpt.files.atomic import write_text
from minigpt.text.bars import progress_bar


def check_aloud(
    submission: Submission, seed: int, only: list[str] | None, as_json: bool
) -> Checked:
    """Checks one file and prints each verdict as it comes; as_json prints one line at the end."""
    if as_json:
        checked = check_submission(submission, seed, only)
        print(tables.json_line(checked), flush=True)
        return checked
    report = Report()
    checked = check_submission(submission, seed, only, report.verdict)
    report.summary(checked.lesson, checked.verdicts)
    show_machine_code(submission, checked, report)
    return checked


def show_machine_code(submission: Submission, checked: Checked, report: Report) -> None:
    """Prints what the compiler makes of the kernels that are right."""
    if not (names := right_kernels(checked)):
        return
    report.line((f"\nCompiling {' and '.join(names)} for {ARCH}, no GPU is needed ...", "dim"))
    rows, sentences = machine_code(submission.code, names)
    for name, kernels in rows.items():
        report.machine_code(name, kernels)
    for sentence in sentences:
        report.line((sentence, "dim"))


def check_with_progress(
    submissions: Sequence[Submission], seed: int, only: list[str] | None, jobs: int, as_json: bool
) -> list[Checked]:
    """Checks many files with a bar, and prints a table of all of them or lines of JSON."""
    with progress_bar(len(submissions), "file", show=not as_json) as advance:
        files = check_submissions(submissions, seed, only, jobs, lambda _: advance())
    if as_json:
        for checked in files:
            print(tables.json_line(checked), flush=True)
    else:
        tables.print_grid(files, make_console())
    return files


def audit_with_progress(numbers: list[int] | None, seed: int) -> list[TaskAudit]:
    """Tries the banks with a bar."""
    ids, _ = ids_here(numbers)
    with progress_bar(len(ids), "task") as advance:
        return audit(numbers, seed, lambda _: advance())


def write_tables(files: Sequence[Checked], csv: Path | None, markdown: Path | None) -> None:
    """Writes the tables that were asked for."""
    if csv is not None:
        write_text(csv, tables.csv_text(files))
    if markdown is not None:
        tables.append_markdown(markdown, files)


def write_gradescope(path: Path, submission: Submission, checked: Checked, seconds: float) -> None:
    """Writes Gradescope's results.json."""
    board = gradescope.leaderboard(submission.code, right_kernels(checked))
    found = gradescope.results(checked, seconds, board)
    write_text(path, json.dumps(found, indent=1) + "\n")

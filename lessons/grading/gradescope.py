"""Checks what a student handed in on Gradescope, and writes the results.json it asks for.

    python -m lessons.grading.gradescope 8 SUBMISSION_FOLDER RESULTS_FILE [SEED]

The fields are those of https://gradescope-autograders.readthedocs.io/en/latest/specs/.
"""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lessons.grading.kernel_code import ARCH, machine_code, right_kernels
from lessons.grading.registry import lesson, tasks_of
from minigpt.files.atomic import write_text

if TYPE_CHECKING:
    from lessons.grading.check import Checked
    from lessons.grading.judge import Verdict


def results(
    checked: Checked, seconds: float, leaderboard: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Returns the content of results.json: a test a task, with its points and the report.

    Args:
        seconds: what checking took.
        leaderboard: entries with "name", "value" and "order".
    """
    worth = {task.id: task.points for task in tasks_of(checked.lesson)}
    tests = [entry_of(verdict, worth[verdict.id]) for verdict in checked.verdicts]
    found: dict[str, Any] = {
        "score": sum(test["score"] for test in tests),
        "execution_time": round(seconds),
        "output": f"Lesson {checked.lesson}: {lesson(checked.lesson).title}",
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"seed": checked.seed, "file": Path(checked.file).name},
        "tests": tests,
    }
    return found | ({"leaderboard": leaderboard} if leaderboard else {})


def leaderboard(code: str, kernels: tuple[str, ...]) -> list[dict[str, Any]]:
    """Returns an entry for each kernel that is right: the instructions an element costs.

    A loop that runs an unknown number of times has none.
    """
    rows, _sentences = machine_code(code, kernels) if kernels else ({}, [])
    return [
        {
            "name": f"{name}: instructions an element ({ARCH})",
            "value": round(n, 2),
            "order": "asc",
        }
        for name, made in rows.items()
        if (n := made[0].instructions_per_element) is not None
    ]


def entry_of(verdict: Verdict, points: int) -> dict[str, Any]:
    """Returns one entry of "tests"; its output is what a learner reads in the terminal."""
    passed = verdict.status == "passed"
    return {
        "name": f"{verdict.id} {verdict.name}",
        "number": verdict.id,
        "score": float(points if passed else 0),
        "max_score": float(points),
        "status": "passed" if passed else "failed",
        "output": "passed" if passed else report_text(verdict),
        "output_format": "text",
        "visibility": "visible",
        "extra_data": {"status": verdict.status, "mistake": verdict.mistake},
    }


def report_text(verdict: Verdict) -> str:
    """Returns the report on one verdict as plain text."""
    from rich.console import Console

    from lessons.grading.report import WIDTH, Report

    written = io.StringIO()
    Report(Console(file=written, width=WIDTH, color_system=None)).verdict(verdict)
    return written.getvalue().strip()


def nothing_to_check(number: int, why: str) -> dict[str, Any]:
    """Returns results without points for a submission that cannot be checked."""
    tests = [
        {"name": f"{task.id} {task.name}", "score": 0.0, "max_score": float(task.points)}
        for task in tasks_of(number)
    ]
    return {"score": 0.0, "output": why, "visibility": "visible", "tests": tests}


def handed_in(folder: Path, number: int) -> Path:
    """Returns the file of a submission's folder that is to be checked.

    Raises:
        ValueError: there is none, or there are several and none has the exercises' name.
    """
    found = sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".ipynb") and p.is_file())
    stem = lesson(number).stem
    named = [path for path in found if path.stem == stem]
    if len(named) == 1 or len(found) == 1:
        return (named or found)[0]
    names = ", ".join(path.name for path in found) or "no file of Python"
    raise ValueError(f"Hand in one file, {stem}.py or {stem}.ipynb; there is {names}.")


def grade(number: int, folder: Path, seed: int) -> dict[str, Any]:
    """Checks a submission's folder and returns the content of results.json."""
    from lessons.grading.check import check_submission
    from lessons.grading.submission import read_submission

    started = time.perf_counter()
    try:
        submission = read_submission(handed_in(folder, number), number)
    except (ValueError, OSError) as error:
        return nothing_to_check(number, str(error))
    checked = check_submission(submission, seed)
    board = leaderboard(submission.code, right_kernels(checked))
    return results(checked, time.perf_counter() - started, board)


def main(number: str, folder: str, file: str, seed: str = "0") -> None:
    """Grades a folder; the file of results is written whatever happens."""
    try:
        found = grade(int(number), Path(folder), int(seed))
    except Exception as error:
        found = nothing_to_check(
            int(number), f"The autograder failed ({error}); tell your teacher."
        )
        write_text(Path(file), json.dumps(found, indent=1))
        raise
    write_text(Path(file), json.dumps(found, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""`minigpt exercise check` and `watch`: which files, which tasks, and where the verdicts go."""

from __future__ import annotations

import re
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.command.exercise_options import add_folder, add_seed, folder_option

if TYPE_CHECKING:
    from lessons.grading.check import Checked
    from lessons.grading.judge import Verdict
    from lessons.grading.submission import Submission


def check_options(parser: ArgumentParser) -> None:
    """Adds the options of `check`."""
    add = parser.add_argument
    add("what", nargs="+", metavar="WHAT", help="a lesson (8), an exercise (8.2) or files")
    add("--lesson", type=int, metavar="N", help="whose exercises the files hold")
    add("--only", metavar="IDS", help="these exercises: 8.2,8.3")
    add("--jobs", type=int, default=2, metavar="N", help="files at once (default 2)")
    add_seed(parser)
    add_folder(parser)
    add("--json", action="store_true", help="print one JSON object a file, one a line")
    add("--csv", type=Path, metavar="FILE", help="also write a table, a row a file")
    add("--markdown", type=Path, metavar="FILE", help="also add a table in Markdown to this file")
    add("--gradescope", type=Path, metavar="FILE", help="also write Gradescope's results.json")


def check(arguments: Namespace) -> int:
    """Checks files; returns 0 if all tasks of all of them passed, else 1."""
    begin_early(arguments.what)
    from lessons.grading import outputs

    submissions, only = read_all(arguments)
    if arguments.gradescope is not None and len(submissions) != 1:
        raise ValueError(f"--gradescope is for one file, got {len(submissions)}")
    if arguments.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {arguments.jobs}")
    started = time.perf_counter()
    if len(submissions) == 1:
        files = [outputs.check_aloud(submissions[0], arguments.seed, only, arguments.json)]
    else:
        files = outputs.check_with_progress(
            submissions, arguments.seed, only, arguments.jobs, arguments.json
        )
    remember(arguments, files)
    outputs.write_tables(files, arguments.csv, arguments.markdown)
    if arguments.gradescope is not None:
        seconds = time.perf_counter() - started
        outputs.write_gradescope(arguments.gradescope, submissions[0], files[0], seconds)
    return int(not all(checked.passed for checked in files))


KERNEL_LESSONS = (10, 11)


def begin_early(what: Sequence[str]) -> None:
    """Starts the process that runs one file's exercises; torch takes both processes seconds."""
    from lessons.grading.processes import start_early

    number = re.match(r"\d+", Path(what[0]).name)
    if len(what) == 1 and number:
        start_early(triton=int(number[0]) in KERNEL_LESSONS)


def read_all(arguments: Namespace) -> tuple[list[Submission], list[str] | None]:
    """Returns the files that were named, read, and which exercises to check; None for all."""
    from lessons.grading.registry import lesson, task_of
    from lessons.grading.submission import read_submission

    only = None if arguments.only is None else arguments.only.split(",")
    for number in only or []:
        task_of(number)
    if arguments.lesson is not None:
        lesson(arguments.lesson)
    found: dict[Path, Submission] = {}
    for text in arguments.what:
        path, number = Path(text), arguments.lesson
        if is_number(text):
            path, number = file_of(text, arguments.dir), int(text.partition(".")[0])
            if "." in text:
                only = [*(only or []), task_of(text).id]
        found[path] = read_submission(path, number)
    submissions = list(found.values())
    for submission in submissions:
        if only and all(int(n.partition(".")[0]) != submission.lesson for n in only):
            raise ValueError(
                f"{submission.file} is for lesson {submission.lesson}, and {', '.join(only)} is not"
            )
    return submissions, only


def is_number(text: str) -> bool:
    """Tells whether a word is a lesson (8) or an exercise (8.2) and not a file."""
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None and not Path(text).exists()


def file_of(number: str, folder: Path) -> Path:
    """Returns the learner's file for a lesson (8) or an exercise (8.2).

    Raises:
        FileNotFoundError: it has not been started.
    """
    from lessons.grading.registry import lesson

    here = lesson(int(number.partition(".")[0]))
    paths = [folder / f"{here.stem}.{ending}" for ending in ("py", "ipynb")]
    for path in paths:
        if path.exists():
            return path
    raise FileNotFoundError(
        f"there is no {paths[0]}; write it with: minigpt exercise start {here.number}"
        f"{folder_option(folder)}"
    )


def remember(arguments: Namespace, files: Sequence[Checked]) -> None:
    """Remembers what passed, of files in a learner's folder."""
    from lessons.grading.progress import is_kept, record

    for checked in files:
        folder = Path(checked.file).parent
        if is_kept(folder):
            record(folder, checked.verdicts)


def watch_options(parser: ArgumentParser) -> None:
    """Adds the options of `watch`."""
    parser.add_argument("what", metavar="WHAT", help="a lesson (8) or a file")
    parser.add_argument("--lesson", type=int, metavar="N", help="whose exercises the file holds")
    add_seed(parser)
    add_folder(parser)


def watch(arguments: Namespace) -> int:
    """Checks a file whenever it is saved, until Ctrl-C."""
    begin_early([arguments.what])
    from lessons.grading.progress import is_kept, record
    from lessons.grading.report import Report
    from lessons.grading.watch import watch

    path, lesson = Path(arguments.what), arguments.lesson
    if is_number(arguments.what):
        path = file_of(arguments.what, arguments.dir)
        lesson = int(arguments.what.partition(".")[0])

    def on_round(verdicts: list[Verdict]) -> None:
        if is_kept(path.parent):
            record(path.parent, verdicts)

    try:
        watch(path, lesson, arguments.seed, Report(), on_round)
    except KeyboardInterrupt:
        print()
    return 0

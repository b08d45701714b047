"""`minigpt exercise check` and `watch`: which files, which tasks, and where the verdicts go."""

from __future__ import annotations

import re
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.command import values
from minigpt.command.exercise_options import add_folder, add_seed, folder_of, folder_option
from minigpt.command.parser import refuse_idle

if TYPE_CHECKING:
    from lessons.grading.check import Checked
    from lessons.grading.judge import Verdict
    from lessons.grading.submission import Submission


DEFAULT_JOBS = 2


def check_options(parser: ArgumentParser) -> None:
    """Adds the options of `check`."""
    add = parser.add_argument
    add(
        "what", type=values.name_or_path, nargs="+", metavar="WHAT",
        help="a lesson (8), an exercise (8.2) or files",
    )  # fmt: skip
    add("--lesson", type=values.whole(0), metavar="N", help="whose exercises the files hold")
    add("--only", type=values.names, metavar="IDS", help="these exercises: 8.2,8.3")
    add(
        "--jobs", type=values.whole(1, 1000), metavar="N",
        help=f"files at once (default {DEFAULT_JOBS})",
    )  # fmt: skip
    add_seed(parser)
    add_folder(parser)
    add("--json", action="store_true", help="print one JSON object a file, one a line")
    for option, text in {
        "--csv": "also write a table, a row a file",
        "--markdown": "also add a table in Markdown to this file",
        "--gradescope": "also write Gradescope's results.json",
    }.items():
        add(option, type=values.file_to_write, metavar="FILE", help=text)


def check(arguments: Namespace) -> int:
    """Checks files; returns 0 if all tasks of all of them passed, else 1."""
    arguments.what = [name for text in arguments.what for name in files_named(text)]
    refuse_idle_of_numbers_or_files(arguments, arguments.what)
    begin_early(arguments.what)
    from lessons.grading import outputs

    submissions, only = read_all(arguments)
    if arguments.gradescope is not None and len(submissions) != 1:
        raise ValueError(f"--gradescope is for one file, got {len(submissions)}")
    if len(submissions) == 1:
        refuse_idle(arguments, ["--jobs"], "for one file")
    started = time.perf_counter()
    if len(submissions) == 1:
        files = [outputs.check_aloud(submissions[0], arguments.seed, only, arguments.json)]
    else:
        files = outputs.check_with_progress(
            submissions, arguments.seed, only, arguments.jobs or DEFAULT_JOBS, arguments.json
        )
    remember(files)
    outputs.write_tables(files, arguments.csv, arguments.markdown)
    if arguments.gradescope is not None:
        seconds = time.perf_counter() - started
        outputs.write_gradescope(arguments.gradescope, submissions[0], files[0], seconds)
    return int(not all(checked.passed for checked in files))


def files_named(text: str) -> list[str]:
    """Returns the files that a word such as handed-in/*.py stands for, where no shell has done so.

    A word that is a file's name, or stands for no file, is returned as it is.
    """
    found = [] if Path(text).exists() else sorted(glob(text))
    return found or [text]


def refuse_idle_of_numbers_or_files(arguments: Namespace, what: Sequence[str]) -> None:
    """Raises ValueError for a --lesson beside a lesson's number, or a --dir beside files only."""
    numbers = [text for text in what if is_number(text)]
    if len(numbers) == len(what):
        refuse_idle(arguments, ["--lesson"], f"beside {numbers[0]}, which says the lesson")
    if not numbers:
        refuse_idle(arguments, ["--dir"], "beside files; it is for a lesson's number")


KERNEL_LESSONS = (10, 11)


def begin_early(what: Sequence[str]) -> None:
    """Starts the process that runs one file's exercises; torch takes both processes seconds."""
    from lessons.grading.processes import start_early

    number = re.match(r"\d{1,9}", Path(what[0]).name)
    if len(what) == 1 and number:
        start_early(triton=int(number[0]) in KERNEL_LESSONS)


def read_all(arguments: Namespace) -> tuple[list[Submission], list[str] | None]:
    """Returns the files that were named, read, and which exercises to check; None for all."""
    from lessons.grading.registry import lesson, task_of
    from lessons.grading.submission import read_submission

    only = None if arguments.only is None else list(arguments.only)
    for number in only or []:
        try:
            task_of(number)
        except ValueError as error:
            raise ValueError(f"--only: {error}") from None
    if arguments.lesson is not None:
        lesson(arguments.lesson)
    found: dict[Path, Submission] = {}
    for text in arguments.what:
        path, number = Path(text), arguments.lesson
        if is_number(text):
            path, number = file_of(text, folder_of(arguments)), int(text.partition(".")[0])
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
    """Returns whether a word is a lesson (8) or an exercise (8.2) and not a file."""
    return re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) is not None and not Path(text).exists()


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


def remember(files: Sequence[Checked]) -> None:
    """Remembers what passed, of files in a learner's folder."""
    from lessons.grading.progress import is_kept, record

    for checked in files:
        folder = Path(checked.file).parent
        if is_kept(folder):
            record(folder, checked.verdicts)


def watch_options(parser: ArgumentParser) -> None:
    """Adds the options of `watch`."""
    parser.add_argument(
        "what", type=values.name_or_path, metavar="WHAT", help="a lesson (8) or a file"
    )
    parser.add_argument(
        "--lesson", type=values.whole(0), metavar="N", help="whose exercises the file holds"
    )
    add_seed(parser)
    add_folder(parser)


def watch(arguments: Namespace) -> int:
    """Checks a file whenever it is saved, until Ctrl-C."""
    refuse_idle_of_numbers_or_files(arguments, [arguments.what])
    begin_early([arguments.what])
    from lessons.grading.progress import is_kept, record
    from lessons.grading.report import Report
    from lessons.grading.watch import watch

    path, lesson = Path(arguments.what), arguments.lesson
    if is_number(arguments.what):
        path = file_of(arguments.what, folder_of(arguments))
        lesson = int(arguments.what.partition(".")[0])

    def on_round(verdicts: list[Verdict]) -> None:
        if is_kept(path.parent):
            record(path.parent, verdicts)

    try:
        watch(path, lesson, arguments.seed, Report(), on_round)
    except KeyboardInterrupt:
        print()
    return 0

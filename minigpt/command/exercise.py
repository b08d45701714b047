"""`minigpt exercise`: exercises to start, check, watch and hand out; lessons/grading/ does it all.

The lessons are imported late: help and the list of options need neither them nor torch. What checks
is in exercise_check.py, what a class needs in exercise_class.py.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import NamedTuple

from minigpt.command import exercise_check, exercise_class, values
from minigpt.command.exercise_options import add_folder, add_lesson, folder_of, folder_option


class Action(NamedTuple):
    """What `minigpt exercise NAME` does, its options and an example."""

    help: str
    example: str
    options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def add_options(parser: ArgumentParser) -> None:
    """Adds a subcommand for each action."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, action in ACTIONS.items():
        part = actions.add_parser(
            name,
            help=action.help,
            description=action.help,
            epilog=f"example: minigpt exercise {action.example}",
        )
        action.options(part)


def run(arguments: Namespace) -> int:
    """Does what was asked for and returns the exit status."""
    return ACTIONS[arguments.action].run(arguments)


def list_options(parser: ArgumentParser) -> None:
    """Adds the options of `list`."""
    add_folder(parser)


def show_list(arguments: Namespace) -> int:
    """Prints every exercise, with a tick where it passed, and what comes next."""
    from lessons.grading.progress import read_progress
    from lessons.grading.registry import lessons, tasks_of
    from lessons.grading.report import SETTLED, TODO, Report

    folder = folder_of(arguments)
    status = read_progress(folder)["status"]
    report = Report()
    following = None
    for number, lesson in lessons().items():
        tasks = tasks_of(number)
        done = sum(status.get(task.id) == "passed" for task in tasks)
        report.line((f"\nLesson {number}: {lesson.title}", "bold"), (f"  {done}/{len(tasks)}", ""))
        for task in tasks:
            state = status.get(task.id, "not_started")
            passed = state == "passed"
            if state not in SETTLED and following is None:
                following = task
            mark = report.marks[None if state in TODO else passed]
            report.line((f"  {mark} {task.id:<5} {task.name}", "green" if passed else ""))
    if following is None:
        all_ = "All that can be checked here" if "unchecked" in status.values() else "All of them"
        report.line((f"\n{all_} pass.", "green"))
        return 0
    started = list(folder.glob(f"{following.lesson:02d}_*"))
    how = f"check {following.id}" if started else f"start {following.lesson}"
    where = folder_option(folder)
    report.line((f"\nNext: {following.id} {following.name} (minigpt exercise {how}{where})", ""))
    return 0


def start_options(parser: ArgumentParser) -> None:
    """Adds the options of `start`."""
    add_lesson(parser)
    add_folder(parser, written=True)
    parser.add_argument("--notebook", action="store_true", help="a notebook instead of a script")


def start(arguments: Namespace) -> int:
    """Writes a lesson's stubs."""
    from lessons.grading.progress import record
    from lessons.grading.workbook import start

    folder = folder_of(arguments)
    path = start(arguments.lesson, folder, arguments.notebook)
    record(folder, [])
    what = path if arguments.notebook else f"{arguments.lesson}{folder_option(folder)}"
    print(f"Wrote {path}. Fill in the functions, then check them: minigpt exercise check {what}")
    return 0


def hint_options(parser: ArgumentParser) -> None:
    """Adds the options of `hint`."""
    parser.add_argument("exercise", metavar="EXERCISE", help="such as 8.2")
    parser.add_argument(
        "--level", type=values.whole(1, 3), metavar="N", help="1 a question, 2 the idea, 3 the line"
    )
    add_folder(parser, written=True)


def hint(arguments: Namespace) -> int:
    """Prints one hint more than the last time."""
    from lessons.grading.progress import N_HINTS, next_level
    from lessons.grading.registry import task_of

    task = task_of(arguments.exercise)
    level = next_level(folder_of(arguments), task.id, arguments.level)
    for number, text in enumerate(task.hints[:level], start=1):
        print(f"{number}. {text}")
    if level < N_HINTS:
        print(f"({N_HINTS - level} more: ask again)")
    return 0


ACTIONS = {
    "list": Action("show all exercises, and what is next", "list", list_options, show_list),
    "start": Action("write a lesson's stubs", "start 8", start_options, start),
    "check": Action(
        "check what you have written", "check 8", exercise_check.check_options, exercise_check.check
    ),
    "watch": Action(
        "check whenever the file is saved",
        "watch 8",
        exercise_check.watch_options,
        exercise_check.watch,
    ),
    "hint": Action("give one hint more", "hint 8.2", hint_options, hint),
    "handout": Action(
        "write stubs, task sheet and workflow for a class",
        "handout 8 --out lora-assignment",
        exercise_class.handout_options,
        exercise_class.handout,
    ),
    "gradescope": Action(
        "pack an autograder for Gradescope",
        "gradescope 8 --out autograder.zip",
        exercise_class.gradescope_options,
        exercise_class.gradescope,
    ),
    "audit": Action(
        "try the grader on every known mistake",
        "audit --lesson 8",
        exercise_class.audit_options,
        exercise_class.audit,
    ),
}

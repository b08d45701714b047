"""`minigpt lessons`: the syllabus, with what is done here; or all lessons as notebooks.

The lessons are imported late: help needs neither them nor torch.
"""

from __future__ import annotations

import json
import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigpt.command import values
from minigpt.command.exercise_options import add_folder, folder_of
from minigpt.command.lesson import script_of
from minigpt.command.lesson_notebook import add_writing, write_all
from minigpt.command.parser import refuse_idle

if TYPE_CHECKING:
    from rich.console import Console

    from lessons.book.syllabus import Entry, LastRun

WIDTH = 88  # of text


def add_options(parser: ArgumentParser) -> None:
    """Adds the lessons to show, the forms to show them in, and those of notebooks."""
    add = parser.add_argument
    add(
        "numbers", nargs="*", default=(), type=values.whole(0), metavar="N",
        help="lessons to show with their goals (default: a table of all)",
    )  # fmt: skip
    add("--goals", action="store_true", help="show all with their goals")
    add("--json", action="store_true", help="print all that is known of them as JSON")
    add_folder(parser)
    add(
        "--notebooks", type=values.folder_to_write, metavar="DIR",
        help="write the lessons as notebooks into this folder",
    )  # fmt: skip
    add_writing(parser, "with what the last run of each printed and drew")


@dataclass(frozen=True)
class State:
    """A lesson, and how far a learner has come in it.

    Attributes:
        n_exercises, n_passed: of its exercises, how many there are and how many pass.
        run: how a run went, one that is done if there is one; None if it has not run here.
    """

    entry: Entry
    n_exercises: int
    n_passed: int
    run: LastRun | None

    @property
    def minutes(self) -> str:
        """The minutes for the lesson, and for its exercises."""
        return f"{self.entry.minutes} + {self.entry.exercise_minutes}"

    @property
    def done(self) -> bool:
        """Whether its script has run to its end, with numbers that mean something."""
        return self.run is not None and self.run.done

    @property
    def style(self) -> str:
        """Green for what is complete: its script has run, and all exercises pass."""
        return "green" if self.done and self.n_passed == self.n_exercises else ""

    @property
    def cells(self) -> tuple[str, ...]:
        """Its row of the table."""
        passed = f"{self.n_passed} of {self.n_exercises}"
        return f"{self.entry.number:>2}", self.entry.title, self.minutes, passed, self.went

    @property
    def went(self) -> str:
        """How that run went, in a few words."""
        if self.run is None:
            return "not run yet"
        words = {"running": "not finished", "unreadable": "record damaged"}
        if self.run.status in words:
            return words[self.run.status]
        joint = "in" if self.run.status == "done" else "after"
        quick = " (quick)" if self.run.quick else ""
        return f"{self.run.status} {joint} {self.run.seconds:.0f} s{quick}"

    def as_json(self) -> dict[str, Any]:
        """Returns it as --json prints it."""
        entry = {**asdict(self.entry), "script": str(self.entry.script)}
        run = asdict(self.run) if self.run else None
        return {**entry, "exercises": self.n_exercises, "passed": self.n_passed, "run": run}


def run(arguments: Namespace) -> int:
    """Shows the syllabus, or writes the notebooks."""
    for number in arguments.numbers:
        script_of(number)
    from lessons.book.syllabus import syllabus

    entries = [e for e in syllabus() if e.number in arguments.numbers or not arguments.numbers]
    if arguments.notebooks is not None:
        refuse_idle(arguments, ("--goals", "--json", "--dir"), "with --notebooks")
        scripts = [entry.script for entry in entries]
        return write_all(scripts, arguments.notebooks, arguments.outputs, arguments.force)
    refuse_idle(arguments, ("--outputs", "--force"), "without --notebooks")
    states = states_of(entries, folder_of(arguments))
    if arguments.json:
        refuse_idle(arguments, ("--goals",), "with --json, which has them")
        print(json.dumps([state.as_json() for state in states], indent=1))
        return 0
    from lessons.grading.report import make_console

    console = make_console()
    if arguments.goals or arguments.numbers:
        for state in states:
            print_goals(state, console)
    else:
        print_table(states, console)
    return 0


def states_of(entries: Sequence[Entry], folder: Path) -> list[State]:
    """Returns the lessons with what is done in runs/ and in the folder of the exercises."""
    from lessons import folders
    from lessons.book.syllabus import last_run
    from lessons.grading.progress import read_progress
    from lessons.grading.registry import lessons, tasks_of

    status = read_progress(folder)["status"]
    sizes = (folders.results(), folders.results(full=True), folders.results(quick=True))
    states = []
    for entry in entries:
        tasks = tasks_of(entry.number) if entry.number in lessons() else ()
        n_passed = sum(status.get(task.id) == "passed" for task in tasks)
        places = [folders.folder_of(runs, entry.number) for runs in sizes]
        runs = list(filter(None, map(last_run, places)))
        run = next((run for run in runs if run.done), runs[0] if runs else None)
        states.append(State(entry, len(tasks), n_passed, run))
    return states


def print_table(states: Sequence[State], console: Console) -> None:
    """Prints a line a lesson, or several where the terminal is narrow; and the sums."""
    width = min(console.width, WIDTH)
    rows = [("", "Lesson", "Minutes", "Exercises", "Script"), *(state.cells for state in states)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, style in zip(rows, ["bold", *(state.style for state in states)], strict=True):
        console.print(fitted(row, widths, width), style=style)
    waiting = [state.entry.number for state in states if not state.done]
    passed, exercises = sum(s.n_passed for s in states), sum(s.n_exercises for s in states)
    texts = [
        f"{len(states) - len(waiting)} of {len(states)} lessons have run here, and {passed} of "
        f"{exercises} exercises pass. Minutes are those for a lesson + those for its exercises.",
        "A lesson's goals: minigpt lessons 8. Its exercises: minigpt exercise start 8.",
    ]
    texts += [f"Next: minigpt lesson {waiting[0]}"] if waiting else []
    for text in texts:
        console.print("\n" + textwrap.fill(text, width))


def fitted(row: Sequence[str], widths: Sequence[int], width: int) -> str:
    """Returns a row of a table, or its cells one behind the other where that is too wide."""
    if sum(widths) + 2 * len(widths) <= width:
        padded = (f"{cell:<{n}}" for cell, n in zip(row, widths, strict=True))
        return "  ".join(padded).rstrip()
    text = f"{row[0]:<4}{', '.join(row[1:])}"
    return textwrap.fill(text, width, subsequent_indent=" " * 4)


def print_goals(state: State, console: Console) -> None:
    """Prints what a lesson is about, what it teaches and needs, and how far it is done."""
    entry = state.entry
    width = min(console.width, WIDTH)
    time = f"{entry.minutes} minutes, and {entry.exercise_minutes} for the exercises"
    console.print(f"Lesson {entry.number}: {entry.title}", style="bold")
    console.print(textwrap.fill(entry.about, width) + "\n\nAfter it you can")
    for goal in entry.goals:
        console.print(textwrap.fill(f"- {goal}", width, subsequent_indent="  "))
    console.print()
    for name, text in (
        ("Needs", entry.needs), ("Time", time),
        ("Exercises", f"{state.n_passed} of {state.n_exercises} passed"), ("Script", state.went),
    ):  # fmt: skip
        console.print(textwrap.fill(f"{name}: {text}", width, subsequent_indent="  "))
    console.print()

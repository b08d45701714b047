"""`minigpt lesson N`: runs a lesson cell by cell and passes on the options that it has itself."""

from __future__ import annotations

from argparse import REMAINDER, ArgumentParser, Namespace
from pathlib import Path

from minigpt.command import values
from minigpt.command.lesson_notebook import add_notebook, write_one
from minigpt.command.parser import Parser, check_values, refuse_idle


def add_options(parser: ArgumentParser) -> None:
    """Adds the lesson's number, and the options that are passed on to it."""
    add_notebook(parser)
    parser.add_argument("number", type=values.whole(0), metavar="N")
    parser.add_argument(
        "options", nargs=REMAINDER, help="--device, --seed, --quick, --full, --out of the lesson"
    )


def run(arguments: Namespace) -> int:
    """Runs the lesson in this process, and leaves a record for its page in the book."""
    from lessons.book.run import run as run_cells

    script = script_of(arguments.number)
    ours = Parser(prog="minigpt lesson", add_help=False, allow_abbrev=False)
    add_notebook(ours)
    _, options = ours.parse_known_args(arguments.options, arguments)
    check_values(ours, arguments)
    if arguments.notebook is not None:
        return write_one(script, arguments.notebook, options, arguments.outputs, arguments.force)
    refuse_idle(arguments, ("--outputs", "--force"), "without --notebook")
    run_cells(script, options)
    return 0


def script_of(number: int) -> Path:
    """Returns the script of a lesson.

    Raises:
        ValueError: there is no such lesson.
    """
    scripts = lesson_scripts()
    if number not in scripts:
        raise ValueError(f"there is no lesson {number}; there are {', '.join(map(str, scripts))}")
    return scripts[number]


def lesson_scripts() -> dict[int, Path]:
    """Returns the lessons' scripts by their numbers."""
    import lessons

    folder = Path(lessons.__path__[0])
    return {int(path.name[:2]): path for path in sorted(folder.glob("[0-9][0-9]_*.py"))}


def lesson_titles() -> list[tuple[int, str]]:
    """Returns the number and the title of each lesson, from the first line of its text."""
    titles = []
    for number, script in lesson_scripts().items():
        first = script.read_text(encoding="utf-8").splitlines()[1]
        titles.append((number, first.removeprefix("# # ")))
    return titles

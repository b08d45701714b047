"""`minigpt lesson N`: runs a lesson cell by cell, and writes its page in the book.

Options that it does not know are the lesson's own, and are passed on.
"""

from __future__ import annotations

from argparse import REMAINDER, ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from minigpt.command import values
from minigpt.command.lesson_notebook import add_notebook, write_one
from minigpt.command.parser import Parser, check_values, refuse_idle


def add_options(parser: ArgumentParser) -> None:
    """Adds the lesson's number, and the options that are passed on to it."""
    add_own(parser)
    parser.add_argument("number", type=values.whole(0), metavar="N", help="the lesson's number")
    parser.add_argument(
        "options", nargs=REMAINDER, metavar="...",
        help="--device, --seed, --quick, --full or --out, as `minigpt lesson N --help` says",
    )  # fmt: skip


def add_own(parser: ArgumentParser) -> None:
    """Adds the options that are not passed on; they may stand before the number and behind it."""
    parser.add_argument(
        "--prose", action="store_true",
        help="print all of the lesson's text, not only how each part begins",
    )  # fmt: skip
    add_notebook(parser)


def run(arguments: Namespace) -> int:
    """Runs the lesson, or writes it as a notebook."""
    script = script_of(arguments.number)
    own = Parser(prog="minigpt lesson", add_help=False, allow_abbrev=False)
    add_own(own)
    _, options = own.parse_known_args(arguments.options, arguments)
    check_values(own, arguments)
    if arguments.notebook is not None:
        refuse_idle(arguments, ("--prose",), "with --notebook")
        notebook, outputs, force = arguments.notebook, arguments.outputs, arguments.force
        return write_one(script, notebook, options, outputs, force, run_lesson)
    refuse_idle(arguments, ("--outputs", "--force"), "without --notebook")
    run_lesson(script, options, arguments.prose)
    return 0


def run_lesson(script: Path, options: Sequence[str], prose: bool = False) -> None:
    """Runs a lesson in this process, and writes its page in the book.

    Args:
        options: the lesson's own, such as --quick.
        prose: whether all of its text is printed, not only how each part begins.
    """
    from lessons.book.run import Recorder
    from lessons.book.run import run as run_cells

    recorder = Recorder(script)
    try:
        run_cells(script, options, prose, recorder)
    finally:  # a lesson that fails has a page, too
        folder = recorder.folder
        if folder is not None and has_book(folder, int(script.name[:2])):
            index = renew_book(folder.parent)
            if index is not None:
                print(f"Its page in the book: {link(index.with_name(f'{folder.name}.html'))}")


def has_book(folder: Path, number: int) -> bool:
    """Returns whether a folder is one of a lesson's usual ones, beside which there is a book."""
    from lessons.folders import folder_of, results

    sizes = (results(), results(quick=True), results(full=True))
    return folder in [folder_of(runs, number) for runs in sizes]


def renew_book(runs: Path) -> Path | None:
    """Writes the book of all lessons that have run in a folder, and returns its contents.

    Where that is not possible it says why and returns None: the lessons themselves are done.
    """
    from lessons.book.pages import write_book
    from lessons.book.pulse import Pulse

    try:
        with Pulse("writing the book"):
            return write_book(runs, lesson_scripts())
    except (OSError, ValueError) as error:
        print(f"The book could not be written: {error}")
        return None


def link(path: Path) -> str:
    """Returns the address of a file, which a terminal lets one click."""
    return path.resolve().as_uri()


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

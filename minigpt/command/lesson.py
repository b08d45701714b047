"""`minigpt lesson N`: runs one lesson and passes on the options that the lesson itself has."""

from __future__ import annotations

import runpy
import sys
from argparse import REMAINDER, ArgumentParser, Namespace
from pathlib import Path

from minigpt.command import values


def add_options(parser: ArgumentParser) -> None:
    """Adds the lesson's number, and the options that are passed on to it."""
    parser.add_argument("number", type=values.whole(0), metavar="N")
    parser.add_argument("options", nargs=REMAINDER, help="--device, --seed, --quick, --full")


def run(arguments: Namespace) -> int:
    """Runs the lesson in this process."""
    scripts = lesson_scripts()
    if arguments.number not in scripts:
        raise ValueError(
            f"there is no lesson {arguments.number}; there are {', '.join(map(str, scripts))}"
        )
    script = scripts[arguments.number]
    sys.argv = [str(script), *arguments.options]
    runpy.run_path(str(script), run_name="__main__")
    return 0


def lesson_scripts() -> dict[int, Path]:
    """Returns the lessons' scripts by their numbers."""
    import lessons

    folder = Path(lessons.__path__[0])
    return {int(path.name[:2]): path for path in sorted(folder.glob("[0-9][0-9]_*.py"))}

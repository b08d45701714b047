"""Options that several actions of `minigpt exercise` share."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

from minigpt.command import values

FOLDER = Path("exercises")


def add_folder(parser: ArgumentParser, written: bool = False) -> None:
    """Adds the learner's folder, for which folder_of has the default."""
    parser.add_argument(
        "--dir", type=values.folder_to_write if written else values.folder,
        help=f"folder of the exercises (default {FOLDER}/)",
    )  # fmt: skip


def folder_of(arguments: Namespace) -> Path:
    """Returns the folder that was given, or the usual one."""
    return FOLDER if arguments.dir is None else arguments.dir


def folder_option(folder: Path) -> str:
    """Returns " --dir mine", as it is typed behind a command; "" for the default."""
    return "" if folder == FOLDER else f" --dir {shlex.quote(str(folder))}"


def add_lesson(parser: ArgumentParser) -> None:
    """Adds the number of a lesson."""
    parser.add_argument(
        "lesson", type=values.whole(0), metavar="LESSON", help="the lesson's number"
    )


def add_seed(parser: ArgumentParser) -> None:
    """Adds the seed of the unseen cases."""
    parser.add_argument(
        "--seed", type=values.whole(0), default=0, help="of the cases nobody has seen (default 0)"
    )

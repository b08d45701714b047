"""Options that several actions of `minigpt exercise` share."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

FOLDER = Path("exercises")


def add_folder(parser: ArgumentParser) -> None:
    """Adds the learner's folder."""
    parser.add_argument(
        "--dir", type=Path, default=FOLDER, help=f"folder of the exercises (default {FOLDER}/)"
    )


def folder_option(folder: Path) -> str:
    """Returns " --dir mine", as it is typed behind a command; "" for the default."""
    return "" if folder == FOLDER else f" --dir {folder}"


def add_lesson(parser: ArgumentParser) -> None:
    """Adds the number of a lesson."""
    parser.add_argument("lesson", type=int, metavar="LESSON", help="the lesson's number")


def add_seed(parser: ArgumentParser) -> None:
    """Adds the seed of the unseen cases."""
    parser.add_argument(
        "--seed", type=int, default=0, help="of the cases nobody has seen (default 0)"
    )

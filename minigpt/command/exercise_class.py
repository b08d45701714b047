"""`minigpt exercise handout`, `gradescope` and `audit`: for those who teach."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from minigpt.command import values
from minigpt.command.exercise_options import add_lesson, add_seed


def handout_options(parser: ArgumentParser) -> None:
    """Adds the options of `handout`."""
    add_lesson(parser)
    parser.add_argument(
        "--out", type=values.folder_to_write, required=True, metavar="DIR", help="folder to write"
    )
    parser.add_argument(
        "--package",
        type=values.text,
        metavar="SPEC",
        help="what the workflow lets pip install: git+https://... of your copy (default: "
        "minigpt-course from PyPI, if it is there)",
    )


def handout(arguments: Namespace) -> int:
    """Writes what an instructor gives out."""
    from lessons.grading.handout import write_handout

    for path in write_handout(arguments.lesson, arguments.out, arguments.package):
        print(path)
    if arguments.package is None:
        print(
            "The workflow installs minigpt-course from PyPI. If this version is not there, write "
            "it anew with --package git+https://... and the address of your copy.",
            file=sys.stderr,
        )
    return 0


def gradescope_options(parser: ArgumentParser) -> None:
    """Adds the options of `gradescope`."""
    add_lesson(parser)
    parser.add_argument(
        "--out", type=values.file_to_write, default=Path("autograder.zip"), metavar="FILE",
        help="archive to write",
    )  # fmt: skip
    add_seed(parser)


def gradescope(arguments: Namespace) -> int:
    """Writes the archive for Gradescope."""
    from lessons.grading.autograder import write_autograder

    path = write_autograder(arguments.lesson, arguments.out, arguments.seed)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; upload it under Configure Autograder")
    return 0


def audit_options(parser: ArgumentParser) -> None:
    """Adds the options of `audit`."""
    parser.add_argument("--lesson", type=values.whole(0), metavar="N", help="this lesson only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_seed(parser)


def audit(arguments: Namespace) -> int:
    """Tries the grader on its own bank; returns 1 if it is short of its goals."""
    from lessons.grading import bank_audit, outputs
    from lessons.grading.registry import lesson

    chosen = None if arguments.lesson is None else [lesson(arguments.lesson).number]
    outcomes = outputs.audit_with_progress(chosen, arguments.seed)
    _, left_out = bank_audit.ids_here(chosen)
    if arguments.json:
        print(bank_audit.as_json(outcomes, left_out))
    else:
        bank_audit.print_table(outcomes, outputs.make_console(), left_out)
    return int(not bank_audit.total(outcomes).good)

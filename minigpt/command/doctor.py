"""`minigpt doctor`: says whether machine and installation are fit for the course, and what is not.

The exit status is 1 if there is a problem, else 0. Nothing is changed, and no network is needed.
"""

from __future__ import annotations

import json
import shutil
import sys
from argparse import ArgumentParser, Namespace

from minigpt.doctor.examine import PARTS, examine
from minigpt.doctor.finding import Finding
from minigpt.doctor.report import as_json, last_line, lines_of, problems_of


def add_options(parser: ArgumentParser) -> None:
    """Adds the form in which to print."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: Namespace) -> int:
    """Makes all checks, prints what each part has found as soon as it is known, and a last line."""
    width = shutil.get_terminal_size((100, 24)).columns
    parts: dict[str, list[Finding]] = {}
    for title, findings in examine(announce):
        parts[title] = findings
        forget()
        if findings and not arguments.json:
            print("\n".join([title, *lines_of(findings, width), ""]), flush=True)
    problems = problems_of(parts)
    if arguments.json:
        print(json.dumps(as_json(parts), indent=1))
    else:
        print(last_line(problems))
    return int(bool(problems))


def announce(title: str) -> None:
    """Shows on a terminal what is being looked at."""
    if sys.stderr.isatty():
        print(f"looking at: {title} ...", end="\r", file=sys.stderr, flush=True)


def forget() -> None:
    """Takes that away again."""
    if sys.stderr.isatty():
        longest = max(map(len, PARTS)) + len("looking at:  ...")
        print(" " * longest, end="\r", file=sys.stderr, flush=True)

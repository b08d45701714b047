"""`minigpt course`: runs every lesson, one after the other."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from minigpt.command import values
from minigpt.command.lesson import lesson_scripts
from minigpt.command.machine_options import add_device, add_seed, seed_of


def add_options(parser: ArgumentParser) -> None:
    """Adds the lesson to begin with, and the options that are passed on to the lessons."""
    add_device(parser)
    add_seed(parser)
    parser.add_argument(
        "--start", type=values.whole(1), default=1, metavar="N", help="begin with lesson N"
    )
    parser.add_argument("--quick", action="store_true", help="smallest settings: to see it runs")


KILLED = "killed (SIGKILL)"  # what systems do to a program when memory is short


def outcome_of(status: int) -> str:
    """Returns in a word or two how a process ended that returned status, or -signal."""
    if status == 0:
        return "done"
    if status > 0:
        return f"failed ({status})"
    if -status in set(signal.Signals):
        return f"killed ({signal.Signals(-status).name})"
    return f"killed (signal {-status})"


def run(arguments: Namespace) -> int:
    """Runs each lesson in a process of its own, and reports at the end how each went."""
    from lessons.book.pages import write_book

    scripts = {n: path for n, path in lesson_scripts().items() if n >= arguments.start}
    if not scripts:
        raise ValueError(
            f"--start {arguments.start} is after the last lesson, {max(lesson_scripts())}"
        )
    if arguments.device is not None:
        from minigpt.device import pick_device  # loads torch

        pick_device(arguments.device)
    options = ["--device", arguments.device or "auto", "--seed", str(seed_of(arguments))]
    options += ["--quick"] if arguments.quick else []
    report = []
    for number, script in scripts.items():
        started = time.perf_counter()
        folder = Path("runs") / f"lesson-{number:02d}"
        command = [sys.executable, "-m", "minigpt", "lesson", str(number), *options]
        finished = subprocess.run([*command, "--out", folder], check=False)
        if finished.returncode in (130, -signal.SIGINT):
            print(f"\nInterrupted. Go on with: minigpt course --start {number}")
            return 130
        outcome = outcome_of(finished.returncode)
        if outcome == KILLED:
            print(
                f"\nLesson {number} was killed, probably because memory ran out; end "
                f"other programs and run it again: minigpt lesson {number}"
            )
        report.append((number, script.stem[3:], outcome, time.perf_counter() - started, folder))
        index = write_book(Path("runs"), lesson_scripts())
        print()
    print("The course so far:")
    for number, name, outcome, seconds, folder in report:
        print(f"  {number:02d} {name:<19} {outcome:<16} {seconds:4.0f} s   figures in {folder}/")
    print(f"  {sum(row[3] for row in report):.0f} s in all")
    print(f"The book of all lessons that have run: {index}")
    return int(any(row[2] != "done" for row in report))

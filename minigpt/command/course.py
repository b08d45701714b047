"""`minigpt course`: runs every lesson, one after the other."""

from __future__ import annotations

import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from minigpt.command.lesson import lesson_scripts
from minigpt.command.machine_options import add_device, add_seed


def add_options(parser: ArgumentParser) -> None:
    """Adds the lesson to begin with, and the options that are passed on to the lessons."""
    add_device(parser)
    add_seed(parser)
    parser.add_argument("--start", type=int, default=1, metavar="N", help="begin with lesson N")
    parser.add_argument("--quick", action="store_true", help="smallest settings: to see it runs")


def run(arguments: Namespace) -> int:
    """Runs each lesson in a process of its own, and reports at the end how each went."""
    scripts = {n: path for n, path in lesson_scripts().items() if n >= arguments.start}
    if not scripts:
        raise ValueError(
            f"--start {arguments.start} is after the last lesson, {max(lesson_scripts())}"
        )
    options = ["--device", arguments.device, "--seed", str(arguments.seed)]
    options += ["--quick"] if arguments.quick else []
    report = []
    for number, script in scripts.items():
        started = time.perf_counter()
        folder = Path("runs") / f"lesson-{number:02d}"
        finished = subprocess.run([sys.executable, script, *options, "--out", folder], check=False)
        if finished.returncode < 0 or finished.returncode == 130:
            print(f"\nInterrupted. Go on with: minigpt course --start {number}")
            return 130
        outcome = "done" if finished.returncode == 0 else f"failed ({finished.returncode})"
        report.append((number, script.stem[3:], outcome, time.perf_counter() - started, folder))
        print()
    print("The course so far:")
    for number, name, outcome, seconds, folder in report:
        print(f"  {number:02d} {name:<19} {outcome:<12} {seconds:4.0f} s   figures in {folder}/")
    print(f"  {sum(row[3] for row in report):.0f} s in all")
    return int(any(row[2] != "done" for row in report))

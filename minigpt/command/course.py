"""`minigpt course`: runs every lesson, one after the other, and writes the book as it goes.

A lesson that is done, with the same settings and the same script, is not run again, so the same
command goes on where it was stopped.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.command import values
from minigpt.command.lesson import lesson_scripts, link, renew_book
from minigpt.command.machine_options import add_device, add_seed, seed_of
from minigpt.command.stop_requests import StopRequests
from minigpt.text.printing import print_at_once

if TYPE_CHECKING:
    from lessons.book.outcome import Outcome

# A lesson sees the modules that this process sees, and none of the folder that it starts in, which
# `python -m` would put first: a learner may have a file there that is called like a module.
START = """
import sys
sys.path[:] = eval(sys.argv.pop(1))
from minigpt.__main__ import main
sys.exit(main())
"""


def add_options(parser: ArgumentParser) -> None:
    """Adds which lessons to run, and the options that are passed on to them."""
    add_device(parser)
    add_seed(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--start", type=values.whole(1), metavar="N", help="begin with lesson N")
    which.add_argument(
        "--only", type=numbers, metavar="LIST", help="these lessons alone: 6,10 or 2-4"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick", action="store_true",
        help="smallest settings, to see in minutes that all of it runs; the results mean nothing, "
        "and have a folder and a book of their own, runs/quick",
    )  # fmt: skip
    size.add_argument(
        "--full", action="store_true",
        help="large settings, which CUDA gets anyway; results and book in runs/full",
    )  # fmt: skip
    parser.add_argument("--again", action="store_true", help="run lessons that are done, too")


def numbers(given: str) -> tuple[int, ...]:
    """Returns the numbers in a list as 6,10 or 2-4,9, in ascending order."""
    found: list[int] = []
    for part in given.split(","):
        first, dash, last = (text.strip() for text in part.partition("-"))
        if not (first.isdecimal() and (last.isdecimal() or not dash)) or len(part) > 20:
            raise ArgumentTypeError(
                f"must be lessons' numbers such as 6,10 or 2-4, got {values.shown(given)}"
            )
        low, high = int(first), int(last or first)
        if high < low:
            raise ArgumentTypeError(
                f"must be ascending, got {values.shown(part)}; take {last}-{first}"
            )
        if high > 99:
            raise ArgumentTypeError(f"must be lessons' numbers, and there is no lesson {high}")
        found += range(low, high + 1)
    twice = [number for number, n in Counter(found).items() if n > 1]
    if twice:
        raise ArgumentTypeError(f"must name each lesson once, got {twice[0]} more than once")
    return tuple(sorted(found))


def run(arguments: Namespace) -> int:
    """Runs the lessons that are not done, each in a process of its own, and reports on all."""
    print_at_once()
    course = Course(arguments, lesson_scripts())
    course.announce()
    with StopRequests() as stop:
        for number in course.todo:
            course.run_lesson(number, stop)
            if stop.signal:
                break
    course.report()
    if stop.signal and course.left():
        print(f"\nInterrupted. Go on with: {course.command_to_go_on()}")
        return 128 + stop.signal
    return int(not all(outcome.good for outcome in course.outcomes.values()))


class Course:
    """The lessons that were asked for, and how they went so far.

    Attributes:
        todo: the numbers of the lessons to run.
        reasons: why lessons of earlier runs run again, by number.
        outcomes: how lessons went, by number; those that were done before are there at once.

    Raises:
        ValueError: there is no such lesson, or no such device.
    """

    def __init__(self, arguments: Namespace, scripts: dict[int, Path]) -> None:
        from lessons.book.plan import Clock, times_of
        from lessons.book.syllabus import syllabus
        from lessons.folders import results
        from minigpt.device import pick_device  # loads torch

        device = pick_device(arguments.device)
        self.arguments, self.scripts = arguments, scripts
        self.titles = {entry.number: entry.title for entry in syllabus()}
        self.settings = {
            "seed": seed_of(arguments), "asked": arguments.device or "auto",
            "quick": arguments.quick, "full": arguments.full,
        }  # fmt: skip
        self.runs = results(arguments.quick, arguments.full)
        large = arguments.full or (device.type == "cuda" and not arguments.quick)
        self.clock = Clock(times_of(arguments.quick, large))
        self.todo: list[int] = []
        self.reasons: dict[int, str] = {}
        self.outcomes: dict[int, Outcome] = {}
        chosen = chosen_lessons(arguments, scripts)
        for number in scripts:
            self.look_back(number, number in chosen)

    def look_back(self, number: int, chosen: bool) -> None:
        """Learns from the last run of a lesson how long it takes, and whether it has to run."""
        from lessons.book.outcome import Outcome, verdicts_of
        from lessons.book.plan import last_record, not_done, took_as_long, without_tables

        folder = self.folder(number)
        record = last_record(folder)
        if record is not None and took_as_long(record, self.settings):
            self.clock.learn(number, record.seconds)
        why = not_done(record, self.scripts[number], self.settings) or without_tables(folder)
        if chosen and (why or self.arguments.again):
            self.todo.append(number)
            if record is not None and why:
                self.reasons[number] = why
        elif chosen and record is not None:
            verdicts = verdicts_of(folder)
            self.outcomes[number] = Outcome(number, "done before", "", record.seconds, verdicts)

    def folder(self, number: int) -> Path:
        """Returns where a lesson leaves its results."""
        from lessons.folders import folder_of

        return folder_of(self.runs, number)

    def announce(self) -> None:
        """Says which lessons do not run, since they are done, and which run again."""
        from lessons.book.summary import listing

        if self.outcomes:
            before = listing(sorted(self.outcomes))
            print(
                f"Done before, with the same settings and script: {before}. To run them again, "
                "add --again."
            )
        for number, why in self.reasons.items():
            print(f"Lesson {number} runs again: {why}.")

    def run_lesson(self, number: int, stop: StopRequests) -> None:
        """Runs a lesson in a process of its own, and takes note of how it went."""
        from lessons.book.outcome import outcome_of, verdicts_of
        from lessons.book.plan import last_record

        print(f"\n{self.heading(number)}")
        begun, started = time.time(), time.perf_counter()
        status = stop.wait_for(subprocess.Popen(self.command(number)))
        record = last_record(self.folder(number))
        if record is not None and record.started < begun:
            record = None  # of an earlier run
        outcome = outcome_of(number, status, record)
        outcome.seconds = time.perf_counter() - started
        self.outcomes[number] = outcome
        if outcome.good:
            self.clock.learn(number, outcome.seconds)
            outcome.verdicts = verdicts_of(self.folder(number))
            return
        if stop.signal:
            outcome.word, outcome.why = "interrupted", ""
        else:
            where = " Its page shows where." if outcome.word == "failed" else ""
            ended = outcome.word if outcome.word.startswith("failed") else f"was {outcome.word}"
            print(f"\nLesson {number} {ended}: {outcome.why}.{where}")
        if record is not None and record.status == "running":  # it could not say how it ended
            record.status, record.error = outcome.word, outcome.why
            with suppress(OSError):  # the disk may be full
                record.write(self.folder(number))
        renew_book(self.runs)

    def heading(self, number: int) -> str:
        """Returns "Lesson 4 of 13: Pretraining, about 1 minute; about 14 minutes left in all"."""
        from lessons.book.plan import in_words

        line = f"Lesson {number} of {len(self.scripts)}: {self.titles[number]}"
        seconds = self.clock.estimate(number)
        if seconds is not None:
            line += f", {in_words(seconds)}"
        left = self.clock.sum(n for n in self.todo if n not in self.outcomes)
        if left is not None:
            line += f"; {in_words(left)} left in all"
        return line

    def command(self, number: int) -> list[str]:
        """Returns the command that runs a lesson."""
        options = ["--device", str(self.settings["asked"]), "--seed", str(self.settings["seed"])]
        options += [f"--{size}" for size in ("quick", "full") if self.settings[size]]
        return [sys.executable, "-c", START, repr(sys.path), "lesson", str(number), *options]

    def report(self) -> None:
        """Says how all lessons went, and where the book is, which each of them has renewed."""
        from lessons.book.outcome import in_a_line

        print("\nThe course so far:" if self.left() else "\nThe course:")
        outcomes = [self.outcomes[number] for number in sorted(self.outcomes)]
        wide = max(len(self.titles[outcome.number]) for outcome in outcomes)
        ending = max(len(outcome.word) for outcome in outcomes)
        for one in outcomes:
            row = f"  {one.number:2} {self.titles[one.number]:<{wide}}  {one.word:<{ending}}"
            print(f"{row} {one.seconds:5.0f} s  {in_a_line(one.verdicts) or one.why}".rstrip())
        total = sum((outcome.verdicts for outcome in outcomes), Counter())
        seconds = sum(outcome.seconds for outcome in outcomes)
        row = f"     {'in all':<{wide}}  {'':<{ending}}"
        print(f"{row} {seconds:5.0f} s  {in_a_line(total)}".rstrip())
        index = self.runs / "book" / "index.html"
        if (index.is_file() and self.todo) or renew_book(self.runs):
            print(f"\nThe book: {link(index)}")

    def left(self) -> list[int]:
        """Returns the numbers of the lessons that have not been done yet."""
        return [n for n in self.todo if n not in self.outcomes or not self.outcomes[n].good]

    def command_to_go_on(self) -> str:
        """Returns the command that runs what is left."""
        asked = self.arguments
        parts = ["minigpt", "course"]
        parts += ["--device", asked.device] if asked.device is not None else []
        parts += ["--seed", str(asked.seed)] if asked.seed is not None else []
        parts += [f"--{size}" for size in ("quick", "full") if self.settings[size]]
        if asked.again:  # without, what was done before the whole course would count as done
            parts += ["--again", "--only", ",".join(map(str, self.left()))]
        elif asked.only:
            parts += ["--only", ",".join(map(str, asked.only))]
        elif asked.start is not None:
            parts += ["--start", str(asked.start)]
        return shlex.join(parts)


def chosen_lessons(arguments: Namespace, scripts: Collection[int]) -> list[int]:
    """Returns the numbers of the lessons that were asked for.

    Raises:
        ValueError: there is no such lesson.
    """
    last = max(scripts)
    if arguments.only is not None:
        for number in arguments.only:
            if number not in scripts:
                raise ValueError(f"--only: there is no lesson {number}; there are 1 to {last}")
        return list(arguments.only)
    start = arguments.start or 1
    if start > last:
        raise ValueError(f"--start {start} is after the last lesson, {last}")
    return [number for number in scripts if number >= start]

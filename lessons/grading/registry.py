"""Where the exercises are: a lesson's tasks, its title and the name of its file.

A lesson's definitions are imported when they are asked for, since they load torch and the library.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lessons.grading.task import Task

LESSONS = Path(__file__).parents[1]


class Lesson(NamedTuple):
    """A lesson that has exercises: 8, "LoRA", "08_lora"."""

    number: int
    title: str
    stem: str


@cache
def lessons() -> dict[int, Lesson]:
    """Returns the lessons that have exercises, by number."""
    found = {}
    for script in sorted(LESSONS.glob("[0-9][0-9]_*.py")):
        number = int(script.name[:2])
        if (LESSONS / "exercises" / f"lesson_{number:02d}.py").exists():
            head = script.read_text(encoding="utf-8").partition("\n# %%\n")[0]
            title = re.search(r"^# # Lesson \d+: (.+)$", head, re.MULTILINE)
            found[number] = Lesson(number, title[1] if title else script.stem[3:], script.stem)
    return found


def lesson(number: int) -> Lesson:
    """Returns a lesson; ValueError if it has no exercises."""
    if number not in lessons():
        raise ValueError(
            f"there are no exercises for lesson {number}; there are for "
            f"{', '.join(map(str, lessons()))}"
        )
    return lessons()[number]


@cache
def tasks_of(number: int) -> tuple[Task, ...]:
    """Returns a lesson's tasks in their order; ValueError if it has none."""
    module = import_module(f"lessons.exercises.lesson_{lesson(number).number:02d}")
    return tuple(module.TASKS)


def task_of(number: str) -> Task:
    """Returns the task "8.2"; ValueError if there is none."""
    if not re.fullmatch(r"\d{1,9}\.\d{1,9}", number):
        raise ValueError(
            f"an exercise is given as lesson and number, such as 8.2, got {number[:40]}"
        )
    tasks = tasks_of(int(number.partition(".")[0]))
    for task in tasks:
        if task.id == number:
            return task
    raise ValueError(f"there is no exercise {number}; there are {', '.join(t.id for t in tasks)}")


def defined_in(code: str) -> set[str]:
    """Returns the names of the functions and classes at the top level of a text.

    Of a text that does not parse, those of the lines that look like one.
    """
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(re.findall(r"^(?:def|class)[ \t]+(\w+)", code, re.MULTILINE))
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {statement.name for statement in body if isinstance(statement, kinds)}


def lesson_of(file: Path, code: str) -> int:
    """Returns whose lesson's solutions a file holds.

    It is the number that the file's name begins with; else the lesson of most of whose exercises
    the file defines the names.

    Raises:
        ValueError: neither tells.
    """
    number = re.match(r"\d{1,9}", file.name)
    if number and int(number[0]) in lessons():
        return int(number[0])
    names = defined_in(code)
    count = {n: len(names & {task.name for task in tasks_of(n)}) for n in lessons()}
    most = max(count.values(), default=0)
    best = [n for n in count if count[n] == most]
    if most == 0 or len(best) > 1:
        which = (
            "of no exercise" if most == 0 else f"of lessons {' and '.join(map(str, best))} alike"
        )
        raise ValueError(
            f"{file}: its name begins with no lesson's number and it defines names {which}; say "
            "which lesson it is for with --lesson N"
        )
    return best[0]

"""The syllabus: what each lesson's first cell says of it, and how its last run here went.

for entry in syllabus():
    entry.number, entry.title, entry.goals       # 8, "LoRA", ("count what LoRA trains in ...", ...)
    entry.minutes, entry.exercise_minutes        # 60, 60
last_run(Path("runs/lesson-08"))                 # None, or its .status, .seconds and .quick
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lessons.book.cells import read_cells
from lessons.book.opening import read_opening
from lessons.book.record import read_record

LESSONS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Entry:
    """A lesson of the course, in the words of its first cell.

    Attributes:
        about: the first paragraph.
        goals: what a learner can do after it, one "count what LoRA trains in any model" each.
        needs: what must be known before: "lesson 3 (the model and its linear layers), ...".
        minutes: that reading and trying take.
        exercise_minutes: that the exercises take.
    """

    number: int
    title: str
    script: Path
    about: str
    goals: tuple[str, ...]
    needs: str
    minutes: int
    exercise_minutes: int


def syllabus() -> list[Entry]:
    """Returns all lessons in their order."""
    return [read_entry(script) for script in sorted(LESSONS.glob("[0-9][0-9]_*.py"))]


def read_entry(script: Path) -> Entry:
    """Returns what a script's first cell says.

    Raises:
        ValueError: it does not say what a syllabus holds.
    """
    first = read_cells(script.read_text(encoding="utf-8"))[0].source
    opening = read_opening(first)
    goals = tuple(plain(goal).rstrip(";.") for goal in re.split("^- ", opening.goals, flags=re.M))
    said = plain(first)
    title = found(r"^Lesson \d+: (.+)$", opening.title, script)
    needs = found(r"You need:? (.+?)\. (?:Allow|Take about|Time:) ", said, script)
    minutes = found(r"(?:Allow|Take about|Time:) (\d+) minutes", said, script)
    exercises = found(r"another (\d+) for the exercises", said, script)
    if not opening.goals:
        raise ValueError(f"{script}: its first cell has no list of goals")
    return Entry(
        number=int(script.name[:2]), title=title, script=script, about=plain(opening.about),
        goals=goals[1:], needs=needs, minutes=int(minutes), exercise_minutes=int(exercises),
    )  # fmt: skip


def plain(markdown: str) -> str:
    """Returns Markdown on one line, without its marks for bold text."""
    return " ".join(markdown.split()).replace("**", "")


def found(pattern: str, text: str, script: Path) -> str:
    """Returns what a pattern's group finds in a text.

    Raises:
        ValueError: it is not found.
    """
    if match := re.search(pattern, text):
        return match[1]
    raise ValueError(f"{script}: its first cell says nothing like {pattern!r}")


@dataclass(frozen=True)
class LastRun:
    """How a lesson's last run went.

    Attributes:
        status: as a record has it, or "unreadable" where the record is damaged.
        seconds: how long it took, or how long until it stopped.
        quick: whether its settings were the smallest.
    """

    status: str
    seconds: float
    quick: bool

    @property
    def done(self) -> bool:
        """Returns whether it came to its end, with numbers that mean something."""
        return self.status == "done" and not self.quick


def last_run(folder: Path) -> LastRun | None:
    """Returns how the last run went that left its record in a folder; None if there is none."""
    try:
        record = read_record(folder)
    except FileNotFoundError:
        return None
    except ValueError:
        return LastRun("unreadable", 0.0, quick=False)
    return LastRun(record.status, record.seconds, record.settings["quick"])

"""Where the results of lessons are: a folder for each size of settings.

So a quick run, whose numbers mean nothing, never takes the place of one that means something:

    runs/lesson-03/         minigpt lesson 3
    runs/quick/lesson-03/   minigpt lesson 3 --quick
    runs/full/lesson-03/    minigpt lesson 3 --full

Each of the three has a book of its own beside its lessons.
"""

from pathlib import Path

RECORD, TABLE = "record.json", "table.json"  # what a run leaves beside its figures


def results(quick: bool = False, full: bool = False) -> Path:
    """Returns the folder of all lessons that run with these settings."""
    return Path("runs", "quick" if quick else "full" if full else "")


def folder_of(runs: Path, number: int) -> Path:
    """Returns a lesson's folder among the others."""
    return runs / f"lesson-{number:02d}"

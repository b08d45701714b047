"""Remembers, in a small file beside the exercises, what passed and which hints were given."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigpt.files.atomic import write_text
from minigpt.files.json_objects import read_json_object
from minigpt.files.schema import Kind, Text, Whole, is_of

if TYPE_CHECKING:
    from lessons.grading.judge import Verdict

FILE = ".minigpt.json"
N_HINTS = 3


def read_progress(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns {"status": {"8.1": "passed"}, "hints": {"8.2": 1}}.

    What is not there is empty; so is what is damaged, which costs some ticks and no work.

    Raises:
        OSError: in the place of the file is something that cannot be read.
    """
    try:
        found = read_json_object(folder / FILE)
    except (FileNotFoundError, ValueError):
        found = {}
    kept: dict[str, dict[str, Any]] = {}
    kinds: dict[str, Kind] = {"status": Text(), "hints": Whole(0, N_HINTS)}
    for part, kind in kinds.items():
        entries = found.get(part)
        kept[part] = {
            name: value
            for name, value in (entries if isinstance(entries, dict) else {}).items()
            if is_of(value, kind)
        }
    return kept


def make_folder(folder: Path) -> None:
    """Makes a folder if it is not there.

    Raises:
        NotADirectoryError: there is a file in its place.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(f"{folder} cannot be a folder: there is a file") from None


def write_progress(folder: Path, progress: dict[str, dict[str, Any]]) -> None:
    """Writes the file; the folder is made if it is not there."""
    make_folder(folder)
    write_text(folder / FILE, json.dumps(progress, indent=1) + "\n")


def is_kept(folder: Path) -> bool:
    """Returns whether a folder is a learner's, where progress is remembered."""
    return (folder / FILE).exists()


def record(folder: Path, verdicts: Iterable[Verdict]) -> None:
    """Remembers the last status of each task."""
    progress = read_progress(folder)
    progress["status"].update({verdict.id: verdict.status for verdict in verdicts})
    write_progress(folder, progress)


def next_level(folder: Path, number: str, level: int | None = None) -> int:
    """Returns how many hints to show for a task, one more than the last time; and remembers it.

    Args:
        level: how many to show instead.

    Raises:
        ValueError: level is not 1, 2 or 3.
    """
    if level is not None and not 1 <= level <= N_HINTS:
        raise ValueError(f"there are hints of level 1 to {N_HINTS}, got {level}")
    progress = read_progress(folder)
    given = progress["hints"].get(number, 0)
    shown = min(given + 1, N_HINTS) if level is None else level
    progress["hints"][number] = max(given, shown)
    write_progress(folder, progress)
    return shown

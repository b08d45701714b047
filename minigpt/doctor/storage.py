"""Disk: whether there is room where results go, and whether it may be written to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding

FULL_COURSE = 0.5e9  # bytes: what the course, with its book and models, writes under runs/
COMPILING = 0.1e9  # bytes: for a compiler's files


class Place(NamedTuple):
    """A folder that is written to, as it is.

    Attributes:
        folder: the folder, which need not be there yet: then it can be made, or not.
        free: bytes; 0 if nothing says.
        trouble: why nothing can be written there, "" if it can.
    """

    folder: Path
    free: int
    trouble: str


def look_at(folder: Path) -> Place:
    """Returns how a folder is, or the nearest above it; a file is written there for a moment."""
    try:
        folder = folder.absolute()
    except OSError:  # the working folder was removed
        return Place(folder, 0, "it is not there any more")
    try:  # a folder that others may not enter does not even tell what is in it
        there = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(there).free
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"minigpt")
    except OSError as error:
        return Place(folder, 0, (error.strerror or str(error)).lower())
    return Place(folder, free, "")


def triton_cache() -> Path:
    """Returns the folder in which Triton keeps compiled kernels (triton.knobs.cache)."""
    home = os.environ.get("TRITON_HOME") or os.path.expanduser("~")
    return Path(os.environ.get("TRITON_CACHE_DIR") or Path(home) / ".triton" / "cache")


def check_storage(has_triton: bool) -> Iterator[Finding]:
    """Yields what is to be said of the folders that minigpt writes to."""
    elsewhere = "cd to a folder of your own that has room, and start minigpt there"
    yield judge_place("runs/", look_at(Path("runs")), FULL_COURSE, elsewhere)
    try:
        temporary = look_at(Path(tempfile.gettempdir()))
    except FileNotFoundError:  # Python has tried them all
        temporary = Place(Path("/tmp"), 0, "no folder for temporary files can be written to")
    remedy = "make room there, or set TMPDIR (on Windows TEMP) to another folder"
    yield judge_place("temporary", temporary, COMPILING, remedy)
    if has_triton:
        remedy = "set TRITON_CACHE_DIR to a folder that can be written to"
        yield judge_place("Triton's cache", look_at(triton_cache()), COMPILING, remedy)
    yield judge_home(look_at(Path(os.path.expanduser("~"))))


def judge_place(name: str, place: Place, needed: float, remedy: str) -> Finding:
    """Returns what is to be said of a folder.

    Args:
        needed: bytes that should be free.
        remedy: what to do if they are not, or if it cannot be written to.
    """
    if place.trouble:
        said = f"{place.folder} cannot be written to: {place.trouble}"
        return Finding(name, PROBLEM, said, remedy)
    said = f"{place.free / 1e9:.1f} GB free in {place.folder}"
    if place.free < needed:
        return Finding(name, PROBLEM, f"{said}; {needed / 1e9:.1f} GB are needed", remedy)
    return Finding(name, OK, said)


def judge_home(place: Place) -> Finding:
    """Returns what is to be said of the home folder, in which only other packages keep files."""
    if place.trouble:
        said = (
            f"{place.folder} cannot be written to: {place.trouble}; minigpt does without it, but "
            "matplotlib looks for fonts at each start"
        )
        return Finding("home", NOTE, said, "set MPLCONFIGDIR to a folder that can be written to")
    return Finding("home", OK, f"{place.folder} can be written to")

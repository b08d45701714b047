"""Reads a file of solutions: a script or a notebook, and whatever else people hand in."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lessons.grading.notebook_cells import cells_of, solution_of
from lessons.grading.registry import lesson_of, tasks_of
from minigpt.files.regular_file import open_regular

LARGEST = 1 << 20  # bytes


class Submission(NamedTuple):
    """A file's solutions.

    Attributes:
        file: as it was named.
        lesson: whose exercises it solves.
        code: the text to check.
        problem: why there is no text to check; empty if there is one.
    """

    file: str
    lesson: int
    code: str
    problem: str


def read_submission(path: Path, lesson: int | None = None) -> Submission:
    """Reads a file; `lesson` settles whose it is, else its name or its content does.

    A file that is there and makes no sense is a submission with a problem: among forty files it
    must not stop the others.

    Raises:
        OSError: it is not there, is a folder, or may not be read.
        ValueError: nothing says which lesson it is for.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name the files in it: {path / '*.py'}")
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    code, problem = decoded(content)
    if path.suffix == ".ipynb" and not problem:
        code, problem = of_notebook(code)
    number = lesson if lesson is not None else lesson_of(path, code)
    if path.suffix == ".ipynb":
        code = solution_of([code], [task.name for task in tasks_of(number)])
    return Submission(str(path), number, code, problem)


def decoded(content: bytes) -> tuple[str, str]:
    """Returns a file's text and "", or "" and why it has none."""
    if len(content) > LARGEST:
        return "", f"The file has more than {LARGEST >> 20} MiB, which is not a solution."
    try:
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return "", f"Line {line} is not text: byte 0x{content[error.start]:02x} is not UTF-8."


def of_notebook(text: str) -> tuple[str, str]:
    """Returns the code of a notebook's cells and "", or "" and why there is none."""
    try:
        return "\n\n".join(cells_of(text)), ""
    except ValueError as error:
        return "", f"The file cannot be read: {error}."

"""Runs a lesson cell by cell, says in the terminal where it is, and records it for its page.

run(script, ["--quick"])      # `minigpt lesson 3 --quick`
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import textwrap
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lessons import lesson
from lessons.book.cells import Cell, execute, read_cells
from lessons.book.record import Done, Record
from lessons.inline import titles
from minigpt.text.printing import print_any_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 88  # of prose in the terminal


class Tee(io.TextIOBase):
    """A stream that passes on what is written, and hands it to a listener, too."""

    def __init__(self, stream: TextIO, heard: Recorder) -> None:
        self.stream, self.heard = stream, heard

    def write(self, text: str) -> int:
        """Writes text to the stream and to the listener."""
        self.heard.printed(text)
        return self.stream.write(text)

    def flush(self) -> None:
        """Flushes the stream."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self.stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return self.stream.encoding


class Recorder:
    """Collects what the cells of a lesson print and draw; `lessons.lesson` calls it."""

    def __init__(self, number: int, cells: Sequence[Cell]) -> None:
        self.record = Record(number, [])
        self.waiting = list(cells)
        self.folder: Path | None = None
        self.started = time.perf_counter()
        self.silent = False  # what is printed now stands elsewhere in the page

    def begin(self, cell: Cell) -> None:
        """Begins a cell."""
        self.record.cells.append(Done(cell))

    def end(self, status: str = "running") -> None:
        """Ends a cell, or the run, and writes the record."""
        self.record.status = status
        self.record.seconds = time.perf_counter() - self.started
        if self.folder is not None:
            self.record.write(self.folder)

    def printed(self, text: str) -> None:
        """Takes what a cell has printed."""
        if text and self.record.cells and not self.silent:
            self.record.cells[-1].add_text(text)

    def starts(self, folder: Path) -> None:
        """Learns the folder of the lesson's figures."""
        self.folder = folder

    def figure(self, path: Path, figure: Figure) -> None:
        """Takes a figure that was saved."""
        shown = {"figure": path.name, "alt": titles(figure)}
        self.record.cells[-1].outputs.append(shown)

    @contextlib.contextmanager
    def tables(self) -> Iterator[None]:
        """Marks the place of the closing tables, which the page sets from table.json."""
        self.record.cells[-1].outputs.append({"tables": True})
        self.silent = True
        try:
            yield
        finally:
            self.silent = False


def run(script: Path, options: Sequence[str]) -> None:
    """Runs the cells of a lesson's script as if they were the script.

    Raises:
        whatever a cell raises; the record keeps the traceback.
    """
    print_any_text()  # here, since a lesson finds the listening stream in the place of the real one
    cells = read_cells(script.read_text(encoding="utf-8"))
    recorder = Recorder(int(script.name[:2]), cells)
    argv, path = sys.argv, list(sys.path)
    sys.argv, sys.path[:] = [str(script), *options], [str(script.parent), *path]
    namespace = {"__name__": "__main__", "__file__": str(script), "__builtins__": __builtins__}
    lesson.recorder = recorder
    try:
        for cell in cells:
            recorder.begin(cell)
            if cell.is_prose:
                print(announcement(cell), end="")
                continue
            with contextlib.redirect_stdout(Tee(sys.stdout, recorder)):
                execute(cell, script, namespace)
            recorder.end()
        recorder.end("done")
    except KeyboardInterrupt:
        recorder.end("interrupted")
        raise
    except Exception:
        recorder.printed(traceback.format_exc())
        recorder.end("failed")
        raise
    finally:
        lesson.recorder = None
        sys.argv, sys.path[:] = argv, path


def announcement(cell: Cell) -> str:
    """Returns a Markdown cell's heading and its first sentence, as the terminal shows them."""
    heading = f"\n{cell.heading}\n{'-' * len(cell.heading)}\n" if cell.heading else "\n"
    prose = [part for part in re.split(r"\n\s*\n", cell.source) if not part.startswith("#")]
    if not prose:
        return heading
    sentence = re.split(r"(?<=[.?:])\s", " ".join(prose[0].split()), maxsplit=1)[0]
    return heading + textwrap.fill(sentence, WIDTH) + "\n"

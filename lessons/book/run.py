"""Runs a lesson cell by cell, says in the terminal where it is, and records it for its page.

run(script, ["--quick"])      # `minigpt lesson 3 --quick`
"""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lessons.alt_text import alt_text
from lessons.book.cells import Cell, execute, read_cells
from lessons.book.pulse import Pulse, Tee
from lessons.book.record import Done, Record, fingerprint
from lessons.book.terminal import announcement, whole
from minigpt.text.printing import print_any_text, print_at_once

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Recorder:
    """Collects what the cells of a lesson print and draw; `lessons.lesson` calls it."""

    def __init__(self, script: Path) -> None:
        number = int(script.name[:2])
        self.record = Record(number, [], started=time.time(), script=fingerprint(script))
        self.folder: Path | None = None
        self.started = time.perf_counter()
        self.silent = False  # what is printed now stands elsewhere in the page

    def begin(self, cell: Cell) -> None:
        """Begins a cell."""
        self.record.cells.append(Done(cell))

    def end(self, status: str = "running") -> None:
        """Ends a cell, or the run, and writes the record if the lesson has a folder."""
        self.record.status = status
        self.record.seconds = time.perf_counter() - self.started
        if self.folder is not None:
            self.record.write(self.folder)

    def fail(self, error: Exception) -> None:
        """Ends the run with an error."""
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        self.record.error = printable(f"{type(error).__name__}: {first}".rstrip(": "))
        with contextlib.suppress(OSError):  # the error itself says what is wrong: a full disk
            self.end("failed")

    def printed(self, text: str) -> None:
        """Takes what a cell has printed."""
        if text and self.record.cells and not self.silent:
            self.record.cells[-1].add_text(printable(text))

    def starts(self, folder: Path, settings: dict[str, Any]) -> None:
        """Learns the folder of the lesson's figures and its settings, and begins the record."""
        self.folder = folder
        self.record.settings = settings
        self.end()  # a run that is killed now is not taken for the one before

    def figure(self, path: Path, figure: Figure) -> None:
        """Takes a figure that was saved."""
        shown = {"figure": path.name, "alt": alt_text(figure)}
        self.record.cells[-1].outputs.append(shown)

    def playground(self, name: str, path: Path) -> None:
        """Takes the data of a figure that can be played with."""
        self.record.cells[-1].outputs.append({"play": name, "data": path.name})

    @contextlib.contextmanager
    def tables(self) -> Iterator[None]:
        """Marks the place of the closing tables, which the page sets from table.json."""
        self.record.cells[-1].outputs.append({"tables": True})
        self.silent = True
        try:
            yield
        finally:
            self.silent = False


def printable(text: str) -> str:
    """Returns text that a file can hold: names of files may have parts that are no characters."""
    return text.encode("utf-8", "replace").decode("utf-8")


def run(
    script: Path, options: Sequence[str], prose: bool = False, recorder: Recorder | None = None
) -> Path:
    """Runs the cells of a lesson's script as if they were the script; returns its results' folder.

    Args:
        options: the lesson's own.
        prose: print all of the lesson's text, and not only the beginning of each part.
        recorder: what to record it with, for those who want to know the folder after an error.

    Raises:
        whatever a cell raises; the record keeps the traceback.
    """
    print_any_text()  # here, since a lesson finds listeners in the place of the real streams
    print_at_once()
    cells = read_cells(script.read_text(encoding="utf-8"))
    recorder = recorder or Recorder(script)
    with Pulse() as pulse, taking_part(script, options, recorder):
        namespace = {"__name__": "__main__", "__file__": str(script), "__builtins__": __builtins__}
        try:
            for cell in cells:
                recorder.begin(cell)
                if cell.is_prose:
                    print(whole(cell) if prose else announcement(cell), end="", flush=True)
                    continue
                pulse.begin("in this cell")
                with contextlib.redirect_stdout(Tee(sys.stdout, recorder.printed)):
                    execute(cell, script, namespace)
                recorder.end()
            recorder.end("done")
        except KeyboardInterrupt:
            with contextlib.suppress(OSError):
                recorder.end("interrupted")
            raise
        except Exception as error:
            recorder.printed(traceback.format_exc())
            recorder.fail(error)
            raise
    if recorder.folder is None:
        raise ValueError(f"{script} is no lesson: it does not call lesson.start")
    return recorder.folder


@contextlib.contextmanager
def taking_part(script: Path, options: Sequence[str], recorder: Recorder) -> Iterator[None]:
    """Lets a lesson see the command line and the path of a script, and tell the recorder.

    Afterwards the process is as it was.
    """
    from lessons import lesson  # loads torch, for which the pulse may have to account

    argv, path = sys.argv, list(sys.path)
    sys.argv, sys.path[:] = [str(script), *options], [str(script.parent), *path]
    lesson.recorder = recorder
    try:
        yield
    finally:
        lesson.recorder = None
        sys.argv, sys.path[:] = argv, path

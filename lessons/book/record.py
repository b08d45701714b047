"""What a run of a lesson leaves for its page: each cell with all that it printed and drew.

It is written as record.json beside the lesson's figures after every cell, so that a run that was
killed leaves all but its last cell.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lessons.book.cells import Cell
from minigpt.files.atomic import write_text

FILE = "record.json"
VERSION = 1


@dataclass
class Done:
    """A code cell that has run, or a Markdown cell that was passed.

    Attributes:
        outputs: in their order, {"text": what was printed}, {"figure": file name, "alt": titles},
            {"play": name of a figure to play with, "data": file name} or {"tables": True} where the
            closing tables stood.
    """

    cell: Cell
    outputs: list[dict[str, Any]] = field(default_factory=list)

    def add_text(self, text: str) -> None:
        """Adds printed text, to the text before it if nothing else came between."""
        if self.outputs and "text" in self.outputs[-1]:
            self.outputs[-1]["text"] += text
        else:
            self.outputs.append({"text": text})


@dataclass
class Record:
    """A run of a lesson.

    Attributes:
        status: "running" until the end, then "done"; "interrupted" after Ctrl-C; "failed" if a cell
            raised an exception, whose traceback is the cell's last output.
        seconds: how long it took so far.
    """

    number: int
    cells: list[Done]
    status: str = "running"
    seconds: float = 0.0

    def write(self, folder: Path) -> None:
        """Writes the record into the lesson's folder."""
        content = {"version": VERSION, **asdict(self)}
        write_text(folder / FILE, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def read_record(folder: Path) -> Record:
    """Reads a record.

    Raises:
        FileNotFoundError: the lesson has not run there.
        ValueError: the file is no record, or one of another version.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("version") != VERSION:
            raise ValueError("it was written by another version of minigpt")
        content["cells"] = [
            Done(Cell(**done["cell"]), done["outputs"]) for done in content["cells"]
        ]
        return Record(**content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no record of a lesson ({error}); run the lesson again"
        ) from None

"""What a run of a lesson leaves for its page: each cell with all that it printed and drew.

It is written as record.json beside the lesson's figures after every cell, so that a run that was
killed leaves all but its last cell. `minigpt course` reads it to see what need not run again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lessons.book.cells import Cell
from lessons.folders import RECORD, TABLE
from lessons.verdicts import Kind
from minigpt.files.atomic import write_text

VERSION = 1
COLUMNS = ("what", "source", "published", "measured here", "kind", "verdict")  # of table.json


@dataclass
class Done:
    """A code cell that has run, or a Markdown cell that was passed.

    Attributes:
        outputs: in their order, {"text": what was printed}, {"figure": file name, "alt": what it
            shows}, {"play": name of a figure to play with, "data": file name} or {"tables": True}
            where the closing tables stood.
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
        status: "running" until the end, then "done"; "interrupted" after Ctrl-C, or if the course
            was told to stop; "failed" if a cell raised an exception, whose traceback is the cell's
            last output; "killed (...)" if the process was ended from outside.
        seconds: how long it took so far.
        started: when it began, in seconds since 1970.
        script: the fingerprint of the lesson's script.
        settings: what the lesson was started with: "seed", "device" and "asked" (what --device
            said), "quick", "full" and "large", and where: "versions" and "machine".
        error: why it failed, in a line.
    """

    number: int
    cells: list[Done]
    status: str = "running"
    seconds: float = 0.0
    started: float = 0.0
    script: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    def write(self, folder: Path) -> None:
        """Writes the record into the lesson's folder."""
        content = {"version": VERSION, **asdict(self)}
        write_text(folder / RECORD, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def fingerprint(script: Path) -> str:
    """Returns a number, as text, that is another one when a script's text is another."""
    return hashlib.sha256(script.read_text(encoding="utf-8").encode()).hexdigest()


def read_record(folder: Path) -> Record:
    """Reads a record.

    Raises:
        FileNotFoundError: the lesson has not run there.
        ValueError: the file is no record, or one of another version.
    """
    path = folder / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("version") != VERSION:
            raise ValueError("it was written by another version of minigpt")
        content["cells"] = [
            Done(Cell(**done["cell"]), done["outputs"]) for done in content["cells"]
        ]
        record = Record(**content)
        check_types(record)
        return record
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no record of a lesson ({error}); run the lesson again"
        ) from None


def check_types(record: Record) -> None:
    """Makes sure that a record that was read holds what a page needs.

    Raises:
        KeyError, AttributeError, TypeError: it does not.
    """
    settings = record.settings
    expected: list[tuple[Any, Any]] = [
        (record.number, int), (record.status, str), (record.seconds, int | float),
        (record.started, int | float), (record.error, str),
        (settings["device"], str), (settings["asked"], str), (settings["seed"], int),
        (settings["versions"], dict), (settings["machine"], dict),
    ]  # fmt: skip
    expected += [(settings[name], bool) for name in ("quick", "full", "large")]
    for done in record.cells:
        expected += [(done.cell.source, str), (done.outputs, list)]
        for output in done.outputs:
            expected += [(output.get(name, ""), str) for name in ("text", "figure", "alt")]
    for value, kind in expected:
        if not isinstance(value, kind):
            raise TypeError(f"{value!r:.60} stands in a wrong place")


def counts(rows: Sequence[dict[str, Any]]) -> list[tuple[Kind, int]]:
    """Returns how often each verdict was given, in the order of `Kind`."""
    found = Counter(row["kind"] for row in rows)
    return [(kind, found[kind.value]) for kind in Kind if found[kind.value]]


def read_table(folder: Path) -> dict[str, Any]:
    """Reads the closing tables of a lesson that has run to its end.

    Raises:
        ValueError: the file is not there, or holds no tables.
    """
    path = folder / TABLE
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        for row in table["rows"]:
            missing = [name for name in COLUMNS if name not in row]
            if missing:
                raise ValueError(f"a row has no {missing[0]!r}")
            if row["kind"] is not None:
                Kind(row["kind"])
                if not isinstance(row["verdict"], str):
                    raise TypeError(f"{row['verdict']!r:.60} stands in a wrong place")
        return table
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} holds no closing tables of a lesson ({error}); run the lesson again"
        ) from None

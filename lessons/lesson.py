"""The parts that every lesson script shares: its settings, its figures, and its closing table.

from lessons import lesson

course = lesson.start(3, "GPT-2, assembled")      # reads --device, --seed, --quick, --full, --out
course.save_figure(figure, "parameters")          # runs/lesson-03/parameters.png
course.published("GPT-2, parameters in millions", "Radford et al. 2019, table 2", "117", "124.4",
                 same_figure("117", 124.4, "...", kind=Kind.WRONG))
course.checked("scores with and without a cache", "equal to the bit", holds(same))
course.finish()                                   # prints both tables and writes table.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import sysconfig
import textwrap
import time
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import minigpt
from lessons.verdicts import Verdict
from minigpt.device import pick_device
from minigpt.files.atomic import reason_of, write_text
from minigpt.text.printing import print_any_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lessons.book.run import Recorder
    from minigpt.tasks.data import TaskData

recorder: Recorder | None = None  # set while a lesson runs cell by cell, for its page in the book


@dataclass(frozen=True)
class Row:
    """A row of the closing tables; source and published are None where nobody has published it."""

    what: str
    source: str | None
    published: str | None
    measured: str
    verdict: Verdict

    def cells(self, judges: bool) -> list[str]:
        """Returns what the tables print."""
        found = [self.what, self.measured]
        if self.source is not None and self.published is not None:
            found[1:1] = [self.source, self.published]
        return [*found, str(self.verdict)] if judges else found

    def as_json(self, judges: bool, quick: bool) -> dict[str, str | None]:
        """Returns what table.json holds; `turned` only for the tests."""
        row: dict[str, str | None] = {
            "what": self.what, "source": self.source, "published": self.published,
            "measured here": self.measured, "kind": None, "verdict": None,
        }  # fmt: skip
        if judges:
            row |= {"kind": self.verdict.kind.value, "verdict": str(self.verdict)}
        if judges and quick:
            row["turned"] = self.verdict.turned().value
        return row


@dataclass
class Lesson:
    """The settings of one run of a lesson, and what it has produced so far.

    Attributes:
        number: the lesson's number.
        device: the device that the tensors are on.
        seed: the seed that was set.
        quick: whether to use the smallest settings, with which the numbers mean nothing.
        full: whether --full was given: large settings everywhere, which take time.
        judges: whether to give verdicts; a quick run gives none.
        folder: where figures and the table are written.
    """

    number: int
    title: str
    device: torch.device
    seed: int
    quick: bool
    full: bool
    judges: bool
    folder: Path
    started: float = field(default_factory=time.perf_counter)
    rows: list[Row] = field(default_factory=list)

    def choose(self, quick: Any, normal: Any, full: Any = None) -> Any:
        """Returns quick under --quick, full (if given) where settings are large, else normal."""
        if self.quick:
            return quick
        return full if self.large and full is not None else normal

    @property
    def large(self) -> bool:
        """Whether the large settings are used: with --full, and with CUDA, which is fast enough."""
        return self.full or (self.device.type == "cuda" and not self.quick)

    @property
    def n_documents(self) -> int | None:
        """How many documents of the Python library to read: 100 under --quick, else all (None)."""
        return 100 if self.quick else None

    def limit(self, data: TaskData) -> TaskData:
        """Returns data; under --quick 400, 20 and 20 records of its parts, and short answers."""
        if not self.quick:
            return data
        train, validation, test = data.train[:400], data.validation[:20], data.test[:20]
        task = replace(data.task, max_new_tokens=4)
        return replace(data, task=task, train=train, validation=validation, test=test)

    def save_figure(self, figure: Figure, name: str) -> Path:
        """Writes figure as folder/name.png and prints where it is."""
        import matplotlib.pyplot as plt

        path = self.folder / f"{name}.png"
        figure.savefig(path, dpi=130, bbox_inches="tight")
        if recorder is not None:
            recorder.figure(path, figure)
        plt.close(figure)
        print(f"[figure] {path}")
        return path

    def published(
        self, what: str, source: str, published: object, measured: object, verdict: Verdict
    ) -> None:
        """Adds a figure or a claim that stands in a source to the closing table.

        Args:
            what: the figure in a few words; different for each row of a lesson.
            source: where it stands: paper and table or equation, "slides 001", "notes 003".
            published: as it is printed there.
            measured: what came out here.
            verdict: computed from what came out; see lessons/verdicts.py.
        """
        self.rows.append(Row(what, source, str(published), str(measured), verdict))

    def checked(self, what: str, measured: object, verdict: Verdict) -> None:
        """Adds a property that was shown on this machine, and that no source has published."""
        self.rows.append(Row(what, None, None, str(measured), verdict))

    def finish(self) -> None:
        """Prints the closing tables and writes them as table.json beside the figures."""
        with recorder.tables() if recorder is not None else contextlib.nullcontext():
            self.print_tables()
        report = {
            "lesson": self.number, "title": self.title, "seed": self.seed, "quick": self.quick,
            "full": self.large, "device": str(self.device), "versions": versions(),
            "rows": [row.as_json(self.judges, self.quick) for row in self.rows],
        }  # fmt: skip
        text = json.dumps(report, ensure_ascii=False, indent=1)
        write_text(self.folder / "table.json", text + "\n")
        seconds = time.perf_counter() - self.started
        print(f"\nLesson {self.number:02d} took {seconds:.0f} s. Figures are in {self.folder}/")
        if self.quick:
            print(
                "This was a --quick run: it shows that everything works, its numbers mean nothing, "
                "and so it gives no verdicts."
            )

    def print_tables(self) -> None:
        """Prints what others have published and what was checked here."""
        published = [row for row in self.rows if row.source is not None]
        checked = [row for row in self.rows if row.source is None]
        if published:
            print(f"\nLesson {self.number:02d}: published figures, measured again\n")
            print_rows(("", "source", "published", "measured here"), published, self.judges)
        if checked:
            print(f"\nLesson {self.number:02d}: checked on this machine\n")
            print_rows(("", "measured here"), checked, self.judges)


def start(number: int, title: str) -> Lesson:
    """Reads the command line, sets the seed, and prints the heading.

    In a notebook there is no command line, and the defaults are used.
    """
    print_any_text()
    show_children_the_checkout()
    parser = argparse.ArgumentParser(
        description=f"Lesson {number:02d}: {title}",
        epilog=f"example: python {sys.argv[0]} --seed 1",
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps or auto (default)")
    parser.add_argument("--seed", type=int, default=1337, help="random seed (default 1337)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="smallest settings, to see that it runs")
    size.add_argument("--full", action="store_true", help="large settings, which CUDA gets anyway")
    # For the tests, which see whether each verdict of a quick run could come out otherwise.
    parser.add_argument("--verdicts", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=f"folder (default runs/lesson-{number:02d})")
    in_notebook = "ipykernel" in sys.modules
    arguments = parser.parse_args([] if in_notebook else None)
    try:
        device = pick_device(arguments.device)
        if not 0 <= arguments.seed < 2**32:
            raise ValueError(
                f"--seed must be from 0 to {2**32 - 1:,}, got {str(arguments.seed)[:40]}"
            )
        folder = make_folder(arguments.out, f"runs/lesson-{number:02d}")
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if "MPLBACKEND" not in os.environ and not in_notebook:
        import matplotlib

        matplotlib.use("agg")  # draws into files, so that no screen is needed
    if recorder is not None:
        recorder.starts(folder)
    torch.manual_seed(arguments.seed)
    print(f"Lesson {number:02d}: {title}   (device {device}, seed {arguments.seed})\n")
    judges = arguments.verdicts or not arguments.quick
    sizes = arguments.quick, arguments.full
    return Lesson(number, title, device, arguments.seed, *sizes, judges, folder)


def show_children_the_checkout() -> None:
    """Lets the processes that a lesson starts import our packages, if nobody has installed them."""
    root = str(Path(__file__).resolve().parents[1])
    before = os.environ.get("PYTHONPATH", "")
    if root != sysconfig.get_path("purelib") and root not in before.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, before]))


def make_folder(given: str | None, usual: str) -> Path:
    """Makes the folder of --out, or the usual one.

    Raises:
        OSError, ValueError: it cannot be made or written to.
    """
    folder = Path(usual if given is None else given)
    named = usual if given is None else f"--out {given!r}"
    try:
        if given == "":
            raise OSError("it has no name")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        raise OSError(f"{named} cannot be made: {reason_of(error)}") from None
    if not os.access(folder, os.W_OK):
        raise OSError(f"{named} may not be written to")
    return folder


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that decide what comes out."""
    found = {"python": platform.python_version(), "minigpt": minigpt.__version__}
    for package in ("torch", "triton", "numpy", "tiktoken"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


WIDTHS = {"": 30, "source": 20, "published": 20, "measured here": 24, "verdict": 40}


def print_rows(header: tuple[str, ...], rows: list[Row], judges: bool) -> None:
    """Prints rows under a header, with their verdicts if there are to be any."""
    if judges:
        header = (*header, "verdict")
    table = [header, *(tuple(row.cells(judges)) for row in rows)]
    print(format_table(table, tuple(WIDTHS[name] for name in header)))


def format_table(rows: list[tuple[str, ...]], widths: tuple[int, ...]) -> str:
    """Returns rows as an aligned table: the first row is the header, long cells wrap at widths."""
    wrapped = [
        [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
        for row in rows
    ]
    actual = [max(len(line) for row in wrapped for line in row[i]) for i in range(len(widths))]
    lines = []
    for number, row in enumerate(wrapped):
        for depth in range(max(len(cell) for cell in row)):
            parts = (cell[depth] if depth < len(cell) else "" for cell in row)
            lines.append(
                " | ".join(f"{part:<{width}}" for part, width in zip(parts, actual, strict=True))
            )
        if number == 0:
            lines.append("-+-".join("-" * width for width in actual))
    return "\n".join(line.rstrip() for line in lines)

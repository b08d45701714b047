"""The parts that every lesson script shares: its settings, its figures, and its closing table.

from lessons import lesson

course = lesson.start(3, "GPT-2, assembled")      # reads --device, --seed, --quick, --full, --out
course.save_figure(figure, "parameters")          # runs/lesson-03/parameters.png
course.playground("nf4", {"weights": [0.1, -0.2]})   # runs/lesson-03/nf4.json, for the page
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
import re
import sys
import sysconfig
import time
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import minigpt
from lessons import machine
from lessons.alt_text import alt_text
from lessons.closing_tables import closing_tables
from lessons.folders import RECORD, TABLE, folder_of, results
from lessons.inline import figure_bundle, in_notebook, tables_bundle
from lessons.verdicts import Verdict
from minigpt.device import pick_device
from minigpt.files.atomic import reason_of, write_text
from minigpt.text.printing import print_any_text, print_at_once

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lessons.book.run import Recorder
    from minigpt.tasks.data import TaskData


@dataclass(frozen=True)
class Settings:
    """What can be chosen before a lesson starts, by options or in the first cell of a notebook.

    Raises:
        ValueError: a value is none that is allowed.
    """

    device: str = "auto"
    seed: int = 1337
    quick: bool = False
    full: bool = False
    verdicts: bool = False
    out: str | None = None

    def __post_init__(self) -> None:
        shown = repr(self.device)[:40]
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", str(self.device)):
            raise ValueError(f"device must be cpu, cuda, cuda:N, mps or auto, got {shown}")
        if type(self.seed) is not int or not 0 <= self.seed < 2**32:
            shown = str(self.seed)[:40]
            raise ValueError(f"seed must be a whole number from 0 to {2**32 - 1:,}, got {shown}")
        for name in ("quick", "full"):
            if type(value := getattr(self, name)) is not bool:
                raise ValueError(f"{name} must be True or False, got {str(value)[:40]}")
        if self.quick and self.full:
            raise ValueError("quick and full exclude each other; choose one")


recorder: Recorder | None = None  # set while a lesson runs cell by cell, for its page in the book
notebook: Settings | None = None  # set by the first cell of a notebook that we have written


@dataclass(frozen=True)
class Row:
    """A row of the closing tables; source and published are None where nobody has published it."""

    what: str
    source: str | None
    published: str | None
    measured: str
    verdict: Verdict

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

    def settings(self) -> dict[str, Any]:
        """Returns how and where the lesson runs, for table.json and for its page."""
        return {
            "seed": self.seed, "quick": self.quick, "full": self.full, "large": self.large,
            "device": str(self.device), "versions": versions(),
            "machine": machine.describe(self.device),
        }  # fmt: skip

    def choose(self, quick: Any, normal: Any, full: Any = None) -> Any:
        """Returns quick under --quick, full (if given) where settings are large, else normal."""
        if self.quick:
            return quick
        return full if self.large and full is not None else normal

    @property
    def large(self) -> bool:
        """Returns whether to use the large settings: with --full, or CUDA, which is fast enough."""
        return self.full or (self.device.type == "cuda" and not self.quick)

    @property
    def n_documents(self) -> int | None:
        """Returns how many documents of the Python library to read: 100 under --quick, else all."""
        return 100 if self.quick else None

    def limit(self, data: TaskData) -> TaskData:
        """Returns data; under --quick 400, 20 and 20 records of its parts, and short answers."""
        if not self.quick:
            return data
        train, validation, test = data.train[:400], data.validation[:20], data.test[:20]
        task = replace(data.task, max_new_tokens=4)
        return replace(data, task=task, train=train, validation=validation, test=test)

    def save_figure(self, figure: Figure, name: str) -> None:
        """Writes figure as folder/name.png and prints where it is; a notebook shows it instead."""
        import matplotlib.pyplot as plt

        path = self.folder / f"{name}.png"
        figure.savefig(path, dpi=130, bbox_inches="tight")
        if recorder is not None:
            recorder.figure(path, figure)
        plt.close(figure)
        if in_notebook():
            figure_bundle(path, alt_text(figure)).show()
        else:
            print(f"[figure] {path}")

    def playground(self, name: str, data: dict[str, Any]) -> Path:
        """Writes data for a figure that can be played with in the lesson's page, and says where.

        Args:
            name: of the figure; see lessons/book/play/playgrounds.py.
            data: numbers and texts of this run that can be written as JSON.

        Raises:
            ValueError: a number is NaN or infinite.
        """
        path = self.folder / f"{name}.json"
        compact = (",", ":")
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=compact)
        write_text(path, text + "\n")
        if recorder is not None:
            recorder.playground(name, path)
        print(f"[play] {path}: try it in the lesson's page")
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
        """Shows the closing tables and writes them as table.json beside the figures."""
        with recorder.tables() if recorder is not None else contextlib.nullcontext():
            self.show_tables()
        report = {
            "lesson": self.number, "title": self.title, **self.settings(),
            "rows": [row.as_json(self.judges, self.quick) for row in self.rows],
        }  # fmt: skip
        text = json.dumps(report, ensure_ascii=False, indent=1)
        write_text(self.folder / TABLE, text + "\n")
        seconds = time.perf_counter() - self.started
        print(f"\nLesson {self.number:02d} took {seconds:.0f} s. Figures are in {self.folder}/")
        if self.quick:
            print(
                "This was a --quick run: it shows that everything works, its numbers mean nothing, "
                "and so it gives no verdicts."
            )

    def show_tables(self) -> None:
        """Shows what others have published and what was checked here."""
        tables = closing_tables([row.as_json(self.judges, self.quick) for row in self.rows])
        if in_notebook():
            tables_bundle(tables).show()
            return
        for table in tables:
            print(f"\nLesson {self.number:02d}: {table.title}\n\n{table.as_text()}")


def start(number: int, title: str) -> Lesson:
    """Reads the command line or a notebook's settings, sets the seed, and prints the heading."""
    print_any_text()
    print_at_once()
    show_children_the_checkout()
    parser = make_parser(number, title)
    try:
        given = notebook_settings() if in_notebook() else Settings(**vars(parser.parse_args()))
        device = pick_device(given.device)
        folder = make_folder(given.out, folder_of(results(given.quick, given.full), number))
        if recorder is None:  # a record of another run would no longer fit what will stand here
            (folder / RECORD).unlink(missing_ok=True)
    except (ValueError, OSError) as error:
        if in_notebook():
            raise
        parser.error(str(error))
    if "MPLBACKEND" not in os.environ and not in_notebook():
        import matplotlib

        matplotlib.use("agg")  # draws into files, so that no screen is needed
    torch.manual_seed(given.seed)
    print(f"Lesson {number:02d}: {title}   (device {device}, seed {given.seed})\n")
    judges = given.verdicts or not given.quick
    sizes = given.quick, given.full
    course = Lesson(number, title, device, given.seed, *sizes, judges, folder)
    if recorder is not None:
        recorder.starts(folder, {"asked": given.device, **course.settings()})
    return course


def make_parser(number: int, title: str) -> argparse.ArgumentParser:
    """Returns the parser of a lesson's options, each of them an attribute of `Settings`."""
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
    usual = folder_of(results(), number)
    parser.add_argument("--out", help=f"folder (default {usual}; with --quick or --full another)")
    return parser


def notebook_settings() -> Settings:
    """Returns the settings of the notebook that this runs in, or the defaults if it sets none.

    A lesson's first cell has put the first entry of sys.path with "/.." behind it in front. For a
    script that is the checkout; for a notebook it may be anything, and our packages were found
    without it.
    """
    if notebook is None:
        return Settings()
    if sys.path[0] == f"{sys.path[1]}/..":
        del sys.path[0]
    return notebook


def show_children_the_checkout() -> None:
    """Lets the processes that a lesson starts import our packages, if nobody has installed them."""
    root = str(Path(__file__).resolve().parents[1])
    before = os.environ.get("PYTHONPATH", "")
    if root != sysconfig.get_path("purelib") and root not in before.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, before]))


def make_folder(given: str | None, usual: Path) -> Path:
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

"""The parts that every lesson script shares: its settings, its figures, and its closing table.

from lessons import lesson

course = lesson.start(3, "GPT-2, assembled")      # reads --device, --seed, --quick, --full, --out
course.save_figure(figure, "parameters")          # runs/lesson-03/parameters.png
course.compare("GPT-2 small", "117M", "124.4M", "the published figure is wrong because ...")
course.finish()                                   # prints published | measured here | verdict
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import sysconfig
import textwrap
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from minigpt.device import pick_device
from minigpt.files.atomic import reason_of, write_text
from minigpt.text.printing import print_any_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minigpt.tasks.data import TaskData


@dataclass
class Lesson:
    """The settings of one run of a lesson, and what it has produced so far.

    Attributes:
        number: the lesson's number.
        device: the device that the tensors are on.
        seed: the seed that was set.
        quick: whether to use the smallest settings, with which the numbers mean nothing.
        full: whether to use the large settings, which take time.
        folder: where figures and the table are written.
    """

    number: int
    title: str
    device: torch.device
    seed: int
    quick: bool
    full: bool
    folder: Path
    started: float = field(default_factory=time.perf_counter)
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def choose(self, quick: Any, normal: Any, full: Any = None) -> Any:
        """Returns quick under --quick, full (if it is given) under --full, else normal."""
        if self.quick:
            return quick
        return full if self.full and full is not None else normal

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
        plt.close(figure)
        print(f"[figure] {path}")
        return path

    def compare(self, what: str, published: object, measured: object, verdict: str) -> None:
        """Adds a row to the closing table."""
        self.rows.append((what, str(published), str(measured), verdict))

    def finish(self) -> None:
        """Prints the closing table and writes it as table.json beside the figures."""
        header = ("", "published", "measured here", "verdict")
        print(f"\nLesson {self.number:02d}: published figures, measured again\n")
        print(format_table([header, *self.rows], widths=(34, 24, 24, 44)))
        table = [dict(zip(("what", *header[1:]), row, strict=True)) for row in self.rows]
        text = json.dumps(table, ensure_ascii=False, indent=1)
        write_text(self.folder / "table.json", text + "\n")
        seconds = time.perf_counter() - self.started
        print(f"\nLesson {self.number:02d} took {seconds:.0f} s. Figures are in {self.folder}/")
        if self.quick:
            print(
                "This was a --quick run: it shows that everything works, its numbers mean nothing."
            )


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
    size.add_argument("--full", action="store_true", help="large settings; takes much longer")
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
    torch.manual_seed(arguments.seed)
    print(f"Lesson {number:02d}: {title}   (device {device}, seed {arguments.seed})\n")
    return Lesson(number, title, device, arguments.seed, arguments.quick, arguments.full, folder)


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
    try:
        if given == "":
            raise OSError("it has no name")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        raise OSError(f"--out {given!r} cannot be made: {reason_of(error)}") from None
    if not os.access(folder, os.W_OK):
        raise OSError(f"--out {given!r} may not be written to")
    return folder


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

"""Makes a small book of lessons that went differently: done, quick, failed, damaged, not run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.image import imsave

from lessons.book.cells import Cell
from lessons.book.pages import write_book
from lessons.book.record import Done, Record
from lessons.verdicts import Kind
from tests.lessons.book.checks.plays import plays

BEGAN = datetime(2026, 3, 1, 9, 5).timestamp()
LINE = "a line of 100 signs " * 5
FIRST = """\
# Lesson {number}: Part {number}

What this is **about**, in a sentence with the *formula* $x^2$ and `code`. See lesson 2.

After this lesson you can

- do this: {word};
- do that.

You need: lesson 1. Terms can be looked up in the [glossary](GLOSSARY.md).
"""
PROSE = """\
## A part with `code` in its name

A **token** has a probability, $p = \\frac{e^{z}}{\\sum_v e^{z_v}}$, and in lesson 1 a number:

$$-\\sum_{i=1}^{n} p_i \\log_2 p_i + \\int_0^1 f(x) \\, dx + a + b + c + d + e + f + g + h + i + j$$

| a table | of two columns |
|---|---|
| with a long cell, which has many words in it and more | and `another_name_that_cannot_be_broken` |

### A smaller part

- a point
"""
CODE = f'''\
class Halves(dict[str, float]):
    """Holds halves, and a line that is longer than a phone is wide, and even than the page is."""

    @property
    def half(self) -> float | None:  # {LINE}
        return 0.5 if self and not None else float("nan") + 1e-3 @ lambda x: f"{{x!r:>8}}\\n"
'''
WORDS = {
    Kind.REPRODUCED: "", Kind.DIFFERS: " because the machine is another",
    Kind.WRONG: " because the sum is 0.5", Kind.UNKNOWN: "; it is 0.5", Kind.HOLDS: "",
    Kind.UNDECIDED: "; +0.1 ± 0.2 may be chance", Kind.FAILS: "; it is 0.5",
}  # fmt: skip
OWN = (Kind.HOLDS, Kind.FAILS)


def settings(**others: Any) -> dict[str, Any]:
    """Returns how a lesson ran, with some values of its own."""
    usual = {
        "seed": 1337, "quick": False, "full": False, "large": False,
        "device": "cpu", "asked": "auto",
        "versions": {"python": "3.12.1", "torch": "2.12.0"},
        "machine": {"processor": "Abacus 9", "cores": "2", "system": "Linux 6"},
    }  # fmt: skip
    return usual | others


def rows(judged: bool = True) -> list[dict[str, Any]]:
    """Returns a row for each kind of verdict."""
    return [
        {
            "what": f"row {i}: a part of a whole -> half",
            "source": None if kind in OWN else f"Paper {2030 - i}, table {i}",
            "published": None if kind in OWN else "0.3",
            "measured here": "0.5",
            "kind": kind.value if judged else None,
            "verdict": kind.value + WORDS[kind] if judged else None,
        }
        for i, kind in enumerate(Kind, start=1)
    ]


def write_run(
    runs: Path, number: int, status: str = "done", playable: bool = False, **others: Any
) -> Path:
    """Writes what a run of a lesson leaves, and returns its folder.

    Args:
        playable: whether it has the figures that can be played with.
        others: settings that differ from the usual ones.
    """
    folder = runs / f"lesson-{number:02d}"
    folder.mkdir(parents=True)
    imsave(folder / "wide.png", np.full((60, 2400), 0.5))
    known = settings(**others)
    shown: list[dict[str, Any]] = [{"text": f"half & half <b>\n{LINE}\n[figure] wide.png\n"}]
    shown.append({"figure": "wide.png", "alt": "a grey surface"})
    ends = {"done": {"tables": True}, "failed": {"text": f"Traceback\nOSError: {LINE}\n"}}
    for name, data in (plays() if playable else {}).items():
        (folder / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
        shown.append({"play": name, "data": f"{name}.json"})
    cells = [
        Done(Cell("markdown", FIRST.format(number=number, word="this"), 2)),
        Done(Cell("markdown", PROSE, 20)),
        Done(Cell("code", CODE, 40), shown),
        Done(Cell("code", "course.finish()", 50), [ends[status]] if status in ends else []),
    ]
    error = "OSError: it is full" if status == "failed" else ""
    Record(number, cells, status, 125.0, BEGAN, settings=known, error=error).write(folder)
    if status == "done":
        table = {"lesson": number, **known, "rows": rows(judged=not known["quick"])}
        (folder / "table.json").write_text(json.dumps(table), encoding="utf-8")
    return folder


def write_scripts(folder: Path, numbers: range) -> Mapping[int, Path]:
    """Writes a script of one cell for each lesson, and returns them by number."""
    folder.mkdir(parents=True, exist_ok=True)
    scripts = {}
    for number in numbers:
        first = FIRST.format(number=number, word="much")
        scripts[number] = folder / f"{number:02d}_part.py"
        commented = "".join(f"# {line}".rstrip() + "\n" for line in first.splitlines())
        scripts[number].write_text(f"# %% [markdown]\n{commented}", encoding="utf-8")
    return scripts


def write_small_book(folder: Path, playable: bool = False) -> Path:
    """Writes a book with a lesson of each kind, and returns its folder.

    Lesson 1 is done, 2 ran quickly with another seed, 3 failed, 4 was interrupted, the record of 5
    is damaged, and 6 to 13 have not run: the glossary names all thirteen. In a playable book,
    lesson 1 has the figures that can be played with.
    """
    runs = folder / "runs"
    write_run(runs, 1, playable=playable)
    write_run(runs, 2, quick=True, seed=7)
    write_run(runs, 3, "failed")
    write_run(runs, 4, "interrupted")
    (write_run(runs, 5) / "record.json").write_text('{"version": 1', encoding="utf-8")
    return write_book(runs, write_scripts(folder / "scripts", range(1, 14))).parent

"""Runs a lesson the way a learner does, with the smallest settings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.minigpt.tiny import forked

LESSONS = Path(__file__).resolve().parents[2] / "lessons"
LIMIT = 300  # seconds that a quick lesson may take
# Triton reads its environment when it is imported, so these need a Python of their own.
OWN_PYTHON = (10, 11)


class Finished(NamedTuple):
    """What a lesson printed, its closing table by row name, and its figures by file name."""

    output: str
    table: dict[str, dict[str, str]]
    figures: dict[str, bytes]


def run_alone(script: Path, arguments: list[str], folder: Path) -> tuple[int, str]:
    """Runs a script in a Python of its own; returns its exit status and all that it printed."""
    done = subprocess.run(
        [sys.executable, script, *arguments], cwd=folder, timeout=LIMIT, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.fixture
def run_lesson(tmp_path: Path) -> Callable[..., Finished]:
    """run_lesson(3, "--quick") runs lesson 03 in an empty folder."""

    def run(number: int, *options: str) -> Finished:
        (script,) = LESSONS.glob(f"{number:02d}_*.py")
        start = forked.script if forked.POSSIBLE and number not in OWN_PYTHON else run_alone
        status, output = start(script, [*options, "--out", str(tmp_path / "out")], tmp_path)
        assert status == 0, output[-4000:]
        rows = json.loads((tmp_path / "out" / "table.json").read_text(encoding="utf-8"))
        figures = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
        assert all(png.startswith(b"\x89PNG") and len(png) > 5000 for png in figures.values())
        return Finished(output, {row["what"]: row for row in rows}, figures)

    return run

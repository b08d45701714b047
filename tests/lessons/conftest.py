"""Runs a lesson as a learner does, in a process of its own, with the smallest settings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

LESSONS = Path(__file__).resolve().parents[2] / "lessons"


class Finished(NamedTuple):
    """A lesson's printed text, its closing table by row name, and its figures by file name."""

    output: str
    table: dict[str, dict[str, str]]
    figures: dict[str, bytes]


@pytest.fixture
def run_lesson(tmp_path: Path) -> Callable[..., Finished]:
    """Provides run_lesson: run_lesson(3, "--quick") runs lesson 03 in an empty folder."""

    def run(number: int, *options: str) -> Finished:
        (script,) = LESSONS.glob(f"{number:02d}_*.py")
        done = subprocess.run(
            [sys.executable, script, *options, "--out", tmp_path / "out"],
            cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        rows = json.loads((tmp_path / "out" / "table.json").read_text(encoding="utf-8"))
        figures = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
        assert all(png.startswith(b"\x89PNG") and len(png) > 5000 for png in figures.values())
        return Finished(done.stdout, {row["what"]: row for row in rows}, figures)

    return run

"""Runs a lesson the way a learner does, with the smallest settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from minigpt.text import python_library
from minigpt.text.documents import Document
from tests.minigpt.tiny import forked

LESSONS = Path(__file__).resolve().parents[2] / "lessons"
LIMIT = 300  # seconds that a quick lesson may take
MANY = 100  # documents that quick lessons read


class Finished(NamedTuple):
    """What a lesson printed, its closing table by row name, its figures by file name, and the data
    of those that can be played with, by their name."""

    output: str
    table: dict[str, dict[str, str]]
    figures: dict[str, bytes]
    plays: dict[str, dict[str, Any]]


@cache
def first_documents() -> list[Document]:
    """Returns the documents of Python's library that quick lessons read; pyplot is loaded, too.

    Each fork has them then, and need not read them itself.
    """
    import matplotlib.pyplot  # noqa: F401

    return python_library.python_library(MANY)


def have_read(library: list[Document]) -> None:
    """Lets python_library return the first documents without reading them again."""
    read = python_library.python_library

    def first(n_documents: int | None = None) -> list[Document]:
        known = n_documents is not None and n_documents <= len(library)
        return library[:n_documents] if known else read(n_documents)

    python_library.python_library = first


def run_script(script: Path, arguments: list[str], folder: Path) -> tuple[int, str]:
    """Runs a script without TRITON_INTERPRET; returns its exit status and all that it printed.

    It runs in a fork of this process, unless it interprets Triton's kernels, as lesson 10 does, and
    Triton is there already as the compiler takes it: torch loads it where something is trained.
    """
    interprets = "TRITON_INTERPRET" in script.read_text(encoding="utf-8")
    as_compiled = "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1"
    if forked.POSSIBLE and not (interprets and as_compiled):
        library = first_documents()
        return forked.script(
            script, arguments, folder, ("TRITON_INTERPRET",), lambda: have_read(library)
        )
    environment = {name: text for name, text in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, script, *arguments], cwd=folder, timeout=LIMIT, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.fixture
def run_lesson(tmp_path: Path) -> Callable[..., Finished]:
    """Returns a function: run_lesson(3) runs lesson 3 in an empty folder, quickly.

    It checks that each verdict can turn.
    """

    def run(number: int, *options: str) -> Finished:
        (script,) = LESSONS.glob(f"{number:02d}_*.py")
        arguments = ["--quick", "--verdicts", *options, "--out", str(tmp_path / "out")]
        status, output = run_script(script, arguments, tmp_path)
        assert status == 0, output[-4000:]
        rows = json.loads((tmp_path / "out" / "table.json").read_text(encoding="utf-8"))["rows"]
        assert len({row["what"] for row in rows}) == len(rows), "two rows have one name"
        for row in rows:
            assert row["turned"] != row["kind"], f"{row['what']}: nothing turns this verdict"
        figures = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
        assert all(png.startswith(b"\x89PNG") and len(png) > 5000 for png in figures.values())
        plays = {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in (tmp_path / "out").glob("*.json")
            if path.stem != "table"
        }
        return Finished(output, {row["what"]: row for row in rows}, figures, plays)

    return run


@pytest.fixture
def run_code(tmp_path: Path) -> Callable[[str], str]:
    """Returns a function that runs code as a script in an empty folder, for what it prints."""

    def run(code: str) -> str:
        script = tmp_path / "code.py"
        script.write_text(code, encoding="utf-8")
        status, output = run_script(script, [], tmp_path)
        assert status == 0, output[-4000:]
        return output

    return run

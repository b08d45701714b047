"""Whatever is handed in is read, or refused in a sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lessons.grading.check import check_submission
from lessons.grading.notebook import check
from lessons.grading.notebook_cells import solution_of
from lessons.grading.submission import LARGEST, Submission, read_submission
from tests.lessons.grading.small_course.tasks import BY_DOUBLING, RIGHT

pytestmark = pytest.mark.usefixtures("small_course")


def read(tmp_path: Path, content: bytes, name: str = "99_sums.py") -> Submission:
    """Writes a file and reads it as a submission."""
    path = tmp_path / name
    path.write_bytes(content)
    return read_submission(path)


def test_a_script_is_read_as_it_is(tmp_path: Path) -> None:
    found = read(tmp_path, RIGHT.encode())
    assert found == (str(tmp_path / "99_sums.py"), 99, RIGHT, "")
    assert read(tmp_path, b"\xef\xbb\xbf# marked\n").code == "# marked\n"
    assert read_submission(tmp_path / "99_sums.py", lesson=8).lesson == 8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x = 1\n\xff\xfe", "Line 2 is not text: byte 0xff is not UTF-8"),
        (b"#" * (LARGEST + 1), "more than 1 MiB"),
    ],
)
def test_what_is_not_text_is_a_problem_of_every_task(
    content: bytes, said: str, tmp_path: Path
) -> None:
    found = read(tmp_path, content)
    assert said in found.problem
    verdicts = check_submission(found).verdicts
    assert [verdict.status for verdict in verdicts] == ["error"] * 3
    assert {verdict.message for verdict in verdicts} == {found.problem}


def test_what_cannot_be_opened_is_an_error_of_the_call(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nowhere\.py"):
        read_submission(tmp_path / "nowhere.py")
    with pytest.raises(IsADirectoryError, match="is a folder; name the files in it"):
        read_submission(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "08_lora.py")
        for other in (tmp_path / "08_lora.py", Path("/dev/zero"), Path("/dev/stdin")):
            with pytest.raises(OSError, match="pipe or a device"):  # nobody waits for it
                read_submission(other)


def notebook(*cells: str) -> bytes:
    """Returns a notebook's file with these code cells."""
    made: list[dict] = [{"cell_type": "markdown", "source": "# Sums", "metadata": {}}]
    for cell in cells:
        lines = cell.splitlines(keepends=True)
        made.append({"cell_type": "code", "source": lines, "metadata": {}, "outputs": []})
    return json.dumps({"cells": made, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}).encode()


def test_of_a_notebook_only_what_the_exercises_need_counts(tmp_path: Path) -> None:
    content = notebook(
        "%matplotlib inline\nimport torch\nFACTOR = 2",
        "def double(x):\n    return FACTOR * x",
        "check('99.1')\nprint(double(1 / 0))\n!ls\ndouble?",
        "%%time\nraise SystemExit",
        BY_DOUBLING,
    )
    found = read(tmp_path, content, "99_sums.ipynb")
    assert found.problem == ""
    kept = [line for line in found.code.splitlines() if line]
    assert kept == [
        "FACTOR = 2", "def double(x):", "    return FACTOR * x", *BY_DOUBLING.splitlines(),
    ]  # fmt: skip


def test_a_notebook_that_does_not_parse_is_told_so(tmp_path: Path) -> None:
    found = read(tmp_path, notebook("def double(x:"), "99_sums.ipynb")
    assert all("not Python" in verdict.message for verdict in check_submission(found).verdicts)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"cells": 3}', "the notebook: cells must be a list"),
        (b'{"cells": [{"cell_type": "code"}]}', "the notebook: cells[0].source is missing"),
        (
            notebook("x = 1").replace(b'"x = 1"', b'"\\ud83d"'),
            "cells[1].source[0] must be text",
        ),
        (b"[" * 100_000, "the notebook is cut short or damaged (in line 1 it is nested more than"),
        (notebook("x = 1")[:50], "the notebook is cut short or damaged (Unterminated string"),
    ],
    ids=range(5),
)
def test_what_is_not_a_notebook_says_why(tmp_path: Path, content: bytes, problem: str) -> None:
    assert problem in read(tmp_path, content, "99_sums.ipynb").problem


def test_decorators_stay_with_their_function() -> None:
    code = "from functools import cache\n\n@cache\ndef double(x):\n    return 2 * x\nprint(1)\n"
    assert solution_of([code], ["double"]) == code.replace("print(1)\n", "\n")


def test_check_is_for_notebooks() -> None:
    with pytest.raises(RuntimeError, match="minigpt exercise check FILE"):
        check("99.1")


def test_check_takes_the_cells_that_have_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Shell:
        user_ns = {  # noqa: RUF012
            "In": [
                "",
                "def double(x): return 3 * x",
                "x = (",
                "1 / 0",
                "def double(x): return 2 * x",
            ]
        }

    monkeypatch.setattr("builtins.get_ipython", Shell, raising=False)
    check("99.1")
    assert "99.1" in capsys.readouterr().out.splitlines()[0]
    Shell.user_ns["In"].append("def double(x): return 3 * x")
    check("99.1")
    assert "You add x once too often." in capsys.readouterr().out

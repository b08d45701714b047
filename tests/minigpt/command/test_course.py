"""`minigpt course`: what it says of lessons that end as they should not."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from minigpt.command import course
from minigpt.command.cli import main


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[int, int]:
    """Returns a table in which tests write how a lesson ends; others end well, at once."""
    monkeypatch.chdir(tmp_path)  # the book is written here
    statuses: dict[int, int] = {}

    def run(command: list, check: bool) -> SimpleNamespace:
        return SimpleNamespace(returncode=statuses.get(int(command[4]), 0))

    monkeypatch.setattr(course, "subprocess", SimpleNamespace(run=run))
    return statuses


def test_one_that_was_killed_is_told_from_one_that_failed_and_the_others_run(
    ended: dict[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    ended |= {3: -9, 5: 1, 6: -signal.SIGSEGV, 8: -signal.SIGTERM, 9: -250}
    assert main(["course"]) == 1
    out = capsys.readouterr().out
    assert "Interrupted" not in out
    assert "Lesson 3 was killed, probably because memory ran out" in out
    assert "run it again: minigpt lesson 3" in out
    book = Path("runs", "book", "index.html")
    assert out.rstrip().endswith(f"The book of all lessons that have run: {book}")
    assert book.read_text(encoding="utf-8").count("not run yet") == 13
    rows = [line.split("   figures")[0].split() for line in out.splitlines() if "figures" in line]
    assert [" ".join(row[2:-2]) for row in rows] == [
        "done", "done", "killed (SIGKILL)", "done", "failed (1)", "killed (SIGSEGV)", "done",
        "killed (SIGTERM)", "killed (signal 250)", "done", "done", "done", "done",
    ]  # fmt: skip


@pytest.mark.parametrize("status", [130, -signal.SIGINT])
def test_ctrl_c_alone_interrupts_and_says_how_to_go_on(
    ended: dict[int, int], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    ended[4] = status
    assert main(["course", "--start", "2"]) == 130
    assert capsys.readouterr().out.rstrip().endswith("Go on with: minigpt course --start 4")


def test_a_device_that_is_not_here_is_refused_once(
    ended: dict[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    for device in ("mars", "", "cpu:7"):
        assert main(["course", "--device", device]) == 2
        found = capsys.readouterr()
        assert found.out == ""
        assert repr(device) in found.err
    assert subprocess.run is not course.subprocess.run

"""A watched file is checked again, and of it only what changed."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from lessons.grading.judge import Verdict
from lessons.grading.report import Report
from lessons.grading.watch import Watcher, saves_of, watch
from lessons.grading.worker import Sandbox
from tests.lessons.grading.small_course.tasks import BY_DOUBLING, RIGHT

pytestmark = pytest.mark.usefixtures("small_course")


def test_only_tasks_that_a_change_touches_are_checked_again(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    path = tmp_path / "99_sums.py"
    path.write_text(RIGHT, encoding="utf-8")
    watcher = Watcher(path, None, 0, sandbox)

    def saved(code: str) -> tuple[list[str], list[str]]:
        path.write_text(code, encoding="utf-8")
        changed = watcher.check()
        return changed, [verdict.status for verdict in watcher.in_order()]

    assert saved(RIGHT) == (["99.1", "99.2", "99.3"], ["passed"] * 3)
    assert saved(f"{RIGHT}\n# a comment\n") == ([], ["passed"] * 3)
    wrong = RIGHT.replace("4 * x", "5 * x")
    assert saved(wrong) == (["99.2"], ["passed", "failed", "passed"])
    calling = RIGHT + BY_DOUBLING
    assert saved(calling) == (["99.2"], ["passed"] * 3)
    helper = calling.replace("x + x", "x * x")
    assert saved(helper) == (["99.1", "99.2"], ["failed", "passed", "passed"])
    all_of_them = ["99.1", "99.2", "99.3"]
    assert saved("def broken(:") == (all_of_them, ["error"] * 3)
    assert saved("def broken(:  # still") == (all_of_them, ["error"] * 3)
    watcher.sandbox = None  # type: ignore[assignment]  # nobody needs it: all is known
    assert saved(helper) == (all_of_them, ["failed", "passed", "passed"])


@pytest.mark.usefixtures("one_sandbox")
def test_each_round_is_reported_until_the_saves_end(tmp_path: Path) -> None:
    path = tmp_path / "99_sums.py"
    path.write_text(RIGHT.replace("4 * x", "5 * x"), encoding="utf-8")

    def saves() -> Iterator[None]:
        yield None  # nothing has changed
        path.unlink()
        yield None  # between two versions of the file
        path.write_text(RIGHT, encoding="utf-8")
        yield None

    rounds: list[list[Verdict]] = []
    written = io.StringIO()
    report = Report(Console(file=written, width=100))
    watch(path, None, 0, report, rounds.append, saves())
    assert [[verdict.status for verdict in found] for found in rounds] == [
        ["passed", "failed", "passed"], ["passed"] * 3,
    ]  # fmt: skip
    text = written.getvalue()
    assert "checked all" in text
    assert "checked 99.2" in text
    assert text.count("Ctrl-C ends") == 2


def test_a_save_by_writing_or_by_renaming_is_seen(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    path, other = tmp_path / "99_sums.py", tmp_path / "99_sums.py.new"
    path.write_text("1", encoding="utf-8")
    saves = saves_of(path)

    def save() -> None:
        time.sleep(0.3)
        path.write_text("2", encoding="utf-8")

    thread = threading.Thread(target=save)
    thread.start()
    next(saves)
    thread.join()
    other.write_text("3", encoding="utf-8")
    other.replace(path)
    started = time.perf_counter()
    next(saves)
    assert time.perf_counter() - started < 1.9  # sooner than it looks by itself

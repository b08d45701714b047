"""How far a task is: a bar in a terminal, some lines in a file, nothing in a notebook."""

from __future__ import annotations

import io
import sys
from types import ModuleType

import pytest

from minigpt.text import bars
from minigpt.text.bars import progress_bar, refresh_bars


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(bars, "time", clock)
    return clock


def test_a_file_gets_a_line_now_and_then_and_one_at_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar(260, "step", "2 threads", done=10) as advance:
        for step in range(250):
            clock.now += 0.125
            advance(note=f"loss {step}")
    assert capsys.readouterr().err.splitlines() == [
        "2 threads: 90 of 260 steps, loss 79, 10 s",
        "2 threads: 170 of 260 steps, loss 159, 20 s",
        "2 threads: 250 of 260 steps, loss 239, 30 s",
        "2 threads: 260 of 260 steps, loss 249, 31 s",
    ]


def test_a_task_that_is_soon_over_leaves_no_line(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar(3, "step") as advance:
        for _ in range(3):
            clock.now += 3
            advance()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("total", "line"), [(None, "5.00MB, 20 s"), (40_000_000, "5.00MB of 40.0MB, 20 s")]
)
def test_large_numbers_are_short_and_nobody_need_know_the_total(
    clock: Clock, capsys: pytest.CaptureFixture[str], total: int | None, line: str
) -> None:
    with progress_bar(total, "B", "a.gz", scale=True, leave=False) as advance:
        clock.now += 20
        advance(5_000_000)
        clock.now += 5
        advance(100)
    assert capsys.readouterr().err == f"a.gz: {line}\n"  # leave=False: and no last one


def test_a_terminal_gets_one_bar_that_redraws_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress_bar(3, "step") as advance:
        for loss in (3, 2, 1):
            advance(note=f"loss {loss}")
    drawn = terminal.getvalue()
    assert drawn.count("\n") == 1
    assert drawn.startswith("\r  0%")
    assert "3/3" in drawn
    assert "loss 1" in drawn.split("\r")[-1]


def test_a_bar_within_another_vanishes_if_it_is_not_to_be_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress_bar(2, "step", "outer"), progress_bar(2, "round", "inner", leave=False):
        pass
    last = terminal.getvalue().split("inner")[-1]
    assert "\r  " in last or "\x1b[A" in last
    assert last.rstrip("\n").endswith("round/s]") is False
    assert terminal.getvalue().rstrip().split("\r")[-1].startswith("outer")


def test_a_notebook_and_those_who_want_none_get_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar(2, "step", show=False) as advance:
        advance()
        assert not refresh_bars()
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr(bars, "INTERVAL", 0.0)
    with progress_bar(2, "step") as advance:
        advance(2, "note")
    assert capsys.readouterr().err == ""


def test_the_innermost_task_can_be_shown_once_more(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not refresh_bars()
    with progress_bar(3, "step") as advance, progress_bar(9, "prompt", "answers"):
        advance()
        clock.now += 5
        assert refresh_bars()
    assert capsys.readouterr().err.splitlines() == ["answers: 0 of 9 prompts, 5 s"] * 2
    assert not refresh_bars()


def test_a_task_that_fails_is_shown_no_longer() -> None:
    with pytest.raises(RuntimeError), progress_bar(3, "step"):
        raise RuntimeError
    assert not refresh_bars()

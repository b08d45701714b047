"""A cell that prints nothing for a while says that it is at work, and only then."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable

import pytest

from lessons.book import pulse as pulse_module
from lessons.book.pulse import Pulse
from minigpt.text.bars import progress_bar


class Screen(io.StringIO):
    """A stream that is a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def visible(self) -> str:
        """What a reader sees: a carriage return begins the line anew."""
        lines = []
        for line in self.getvalue().split("\n"):
            shown: list[str] = []
            for part in line.split("\r"):
                shown[: len(part)] = part
            lines.append("".join(shown).rstrip())
        return "\n".join(lines)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)  # lets the other thread work
    assert condition()


def look_at(monkeypatch: pytest.MonkeyPatch, terminal: bool = True) -> Screen:
    """Puts both standard streams on one screen, in the test itself: pytest sets them before it."""
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def test_a_terminal_has_one_line_that_is_rewritten_and_vanishes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = look_at(monkeypatch)
    with Pulse(patience=0.02) as pulse:
        print("before")
        pulse.begin("in this cell")
        wait_until(lambda: screen.getvalue().count("in this cell") >= 3)
        assert re.match(r"before\n  \.\.\. \d+ s in this cell", screen.visible())
        assert screen.getvalue().count("\n") == 1
        print("after")
    assert screen.visible().startswith("before\nafter\n")
    assert sys.stdout is screen
    assert "..." not in screen.visible().rstrip().split("\n")[-1]


def test_a_line_that_was_begun_is_not_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = look_at(monkeypatch)
    with Pulse(patience=0.02):
        print("the loss is", end=" ")
        wait_until(lambda: "loading" in screen.getvalue().partition("the loss is")[2])
        print("3")
    assert screen.visible().startswith("the loss is\n")
    assert screen.visible().endswith("\n3\n")


def test_a_file_has_a_line_each_time_and_nothing_is_wiped_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = look_at(monkeypatch, terminal=False)
    with Pulse(patience=0.02):
        wait_until(lambda: screen.getvalue().count("\n") >= 2)
    lines = screen.getvalue().splitlines()
    assert all(re.fullmatch(r"  \.\.\. \d+ s loading", line) for line in lines)


@pytest.mark.parametrize("terminal", [True, False])
def test_where_there_is_a_bar_it_is_the_bar_that_shows_it(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    screen = look_at(monkeypatch, terminal)
    with progress_bar(7, "step"), Pulse(patience=0.02):
        wait_until(lambda: screen.getvalue().count(" 0/7 " if screen.terminal else "0 of 7") >= 3)
    assert "..." not in screen.getvalue()


def test_who_prints_often_enough_sees_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = look_at(monkeypatch)

    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(pulse_module, "time", clock)
    with Pulse(patience=3600) as pulse:
        for _ in range(5):
            clock.now += 3599
            print("line")
            assert clock.now - pulse.heard < pulse.patience
    assert screen.getvalue() == "line\n" * 5


def test_a_reader_who_has_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Screen):
        tries = 0

        def write(self, _: str) -> int:
            self.tries += 1
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", gone := Gone(terminal=False))
    with Pulse(patience=0.02):
        wait_until(lambda: gone.tries >= 2)

"""minigpt.fast.measured: the plain way stays unless another is clearly faster."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event

import pytest
import torch

from minigpt.fast import measured
from minigpt.fast.measured import choose
from tests.minigpt.tiny import forked


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "MADE", {})
    monkeypatch.delenv("MINIGPT_WAYS", raising=False)


class Clock:
    """A clock that ways move on by so many seconds, another number at each call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def way(self, *seconds: float) -> Callable[[], None]:
        left = list(seconds)

        def move_on() -> None:
            self.now += left.pop(0)

        return move_on


@pytest.mark.parametrize(
    ("seconds", "margin", "chosen", "gain"),
    [
        ((50, 50, 50), 0.05, "other", 2.0),
        ((300, 80, 300), 0.05, "other", 1.25),  # the shortest time counts
        ((96, 96, 96), 0.05, "plain", 1.0),
        ((94, 94, 94), 0.05, "other", 100 / 94),
        ((94, 94, 94), 0.1, "plain", 1.0),
        ((400, 400, 400), 0.05, "plain", 1.0),
    ],
)
def test_another_way_must_be_clearly_faster(
    seconds: tuple[float, ...],
    margin: float,
    chosen: str,
    gain: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    ways = {"plain": clock.way(100, 900, 100), "other": clock.way(*seconds)}
    assert choose("thing", "here", ways, margin=margin) == chosen
    assert measured.MADE["thing", "here"].gain == pytest.approx(gain)
    assert choose("thing", "here", {}) == chosen  # and it is not measured again


def test_a_choice_is_made_for_each_place(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    for where, seconds in (("here", 1), ("there", 3)):
        ways = {"plain": clock.way(2, 2, 2), "other": clock.way(seconds, seconds, seconds)}
        choose("thing", where, ways)
    assert [choice.chosen for choice in measured.MADE.values()] == ["other", "plain"]


def test_the_environment_can_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = dict.fromkeys(("plain", "other"), partial(pytest.fail, "it was called"))
    monkeypatch.setenv("MINIGPT_WAYS", "products=other rows=plain")
    assert choose("products", "here", ways) == "other"
    assert measured.MADE["products", "here"].gain == 1
    assert choose("rows", "here", ways) == "plain"
    assert choose("unasked", "here", {"plain": ways["plain"]}) == "plain"  # there is no choice
    for asked, message in (
        ("products=faster", "must ask for plain or other, got products=faster"),
        ("products", "must ask for plain or other, got products=$"),
        ("colour=red", "chooses products, rows, token, dtype, each as NAME=WAY, got 'colour'"),
    ):
        monkeypatch.setenv("MINIGPT_WAYS", asked)
        with pytest.raises(ValueError, match=f"MINIGPT_WAYS {message}"):
            choose("products", "there", ways)


def test_ways_are_timed_without_gradients_and_autocast() -> None:
    def look() -> None:
        assert not torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")

    with torch.autocast("cpu", torch.bfloat16):
        choose("thing", "here", {"plain": look, "other": look})
    assert torch.is_grad_enabled()


def test_ways_that_take_no_time_are_timed_more_often() -> None:
    calls: list[str] = []
    choose("thing", "here", {name: partial(calls.append, name) for name in ("plain", "other")})
    assert len(calls) > 100
    assert calls[:4] == ["plain", "other", "plain", "other"]  # in turn


@pytest.mark.skipif(not forked.POSSIBLE, reason="needs Linux")
def test_a_fork_measures_while_its_parent_does(tmp_path: Path) -> None:
    begun, done = Event(), Event()

    def wait() -> None:
        begun.set()
        done.wait()

    with ThreadPoolExecutor(1) as other:
        other.submit(choose, "rows", "here", {"plain": wait, "other": wait})
        begun.wait()
        ways = dict.fromkeys(("plain", "other"), lambda: None)
        printed = tmp_path / "printed"
        child = forked.start(lambda: choose("rows", "there", ways) not in ways, printed, limit=20)
        done.set()
        assert forked.wait_for({child: printed}) == {printed: 0}

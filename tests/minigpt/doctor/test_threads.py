"""More threads than this process may use are a problem; another number than the best is a note."""

from __future__ import annotations

import pytest

from minigpt.doctor.finding import NOTE, OK, PROBLEM, setting, unsetting
from minigpt.doctor.threads import Room, check_threads, judge_load, judge_threads, room_here

LAPTOP = Room(processors=8, allowed=8, quota=None, cores=4, asked={"OMP_NUM_THREADS": "4"})
CONTAINER = Room(processors=64, allowed=64, quota=2.0, cores=2, asked={})


@pytest.mark.parametrize(
    ("threads", "room", "state"),
    [
        (4, LAPTOP, OK),
        (8, LAPTOP, NOTE),
        (1, LAPTOP, NOTE),
        (9, LAPTOP, PROBLEM),
        (2, CONTAINER, OK),
        (64, CONTAINER, PROBLEM),
        (2, CONTAINER._replace(quota=1.5, cores=1), NOTE),
        (3, CONTAINER._replace(quota=1.5, cores=1), PROBLEM),
        (4, LAPTOP._replace(asked={"OMP_NUM_THREADS": "64"}), NOTE),
    ],
)
def test_each_verdict(threads: int, room: Room, state: str) -> None:
    assert judge_threads(threads, room).state == state


def test_the_variable_that_asks_for_too_many_is_named() -> None:
    found = judge_threads(64, CONTAINER._replace(asked={"MKL_NUM_THREADS": "64"}))
    assert "MKL_NUM_THREADS=64" in found.said
    assert "a quota of 2" in found.said
    name = "MKL_NUM_THREADS"
    assert found.remedy == f"{setting(name, 2)}, or {unsetting(name)}"
    assert judge_threads(64, CONTAINER).remedy == setting("OMP_NUM_THREADS", 2)


def test_what_is_counted_is_named() -> None:
    one = Room(processors=1, allowed=1, quota=None, cores=1, asked={})
    said = "torch uses 1 thread; 1 processor, 1 allowed, 1 core to use"
    assert judge_threads(1, one).said == said
    said = "torch uses 4 threads; 8 processors, 8 allowed, 4 cores to use"
    assert judge_threads(4, LAPTOP).said == said


def test_a_busy_machine_is_a_note() -> None:
    assert judge_load(0.3, 2).state == OK
    assert judge_load(1.7, 2).state == NOTE
    assert judge_load(1.7, 64).state == OK


def test_this_machine_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    room = room_here()
    assert 1 <= room.cores <= room.allowed <= room.processors
    assert room.asked["MKL_NUM_THREADS"] == "7"
    assert [f.name for f in check_threads({"threads": 1}, 0.0)] == ["threads", "other programs"]
    assert list(check_threads(None, None)) == []

"""Less memory than a lesson takes is a problem."""

from __future__ import annotations

import pytest

from minigpt.doctor.finding import NOTE, OK, PROBLEM
from minigpt.doctor.memory import check_memory, judge_memory

GB = 10**9


@pytest.mark.parametrize(
    ("total", "free", "state"),
    [
        (16 * GB, 9 * GB, OK),
        (2 * GB, 1.8 * GB, OK),
        (8 * GB, 8 * GB, OK),
        (16 * GB, GB // 2, PROBLEM),
        (2 * GB, GB, NOTE),
        (None, 4 * GB, OK),
        (16 * GB, None, NOTE),
        (None, None, NOTE),
    ],
)
def test_each_verdict(total: int | None, free: int | None, state: str) -> None:
    assert judge_memory(total, free).state == state


def test_what_torch_s_process_found_counts() -> None:
    assert [f.state for f in check_memory({"free_memory": 100 * GB})] == [OK]
    assert [f.state for f in check_memory({"free_memory": 100})] == [PROBLEM]
    assert [f.state for f in check_memory(None)] == [NOTE]


def test_where_the_system_does_not_tell_how_much_is_free_nothing_is_claimed() -> None:
    assert judge_memory(None, None).said == "unknown: this system does not tell"
    for free in (16 * GB, None):  # macOS, where all of it is returned; without torch
        assert judge_memory(16 * GB, free).said == "16.0 GB; nothing says how much of it is free"
    said = "9.0 of 16.0 GB can be used, enough for every lesson"
    assert judge_memory(16 * GB, 9 * GB).said == said

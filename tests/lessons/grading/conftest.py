"""A sandbox that all tests share, and a course of one small lesson, 99."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from lessons.grading import registry
from lessons.grading.worker import Sandbox
from tests.lessons.grading.small_course import tasks


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Opens one sandbox for all tests: its first process takes seconds."""
    with Sandbox() as opened:
        yield opened


@pytest.fixture
def small_course(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes lesson 99, of three small exercises, the only one."""
    known = registry.lessons()
    for number in list(known):
        monkeypatch.delitem(known, number)
    monkeypatch.setitem(known, 99, registry.Lesson(99, "Sums", "99_sums"))
    monkeypatch.setitem(sys.modules, "lessons.exercises.lesson_99", tasks)

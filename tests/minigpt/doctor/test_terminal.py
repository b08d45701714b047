"""An encoding that cannot show every character is a note."""

from __future__ import annotations

import pytest

from minigpt.doctor.finding import NOTE, OK, setting
from minigpt.doctor.terminal import judge_encoding


@pytest.mark.parametrize(
    ("encoding", "state"),
    [("utf-8", OK), ("UTF8", OK), ("latin-1", NOTE), ("cp1252", NOTE), ("ANSI_X3.4-1968", NOTE)],
)
def test_each_verdict(encoding: str, state: str) -> None:
    assert judge_encoding(encoding).state == state


def test_the_remedy_sets_the_variable_that_python_reads() -> None:
    assert judge_encoding("cp1252").remedy == setting("PYTHONIOENCODING", "utf-8")

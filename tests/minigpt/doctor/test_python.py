"""A Python that cannot run the course is a problem, one that is only unusual a note."""

from __future__ import annotations

import sys

import pytest

from minigpt.doctor.finding import NOTE, OK, PROBLEM
from minigpt.doctor.installation import ROOT
from minigpt.doctor.python import Interpreter, judge_python, this_python

GOOD = Interpreter("3.11.9", "CPython", "Linux x86_64", 64, False, "/venv")
ALLOWED = ">=3.10,<3.14"


@pytest.mark.parametrize(
    ("python", "states"),
    [
        (GOOD, [OK, OK]),
        (GOOD._replace(version="3.9.18"), [PROBLEM, OK]),
        (GOOD._replace(version="3.14.0"), [PROBLEM, OK]),
        (GOOD._replace(version="3.10.0rc2"), [PROBLEM, OK]),
        (GOOD._replace(version="3.13.5"), [OK, OK]),
        (GOOD._replace(bits=32), [PROBLEM, OK]),
        (GOOD._replace(implementation="PyPy"), [PROBLEM, OK]),
        (GOOD._replace(machine="Darwin x86_64"), [PROBLEM, OK]),
        (GOOD._replace(machine="Darwin arm64"), [OK, OK]),
        (GOOD._replace(free_threaded=True), [NOTE, OK]),
        (GOOD._replace(environment=""), [OK, NOTE]),
    ],
)
def test_each_verdict(python: Interpreter, states: list[str]) -> None:
    assert [finding.state for finding in judge_python(python, ALLOWED)] == states


def test_the_allowed_versions_are_named() -> None:
    found, _ = judge_python(GOOD._replace(version="3.9.18"), ALLOWED)
    assert "3.9.18" in found.said
    assert ALLOWED in found.remedy


def test_every_version_will_do_where_nothing_says_which() -> None:
    assert next(judge_python(GOOD, "")).state == OK


def test_this_python_is_described() -> None:
    found = this_python()
    assert found.version.startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    assert found.bits == (64 if sys.maxsize > 2**32 else 32)


def test_an_environment_is_made_as_the_readme_says() -> None:
    *_, found = judge_python(GOOD._replace(environment=""), ALLOWED)
    assert "README.md" in found.remedy
    assert "## Start\n" in (ROOT / "README.md").read_text(encoding="utf-8")

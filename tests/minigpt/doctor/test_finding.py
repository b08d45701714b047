"""A finding says what to type, in the form that a shell takes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from minigpt.doctor.finding import PROBLEM, Finding, pip, python, quoted, setting, unsetting


def test_a_problem_needs_a_remedy() -> None:
    with pytest.raises(ValueError, match="needs a remedy"):
        Finding("disk", PROBLEM, "full")


def test_python_is_called_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.chdir(tmp_path)
    assert python() == str(Path(".venv", "bin", "python"))
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path / "runs")
    assert python() == quoted(sys.executable)


def test_what_a_shell_would_read_as_its_own_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/venv/bin/python")
    if os.name == "posix":
        assert pip("install", "triton>=3.6") == "/venv/bin/python -m pip install 'triton>=3.6'"
    monkeypatch.setattr(os, "name", "nt")
    assert quoted("triton>=3.6") == '"triton>=3.6"'
    assert quoted(r"C:\venv\Scripts\python.exe") == r"C:\venv\Scripts\python.exe"
    assert quoted(r"C:\my venv\python.exe") == r'"C:\my venv\python.exe"'


@pytest.mark.parametrize(
    ("system", "set_it", "remove_it"),
    [
        ("posix", "export CC='gcc -m64'", "unset CC"),
        ("nt", '$env:CC = "gcc -m64"', "Remove-Item Env:CC"),
    ],
)
def test_a_variable_is_set_and_removed_as_the_system_s_shell_does(
    system: str, set_it: str, remove_it: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "name", system)
    assert setting("CC", "gcc -m64") == set_it
    assert unsetting("CC") == remove_it

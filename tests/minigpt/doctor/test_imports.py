"""A package that fails or crashes when it is imported is named, and the others are not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from minigpt.doctor.finding import OK, PROBLEM
from minigpt.doctor.imports import judge_imports, module_of, try_imports


def test_a_distribution_need_not_be_called_as_its_module() -> None:
    assert module_of("markdown-it-py") == "markdown_it"
    assert module_of("Jinja2") == "jinja2"
    assert module_of("numpy") == "numpy"


def test_what_fails_and_what_crashes_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "doctor_fails.py").write_text("import doctor_is_not_there", encoding="utf-8")
    (tmp_path / "doctor_crashes.py").write_text("import os; os.abort()", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    failing = "ModuleNotFoundError: No module named 'doctor_is_not_there'"
    assert try_imports(["json", "doctor_fails"]) == {"json": "", "doctor_fails": failing}
    wrong = try_imports(["json", "doctor_crashes", "doctor_fails"])
    assert wrong["json"] == ""
    assert wrong["doctor_fails"] == failing
    assert "crashed" in wrong["doctor_crashes"]


def test_each_verdict() -> None:
    names = {"numpy": "numpy", "markdown_it": "markdown-it-py"}
    (good,) = judge_imports({"numpy": "", "markdown_it": ""}, names)
    assert good.state == OK
    (bad,) = judge_imports({"numpy": "", "markdown_it": "crashed (SIGILL)"}, names)
    assert (bad.name, bad.state, bad.said) == ("import markdown_it", PROBLEM, "crashed (SIGILL)")
    assert bad.remedy.endswith("markdown-it-py")

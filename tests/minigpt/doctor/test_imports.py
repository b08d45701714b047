"""A package that fails or crashes when it is imported is named, and the others are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minigpt.doctor import imports
from minigpt.doctor.finding import OK, PROBLEM
from minigpt.doctor.imports import judge_imports, module_of, try_imports
from tests.minigpt.tiny.run import run_python


def test_a_distribution_need_not_be_called_as_its_module() -> None:
    assert module_of("markdown-it-py") == "markdown_it"
    assert module_of("Jinja2") == "jinja2"
    assert module_of("numpy") == "numpy"
    assert module_of("not-installed-here") == "not_installed_here"


TRY = """
import json, sys
from minigpt.doctor.imports import try_imports
sys.path.append(sys.argv[1])
print(json.dumps(try_imports(sys.argv[2:])))
"""


def tried(folder: Path, *modules: str) -> list[Any]:
    """Returns what try_imports says where the modules of a folder can be found too."""
    return list(json.loads(run_python("-c", TRY, folder, *modules)))


def test_what_fails_and_what_crashes_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "doctor_fails.py").write_text("import doctor_is_not_there", encoding="utf-8")
    (tmp_path / "doctor_crashes.py").write_text("import os; os.abort()", encoding="utf-8")
    failing = "ModuleNotFoundError: No module named 'doctor_is_not_there'"
    wrong = {"json": "", "doctor_fails": failing}
    assert tried(tmp_path, "json", "doctor_fails") == [wrong, None]
    wrong, _ = tried(tmp_path, "json", "doctor_crashes", "doctor_fails")
    assert wrong["json"] == ""
    assert wrong["doctor_fails"] == failing
    assert wrong["doctor_crashes"] in ("crashed (SIGABRT)", "ended with status 3")


def test_torch_is_asked_if_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "facts", lambda: {"threads": 2})
    assert imports.import_and_look(["json", "torch"])[1] == {"threads": 2}
    assert imports.import_and_look(["json"])[1] is None
    one_by_one = {
        "json": (None, "crashed (SIGILL)"),
        "torch": ([{"torch": ""}, {"threads": 2}], ""),
        "json torch": (None, "crashed (SIGILL)"),
    }
    monkeypatch.setattr(imports, "answer", lambda look, modules: one_by_one[" ".join(modules)])
    wrong = {"json": "crashed (SIGILL)", "torch": ""}
    assert try_imports(["json", "torch"]) == (wrong, {"threads": 2})


def test_each_verdict() -> None:
    names = {"numpy": "numpy", "markdown_it": "markdown-it-py"}
    (good,) = judge_imports({"numpy": "", "markdown_it": ""}, names)
    assert good.state == OK
    (bad,) = judge_imports({"numpy": "", "markdown_it": "crashed (SIGILL)"}, names)
    assert (bad.name, bad.state, bad.said) == ("import markdown_it", PROBLEM, "crashed (SIGILL)")
    assert "--force-reinstall" in bad.remedy
    assert "markdown-it-py" in bad.remedy


@pytest.mark.parametrize(
    "what",
    [
        "ImportError: DLL load failed while importing _C: The specified module could not be found.",
        r"OSError: [WinError 126] The specified module could not be found. Error loading c10.dll",
        "OSError: [WinError 1114] A dynamic link library (DLL) initialization routine failed.",
    ],
)
def test_windows_without_the_c_runtime_gets_it(what: str) -> None:
    (found,) = judge_imports({"torch": what}, {"torch": "torch"})
    assert found.state == PROBLEM
    assert "vc_redist" in found.remedy
    assert "pip" not in found.remedy

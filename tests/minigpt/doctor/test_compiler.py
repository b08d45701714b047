"""A compiler that is missing or broken is a problem, where one would be used."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import pytest

from minigpt.doctor import compiler
from minigpt.doctor.compiler import check_compiler, how_to_install, judge_compiler
from minigpt.doctor.finding import NOTE, OK, PROBLEM


@pytest.mark.parametrize(
    ("path", "failure", "system", "chosen", "state", "remedy"),
    [
        ("/usr/bin/cc", "", "Linux", False, OK, ""),
        (None, "", "Linux", False, PROBLEM, "gcc"),
        (None, "", "Linux", True, PROBLEM, "unset CC"),
        ("/usr/bin/cc", "compiling a small file: no stdio.h", "Linux", False, PROBLEM, "gcc"),
        ("/opt/cc", "compiling a small file: no stdio.h", "Linux", True, PROBLEM, "unset CC"),
        ("/usr/bin/cc", "loading: failed to map segment", "Linux", False, PROBLEM, "mkdir"),
        (None, "", "Darwin", False, PROBLEM, "xcode-select --install"),
        ("/usr/bin/cc", "xcrun: error", "Darwin", False, PROBLEM, "xcode-select --install"),
        ("/usr/bin/cc", "unsupported option '-fopenmp'", "Darwin", False, NOTE, "brew"),
        (None, "", "Windows", False, NOTE, ""),
    ],
)
def test_each_verdict(
    path: str | None, failure: str, system: str, chosen: bool, state: str, remedy: str
) -> None:
    found = judge_compiler("cc", path, failure, system, chosen)
    assert found.state == state
    assert remedy in found.remedy
    slower = "without a C compiler that works, NF4 takes 5 times" in found.said
    assert slower == (state == PROBLEM or system == "Darwin")


def test_the_system_s_own_program_installs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"dnf"}
    monkeypatch.setattr(shutil, "which", lambda program: program if program in here else None)
    assert how_to_install("Linux") == "sudo dnf install gcc"
    here.clear()
    assert "package manager" in how_to_install("Linux")


@pytest.mark.skipif(os.name == "nt", reason="no C is compiled on Windows")
def test_compilers_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler.platform, "system", lambda: "Linux")
    monkeypatch.setenv("CC", "no-such-compiler --fast")
    assert "'no-such-compiler'" in check_compiler().said
    monkeypatch.setenv("CC", "'")
    assert check_compiler().state == PROBLEM
    monkeypatch.setenv("CC", "false")
    assert "compiling" in check_compiler().said
    monkeypatch.setenv("CC", "true")  # which compiles nothing
    assert "loading" in check_compiler().said
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is none" in check_compiler().said


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no compiler to try")
def test_a_compiler_that_works_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    assert check_compiler().state == (OK if platform.system() == "Linux" else NOTE)

"""`minigpt doctor` looks at this very machine, and ends with a status and a line for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from minigpt.command.cli import main
from minigpt.doctor import examine
from minigpt.doctor.examine import PARTS, Known
from minigpt.doctor.finding import OK, PROBLEM, Finding
from tests.minigpt.tiny.run import run_python


@pytest.fixture
def _but_for_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the part that times things."""
    monkeypatch.delitem(PARTS, "What is fastest here")


@pytest.mark.usefixtures("_but_for_speed")
def test_this_machine_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert list(report["parts"]) == list(PARTS)
    found = {name: one for part in report["parts"].values() for name, one in part.items()}
    sound = {"imports", "torch and numpy", "minigpt", "lessons", "base model", "translation"}
    assert {name: found[name]["state"] for name in sound} == dict.fromkeys(sound, OK)
    assert not [one for one in found.values() if "could not be looked at" in one["said"]]
    assert status == bool(report["problems"])


def faked(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    def check(known: Known) -> Iterator[Finding]:
        yield from findings

    monkeypatch.setattr(examine, "PARTS", {"Packages": check})


def test_a_sound_machine_has_no_problems(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faked(monkeypatch, Finding("torch", OK, "2.13.0"))
    assert main(["doctor"]) == 0
    said = capsys.readouterr()
    assert said.out == "Packages\n  ok       torch  2.13.0\n\nno problems\n"
    assert said.err == ""


def test_a_problem_is_named_last_and_in_the_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faked(monkeypatch, Finding("triton", PROBLEM, "is missing", "pip install triton"))
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [
        "  problem  triton  is missing",
        "                   -> pip install triton",
    ]
    assert lines[-1] == "1 problem: triton"


def test_nothing_that_may_be_broken_is_loaded_by_the_command_itself() -> None:
    code = (
        "import sys; from minigpt.doctor import examine; "
        "examine.PARTS.clear(); import minigpt.command.cli as cli; cli.main(['doctor']); "
        "print({'torch', 'triton', 'numpy', 'kernels', 'safetensors'} & sys.modules.keys())"
    )
    assert run_python("-c", code).splitlines() == ["no problems", "set()"]

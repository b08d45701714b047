"""One check that cannot go on does not keep the others from being made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minigpt.doctor import examine as examining
from minigpt.doctor.examine import Known, examine, guarded
from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding


def test_a_check_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(known: Known) -> Iterator[Finding]:
        yield Finding("first", OK, "seen")
        raise KeyError("flags")

    def lacks(known: Known) -> Iterator[Finding]:
        raise ModuleNotFoundError("No module named 'packaging'", name="packaging")
        yield

    first, failure = guarded("Processor", fails, Known())
    assert (first.name, failure.name, failure.state) == ("first", "Processor", NOTE)
    assert "KeyError: 'flags'" in failure.said
    (missing,) = guarded("Python", lacks, Known())
    assert missing.state == PROBLEM
    assert "-m pip install -e" in missing.remedy
    monkeypatch.setattr(examining, "is_checkout", lambda root: False)
    (missing,) = guarded("Python", lacks, Known())
    assert missing.remedy.endswith("-m pip install packaging")


def test_parts_are_announced_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def check(known: Known) -> Iterator[Finding]:
        said.append("made")
        yield Finding("python", OK, "3.11")

    monkeypatch.setattr(examining, "PARTS", {"Python": check, "Disk": check})
    parts = dict(examine(said.append))
    assert said == ["Python", "made", "Disk", "made"]
    assert [finding.name for finding in parts["Disk"]] == ["python"]


def test_without_torch_the_rest_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "check_requirements", lambda needs: iter(()))
    crash = Finding("import torch", PROBLEM, "crashed (SIGILL)", "pip install torch")
    monkeypatch.setattr(examining, "check_imports", lambda names: ([crash], None))
    known = Known(load=0.0)
    assert list(examining.look_at_packages(known)) == [crash]
    assert known.torch is None
    assert [f.name for f in examining.look_at_machine(known)] == [
        "processor",
        "other programs",
        "memory",
    ]
    assert all(f.state != PROBLEM for f in examining.look_at_gpus(known))
    assert list(examining.look_at_speed(known)) == []
    assert [f.name for f in examining.look_at_shipped(known)] == ["files"]


def test_a_busy_machine_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert not Known(load=1.0).busy
    assert Known(load=3.0).busy
    assert not Known(load=None).busy

"""A folder that is full or cannot be written to is a problem, if minigpt itself writes there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from minigpt.doctor.finding import NOTE, OK, PROBLEM
from minigpt.doctor.storage import (
    Place,
    check_storage,
    judge_home,
    judge_place,
    look_at,
    triton_cache,
)


@pytest.mark.parametrize(
    ("place", "state"),
    [
        (Place(Path("runs"), 10**10, ""), OK),
        (Place(Path("runs"), 10**6, ""), PROBLEM),
        (Place(Path("runs"), 0, "read-only file system"), PROBLEM),
    ],
)
def test_each_verdict(place: Place, state: str) -> None:
    found = judge_place("runs/", place, 5e8, "cd elsewhere")
    assert found.state == state
    assert place.trouble in found.said


def test_a_home_that_cannot_be_written_to_is_a_note() -> None:
    assert judge_home(Place(Path("/home/ada"), 10**10, "")).state == OK
    found = judge_home(Place(Path("/home/ada"), 0, "permission denied"))
    assert found.state == NOTE
    assert "MPLCONFIGDIR" in found.remedy


def test_a_folder_need_not_be_there_and_nothing_stays_in_it(tmp_path: Path) -> None:
    found = look_at(tmp_path / "runs" / "mine")
    assert found.trouble == ""
    assert found.free > 0
    assert found.folder == tmp_path / "runs" / "mine"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert look_at(tmp_path).trouble == "permission denied"


def test_a_folder_that_may_not_be_entered_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    assert look_at(tmp_path / "cache").trouble == "permission denied"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not remove the working folder")
def test_a_working_folder_that_was_removed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    assert look_at(Path("runs")).trouble


def test_triton_s_folder_follows_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    monkeypatch.setenv("TRITON_HOME", "/data")
    assert triton_cache() == Path("/data/.triton/cache")
    monkeypatch.setenv("TRITON_CACHE_DIR", "/cache")
    assert triton_cache() == Path("/cache")


def test_this_machine_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [finding.name for finding in check_storage(has_triton=True)]
    assert names == ["runs/", "temporary", "Triton's cache", "home"]
    assert "Triton's cache" not in [finding.name for finding in check_storage(has_triton=False)]

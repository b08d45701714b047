"""A base model or a task set that is missing or damaged is named."""

from __future__ import annotations

import shutil
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from minigpt.doctor.finding import OK, PROBLEM
from minigpt.doctor.installation import Installed
from minigpt.doctor.shipped import changed_files, judge_files, judge_report, load_all, restore
from minigpt.pretrained import folders
from minigpt.text import task_sets
from tests.minigpt.doctor.fake import be_environment, install


def test_what_is_shipped_is_whole() -> None:
    report = load_all()
    assert report.keys() == {"base model", *task_sets.TASK_FIELDS}
    assert all(loaded and not trouble for loaded, trouble in report.values())
    assert report["translation"][0] == "20,000 + 500 + 500 records"


def test_what_is_damaged_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    shutil.copytree(task_sets.data_folder(), data, ignore=shutil.ignore_patterns("generators"))
    for module in (task_sets, folders):
        monkeypatch.setattr(module, "data_folder", lambda: data)
    weights = data / "base" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    (data / "reviews" / "test.jsonl").unlink()
    train = data / "dialogues" / "train.jsonl"
    train.write_bytes(train.read_bytes()[:100_000])  # in the middle of a record
    report = load_all()
    assert [name for name, (_, trouble) in report.items() if trouble] == [
        "base model",
        "dialogues",
        "reviews",
    ]
    assert "model.safetensors" in report["base model"][1]
    assert "train.jsonl" in report["dialogues"][1]
    assert "test.jsonl" in report["reviews"][1]


def test_each_verdict() -> None:
    good, bad = judge_report(
        {"base model": ["5 parameters", ""], "reviews": ["", "gone"]}, "get it"
    )
    assert (good.state, good.said) == (OK, "5 parameters")
    assert (bad.state, bad.said, bad.remedy) == (PROBLEM, "gone", "get it")
    package = Installed("0.2", Path("/site-packages"), False)
    assert judge_files([], package).state == judge_files([], None).state == OK
    found = judge_files([f"file {n}" for n in range(5)], package)
    assert found.state == PROBLEM
    assert "file 0, file 1, file 2 and 2 more" in found.said


def test_files_are_compared_with_what_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["minigpt_course-0.2.dist-info/RECORD,,"]
    for name in ("whole.py", "changed.py", "gone.py"):
        (tmp_path / name).write_bytes(b"x = 1\n")
        code = urlsafe_b64encode(sha256(b"x = 1\n").digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={code},6")
    install(tmp_path, "minigpt-course", "0.2", files={"RECORD": "\n".join(lines)})
    (tmp_path / "changed.py").write_bytes(b"x = 2\n")
    (tmp_path / "gone.py").unlink()
    be_environment(tmp_path, monkeypatch)
    assert changed_files(str(tmp_path.resolve())) == ["changed.py", "gone.py"]
    assert changed_files("/elsewhere") == []


def test_a_checkout_gets_its_data_back_from_git(tmp_path: Path) -> None:
    assert "--force-reinstall" in restore(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    assert restore(tmp_path).endswith("checkout -- data")

"""A lesson's own command line: what it refuses, and what it hands on to the processes it starts."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lessons import lesson
from lessons.folders import RECORD

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")


def start(monkeypatch: pytest.MonkeyPatch, *options: str) -> lesson.Lesson:
    monkeypatch.setattr(sys, "argv", ["lessons/01_tokens.py", *options])
    return lesson.start(1, "Tokens")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "-1"], "seed must be a whole number from 0 to 4,294,967,295, got -1"),
        (["--seed", str(2**64)], "seed must be a whole number from 0 to 4,294,967,295"),
        (["--seed", "nan"], "--seed"),
        (["--seed", "1" * 5000], "--seed"),
        (["--out", ""], "--out '' cannot be made"),
        (["--out", "a\0b"], r"--out 'a\x00b' cannot be made"),
        (["--out", "file"], "--out 'file' cannot be made: File exists"),
        (["--out", "fifo"], "--out 'fifo' cannot be made"),
        (["--out", "file/x"], "--out 'file/x' cannot be made: Not a directory"),
        (["--out", "x" * 5000], "cannot be made: File name too long"),
        (["--device", "mars"], "mars"),
        (["--device", ""], "device must be cpu"),
        (["--quick", "--full"], "not allowed with"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_nonsense_is_one_sentence_and_makes_no_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str],
    said: str,
) -> None:  # fmt: skip
    before = sorted(Path().iterdir())
    with pytest.raises(SystemExit) as stopped:
        start(monkeypatch, *options)
    assert stopped.value.code == 2
    found = capsys.readouterr()
    assert said in found.err.splitlines()[-1]
    assert found.out == ""
    assert sorted(Path().iterdir()) == before


def test_the_usual_folder_is_named_if_it_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs").touch()
    with pytest.raises(SystemExit):
        start(monkeypatch)
    assert "error: runs/lesson-01 cannot be made" in capsys.readouterr().err


def test_its_processes_find_a_checkout_that_nobody_has_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(2):  # it is put in front once
        course = start(monkeypatch, "--seed", "4294967295", "--device", "cpu")
        assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "elsewhere"]
    assert course.folder == Path("runs/lesson-01")
    assert course.folder.is_dir()


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ([], "runs/lesson-01"),
        (["--quick"], "runs/quick/lesson-01"),
        (["--full"], "runs/full/lesson-01"),
        (["--quick", "--out", "mine"], "mine"),
    ],
)
def test_a_size_has_a_folder_of_its_own_so_that_no_run_hides_another(
    monkeypatch: pytest.MonkeyPatch, options: list[str], folder: str
) -> None:
    course = start(monkeypatch, "--device", "cpu", *options)
    assert course.folder == Path(folder)
    assert course.folder.is_dir()


@pytest.mark.parametrize(
    ("options", "device", "chosen"),
    [
        (["--quick"], "cpu", "quick"),
        (["--quick"], "cuda", "quick"),
        ([], "cpu", "normal"),
        ([], "cuda", "full"),
        (["--full"], "cpu", "full"),
    ],
)
def test_a_gpu_gets_the_large_settings(
    monkeypatch: pytest.MonkeyPatch, options: list[str], device: str, chosen: str
) -> None:
    course = replace(start(monkeypatch, "--device", "cpu", *options), device=torch.device(device))
    assert course.choose("quick", "normal", "full") == chosen
    assert course.choose("quick", "normal") == ("quick" if chosen == "quick" else "normal")


def test_a_script_that_runs_by_itself_leaves_no_record_of_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / RECORD
    record.write_text("{}", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["03_gpt2.py", "--out", str(tmp_path), "--device", "cpu"])
    lesson.start(3, "Three")
    assert not record.exists()

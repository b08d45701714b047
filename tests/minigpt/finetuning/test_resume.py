"""A fine-tuning run that is interrupted or killed and resumed ends like one that was not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from minigpt.command.cli import main
from minigpt.finetuning.methods import METHODS
from minigpt.tasks.rows import InstructionData
from minigpt.text import python_library
from tests.minigpt.tiny.finetune import finetune_command, make_inputs, outcome, run
from tests.minigpt.tiny.run import run_module


@pytest.fixture(autouse=True)
def _few_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rehearses a few documents of the library, not all 500."""
    pages = python_library.python_library(20)
    monkeypatch.setattr(python_library, "python_library", lambda n_documents=None: pages)


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path]:
    return make_inputs(tmp_path)


def interrupt_before(monkeypatch: pytest.MonkeyPatch, wanted: int) -> None:
    """Simulates Ctrl-C while the batch of this step is made."""
    original = InstructionData.train_batch

    def train_batch(self, step, batch_size):  # type: ignore[no-untyped-def]
        if step == wanted:
            signal.raise_signal(signal.SIGINT)
        return original(self, step, batch_size)

    monkeypatch.setattr(InstructionData, "train_batch", train_batch)


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(
    inputs: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    method: str,
) -> None:
    options = ["--method", method, "--dropout", "0.1"]
    options += ["--lora-dropout", "0.1"] if method in ("lora", "qlora") else []
    run(*finetune_command(*inputs, tmp_path / "whole", *options))
    out = tmp_path / "stopped"
    command = finetune_command(*inputs, out, *options)
    with monkeypatch.context() as patched:
        interrupt_before(patched, 3)
        assert main(command) == 130
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"stopped after 4 of 6 steps (the checkpoint in {out} is of step 4)" in said
    assert not (out / "results.json").exists()

    assert main(command) == 2  # without --resume nothing is touched
    assert (
        f"{out} already holds a training run; go on with it (resume=True, or --resume"
        in capsys.readouterr().err
    )
    run(*command, "--resume")
    assert outcome(out) == outcome(tmp_path / "whole")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_a_run_killed_anywhere_and_resumed_is_the_same_run(tmp_path: Path) -> None:
    found = run_module("finetune", tmp_path)
    assert found["exit"] == 0
    assert len(found["same"]) >= 5
    assert all(found["same"])


def test_a_finished_run_is_resumed_without_harm(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    for name, more in (("full", []), ("early", ["--learning-rate", "3", "--early-stopping", "1"])):
        command = finetune_command(*inputs, tmp_path / name, "--method", "full", *more)
        run(*command)
        first = outcome(tmp_path / name)
        run(*command, "--resume")
        assert outcome(tmp_path / name) == first
        assert first["results"]["training"]["stopped_early"] == bool(more)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "or --resume on the command line), or choose another folder"),
        (["--resume", "--alpha", "3"], "has setting alpha=128.0, this one alpha=3.0"),
        (["--resume", "--r", "3"], "has setting r=2, this one r=3"),
        (["--resume", "--method", "qlora"], "has setting method='lora', this one method='qlora'"),
        (["--resume", "--dtype", "bfloat16"], "dtype='float32', this one dtype='bfloat16'"),
        (["--resume", "--rehearse", "0.1"], "has setting rehearse=0.0, this one rehearse=0.1"),
        (["--resume", "--lora-dropout", "0.5"], "has setting lora_dropout=0.0"),
        (["--resume", "--steps", "7"], "has setting max_steps=6, this one max_steps=7"),
        (["--resume", "--model", "base"], "this one model='base'"),
        (
            ["--resume", "--test", "5"],
            "'28 to train, 6 to validate, 6 to test, checksum ",
        ),
    ],
)
def test_another_run_in_the_same_folder_is_refused_and_nothing_changed(
    inputs: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    out = tmp_path / "run"
    command = finetune_command(*inputs, out, "--method", "lora")
    run(*command)
    before = {path: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    assert main([*command, *options]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith("minigpt: ")  # before any answer was written
    assert captured.err.count("\n") == 1
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_run_that_trained_another_part_is_not_resumed(
    inputs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = finetune_command(*inputs, tmp_path / "run", "--method", "selective", "--resume")
    run(*command)
    assert main([*command, "--biases-only"]) == 2
    assert "has setting biases_only=False, this one biases_only=True" in capsys.readouterr().err


def test_resume_in_an_empty_folder_begins(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    results = run(*finetune_command(*inputs, tmp_path / "run", "--resume"))
    assert results["training"]["steps"] == 6

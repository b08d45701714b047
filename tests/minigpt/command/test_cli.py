"""The command line: what a user types, what they read, and no stack trace ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minigpt.command.cli import COMMANDS, main, make_parser
from minigpt.command.lesson import lesson_scripts
from tests.minigpt.tiny import forked

TEXT = "the cat sat on the mat and the dog ran to the cat\n\n" * 300
TINY = ["--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--block-size", "16"]
TINY += ["--vocab-size", "270", "--batch-size", "4", "--warmup-steps", "2", "--eval-every", "5"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Returns the one sentence that a wrong command ends in."""
    assert main(list(arguments)) == 2
    error = capsys.readouterr().err.strip()
    last = error.splitlines()[-1]
    assert last.startswith("minigpt: ")
    assert "Traceback" not in error
    return last


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit) as stopped:
            make_parser().parse_args([command, "--help"])
        assert stopped.value.code == 0
        assert "example: minigpt " + command in capsys.readouterr().out


def test_lessons_are_found_in_order() -> None:
    assert list(lesson_scripts())[:5] == [1, 2, 3, 4, 5]


def test_generate_streams_the_same_text_for_the_same_seed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    arguments = ["generate", "--prompt", "Return the", "--max-new-tokens", "12", "--seed", "3"]
    assert main(arguments) == 0
    cached = capfd.readouterr().out
    assert cached.startswith("Return the")
    assert len(cached) > len("Return the") + 12
    assert main([*arguments, "--no-cache"]) == 0
    assert capfd.readouterr().out == cached


def test_train_then_generate_from_the_folder(
    tmp_path: Path, text_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["train", "--data", str(text_file), "--out", str(out), "--steps", "10", *TINY]
    assert main(command) == 0
    assert f"minigpt generate --model {out}" in capfd.readouterr().out
    assert main(["generate", "--model", str(out), "--prompt", "the cat", "--temperature", "0"]) == 0
    assert capfd.readouterr().out.startswith("the cat")


def test_without_validations_a_run_ends_with_its_loss_and_a_checkpoint(
    tmp_path: Path, text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["train", "--data", str(text_file), "--out", str(out), "--steps", "2", *TINY]
    assert main([*command, "--eval-every", "0"]) == 0
    lines = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert f"\nloss {losses[-1]:.3f} after 2 steps\n" in capsys.readouterr().out
    assert len(losses) == 2
    assert (out / "checkpoint.json").exists()
    before = {path: path.read_bytes() for path in out.iterdir()}
    for other, said in ((["--dtype", "bfloat16"], "dtype='auto'"), (["--vocab-size", "271"], "")):
        assert said in refused(capsys, *command, "--eval-every", "0", "--resume", *other)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.skipif(not forked.POSSIBLE, reason="runs the command in a fork")
def test_train_interrupted_says_how_to_go_on_and_does(tmp_path: Path, text_file: Path) -> None:
    out, printed = tmp_path / "run", tmp_path / "printed"
    command = ["train", "--data", str(text_file), "--out", str(out), "--steps", "3000", *TINY]
    child = forked.start(lambda: main(command), printed)
    log = out / "log.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (log.exists() and log.stat().st_size > 500):
        time.sleep(0.05)
    os.kill(child, signal.SIGINT)
    assert forked.wait_for({child: printed}) == {printed: 130}
    text = printed.read_text(encoding="utf-8")
    assert "Traceback" not in text
    assert "stopped after" in text.splitlines()[-1]
    done = int(text.splitlines()[-1].split("stopped after ")[1].split()[0])
    assert 0 < done < 3000
    assert (out / "checkpoint.json").exists()


def test_wrong_input_is_one_sentence(
    tmp_path: Path, text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = refused(capsys, "train", "--data", str(tmp_path / "none.txt"))
    assert "none.txt" in missing
    empty = tmp_path / "empty.txt"
    empty.touch()
    assert "empty" in refused(capsys, "train", "--data", str(empty))
    tiny = [*TINY, "--out", str(tmp_path / "run"), "--data", str(text_file)]
    assert "n_embd must be divisible" in refused(capsys, "train", *tiny, "--n-head", "3")
    assert "vocab" in refused(capsys, "train", *tiny, "--vocab-size", "100")
    records = tmp_path / "records.jsonl"
    records.write_text('{"title": "a"}\n', encoding="utf-8")
    assert "title" in refused(capsys, "train", "--data", str(records))
    assert "temperature" in refused(capsys, "generate", "--prompt", "a", "--temperature", "-1")
    assert "--top-p must be a number above 0 and at most 1, got '1.5'" in refused(
        capsys, "generate", "--prompt", "a", "--top-p", "1.5"
    )
    assert "nowhere" in refused(
        capsys, "generate", "--prompt", "a", "--model", str(tmp_path / "nowhere")
    )
    assert "mars" in refused(capsys, "generate", "--prompt", "a", "--device", "mars")
    assert "no lesson 99" in refused(capsys, "lesson", "99")


def test_a_closed_pipe_is_not_an_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m minigpt data show translation -n 400 | head -1"
    done = subprocess.run(
        command,
        shell=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ,
        check=False,
    )
    assert done.stdout.startswith("en: ")
    assert done.stderr == ""

"""The README's tour is taken: what its commands print is what stands below them.

Everything is computed on the processor, where the printed numbers and the generated words are the
same everywhere; of times, "0.3 s", no digit is compared. Lesson 3 runs with --quick, which changes
nothing about what the README shows of it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minigpt.command.cli import main
from tests.minigpt.tiny.run import run_python
from tests.readme.page import BLOCKS, TEXT, commands, minigpts

TOUR = [block for block in BLOCKS if "tour" in block.section]
CHANGED = {"generate": ["--device", "cpu"], "lesson": ["--device", "cpu", "--quick"]}


def without_times(text: str) -> str:
    """Returns lines without spaces at their ends; of a time at the end no digit is left."""
    lines = (re.sub(r" +\d+\.\d s$", " # s", line.rstrip()) for line in text.splitlines())
    return "\n".join(lines)


def fill_in(function: str, file: Path) -> None:
    """Puts a function's body, as the README shows it, into the stub of exercise 8.2."""
    body = function.split("\n", 1)[1]
    stub = '    raise NotImplementedError("exercise 8.2")\n'
    text = file.read_text(encoding="utf-8")
    assert stub in text
    file.write_text(text.replace(stub, body), encoding="utf-8")


def printed_by(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Runs minigpt; a lesson's cells may change how torch computes, so it has its own process."""
    if arguments[0] == "lesson":
        return run_python("-m", "minigpt", *arguments)
    assert main(arguments) == (1 if "check" in arguments else 0)  # the function is wrong
    return capsys.readouterr().out


def test_the_tour_prints_what_the_readme_shows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    one_sandbox: object,
) -> None:
    monkeypatch.chdir(tmp_path)
    printed, compared = "", 0
    for block in TOUR:
        if block.language == "sh":
            (command,) = commands(block)
            arguments = minigpts(command)
            assert arguments
            printed = printed_by([*arguments, *CHANGED.get(arguments[0], [])], capsys)
        elif block.language == "python":
            fill_in(block.code, tmp_path / "exercises" / "08_lora.py")
        else:
            assert without_times(block.code) in without_times(printed)
            compared += 1
    assert compared == 4


def test_with_the_change_that_the_readme_names_the_exercise_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_sandbox: object
) -> None:
    monkeypatch.chdir(tmp_path)
    ((right, wrong),) = re.findall(r"Write\s`(.*?) \*` instead of\s`(.*?) \*`", TEXT)
    (block,) = (block for block in TOUR if block.language == "python")
    main(["exercise", "start", "8"])
    fill_in(block.code.replace(f"{wrong} *", f"{right} *"), tmp_path / "exercises" / "08_lora.py")
    assert main(["exercise", "check", "8.2"]) == 0

"""Every command and every piece of Python in the README is run, with smaller sizes.

SMALLER lists what is added to a command so that it takes a second, and NOT_RUN those that are read
and not run, with the reason. No network is used.
"""

from __future__ import annotations

import gzip
from glob import glob
from pathlib import Path

import pytest

from lessons.grading.registry import tasks_of
from lessons.grading.trivial import submission_of
from minigpt.command.cli import main, make_parser
from minigpt.text import python_library, task_sets
from tests.minigpt.tiny.run import TORCHRUN, run_python, skip_without_gloo
from tests.readme.page import TWO_PROCESSES, Block, blocks, commands, minigpts

NOT_RUN = {
    "git clone": "needs the network",
    "cd": "goes into what was cloned",
    "python3 -m venv": "makes an environment; .ci/run does",
    ".venv/bin/pip install": "installs torch; .ci/run does",
    ".venv/bin/python -m pytest": "starts the tests, and this is one of them",
    "minigpt course --only": "runs lessons as the whole course does, which is run",
    "minigpt data fetch": "needs the network; tests/minigpt/text/test_fetch.py has a server",
    "minigpt bench qlora": "takes 20 s at least; tests/minigpt/bench/test_qlora.py runs its parts",
}
TRAINING = (
    "--steps 1 --eval-every 0 --batch-size 1 --n-layer 1 --n-head 1 --n-embd 8 --block-size 16"
)
SMALLER = {
    ".venv/bin/minigpt course": "--quick --only 3",
    "minigpt lesson 2 --prose": "--quick",
    "minigpt generate": "--max-new-tokens 4",
    "minigpt train --steps 500": f"{TRAINING} --vocab-size 300",
    "minigpt train --data book.txt": f"{TRAINING} --vocab-size 300",
    f"{TWO_PROCESSES}minigpt train": f"{TRAINING} --data book.txt --vocab-size 300 --batch-size 2",
    "minigpt finetune": "--steps 1 --batch-size 1 --max-new-tokens 4",
    "minigpt finetune --method lora --data": "--test 1 --validation 1",
    "minigpt evaluate --model": "--max-new-tokens 4",
}
TYPED = [block for block in blocks("sh") if "tour" not in block.section]  # test_tour.py types that
SENTENCES = {
    "en": [f"A man with {n} dogs is reading." for n in range(9)],
    "fr": [f"Un homme avec {n} chiens lit." for n in range(9)],
}


def starts(command: str, beginnings: dict[str, str]) -> list[str]:
    """Returns what belongs to the beginnings of a command."""
    return [text for start, text in beginnings.items() if f"{command} ".startswith(f"{start} ")]


def smaller(command: str) -> str:
    return " ".join([command, *starts(command, SMALLER)])


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the README's commands read, and libraries of a few texts."""
    monkeypatch.chdir(tmp_path)
    story = "".join(f"Once there were {n} cats, who slept a lot.\n\n" for n in range(99))
    for name, text in {"book": story, "out": "a cat\n", "ref": "the cat\n"}.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    handed_in = [submission_of(task, task.bank.answers[0]) for task in tasks_of(8)]
    (tmp_path / "handed-in").mkdir()
    (tmp_path / "handed-in" / "08_anna.py").write_text("\n".join(handed_in), encoding="utf-8")
    folder = tmp_path / "runs" / "data" / "multi30k"
    folder.mkdir(parents=True)
    for language, sentences in SENTENCES.items():
        for part in ("train", "test_2016_flickr"):
            with gzip.open(folder / f"{part}.{language}.gz", "wt", encoding="utf-8") as file:
                file.write("".join(f"{sentence}\n" for sentence in sentences))
    whole, library = task_sets.task_set, python_library.python_library
    monkeypatch.setattr(task_sets, "task_set", lambda task, split: whole(task, split)[:9])
    monkeypatch.setattr(python_library, "python_library", lambda n=None: library(20))
    return tmp_path


def run(command: str) -> None:
    """Runs one command, in this process where it can be."""
    arguments = minigpts(smaller(command))
    if arguments is None:
        raise AssertionError(f"{command}: the tests do not know how to run this")
    if command.startswith(TWO_PROCESSES):
        skip_without_gloo()
        run_python(*TORCHRUN, "-m", "minigpt", *arguments)
    elif arguments[0] == "lesson":  # its cells may change how torch computes and prints
        run_python("-m", "minigpt", *arguments)
    else:
        files = [sorted(glob(argument)) or [argument] for argument in arguments]
        assert main([name for names in files for name in names]) == 0, command


@pytest.mark.parametrize("block", TYPED, ids=lambda block: block.code.partition("\n")[0])
def test_commands_run(block: Block, workplace: Path) -> None:
    for command in commands(block):
        if (arguments := minigpts(command)) is not None:
            make_parser().parse_args(arguments)
        if not starts(command, NOT_RUN):
            run(command)


def test_the_lists_name_commands_of_the_readme() -> None:
    """An entry whose command is gone goes too."""
    there = [command for block in TYPED for command in commands(block)]
    for start in (*NOT_RUN, *SMALLER):
        assert any(f"{command} ".startswith(f"{start} ") for command in there), start


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.section)
def test_python_runs(block: Block, workplace: Path) -> None:
    exec(compile(block.code, "README.md", "exec"), {})

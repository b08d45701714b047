"""The commands and code that the README tells a reader to type work."""

import pkgutil
import re
import shlex
from pathlib import Path

import pytest

from minigpt.command.cli import make_parser
from minigpt.text import task_sets

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(?:torchrun .* -m )?(minigpt .+)$", README, flags=re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command: str) -> None:
    make_parser().parse_args(shlex.split(command, comments=True)[1:])


def test_the_list_of_commands_is_found() -> None:
    assert {command.split()[1] for command in COMMANDS} >= {
        "generate",
        "train",
        "data",
        "bench",
    }


def test_python_examples_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = task_sets.task_set  # 20 records of each set are answered before and after
    monkeypatch.setattr(task_sets, "task_set", lambda task, split: whole(task, split)[:20])
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("Return the")


def test_pictures_exist() -> None:
    names = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert names
    assert [name for name in names if not (ROOT / name).is_file()] == []


def test_the_tree_names_what_is_there() -> None:
    (tree,) = re.findall(r"## Where things are\n\n```\n(.*?)```", README, flags=re.DOTALL)
    missing, folder = [], ""
    for line in tree.splitlines():
        names, _, explanation = line.strip().rpartition("    ")
        assert explanation
        first, *others = names.split()
        if first in ("minigpt/", "kernels/"):
            folder = first
        elif first == "lessons/":
            folder = ""
        for name in (first, *others):
            places = [ROOT / folder / name, ROOT / folder / f"{name}.py", ROOT / name]
            missing += [] if any(place.exists() for place in places) else [name]
    assert missing == []


def test_the_evening_is_there_in_order() -> None:
    (line,) = re.findall(r"^An evening, in this order: (.*)$", README, flags=re.MULTILINE)
    folder, files = "", []
    for path in re.findall(r"`(\S+)`", line):
        first = path.split("/")[0]
        folder = first if first in ("minigpt", "kernels") else folder
        files.append(ROOT / (path if path.startswith(folder) else f"{folder}/{path}"))
    assert len(files) > 12
    assert [file for file in files if not file.exists()] == []


def test_every_name_of_ours_is_there() -> None:
    names = set(re.findall(r"`((?:minigpt|kernels)(?:\.\w+)+)`", README))
    assert {"minigpt.rouge", "minigpt.lora.load_lora"} <= names
    for name in names:
        pkgutil.resolve_name(name)


def test_every_file_of_ours_is_there() -> None:
    paths = re.findall(r"`((?:minigpt|kernels|lessons|tests|data)/[\w./]*)`", README)
    assert len(paths) > 10
    paths.remove("lessons/NN_name.py")  # the form of all lessons
    assert [path for path in paths if not (ROOT / path).exists()] == []

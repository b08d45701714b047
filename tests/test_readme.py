"""What the README tells a reader to type is what works."""

import re
import shlex
from pathlib import Path

import pytest

from minigpt.command.cli import make_parser

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
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


def test_python_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("Return the")


def test_pictures_and_files_exist() -> None:
    root = Path(__file__).parents[1]
    names = re.findall(r"!\[.*?\]\((.*?)\)", README)
    for cell in re.findall(r"^\| (`.*?`) \|", README, flags=re.MULTILINE):
        paths = re.findall(r"`(.*?)`", cell)
        folder = paths[0].rpartition("/")[0]
        names += [path if "/" in path else f"{folder}/{path}" for path in paths]
    assert len(names) > 15
    assert [
        name for name in names if not any(root.glob(name.replace("NN", "[0-9][0-9]").rstrip("/")))
    ] == []

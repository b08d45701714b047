"""The command starts at once: it loads no more than it needs."""

from __future__ import annotations

import pytest

from minigpt import __version__
from minigpt.command.cli import COMMANDS, main
from tests.minigpt.tiny.run import run_python

HELP_OF_ALL = f"""
import sys
from minigpt.command.cli import main
for command in [[], *([name] for name in {list(COMMANDS)})]:
    try:
        main([*command, "--help"])
    except SystemExit:
        pass
print("torch" in sys.modules, "numpy" in sys.modules)
"""


def test_help_of_no_command_waits_for_torch() -> None:
    assert run_python("-c", HELP_OF_ALL).splitlines()[-1] == "False False"


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"minigpt {__version__}\n"


def test_loading_a_model_does_not_load_torch_s_compiler() -> None:
    code = "import sys, minigpt; minigpt.load_pretrained('base'); print('sympy' in sys.modules)"
    assert run_python("-c", code).splitlines()[-1] == "False"

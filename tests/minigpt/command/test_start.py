"""The command starts at once: it loads no more than it needs."""

from __future__ import annotations

import sys
from pathlib import Path

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


# What the command's own children do, if a stranger's pickle.py lies in the folder.
CHILDREN = """
import sys
sys.path[:] = filter(None, sys.path)
sys.argv = ["minigpt", "--version"]
import multiprocessing
from minigpt.__main__ import main
try:
    main()
except SystemExit:
    pass
child = multiprocessing.get_context("spawn").Process(target=print, args=("well",))
child.start()
child.join()
print(child.exitcode)
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there is no way to say so to Python 3.10")
def test_what_it_starts_takes_no_file_here_for_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pickle.py").write_text("raise SystemExit('a stranger')", encoding="utf-8")
    assert run_python("-c", CHILDREN).splitlines()[-1] == "0"


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

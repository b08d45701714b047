"""A lesson run as a script uses the checkout that it lies in, installed or not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

LESSONS = Path(__file__).resolve().parents[2] / "lessons"
SCRIPTS = sorted(LESSONS.glob("[0-9][0-9]_*.py"))
PATH_LINE = 'sys.path.insert(0, f"{sys.path[0]}/..")'


def test_a_script_imports_the_packages_beside_it(tmp_path: Path) -> None:
    """The script is copied beside packages of the same names that stand nowhere else."""
    (tmp_path / "lessons").mkdir()
    script = tmp_path / "lessons" / SCRIPTS[0].name
    head = SCRIPTS[0].read_text(encoding="utf-8").partition(PATH_LINE)[0]
    script.write_text(f"{head}{PATH_LINE}\nfrom lessons import lesson\n", encoding="utf-8")
    (tmp_path / "lessons" / "__init__.py").touch()
    (tmp_path / "lessons" / "lesson.py").write_text("print(__file__)\n", encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()).resolve() == (tmp_path / "lessons" / "lesson.py").resolve()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_path_is_set_before_anything_of_ours_is_imported(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    first = re.search(r"^(?:from|import) (?:kernels|lessons|minigpt)\b", text, re.MULTILINE)
    assert first is not None
    assert 0 <= text.find(PATH_LINE) < first.start()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_our_package_comes_before_torch_and_sets_how_its_threads_wait(script: Path) -> None:
    head, ours, _ = script.read_text(encoding="utf-8").partition("from lessons import lesson\n")
    assert ours
    modules = re.findall(r"^(?:from|import) (\w+)", head, re.MULTILINE)
    assert set(modules) <= set(sys.stdlib_module_names)


def test_importing_the_lessons_sets_how_threads_wait() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    code = "import os, sys, lessons; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=LESSONS.parent, env=environment, capture_output=True,
        text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["10000", "False"]

"""The house keeps its rules, and no rule is one that cannot be broken (tests/house/rules.py)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.imports import Tree, read_tree
from tests.house.rules import RULES, top_level_is_as_listed

ROOT = Path(__file__).parents[1]
Rule = Callable[[Tree], list[str]]

# For each rule, files that break it; a file that is only named is empty.
BREAKING = {
    "rooms_are_known": {"minigpt/attic.py": ""},
    "chapters_import_above": {
        "minigpt/config.py": "from minigpt.model import GPT",
        "minigpt/model.py": "",
    },
    "workshops_import_below": {
        "minigpt/optim/adamw.py": "def f():\n    from minigpt.training import loop",
        "minigpt/training/loop.py": "",
    },
    "sisters_stay_apart": {
        "minigpt/lora/model.py": "def f():\n    import minigpt.qlora.layer",
        "minigpt/qlora/layer.py": "",
    },
    "nobody_imports_the_top": {
        "minigpt/tasks/data.py": "from minigpt.command import cli",
        "minigpt/command/cli.py": "",
    },
    "ground_knows_no_model": {
        "minigpt/files/atomic.py": "import minigpt.layers",
        "minigpt/layers.py": "import minigpt.model",
        "minigpt/model.py": "",
    },
    "kernels_stand_alone": {"kernels/ops.py": "import safetensors"},
    "kernels_enter_by_qlora": {"minigpt/model.py": "import kernels.ops", "kernels/ops.py": ""},
    "lessons_and_tests_are_last": {
        "minigpt/model.py": "from lessons import lesson",
        "lessons/lesson.py": "",
    },
    "test_files_stay_apart": {
        "tests/test_a.py": "from tests.test_b import helper",
        "tests/test_b.py": "",
    },
    "heavy_packages_come_late": {"minigpt/model.py": "import transformers"},
    "command_lines_end": {"minigpt/tasks/data.py": "from argparse import Namespace"},
    "paths_stay": {"tests/test_a.py": "import sys\nsys.path.insert(0, 'x')"},
    "no_circle_of_files": {
        "minigpt/tasks/a.py": "import minigpt.tasks.b",
        "minigpt/tasks/b.py": "def f():\n    import minigpt.tasks.a",
    },
    "no_circle_of_rooms": {
        "minigpt/tasks/a.py": "import minigpt.text.a",
        "minigpt/text/a.py": "",
        "minigpt/text/b.py": "import minigpt.tasks.b",
        "minigpt/tasks/b.py": "",
    },
    "exceptions_are_needed": {"minigpt/model.py": ""},
    "tests_mirror_the_house": {"tests/minigpt/attic/test_a.py": ""},
}


@pytest.fixture(scope="module")
def house() -> Tree:
    return read_tree(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(house: Tree, rule: Rule) -> None:
    assert rule(house) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_can_be_broken(rule: Rule) -> None:
    assert rule(Tree(BREAKING[rule.__name__]))


def test_a_typing_import_is_none() -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from minigpt.model import GPT"
    tree = Tree({"minigpt/config.py": text, "minigpt/model.py": ""})
    assert all(rule(tree) == [] for rule in RULES if rule.__name__ == "chapters_import_above")


def test_the_top_level_is_as_listed(tmp_path: Path) -> None:
    assert top_level_is_as_listed(ROOT) == []
    (tmp_path / ".gitignore").write_text("runs/\n")
    (tmp_path / "runs").mkdir()
    (tmp_path / "attic").mkdir()
    said = top_level_is_as_listed(tmp_path)
    assert any("attic" in sentence for sentence in said)
    assert not any("runs" in sentence for sentence in said)


SIDE_EFFECTS = """
import os, sys, threading
before = dict(os.environ)
written = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        written.append(arguments[0])
sys.addaudithook(watch)
import {package}
print(sorted(set(os.environ.items()) ^ set(before.items())), threading.active_count(), written)
"""


@pytest.mark.parametrize("package", ["minigpt", "kernels"])
def test_importing_a_package_changes_nothing(package: str) -> None:
    code = SIDE_EFFECTS.format(package=package)
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    assert done.stdout.split() == ["[]", "1", "[]"]

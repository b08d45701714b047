"""The house keeps its rules about imports, and importing it changes nothing else.

The rules stand in tests/house/rules.py. Each is also applied to a small made-up tree that breaks
it, so that every rule can fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.imports import Tree, read_tree
from tests.house.rules import EXCEPTIONS, RULES, TOP_LEVEL, top_level_is_as_listed

ROOT = Path(__file__).resolve().parents[1]
Rule = Callable[[Tree], list[str]]


@pytest.fixture(scope="module")
def house() -> Tree:
    return read_tree(ROOT)


def rule(name: str) -> Rule:
    return {rule.__name__: rule for rule in RULES}[name]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule: Rule, house: Tree) -> None:
    assert not (sentences := rule(house)), "\n" + "\n".join(sentences)


def test_the_house_was_read(house: Tree) -> None:
    assert len(house.texts) > 200
    assert {"minigpt/model.py", "kernels/ops.py", "lessons/01_tokens.py"} <= set(house.texts)
    assert len(house.executed()) > 800


def test_the_top_level_is_as_listed() -> None:
    assert not top_level_is_as_listed(ROOT)


# A tree that keeps every rule; a case below adds lines to it and breaks one.
KEPT = {
    "minigpt/__init__.py": "from minigpt.model import GPT",
    "minigpt/__main__.py": "from minigpt.command.cli import main",
    "minigpt/config.py": "import torch",
    "minigpt/model.py": (
        "from typing import TYPE_CHECKING\n"
        "from minigpt.config import GPTConfig\n"
        "from minigpt.fast import linear\n"
        "if TYPE_CHECKING:\n    from minigpt.cache import KVCache\n"
        "class GPT:\n    def generate(self):\n        from minigpt.generation import generate"
    ),
    "minigpt/cache.py": "import torch",
    "minigpt/generation.py": "import minigpt\nfrom minigpt.cache import KVCache",
    "minigpt/fast/__init__.py": "",
    "minigpt/fast/linear.py": "from minigpt.config import IGNORE",
    "minigpt/files/__init__.py": "",
    "minigpt/files/atomic.py": "import os",
    "minigpt/text/__init__.py": "",
    "minigpt/text/fetch.py": "from minigpt.files.atomic import write",
    "minigpt/training/__init__.py": "from minigpt.training.loop import train",
    "minigpt/training/loop.py": "from minigpt.model import GPT",
    "minigpt/pretrained/__init__.py": "",
    "minigpt/pretrained/folders.py": "from minigpt.qlora.files import read",
    "minigpt/lora/__init__.py": "",
    "minigpt/lora/layer.py": "from minigpt import config",
    "minigpt/qlora/__init__.py": "",
    "minigpt/qlora/files.py": "import kernels",
    "minigpt/bench/__init__.py": "",
    "minigpt/bench/gpt2.py": "import kernels\ndef time():\n    import transformers",
    "minigpt/doctor/__init__.py": "",
    "minigpt/doctor/speed.py": "import os\ndef measure():\n    from minigpt.bench import gpt2",
    "minigpt/command/__init__.py": "",
    "minigpt/command/cli.py": (
        "import argparse\ndef main():\n    import lessons\n    from minigpt.bench import gpt2"
    ),
    "kernels/__init__.py": "from kernels.ops import linear",
    "kernels/ops.py": "import numpy, torch\nfrom math import pi\ndef f():\n    import triton",
    "kernels/bench/__init__.py": "",
    "kernels/bench/__main__.py": "from kernels.bench.gpu import main",
    "kernels/bench/gpu.py": "import argparse\nimport kernels\ndef f():\n    import bitsandbytes",
    "lessons/__init__.py": "",
    "lessons/lesson.py": "import argparse\nimport kernels, minigpt",
    "lessons/01_tokens.py": "import matplotlib.pyplot as plt\nfrom lessons import lesson",
    "tests/__init__.py": "",
    "tests/tiny/__init__.py": "",
    "tests/tiny/run.py": "import sys\nprint(sys.path)\nfrom minigpt.bench import gpt2",
    "tests/minigpt/__init__.py": "",
    "tests/minigpt/test_model.py": "from tests.tiny import run\nimport peft",
}

# rule, file, what is added to it, and what the rule says about it
BREAKAGES = [
    ("rooms_are_known", "minigpt/helpers.py", "", "minigpt/helpers.py:1: is neither"),
    ("chapters_import_above", "minigpt/cache.py", "import minigpt.generation", "cache.py:2:"),
    ("chapters_import_above", "minigpt/cache.py", "def f():\n    from . import bpe", "late"),
    ("chapters_import_above", "minigpt/bpe.py", "from minigpt.training import train", "training"),
    ("chapters_import_above", "minigpt/bpe.py", "from minigpt import GPT", "minigpt"),
    ("workshops_import_below", "minigpt/training/loop.py", "from minigpt.lora import layer", ":2"),
    ("workshops_import_below", "minigpt/files/atomic.py", "from ..fast import linear", "fast"),
    ("workshops_import_below", "minigpt/lora/layer.py", "from minigpt import GPT", "layer.py:2"),
    ("sisters_stay_apart", "minigpt/lora/layer.py", "from minigpt.qlora import files", "sisters"),
    ("sisters_stay_apart", "minigpt/qlora/files.py", "def f():\n    import minigpt.lora", "late"),
    ("nobody_imports_the_top", "minigpt/lora/layer.py", "import minigpt.command.cli", ":2:"),
    ("nobody_imports_the_top", "minigpt/lora/layer.py", "def f():\n    import kernels.bench", ":3"),
    ("nobody_imports_the_top", "minigpt/command/cli.py", "import minigpt.bench.gpt2", ":5:"),
    ("nobody_imports_the_top", "lessons/lesson.py", "from kernels.bench import gpu", ":3:"),
    ("ground_knows_no_model", "minigpt/fast/linear.py", "from minigpt.model import GPT", ":2:"),
    (
        "ground_knows_no_model",
        "minigpt/text/fetch.py",
        "def f():\n    from minigpt import training",
        "(minigpt/training/__init__.py -> minigpt/training/loop.py -> minigpt/model.py)",
    ),
    ("kernels_stand_alone", "kernels/ops.py", "from minigpt.config import GPTConfig", ":5:"),
    ("kernels_stand_alone", "kernels/ops.py", "def g():\n    import bitsandbytes", "late"),
    ("kernels_stand_alone", "kernels/bench/gpu.py", "from tqdm import tqdm", "imports tqdm"),
    ("kernels_enter_by_qlora", "minigpt/lora/layer.py", "from kernels import ops", "kernels.ops"),
    ("kernels_enter_by_qlora", "minigpt/command/cli.py", "def g():\n    import kernels", "late"),
    ("lessons_and_tests_are_last", "lessons/lesson.py", "from tests.tiny import run", "tests.tiny"),
    ("lessons_and_tests_are_last", "minigpt/lora/layer.py", "import lessons.lesson", "lessons."),
    ("lessons_and_tests_are_last", "minigpt/command/cli.py", "import lessons", "cli.py:5:"),
    ("test_files_stay_apart", "tests/tiny/run.py", "import tests.minigpt.test_model", ":4:"),
    ("test_files_stay_apart", "tests/tiny/run.py", "from tests.minigpt import test_model", ":4:"),
    ("heavy_packages_come_late", "lessons/lesson.py", "try:\n    import peft\nfinally: 1", ":4:"),
    ("heavy_packages_come_late", "minigpt/lora/layer.py", "from matplotlib import x", ":2:"),
    ("command_lines_end", "minigpt/lora/layer.py", "def f():\n    import argparse", "layer.py:3"),
    ("command_lines_end", "minigpt/bench/gpt2.py", "from argparse import Namespace", ":4:"),
    (
        "command_lines_end",
        "minigpt/lora/layer.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import argparse",
        "layer.py:4:",
    ),
    ("paths_stay", "tests/tiny/run.py", "sys.path.insert(0, 'data')", "run.py:4:"),
    ("paths_stay", "tests/tiny/run.py", "sys.path[:0] = ['data']", "run.py:4:"),
    ("paths_stay", "tests/tiny/run.py", "sys.path += ['data']", "run.py:4:"),
    ("paths_stay", "tests/tiny/run.py", "def f(m):\n    m.syspath_prepend('data')", "run.py:5:"),
    ("paths_stay", "tests/tiny/run.py", "def f(m):\n    m.setattr(sys, 'path', [])", "run.py:5:"),
    (
        "no_circle_of_files",
        "minigpt/cache.py",
        "def f():\n    from . import generation",
        "late -> ",
    ),
    ("no_circle_of_files", "kernels/ops.py", "import kernels.ops", "ops.py:5: imports kernels.ops"),
    (
        "no_circle_of_files",
        "minigpt/files/atomic.py",
        "def f(importlib):\n    importlib.import_module('minigpt.text.fetch')",
        "minigpt/files/atomic.py:3: imports minigpt.text.fetch late",
    ),
    ("no_circle_of_rooms", "minigpt/files/__init__.py", "import minigpt.text", "no circle among"),
    ("exceptions_are_needed", "minigpt/model.py", None, "minigpt/generation.py"),
    ("tests_mirror_the_house", "tests/minigpt/attic/test_x.py", "", "tests minigpt/attic/"),
    ("named_files_are_there", "minigpt/config.py", "# see lora_layer.py", "names lora_layer.py"),
    ("named_files_are_there", "minigpt/config.py", "'as in fast/model.py'", "names fast/model.py"),
]


def test_a_good_tree_breaks_no_rule() -> None:
    assert [sentence for rule in RULES for sentence in rule(Tree(KEPT))] == []


@pytest.mark.parametrize(
    ("name", "file", "added", "said"), BREAKAGES, ids=[f"{b[0]}-{b[1]}" for b in BREAKAGES]
)
def test_a_breakage_is_named(name: str, file: str, added: str | None, said: str) -> None:
    text = "" if added is None else f"{KEPT.get(file, '')}\n{added}".lstrip("\n")
    (sentence,) = rule(name)(Tree({**KEPT, file: text}))
    assert file in sentence or added is None
    assert said in sentence


def test_every_rule_is_broken_once() -> None:
    assert {breakage[0] for breakage in BREAKAGES} == {rule.__name__ for rule in RULES}


def test_exceptions_say_why_and_are_few() -> None:
    assert all(len(reason) > 20 for reason in EXCEPTIONS.values())
    assert len(EXCEPTIONS) <= 4


def test_what_is_too_much_or_missing_at_the_top_is_named(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("__pycache__/\n*.egg-info/\nruns/\n", encoding="utf-8")
    for name in [*TOP_LEVEL, "runs", "minigpt.egg-info", ".venv"]:
        (tmp_path / name).mkdir()
    assert top_level_is_as_listed(tmp_path) == []
    (tmp_path / "utils.py").touch()
    (tmp_path / "data").rmdir()
    extra, missing = top_level_is_as_listed(tmp_path)
    assert extra.startswith("utils.py: stands at the top level")
    assert missing == "data: is missing at the top level"


# Imports every module of the packages argv[2:] in the folder argv[1] and prints what its own lines
# did meanwhile: a line is to blame that stands in the folder (an environment in there is not ours),
# with no import of another package between it and the deed. Threads that a library started show in
# the number of those that there are at the end; a forked child then must be able to multiply.
WATCH = """
import json, os, pkgutil, sys, threading
root, *names = sys.argv[1:]
sys.path.insert(0, root)
done = []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
DEEDS = ("os.putenv", "os.unsetenv", "subprocess.Popen", "socket.connect", "Thread.start",
         "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
def watch(event, arguments):
    if event in DEEDS or (event == "open" and arguments[2] & WRITES):
        frame = sys._getframe(1)
        while frame and "importlib._bootstrap" not in frame.f_code.co_filename:
            file = frame.f_code.co_filename
            if file.startswith(root + os.sep) and "site-packages" not in file[len(root):]:
                done.append(f"{file[len(root) + 1:]}:{frame.f_lineno}: {event} {arguments[:2]}")
            frame = frame.f_back
def watched(thread, start=threading.Thread.start):
    watch("Thread.start", ())
    start(thread)
threading.Thread.start = watched
sys.addaudithook(watch)
for name in names:
    package = __import__(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            __import__(module.name)
tasks = "/proc/self/task"
if os.path.exists(tasks) and (count := len(os.listdir(tasks))) > 1:
    done.append(f"{count} threads run")
if "torch" in sys.modules and hasattr(os, "fork"):
    import torch
    child = os.fork()
    if child == 0:
        torch.ones(300, 300) @ torch.ones(300, 300)
        os._exit(0)
    os.waitpid(child, 0)
print(json.dumps(done[:20]))
"""


def side_effects(root: Path, *packages: str) -> list[str]:
    """Returns what the packages do to environment, threads and files when they are imported."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCH, str(root), *packages],
        cwd=root, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1"},  # numpy's is 1
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_importing_changes_nothing() -> None:
    assert side_effects(ROOT, "minigpt", "kernels") == []


@pytest.mark.parametrize(
    ("line", "deed"),
    [
        ("os.environ['A'] = 'b'", "os.putenv"),
        ("os.environ.pop('PATH')", "os.unsetenv"),
        ("threading.Thread(target=print, daemon=True).start()", "Thread.start"),
        ("pathlib.Path('a').write_text('b')", "open"),
        ("os.mkdir('a')", "os.mkdir"),
        ("subprocess.run(['true'])", "subprocess.Popen"),
    ],
)
def test_a_side_effect_is_named(tmp_path: Path, line: str, deed: str) -> None:
    text = f"import os, pathlib, subprocess, threading\n{line}\n"
    (tmp_path / "quiet").mkdir()
    (tmp_path / "quiet" / "__init__.py").write_text("from quiet import loud\n", encoding="utf-8")
    (tmp_path / "quiet" / "loud.py").write_text(text, encoding="utf-8")
    assert any(
        said.startswith(f"quiet{os.sep}loud.py:2: {deed}")
        for said in side_effects(tmp_path, "quiet")
    )

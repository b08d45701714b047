"""What Gradescope asks for: results.json, and an archive that makes one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lessons.grading import autograder
from lessons.grading.autograder import NEEDS, requirements, write_autograder
from lessons.grading.check import Checked, check_text
from lessons.grading.gradescope import grade, handed_in, main, results
from lessons.grading.registry import tasks_of
from lessons.grading.worker import Sandbox
from tests.lessons.grading.small_course.tasks import RIGHT, TASKS

# https://gradescope-autograders.readthedocs.io/en/latest/specs/, "Output format"
TOP = {
    "score": float, "execution_time": int, "output": str, "output_format": str, "visibility": str,
    "test_output_format": str, "test_name_format": str, "stdout_visibility": str,
    "extra_data": dict, "tests": list, "leaderboard": list,
}  # fmt: skip
TEST = {
    "score": float, "max_score": float, "status": str, "name": str, "name_format": str,
    "number": str, "output": str, "output_format": str, "tags": list, "visibility": str,
    "extra_data": dict,
}  # fmt: skip
FORMATS = {"text", "html", "simple_format", "md", "ansi"}
VISIBILITIES = {"hidden", "after_due_date", "after_published", "visible"}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Gradescope runs Linux")


def assert_valid(found: dict) -> None:
    """Checks results against what Gradescope's documentation says."""
    assert found.keys() <= TOP.keys()
    assert all(isinstance(value, TOP[name]) for name, value in found.items())
    assert found["tests"]
    for test in found["tests"]:
        assert test.keys() <= TEST.keys()
        assert all(isinstance(value, TEST[name]) for name, value in test.items())
        assert 0 <= test["score"] <= test["max_score"]
        assert test.get("status", "passed") in ("passed", "failed")
        assert test.get("output_format", "text") in FORMATS
        assert test.get("visibility", "visible") in VISIBILITIES
    for entry in found.get("leaderboard", []):
        assert entry.keys() <= {"name", "value", "order"}
        assert entry.get("order", "desc") in ("asc", "desc")
    assert found["score"] == sum(test["score"] for test in found["tests"])
    json.dumps(found, allow_nan=False)


@pytest.mark.usefixtures("small_course")
def test_results_are_as_documented(sandbox: Sandbox) -> None:
    code = RIGHT.replace("4 * x", "8 * x")
    checked = Checked("99_sums.py", 99, 3, check_text(code, TASKS, 3, sandbox=sandbox))
    board = [{"name": "instructions", "value": 5.8, "order": "asc"}]
    found = results(checked, 2.6, board)
    assert_valid(found)
    assert (found["score"], found["execution_time"]) == (2.0, 3)
    assert [test["max_score"] for test in found["tests"]] == [1.0, 3.0, 1.0]
    assert found["tests"][0]["output"] == "passed"
    wrong = found["tests"][1]
    assert wrong["status"] == "failed"
    assert wrong["extra_data"] == {"status": "failed", "mistake": "eight times"}
    for part in ("This is 8 x.", "quadruple(x=", "expected", "got"):
        assert part in wrong["output"]
    assert "\x1b" not in wrong["output"]


@pytest.mark.usefixtures("small_course")
def test_one_file_is_chosen_or_the_student_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Hand in one file, 99_sums\.py .*no file of Python"):
        handed_in(tmp_path, 99)
    (tmp_path / "a.py").touch()
    assert handed_in(tmp_path, 99).name == "a.py"
    (tmp_path / "b.ipynb").touch()
    with pytest.raises(ValueError, match=r"there is a\.py, b\.ipynb"):
        handed_in(tmp_path, 99)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "99_sums.py").touch()
    assert handed_in(tmp_path, 99).name == "99_sums.py"


@pytest.mark.usefixtures("small_course")
def test_results_are_written_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_valid(grade(99, tmp_path, 0))
    file = tmp_path / "results.json"

    def broken(number: int, folder: Path, seed: int) -> dict:
        raise KeyError("a bug")

    monkeypatch.setattr("lessons.grading.gradescope.grade", broken)
    with pytest.raises(KeyError):
        main("99", str(tmp_path), str(file))
    found = json.loads(file.read_text(encoding="utf-8"))
    assert_valid(found)
    assert "tell your teacher" in found["output"]


def test_an_archive_for_which_there_is_no_room_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(autograder, "requirements", no_room)
    with pytest.raises(OSError, match=r"could not write .*one\.zip: No space left"):
        write_autograder(8, tmp_path / "one.zip", seed=7)
    assert list(tmp_path.iterdir()) == []


def test_the_archive_holds_what_an_upload_needs_and_is_the_same_each_time(tmp_path: Path) -> None:
    one = write_autograder(8, tmp_path / "one.zip", seed=7)
    two = write_autograder(8, tmp_path / "two.zip", seed=7)
    assert one.read_bytes() == two.read_bytes()
    with pytest.raises(FileExistsError, match="stays as it is"):
        write_autograder(8, one, seed=7)
    with zipfile.ZipFile(one) as archive:
        names = archive.namelist()
        modes = {name: archive.getinfo(name).external_attr >> 16 for name in names}
    assert {"setup.sh", "run_autograder", "requirements.txt"} <= set(names)
    assert modes["setup.sh"] & 0o111
    assert modes["run_autograder"] & 0o111
    assert "packages/lessons/exercises/lesson_08.py" in names
    assert not [name for name in names if "__pycache__" in name or "data/base" in name]
    assert one.stat().st_size < 5e6


def test_what_the_grader_needs_is_pinned() -> None:
    lines = [line for line in requirements().splitlines() if not line.startswith("#")]
    pinned = dict(line.partition(";")[0].split("==") for line in lines)
    assert {"torch", "numpy", "rich", "regex"} <= set(pinned) <= set(NEEDS)
    assert all("+" not in version for version in pinned.values())


def test_the_grader_imports_no_more_than_it_pins() -> None:
    names = [*(name.replace("-", "_") for name in NEEDS), "minigpt", "kernels", "lessons"]
    numbers = sorted({8, *(n for n in range(1, 14) if n not in (10, 11))})
    code = (
        "import sys; before = set(sys.modules)\n"
        "from lessons.grading import gradescope, check, report, registry\n"
        f"[registry.tasks_of(n) for n in {numbers} if n in registry.lessons()]\n"
        "import importlib.metadata as m\n"
        "found = {n.partition('.')[0] for n in sys.modules}\n"
        "top = m.packages_distributions()\n"
        "print(*sorted({d.lower() for n in found for d in top.get(n, [])}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    torch_s_own = {
        "sympy", "mpmath", "networkx", "filelock", "typing_extensions", "typing-extensions",
        "jinja2", "markupsafe", "fsspec", "setuptools", "packaging", "cuda-bindings",
        "cuda-pathfinder",
    }  # fmt: skip
    ours = {"minigpt", "minigpt-course"}
    assert set(done.stdout.split()) - torch_s_own - ours <= {
        *NEEDS,
        "pygments",
        "markdown-it-py",
    }, names


@LINUX
def test_the_archive_grades_a_submission_where_it_is_unpacked(tmp_path: Path) -> None:
    """The folders are Gradescope's, in another place; nothing is installed."""
    source = tmp_path / "source"
    with zipfile.ZipFile(write_autograder(8, tmp_path / "autograder.zip", seed=7)) as archive:
        archive.extractall(source)
    (tmp_path / "submission").mkdir()
    answers = [task.bank.answers[0] for task in tasks_of(8) if task.name == "merge"]
    code = f"import torch\nfrom torch import Tensor\n\n\n{answers[0]}"
    (tmp_path / "submission" / "my solution.py").write_text(code, encoding="utf-8")
    bash = shutil.which("bash")
    assert bash is not None
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    packages = [path for path in sys.path if path and "site" in Path(path).name]
    done = subprocess.run(
        [bash, source / "run_autograder"], cwd=tmp_path, capture_output=True, text=True,
        timeout=300, check=False,
        env={**environment, "AUTOGRADER": str(tmp_path), "PYTHON": sys.executable},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr, packages)
    found = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))
    assert_valid(found)
    assert found["extra_data"] == {"seed": 7, "file": "my solution.py"}
    status = {test["name"]: test["status"] for test in found["tests"]}
    assert status["8.3 merge"] == "passed"
    assert all(state == "failed" for name, state in status.items() if name != "8.3 merge")

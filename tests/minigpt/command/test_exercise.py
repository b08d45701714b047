"""`minigpt exercise`: what a learner and an instructor type, and what they read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from minigpt.command.cli import main
from minigpt.command.exercise import ACTIONS
from minigpt.command.exercise_check import files_named
from tests.lessons.grading.small_course.tasks import DOUBLE, RIGHT
from tests.minigpt.tiny.run import run_python

pytestmark = pytest.mark.usefixtures("small_course")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Works in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Returns the one sentence that a wrong command ends in."""
    assert main(["exercise", *arguments]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    (line,) = found.err.strip().splitlines()
    return line.removeprefix("minigpt: ")


def objects(text: str) -> list[dict]:
    """Returns the JSON objects of lines."""
    return [json.loads(line) for line in text.splitlines()]


def test_help_of_no_action_waits_for_torch() -> None:
    code = f"""
import sys
from minigpt.command.cli import main
for action in {list(ACTIONS)}:
    try:
        main(["exercise", action, "--help"])
    except SystemExit:
        pass
print("torch" in sys.modules, "rich" in sys.modules, "lessons" in sys.modules)
"""
    assert run_python("-c", code).splitlines()[-1] == "False False False"


@pytest.mark.usefixtures("one_sandbox")
def test_from_start_to_a_tick(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exercise", "start", "99"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Wrote exercises/99_sums.py. ")
    assert said.endswith("minigpt exercise check 99\n")
    assert "stays as it is" in refused(capsys, "start", "99")
    path = desk / "exercises" / "99_sums.py"
    answer = DOUBLE.bank.answers[0]
    path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{answer}", encoding="utf-8")

    assert main(["exercise", "check", "99.1"]) == 0
    out = capsys.readouterr().out
    assert "✓ 99.1" in out
    assert "1 of 1 passed." in out
    assert main(["exercise", "check", "99", "--json"]) == 1
    (found,) = objects(capsys.readouterr().out)
    assert [found["file"], found["lesson"], found["seed"]] == ["exercises/99_sums.py", 99, 0]
    states = [task["status"] for task in found["tasks"]]
    assert states == ["passed", "not_started", "not_started"]

    assert main(["exercise", "list"]) == 0
    listed = capsys.readouterr().out
    assert "✓ 99.1" in listed
    assert "· 99.2" in listed
    assert "Lesson 99: Sums  1/3" in listed
    assert "Next: 99.2 quadruple (minigpt exercise check 99.2)" in listed


def test_another_folder_stands_in_what_is_said_next(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["exercise", "list", "--dir", "mine"]) == 0
    assert "(minigpt exercise start 99 --dir mine)" in capsys.readouterr().out
    assert main(["exercise", "start", "99", "--dir", "mine"]) == 0
    assert capsys.readouterr().out.endswith("minigpt exercise check 99 --dir mine\n")


def test_hints_come_one_by_one(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for level in (1, 2, 3, 3):
        assert main(["exercise", "hint", DOUBLE.id]) == 0
        out = capsys.readouterr().out
        assert [hint in out for hint in DOUBLE.hints] == [level > i for i in range(3)]
    assert main(["exercise", "hint", DOUBLE.id, "--level", "1"]) == 0
    assert DOUBLE.hints[1] not in capsys.readouterr().out
    assert "from 1 to 3, got '0'" in refused(capsys, "hint", DOUBLE.id, "--level", "0")
    assert "no exercise 99.9" in refused(capsys, "hint", "99.9")


@pytest.mark.usefixtures("one_sandbox")
def test_many_files_give_a_line_each_in_their_order_and_one_table(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = {
        "right.py": RIGHT.encode(), "wrong.py": RIGHT.replace("x + x", "x * x").encode(),
        "99_binary.py": b"\x00\xff", "99_empty.py": b"",
        "99_broken.py": b"x = 1\ndef merge(:\n", "99_raises.py": b"1 / 0\n",
    }  # fmt: skip
    for name, content in contents.items():
        (desk / name).write_bytes(content)
    arguments = ["exercise", "check", *contents, "--only", "99.1", "--csv", "all.csv"]
    arguments += ["--json", "--seed", "3", "--markdown", "all.md", "--jobs", "1"]
    assert main(arguments) == 1
    found = objects(capsys.readouterr().out)
    assert [one["file"] for one in found] == list(contents)
    assert {one["lesson"] for one in found} == {99}
    assert {one["seed"] for one in found} == {3}
    tasks = [one["tasks"][0] for one in found]
    states = ["passed", "failed", "error", "missing", "error", "error"]
    assert [task["status"] for task in tasks] == states
    assert tasks[1]["mistake"] == "squared"
    assert "not UTF-8" in tasks[2]["message"]
    assert "ine 2" in tasks[4]["message"]
    assert "ine 1" in tasks[5]["message"]
    rows = list(csv.reader((desk / "all.csv").open(encoding="utf-8")))
    assert [row[0] for row in rows] == ["file", *contents]
    assert (desk / "all.md").read_text(encoding="utf-8").count("### ") == len(contents)


def test_a_pattern_stands_for_its_files_where_no_shell_has_put_them_in(desk: Path) -> None:
    for name in ("b.py", "a.py", "a.txt", "[a].py"):
        (desk / name).touch()
    assert files_named("?.py") == ["a.py", "b.py"]
    assert files_named("[a].py") == ["[a].py"]  # is a file itself
    assert files_named("*.ipynb") == ["*.ipynb"]
    assert files_named("8.2") == ["8.2"]


@pytest.mark.usefixtures("one_sandbox")
def test_all_right_is_status_0_and_gradescope_gets_its_file(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "right.py").write_text(RIGHT, encoding="utf-8")
    assert main(["exercise", "check", "right.py", "--json", "--gradescope", "results.json"]) == 0
    (found,) = objects(capsys.readouterr().out)
    assert [task["status"] for task in found["tasks"]] == ["passed"] * 3
    results = json.loads((desk / "results.json").read_text(encoding="utf-8"))
    assert results["score"] == 5
    assert [test["max_score"] for test in results["tests"]] == [1, 3, 1]
    assert not (desk / ".minigpt.json").exists()  # nobody works here


def test_wrong_calls_are_one_sentence(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "nothing.py").write_text("x = 1\n", encoding="utf-8")
    (desk / "right.py").write_text(RIGHT, encoding="utf-8")
    said = refused(capsys, "check", "99")
    assert said == "there is no exercises/99_sums.py; write it with: minigpt exercise start 99"
    assert "start 99 --dir mine" in refused(capsys, "check", "99.1", "--dir", "mine")
    assert "no exercises for lesson 77" in refused(capsys, "check", "77")
    assert "no exercises for lesson 77" in refused(capsys, "check", "right.py", "--lesson", "77")
    assert "there is no file nowhere.py" in refused(capsys, "check", "right.py", "nowhere.py")
    assert "is a folder; name the files in it" in refused(capsys, "check", ".")
    assert "say which lesson" in refused(capsys, "check", "nothing.py")
    (desk / "99_other.py").touch()
    both = refused(capsys, "check", "right.py", "99_other.py", "--gradescope", "r.json")
    assert both == "--gradescope is for one file, got 2"
    assert "no exercise 99.9" in refused(capsys, "check", "right.py", "--only", "99.9")
    assert "--jobs must be a whole number from 1" in refused(
        capsys, "check", "right.py", "--jobs", "0"
    )
    assert "there is no file nowhere.py" in refused(capsys, "watch", "nowhere.py")
    taken = "needs a folder, and 'right.py' is not one"
    assert refused(capsys, "start", "99", "--dir", "right.py") == f"--dir {taken}"
    assert refused(capsys, "handout", "99", "--out", "right.py") == f"--out {taken}"
    assert refused(capsys, "gradescope", "99", "--out", "right.py/a.zip") == f"--out {taken}"
    assert "WHAT; see minigpt exercise check --help" in refused(capsys, "check")


@pytest.mark.usefixtures("one_sandbox")
def test_the_number_of_a_lesson_may_be_the_name_of_a_file(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "99").write_text(RIGHT, encoding="utf-8")
    assert main(["exercise", "check", "99", "--only", "99.1", "--json"]) == 0
    assert objects(capsys.readouterr().out)[0]["file"] == "99"


def test_handout_and_autograder_are_written(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nbformat")
    assert main(["exercise", "handout", "99", "--out", "class"]) == 0
    written = capsys.readouterr().out.split()
    assert written[0] == "class/99_sums.md"
    assert all((desk / name).exists() for name in written)
    assert "is there already" in refused(capsys, "handout", "99", "--out", "class")
    assert main(["exercise", "gradescope", "99"]) == 0
    assert capsys.readouterr().out.startswith("autograder.zip: ")
    assert "stays as it is" in refused(capsys, "gradescope", "99")

"""What an instructor gives out holds no solution."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lessons.grading.handout import write_handout
from lessons.grading.registry import lessons, tasks_of
from lessons.grading.task import Task
from minigpt import __version__

pytest.importorskip("nbformat")


def lines_of_solution(task: Task) -> set[str]:
    """Returns the longer lines of a task's right answers and its last hint."""
    lines = {task.hints[2].strip()}
    for answer in task.bank.answers:
        for node in ast.walk(ast.parse(answer)):
            if isinstance(node, (ast.Return, ast.Assign, ast.AugAssign)):
                lines.add(ast.unparse(node))
    return {line for line in lines if len(line) > 24}


@pytest.mark.parametrize("number", list(lessons()))
def test_a_handout_has_all_files_and_no_solution(number: int, tmp_path: Path) -> None:
    stem = lessons()[number].stem
    paths = write_handout(number, tmp_path / "class")
    assert {path.relative_to(tmp_path / "class").as_posix() for path in paths} == {
        f"{stem}.md", f"{stem}.py", f"{stem}.ipynb", ".github/workflows/exercises.yml",
    }  # fmt: skip
    given = "".join(path.read_text(encoding="utf-8") for path in paths)
    for task in tasks_of(number):
        assert f"{task.id}" in given
        assert [line for line in lines_of_solution(task) if line in given] == []
        assert not any(hint in given for hint in task.hints)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "08_lora.py").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"08_lora\.py is there already"):
        write_handout(8, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["08_lora.py"]


def test_the_workflow_checks_the_script_and_shows_a_table(tmp_path: Path) -> None:
    paths = write_handout(8, tmp_path / "one")
    text = paths[-1].read_text(encoding="utf-8")
    assert f'pip install "minigpt-course=={__version__}"' in text
    command = "minigpt exercise check 08_lora.py --lesson 8 --markdown"
    assert f'run: {command} "$GITHUB_STEP_SUMMARY"' in text
    package = "git+https://example.org/minigpt@v1"
    text = write_handout(8, tmp_path / "two", package)[-1].read_text(encoding="utf-8")
    assert f'pip install "{package}"' in text


@pytest.mark.parametrize("package", ["", " ", 'x" && "y', "a\nb", "$(y)", "`y`", "\ud83d"])
def test_what_is_not_a_package_is_refused_and_nothing_is_written(
    tmp_path: Path, package: str
) -> None:
    with pytest.raises(ValueError, match="a package is a name or an address for pip, got"):
        write_handout(8, tmp_path, package)
    assert not list(tmp_path.iterdir())


def test_the_workflow_is_yaml_with_the_keys_that_github_asks_for(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load(write_handout(8, tmp_path)[-1].read_text(encoding="utf-8"))
    assert workflow[True] == ["push", "pull_request", "workflow_dispatch"]  # YAML 1.1 reads "on" so
    steps = workflow["jobs"]["check"]["steps"]
    assert [step.get("uses", "run") for step in steps] == [
        "actions/checkout@v4", "actions/setup-python@v5", "run", "run",
    ]  # fmt: skip

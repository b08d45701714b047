"""The files that a learner starts from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lessons.grading.check import check_submission
from lessons.grading.submission import read_submission
from lessons.grading.workbook import notebook_text, script_text, sheet_text, start
from lessons.grading.worker import Sandbox

nbformat = pytest.importorskip("nbformat")
pytestmark = pytest.mark.usefixtures("small_course")


def test_a_started_script_runs_and_is_not_started_yet(tmp_path: Path, sandbox: Sandbox) -> None:
    path = start(99, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "99_sums.py"
    checked = check_submission(read_submission(path), sandbox=sandbox)
    assert [verdict.status for verdict in checked.verdicts] == ["not_started"] * 3


def test_work_is_never_overwritten(tmp_path: Path) -> None:
    path = start(99, tmp_path)
    path.write_text("my work", encoding="utf-8")
    with pytest.raises(FileExistsError, match="stays as it is"):
        start(99, tmp_path)
    assert path.read_text(encoding="utf-8") == "my work"
    start(99, tmp_path, notebook=True)  # beside it


def test_a_script_has_percent_cells_with_the_ideas() -> None:
    text = script_text(99)
    assert text.startswith("# %% [markdown]\n# # Exercises 99: Sums\n#\n")
    assert text.count("# %% [markdown]\n") == 4
    assert "# ## Exercise 99.2: quadruple\n#\n# Numbers can be added.\n" in text
    assert "minigpt exercise check 99" in text.replace("\n# ", " ")
    assert max(map(len, text.splitlines())) <= 100


def test_a_notebook_holds_the_same_and_checks_each_exercise() -> None:
    book = nbformat.reads(notebook_text(99), as_version=4)
    nbformat.validate(book)
    assert notebook_text(99) == notebook_text(99)
    code = [cell.source for cell in book.cells if cell.cell_type == "code"]
    assert [source for source in code if source.startswith("check(")] == [
        'check("99.1")', 'check("99.2")', 'check("99.3")',
    ]  # fmt: skip
    assert "from lessons.grading.notebook import check" in code[0]
    script = script_text(99)
    assert all(cell in script for cell in code[1::2])
    assert book.cells[4].metadata.tags == ["checks an exercise"]


def test_a_started_notebook_is_not_started_yet(tmp_path: Path, sandbox: Sandbox) -> None:
    path = start(99, tmp_path, notebook=True)
    checked = check_submission(read_submission(path), sandbox=sandbox)
    assert [verdict.status for verdict in checked.verdicts] == ["not_started"] * 3


def test_the_sheet_names_points_and_shows_the_stubs() -> None:
    text = sheet_text(99)
    assert "There are 5 points." in text
    assert "## 99.2 quadruple (3 points)" in text
    assert "## 99.1 double (1 point)" in text
    assert ">>> quadruple(3)\n    12" in text


def test_a_notebook_without_nbformat_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "nbformat", None)
    with pytest.raises(ImportError, match="pip install nbformat"):
        notebook_text(99)


def test_the_shipped_notebooks_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    from lessons.grading.registry import lessons

    for number in lessons():
        nbformat.validate(json.loads(notebook_text(number)))

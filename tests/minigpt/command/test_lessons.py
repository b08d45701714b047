"""`minigpt lessons` and the notebooks of both commands: what a user types, and what they read."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from lessons.book.cells import Cell
from lessons.book.record import Done, Record
from lessons.book.syllabus import last_run, read_entry, syllabus
from lessons.folders import folder_of, results
from lessons.grading import progress
from minigpt.command import lesson as lesson_command
from minigpt.command.cli import main
from minigpt.command.lesson import lesson_scripts
from minigpt.command.lessons import State
from tests.lessons.book.checks.small_book import settings
from tests.minigpt.tiny.run import run_python

SCRIPT = """\
# %% [markdown]
# # Lesson 2: Halves
#
# What is half of a number?
#
# **After this lesson you can**
# - take a half, and
#   say what it is;
# - take two halves.
#
# You need: **numbers**. Allow 5 minutes, and another 7 for the exercises; the script takes seconds.

# %%
from lessons import lesson

course = lesson.start(2, "Halves")
print(1 / 2)

# %%
course.finish()
"""


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works in an empty folder, on a terminal that is wide enough for a table."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def small_lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes lesson 2 a small one; there is no other."""
    script = tmp_path / "02_halves.py"
    script.write_text(SCRIPT, encoding="utf-8")
    monkeypatch.setattr(lesson_command, "lesson_scripts", lambda: {2: script})
    return script


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Returns the one sentence that a wrong command ends in."""
    assert main(list(arguments)) == 2
    found = capsys.readouterr()
    assert found.out == ""
    (line,) = found.err.strip().splitlines()
    return line.removeprefix("minigpt: ")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Returns what a command prints that ends well."""
    assert main(["lessons", *arguments]) == 0
    return capsys.readouterr().out


def leave_run(number: int, status: str = "done", quick: bool = False) -> None:
    """Leaves a run of 12 seconds of a lesson."""
    folder = folder_of(results(quick), number)
    folder.mkdir(parents=True)
    known = settings(quick=quick)
    Record(number, [Done(Cell("code", "1", 1))], status, 12.3, settings=known).write(folder)
    (folder / "table.json").write_text(json.dumps({**known, "rows": []}), encoding="utf-8")


def row_of(printed: str, number: int) -> str:
    """Returns a lesson's row, with one space between words."""
    (line,) = [line for line in printed.splitlines() if line.startswith(f"{number:>2}  ")]
    return " ".join(line.split())


def test_help_waits_for_torch() -> None:
    code = """
import sys
from minigpt.command.cli import main
try:
    main(["lessons", "--help"])
except SystemExit:
    pass
print("torch" in sys.modules, "rich" in sys.modules, "lessons" in sys.modules)
"""
    assert run_python("-c", code).splitlines()[-1] == "False False False"


def test_every_lesson_says_what_the_syllabus_holds() -> None:
    entries = syllabus()
    assert [entry.number for entry in entries] == list(range(1, 14))
    assert entries[7].title == "LoRA"
    assert (entries[7].minutes, entries[7].exercise_minutes) == (60, 60)
    assert entries[7].needs.startswith("lesson 3 (the model")
    assert entries[7].goals[0] == "count what LoRA trains in any model, and check a published count"
    for entry in entries:
        assert 3 <= len(entry.goals) <= 6
        assert all(goal[0].islower() and "\n" not in goal for goal in entry.goals)
        assert 30 <= entry.minutes <= 90
        assert entry.about.endswith((".", "?"))


def test_a_first_cell_is_read_whatever_its_form(small_lesson: Path) -> None:
    entry = read_entry(small_lesson)
    assert entry.title == "Halves"
    assert entry.about == "What is half of a number?"
    assert entry.goals == ("take a half, and say what it is", "take two halves")
    assert entry.needs == "numbers"
    assert (entry.minutes, entry.exercise_minutes) == (5, 7)
    for word, said in (("Allow", "says nothing like"), ("- take", "has no list of goals")):
        small_lesson.write_text(SCRIPT.replace(word, "x"), encoding="utf-8")
        with pytest.raises(ValueError, match=said):
            read_entry(small_lesson)


def test_the_table_shows_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    leave_run(1)
    leave_run(3, quick=True)
    leave_run(4, "failed")
    leave_run(5, "running")
    Path("runs/lesson-06").mkdir()
    Path("runs/lesson-06/record.json").write_text("{", encoding="utf-8")
    status = {"8.1": "passed", "8.2": "failed", "8.3": "passed"}
    progress.write_progress(Path("exercises"), {"status": status, "hints": {}})
    printed = shown(capsys)
    assert row_of(printed, 1) == "1 Tokens 45 + 45 0 of 6 done in 12 s"
    assert row_of(printed, 3).endswith(" 0 of 5 done in 12 s (quick)")
    assert row_of(printed, 4).endswith(" failed after 12 s")
    assert row_of(printed, 5).endswith(" not finished")
    assert row_of(printed, 6).endswith(" record damaged")
    assert row_of(printed, 7) == "7 Fine-tuning 50 + 45 0 of 3 not run yet"
    assert "60 + 60  2 of 5 " in printed
    assert "1 of 13 lessons have run here, and 2 of 68 exercises pass." in printed
    assert printed.endswith("\n\nNext: minigpt lesson 2\n")
    assert max(map(len, printed.splitlines())) <= 88
    assert " 0 of 5 " in shown(capsys, "--dir", "elsewhere").split("LoRA")[1].split("\n")[0]


def test_goals_of_one_lesson_or_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    printed = shown(capsys, "8")
    assert printed.startswith("Lesson 8: LoRA\nFull fine-tuning trains every weight")
    assert "\n- write the layer, say how it starts, and choose its rank" in printed
    assert "\nTime: 60 minutes, and 60 for the exercises\n" in printed
    assert "\nScript: not run yet\n" in printed
    assert "Lesson 7" not in printed
    both = shown(capsys, "8", "7")
    assert both.index("Lesson 7: ") < both.index("Lesson 8: ")
    everything = shown(capsys, "--goals")
    assert all(entry.goals[0][:40] in everything for entry in syllabus())
    assert max(map(len, everything.splitlines())) <= 88


def test_it_fits_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    from lessons.grading import report

    monkeypatch.setattr(report, "make_console", lambda: Console(width=40))
    leave_run(2, quick=True)
    for options in ((), ("13",)):
        printed = shown(capsys, *options)
        assert max(map(len, printed.splitlines())) <= 40
    printed = shown(capsys)
    assert " 2  Attention, 60 + 45, 0 of 5, done in\n    12 s (quick)\n" in printed


def test_json_holds_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    leave_run(9, quick=True)
    found = json.loads(shown(capsys, "--json"))
    assert [one["number"] for one in found] == list(range(1, 14))
    assert found[8]["run"] == {"status": "done", "seconds": 12.3, "quick": True}
    assert found[7]["run"] is None
    assert (found[7]["minutes"], found[7]["exercises"], found[7]["passed"]) == (60, 5, 0)
    assert Path(found[7]["script"]) == lesson_scripts()[8]
    assert len(json.loads(shown(capsys, "--json", "8", "9"))) == 2


def test_a_run_without_its_record_is_unreadable() -> None:
    leave_run(1)
    Path("runs/lesson-01/record.json").write_text("[]", encoding="utf-8")
    run = last_run(Path("runs/lesson-01"))
    assert run is not None
    assert run.status == "unreadable"
    assert State(syllabus()[0], 6, 0, run).went == "record damaged"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["99"], "there is no lesson 99; there are 1, 2, "),
        (["x"], "N must be a whole number from 0 to"),
        (["--outputs"], "--outputs does nothing without --notebooks"),
        (["--force"], "--force does nothing without --notebooks"),
        (["--goals", "--json"], "--goals does nothing with --json"),
        (["--goals", "--notebooks", "d"], "--goals does nothing with --notebooks"),
        (["--json", "--notebooks", "d"], "--json does nothing with --notebooks"),
        (["--dir", "d", "--notebooks", "d"], "--dir does nothing with --notebooks"),
        (["--notebooks", "file"], "--notebooks needs a folder, and 'file' is not one"),
        (["--notebooks", ""], "--notebooks must be a file's or a folder's name, got nothing"),
        (["--quick"], "unrecognized arguments: --quick"),
    ],
)
def test_nonsense_is_one_sentence(
    capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    Path("file").touch()
    assert said in refused(capsys, "lessons", *options)
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_all_notebooks_are_written_or_none(capsys: pytest.CaptureFixture[str]) -> None:
    printed = shown(capsys, "--notebooks", "books")
    assert printed.startswith("Wrote 13 notebooks into books/; VS Code and Colab open them")
    names = sorted(path.name for path in Path("books").iterdir())
    assert names == [f"{script.stem}.ipynb" for script in lesson_scripts().values()]
    mine = Path("books/13_soft_prompts.ipynb")
    mine.write_text("my work", encoding="utf-8")
    for path in Path("books").glob("0*"):
        path.unlink()
    said = refused(capsys, "lessons", "--notebooks", "books")
    assert said.startswith("books/10_nf4.ipynb is there already and stays as it is")
    assert len(list(Path("books").iterdir())) == 4
    assert mine.read_text(encoding="utf-8") == "my work"
    assert "Wrote 2 notebooks" in shown(capsys, "3", "13", "--notebooks", "books", "--force")
    nbformat.validate(nbformat.read(mine, as_version=4))


def test_lessons_without_a_run_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    leave_run(2)  # of another script than there is now
    printed = shown(capsys, "2", "3", "--notebooks", "books", "--outputs")
    assert "no outputs in those of lessons that have not run to their end here: 2, 3." in printed


def first_cells(path: str) -> tuple[str, list[str]]:
    """Returns the cell of settings, and the types of all outputs."""
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    return code[0].source, [output.output_type for cell in code for output in cell.outputs]


@pytest.mark.usefixtures("small_lesson")
def test_options_of_a_lesson_stand_in_its_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--quick", "--notebook", "new/half.ipynb", "--seed", "3", "--device", "cuda"]
    assert main(["lesson", "2", *options]) == 0
    assert main(["lesson", "--force", *options[1:3], "2", "--quick", *options[3:]]) == 0
    assert capsys.readouterr().out.startswith("Wrote new/half.ipynb; VS Code and Colab open it, ")
    settings, outputs = first_cells("new/half.ipynb")
    assert settings.startswith('SEED = 3\nDEVICE = "cuda"')
    assert "\nQUICK = True " in settings
    assert outputs == []
    assert not Path("runs").exists()


@pytest.mark.usefixtures("small_lesson")
def test_outputs_are_the_last_run_s_or_those_of_one_made_now(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["lesson", "2", "--force", "--notebook", "half.ipynb", "--outputs"]
    for options, seed, runs in (
        (["--seed", "5"], 5, True),
        ([], 5, False),
        (["--seed", "1337"], 1337, True),
        (["--out", "other"], 1337, True),
        (["--out", "other"], 1337, False),
    ):
        assert main([*command, *options]) == 0
        assert ("Lesson 02: Halves" in capsys.readouterr().out) is runs
        settings, outputs = first_cells("half.ipynb")
        assert settings.startswith(f"SEED = {seed}\n")
        assert outputs == ["stream", "display_data", "stream"]
    page = Path("runs/book/lesson-02.html").read_text(encoding="utf-8")  # of its last run
    assert "1337" in page


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--notebook", "mine.ipynb"], "mine.ipynb is there already and stays as it is"),
        (["--notebook", "mine.ipynb", "--outputs"], "mine.ipynb is there already"),
        (["--notebook", "half.py"], "--notebook must be a name that ends in .ipynb"),
        (["--notebook", ".ipynb"], "--notebook must be a name that ends in .ipynb"),
        (["--notebook", "folder.ipynb"], "--notebook must be a file to write, and 'folder.ipynb'"),
        (["--notebook", "mine.ipynb/a.ipynb"], "--notebook needs a folder"),
        (["--notebook", ""], "--notebook must be a file's or a folder's name, got nothing"),
        (["--notebook"], "--notebook: expected one argument; see minigpt lesson --help"),
        (["--outputs"], "--outputs does nothing without --notebook"),
        (["--force"], "--force does nothing without --notebook"),
        (["--notebook", "a.ipynb", "--device", "mars"], "device must be cpu"),
        (["--notebook", "a.ipynb", "--seed", "-1"], "seed must be a whole number from 0"),
    ],
)
@pytest.mark.usefixtures("small_lesson")
def test_a_wrong_notebook_is_one_sentence_and_nothing_runs(
    capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    Path("mine.ipynb").write_text("my work", encoding="utf-8")
    Path("folder.ipynb").mkdir()
    before = sorted(Path().iterdir())
    assert said in refused(capsys, "lesson", "2", *options)
    assert sorted(Path().iterdir()) == before
    assert Path("mine.ipynb").read_text(encoding="utf-8") == "my work"

"""Lessons as notebooks: cell by cell the script, with settings that reach it, run for real."""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from lessons import inline, lesson
from lessons.book.cells import read_cells
from lessons.book.notebook import (
    check_absent,
    finished_run,
    notebook_text,
    without_links,
    write_notebooks,
)
from lessons.book.run import run
from lessons.lesson import Settings
from minigpt.command.lesson import lesson_scripts
from tests.minigpt.tiny.run import run_python

SCRIPT = """\
# %% [markdown]
# # Lesson 3: Halves
#
# What is half of $x$? See the [glossary](GLOSSARY.md).

# %%
import sys

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson
from lessons.verdicts import holds, same_figure

course = lesson.start(3, "Halves")
import matplotlib.pyplot as plt

# %%
print("half:", 1 / 2)
figure, axis = plt.subplots()
axis.set_title("One half")
course.save_figure(figure, "half")

# %%
course.published("a <third>", "Paper 2020", "0.3", "0.5", same_figure("0.3", 0.5, "it is half"))
course.checked("a half", "0.5", holds(True))
course.finish()
"""


def code_of(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("number", lesson_scripts())
def test_a_notebook_is_valid_and_holds_the_script_s_cells(number: int) -> None:
    script = lesson_scripts()[number]
    text = notebook_text(script)
    assert notebook_text(script) == text
    book = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(book)
    assert (book.nbformat, book.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in book.cells}) == len(book.cells)
    cells = read_cells(script.read_text(encoding="utf-8"))
    assert [cell.cell_type for cell in book.cells] == ["markdown", "code", *(c.kind for c in cells)]
    written = [cell.source for cell in code_of(book)[1:]]
    assert written == [cell.source for cell in cells if not cell.is_prose]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code_of(book))
    prose = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    assert "](" not in prose.replace("](http", "")  # beside the notebook there is no such file
    assert "glossary (`lessons/GLOSSARY.md`)" in prose


def test_only_links_to_files_beside_the_scripts_are_named() -> None:
    assert without_links("[a b](03_gpt2.py), $[x](y)$, [c](https://d.org/e.md)") == (
        "a b (`lessons/03_gpt2.py`), $[x](y)$, [c](https://d.org/e.md)"
    )


def settings_cell(settings: Settings) -> str:
    book = nbformat.reads(notebook_text(lesson_scripts()[1], settings), as_version=4)
    return code_of(book)[0].source


@pytest.mark.parametrize(
    "settings", [Settings(), Settings("cuda:1", 0, quick=True), Settings(full=True)]
)
def test_the_first_cell_sets_what_options_would(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(lesson, "notebook", None)
    exec(settings_cell(settings), {})
    assert lesson.notebook == settings


def test_where_minigpt_is_missing_the_first_cell_installs_it_or_says_how(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    namespace = SimpleNamespace(origin=None)  # a folder of that name beside the notebook
    for there in (None, namespace):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, there=there: there)
        with pytest.raises(ImportError, match=r"minigpt is not installed for .*INSTALL"):
            exec(settings_cell(Settings()), {})
    called = []

    def run_line_magic(name: str, line: str) -> None:
        called.append((name, line))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(origin="x"))

    source = settings_cell(Settings()).replace('INSTALL = r""', 'INSTALL = r"my copy.zip"')
    monkeypatch.setattr(lesson, "notebook", None)
    exec(source, {"get_ipython": lambda: SimpleNamespace(run_line_magic=run_line_magic)})
    exec(source, {})  # it is there now
    assert called == [("pip", 'install "my copy.zip"')]


def test_with_outputs_it_shows_the_last_run(script: Path) -> None:
    run(script, ["--device", "cpu", "--seed", "5"])
    folder = Path("runs/lesson-03")
    found = finished_run(script, folder)
    assert found is not None
    text = notebook_text(script, run=found)
    assert notebook_text(script, run=found) == text
    book = nbformat.reads(text, as_version=4)
    nbformat.validate(book)
    assert "of a run on cpu with seed 5 (python 3" in book.cells[0].source
    settings, first, drawn, tables = code_of(book)
    assert settings.source.startswith('SEED = 5\nDEVICE = "auto"')
    assert [cell.execution_count for cell in code_of(book)] == [1, 2, 3, 4]
    assert first.outputs[0].text == "Lesson 03: Halves   (device cpu, seed 5)\n\n"
    printed, figure = drawn.outputs
    assert (printed.name, printed.text) == ("stdout", "half: 0.5\n")  # and no path of the figure
    assert base64.b64decode(figure.data["image/png"]) == (folder / "half.png").read_bytes()
    assert figure.data["text/plain"] == figure.metadata["image/png"]["alt"] == "“One half”."
    table, took = tables.outputs
    assert "a &lt;third&gt;</td>" in table.data["text/html"]
    assert "differs because it is half</td>" in table.data["text/html"]
    assert "a <third> | Paper 2020" in table.data["text/plain"]
    assert took.text.strip().startswith("Lesson 03 took")


def test_a_quick_run_says_so_and_sets_it(script: Path) -> None:
    run(script, ["--device", "cpu", "--quick"])
    book = nbformat.reads(
        notebook_text(script, run=finished_run(script, Path("runs/quick/lesson-03"))), 4
    )
    assert "seed 1337, with the smallest settings (" in book.cells[0].source
    assert "\nQUICK = True " in book.cells[1].source
    assert ">verdict<" not in str(book)


def test_what_is_no_finished_run_of_this_script_counts_as_none(script: Path) -> None:
    folder = Path("runs/lesson-03")
    assert finished_run(script, folder) is None
    run(script, ["--device", "cpu"])
    assert finished_run(script, folder) is not None
    script.write_text(SCRIPT.replace("1 / 2", "2 / 4"), encoding="utf-8")
    assert finished_run(script, folder) is None
    script.write_text(SCRIPT, encoding="utf-8")
    (folder / "table.json").write_text("[]", encoding="utf-8")
    assert finished_run(script, folder) is None
    script.write_text(SCRIPT.replace("1 / 2", "1 / 0"), encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        run(script, ["--device", "cpu"])
    assert finished_run(script, folder) is None


def test_a_learner_s_notebook_is_replaced_by_force_only(tmp_path: Path) -> None:
    new, old = tmp_path / "new.ipynb", tmp_path / "old.ipynb"
    old.write_text("my work", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"old.ipynb is there already and stays .* --force"):
        write_notebooks({new: "{}", old: "{}"})
    assert not new.exists()
    assert old.read_text(encoding="utf-8") == "my work"
    write_notebooks({new: "{}", old: "{}"}, force=True)
    assert old.read_text(encoding="utf-8") == "{}"
    check_absent([tmp_path / "other.ipynb"], force=False)


class Kernel:
    """Stands for IPython in a kernel, and collects what is shown."""

    kernel = None

    def __init__(self) -> None:
        self.shown: list[tuple[dict, dict]] = []
        self.display = SimpleNamespace(display=self.show)

    def get_ipython(self) -> Kernel:
        return self

    def show(self, data: dict, metadata: dict, raw: bool) -> None:
        assert raw
        self.shown.append((data, metadata))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    made = Kernel()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lesson, "notebook", None)
    monkeypatch.setattr(sys, "argv", ["launcher", "-f", "connection.json"])
    monkeypatch.setitem(sys.modules, "IPython", made)
    monkeypatch.setitem(sys.modules, "IPython.display", made.display)
    return made


def test_a_kernel_is_told_from_a_terminal_s_ipython(monkeypatch: pytest.MonkeyPatch) -> None:
    for shell, expected in ((None, False), (object(), False), (Kernel(), True)):
        stub = SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(sys.modules, "IPython", stub)
        assert inline.in_notebook() is expected
    monkeypatch.delitem(sys.modules, "IPython")
    assert not inline.in_notebook()


@pytest.mark.usefixtures("kernel")
def test_a_kernel_s_command_line_is_not_a_lesson_s(capsys: pytest.CaptureFixture[str]) -> None:
    course = lesson.start(3, "Halves")  # in VS Code, without the first cell
    assert (course.seed, course.quick, course.folder) == (1337, False, Path("runs/lesson-03"))
    lesson.notebook = Settings("cpu", 8, quick=True)
    course = lesson.start(3, "Halves")
    assert (course.seed, course.quick, course.judges) == (8, True, False)
    assert capsys.readouterr().out.endswith("Lesson 03: Halves   (device cpu, seed 8)\n\n")


@pytest.mark.usefixtures("kernel")
def test_a_wrong_setting_is_an_exception_in_the_cell() -> None:
    for wrong, said in (
        ({"device": "mars"}, "device must be cpu, cuda, cuda:N, mps or auto, got 'mars'"),
        ({"device": None}, "device must be cpu"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4,294,967,295, got -1"),
        ({"seed": "7"}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"quick": "no"}, "quick must be True or False, got no"),
        ({"quick": True, "full": True}, "quick and full exclude each other"),
    ):
        with pytest.raises(ValueError, match=said):
            Settings(**wrong)  # type: ignore[arg-type]
    lesson.notebook = Settings("cuda:99")
    with pytest.raises(ValueError, match="is not on this machine"):
        lesson.start(3, "Halves")
    Path("runs").write_text("", encoding="utf-8")
    lesson.notebook = Settings("cpu")
    with pytest.raises(OSError, match="cannot be made"):
        lesson.start(3, "Halves")


def test_figures_and_tables_are_shown_and_no_path_is_printed(
    script: Path, kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson.notebook = Settings("cpu")
    exec(compile(SCRIPT, script, "exec"), {"__name__": "__main__"})
    (figure, metadata), (tables, _) = kernel.shown
    png = Path("runs/lesson-03/half.png").read_bytes()
    assert figure == {"image/png": base64.b64encode(png).decode(), "text/plain": "“One half”."}
    assert metadata == {"image/png": {"alt": "“One half”."}}
    assert tables["text/html"].count("<table>") == 2
    printed = capsys.readouterr().out
    assert "[figure]" not in printed
    assert "Paper 2020" not in printed
    assert len(json.loads(Path("runs/lesson-03/table.json").read_text())["rows"]) == 2


EXECUTE = """
import sys, nbclient, nbformat

path, folder = sys.argv[1:]
book = nbformat.read(path, as_version=4)
place = {"metadata": {"path": folder}}
nbclient.NotebookClient(book, timeout=300, kernel_name="python3", resources=place).execute()
nbformat.write(book, path)
"""


@pytest.mark.parametrize("number", [1, 6])
def test_a_notebook_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    text = notebook_text(lesson_scripts()[number], Settings("cpu", seed=41, quick=True))
    book = nbformat.reads(text, as_version=4)
    book.cells.append(nbformat.v4.new_code_cell('assert not sys.path[0].endswith("/..")'))
    path, folder = tmp_path / "lesson.ipynb", tmp_path / "elsewhere"
    folder.mkdir()
    nbformat.write(book, path)
    run_python("-c", EXECUTE, str(path), str(folder))
    *cells, _ = code_of(nbformat.read(path, as_version=4))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"stream", "display_data"}
    assert "(device cpu, seed 41)" in cells[1].outputs[0].text
    figures = [o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    results = folder / "runs" / "quick" / f"lesson-{number:02d}"
    assert len(figures) == len(list(results.glob("*.png"))) > 1
    assert all(base64.b64decode(png).startswith(b"\x89PNG") for png in figures)
    (tables,) = [o for o in cells[-1].outputs if o.output_type == "display_data"]
    assert "Checked on this machine" in tables.data["text/html"]
    assert "--quick run" in cells[-1].outputs[-1].text
    assert json.loads((results / "table.json").read_text(encoding="utf-8"))["seed"] == 41

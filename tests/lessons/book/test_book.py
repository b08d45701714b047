"""A lesson that runs cell by cell leaves a record, and the record becomes a page."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

import pytest

from lessons import lesson
from lessons.book import pulse
from lessons.book.cells import Cell
from lessons.book.markup import Heading, html_of, spaced
from lessons.book.pages import write_book
from lessons.book.record import Done, Record, fingerprint, read_record
from lessons.book.run import Recorder, run
from lessons.book.summary import day_and_time
from minigpt.command import lesson as command
from minigpt.command.cli import main
from minigpt.command.lesson import lesson_scripts
from minigpt.text import bars
from tests.lessons.book.checks.small_book import settings
from tests.lessons.book.checks.structure import faults

SCRIPT = """\
# %% [markdown]
# # Lesson 3: Halves
#
# What is half of a number? It is $x / 2$. See the [glossary](GLOSSARY.md).

# %%
from lessons import lesson
from lessons.verdicts import Kind, holds, same_figure

course = lesson.start(3, "Halves")
import matplotlib.pyplot as plt

# %% [markdown]
# ## By hand
#
# Two halves make a whole: a picture shows it.

# %%
half = 1 / 2
print("half & half <b>:", half)
figure, axis = plt.subplots()
axis.set_title("One half\\nof 1")
axis.set_xlabel("part")
course.save_figure(figure, "half")
print("drawn")

# %%
course.published("a third", "Paper 2020", "0.3", "0.5", same_figure("0.3", half, "it is a half",
                 kind=Kind.WRONG))
course.checked("a half", "0.5", holds(half == 0.5))
course.finish()
"""


def outputs(record: Record) -> list[list[dict]]:
    return [done.outputs for done in record.cells]


def test_a_run_leaves_what_each_cell_printed_and_drew(
    script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, ["--device", "cpu"]) == Path("runs/lesson-03")
    record = read_record(Path("runs/lesson-03"))
    assert (record.number, record.status) == (3, "done")
    assert record.script == fingerprint(script)
    settings = {
        "asked": "cpu", "device": "cpu", "seed": 1337,
        "quick": False, "full": False, "large": False,
    }  # fmt: skip
    assert settings.items() <= record.settings.items()
    assert record.settings.keys() - settings.keys() == {"versions", "machine"}
    assert [done.cell.kind for done in record.cells] == [
        "markdown", "code", "markdown", "code", "code",
    ]  # fmt: skip
    drawn = Path("runs/lesson-03/half.png")
    assert outputs(record)[2:4] == [
        [],
        [
            {"text": "half & half <b>: 0.5\n"},
            {"figure": "half.png", "alt": "“One half of 1”; x is part."},
            {"text": f"[figure] {drawn}\ndrawn\n"},
        ],
    ]
    assert outputs(record)[4][0] == {"tables": True}
    printed = capsys.readouterr().out
    assert (
        "\nBy hand\n-------\nTwo halves make a whole: a picture shows it.\nhalf & half" in printed
    )
    assert "published figures, measured again" in printed  # the terminal has the tables
    assert "published figures" not in str(outputs(record))  # the page sets them itself
    assert lesson.recorder is None
    assert str(script.parent) not in sys.path


def test_a_failing_cell_is_recorded_with_its_traceback(script: Path) -> None:
    script.write_text(SCRIPT.replace('print("drawn")', "half / 0"), encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        run(script, ["--device", "cpu"])
    record = read_record(Path("runs/lesson-03"))
    assert (record.status, record.error) == ("failed", "ZeroDivisionError: float division by zero")
    last = record.cells[-1].outputs[-1]["text"]
    assert last.endswith("ZeroDivisionError: float division by zero\n")
    assert f'"{script}", line 25' in last
    assert lesson.recorder is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Missing keys:\n\t'head'"), "RuntimeError: Missing keys"),
        (SyntaxError("invalid syntax", ("03.py", 7, 1, "x =", 7, 1)),
         "SyntaxError: invalid syntax (03.py, line 7)"),
        (AssertionError(), "AssertionError"),
    ],
)  # fmt: skip
def test_an_error_is_recorded_in_a_line(tmp_path: Path, error: Exception, said: str) -> None:
    script = tmp_path / "03_halves.py"
    script.touch()
    recorder = Recorder(script)
    recorder.fail(error)
    assert recorder.record.error == said


def test_a_name_that_no_file_can_hold_is_recorded_with_question_marks(tmp_path: Path) -> None:
    script = tmp_path / "03_parts.py"
    script.touch()
    recorder = Recorder(script)
    recorder.begin(Cell("code", "print(path)", 1))
    recorder.printed("r\udce9s/figure.png")
    recorder.starts(tmp_path, settings())
    assert read_record(tmp_path).cells[0].outputs == [{"text": "r?s/figure.png"}]


def test_a_script_that_begins_no_lesson_is_refused(script: Path) -> None:
    script.write_text("# %%\nx = 1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"03_halves.py is no lesson: it does not call"):
        run(script, [])


def test_all_of_the_text_is_printed_if_it_is_asked_for_before_or_behind_the_number(
    script: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "lesson_scripts", lambda: {3: script})
    for options in (["--prose", "3", "--device", "cpu"], ["3", "--device", "cpu", "--prose"]):
        assert main(["lesson", *options]) == 0
        printed = capsys.readouterr().out
        assert "\nBy hand\n-------\n\nTwo halves make a whole: a picture shows it.\n\n" in printed
        assert "What is half of a number? It is x/2. See the glossary (GLOSSARY.md).\n" in printed
        page = Path("runs/book/lesson-03.html").resolve()
        assert printed.endswith(f"\nIts page in the book: {page.as_uri()}\n")
        assert page.is_file()
    assert main(["lesson", "3", "--device", "cpu", "--out", "mine"]) == 0
    assert "book" not in capsys.readouterr().out
    assert [path.name for path in Path().iterdir() if path.name == "book"] == []
    assert Path("mine/table.json").is_file()


def test_bars_and_signs_of_life_are_not_in_the_record(
    script: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "PATIENCE", 0.01)
    monkeypatch.setattr(bars, "INTERVAL", 0.0)
    wait = (
        "import time\nfrom minigpt.text.bars import progress_bar\ntime.sleep(1)\n"
        'with progress_bar(2, "step") as advance:\n    advance()\n'
    )
    script.write_text(SCRIPT.replace("half = 1 / 2\n", f"{wait}half = 1 / 2\n"), encoding="utf-8")
    run(script, ["--device", "cpu"])
    said = capsys.readouterr().err
    assert re.search(r"  \.\.\. \d+ s in this cell\n", said)
    assert "1 of 2 steps, 0 s\n" in said
    assert outputs(read_record(Path("runs/lesson-03")))[3][0] == {"text": "half & half <b>: 0.5\n"}


def test_the_book_shows_what_ran(script: Path) -> None:
    run(script, ["--device", "cpu"])
    index = write_book(Path("runs"), lesson_scripts() | {3: script})
    contents, page = (
        Path("runs/book", name).read_text(encoding="utf-8")
        for name in ("index.html", "lesson-03.html")
    )
    assert index == Path("runs/book/index.html")
    assert faults(Path("runs/book")) == []
    assert "half &amp; half &lt;b&gt;: 0.5" in page
    assert "[figure]" not in page
    assert "the published figure is wrong because it is a half</td>" in page
    assert re.search(r"on cpu with seed 1337\.", page)
    assert 'href="lesson-03.html">Lesson 3: Halves</a>' in contents
    assert re.search(r"Errata.*a third.*Paper 2020.*it is a half", contents, re.DOTALL)
    record = read_record(Path("runs/lesson-03"))
    assert record.settings["machine"].keys() >= {"processor", "cores", "system"}
    for text in (
        *record.settings["machine"].values(),
        record.settings["versions"]["torch"],
        day_and_time(record.started),
    ):
        assert html.escape(text) in contents


def test_a_quick_run_has_no_verdicts(script: Path) -> None:
    assert run(script, ["--device", "cpu", "--quick"]) == Path("runs/quick/lesson-03")
    write_book(Path("runs/quick"), {3: script})
    page = Path("runs/quick/book/lesson-03.html").read_text(encoding="utf-8")
    assert "Measured here" in page
    assert "Verdict" not in page
    assert "numbers mean nothing" in page


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 0}', '{"version": 1, "x": 2}'])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"no record of a lesson .*; run the lesson again"):
        read_record(tmp_path)


def test_a_record_reads_as_it_was_written(tmp_path: Path) -> None:
    record = Record(
        7, [Done(Cell("code", "x = 'é'", 3), [{"text": "a"}])], "running", 1.5, settings=settings()
    )
    record.cells[0].add_text("b")
    record.write(tmp_path)
    assert read_record(tmp_path) == record
    assert record.cells[0].outputs == [{"text": "ab"}]


def test_headings_get_names_of_their_own_and_links_lead_to_pages() -> None:
    headings: list[Heading] = []
    text = html_of("## A *b* $c$\n\n[l](03_gpt2.py)", headings)
    text += html_of("## A b c\n\n## ???\n\n## Text", headings)  # a page's main part is #text
    assert [heading.anchor for heading in headings] == ["a-b-c", "a-b-c-2", "part", "text-2"]
    assert headings[0].text == "A b c"
    assert 'href="lesson-03.html"' in text


def test_a_formula_that_cannot_be_set_is_named() -> None:
    with pytest.raises(ValueError, match=r"this formula cannot be set: '.*frac"):
        html_of(r"$\frac{1}{$", [])


@pytest.mark.parametrize(
    ("latex", "spaced_out"),
    [
        (r"-\sum p \log_2 p", r"-\sum p\,\log_2\,p"),
        (r"-\ln p_v", r"-\ln\,p_v"),
        (r"-\ln(1/V) = \ln V", r"-\ln(1/V) = \ln\,V"),
        (r"\ln \sum_v e^z", r"\ln\,\sum_v e^z"),
        (r"\tanh\left(x\right)", r"\tanh\left(x\right)"),
        (r"\max|x|", r"\text{max}\,|x|"),
        (r"\log_2", r"\log_2"),
        (r"\lnot x", r"\lnot x"),
    ],
)
def test_a_function_s_name_stands_apart_from_its_neighbours(latex: str, spaced_out: str) -> None:
    assert spaced(latex) == spaced_out

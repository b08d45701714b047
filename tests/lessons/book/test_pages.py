"""The pages of a book: sound in structure, readable in colour, and honest about how lessons ran."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from lessons.book.pages import write_book
from lessons.book.summary import day_and_time, duration, listing
from tests.lessons.book.checks.contrast import (
    ENOUGH,
    code_colours,
    contrast,
    light_and_dark,
    variables,
)
from tests.lessons.book.checks.small_book import (
    BEGAN,
    LINE,
    rows,
    settings,
    write_run,
    write_scripts,
    write_small_book,
)
from tests.lessons.book.checks.structure import faults


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_book(tmp_path_factory.mktemp("small"))


def words(page: Path) -> str:
    """Returns what a page says: its text without tags, on one line."""
    text = re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8"))
    return re.sub(r" (?=[.,:)])", "", " ".join(html.unescape(text).split()))


def index_of(folder: Path, numbers: range) -> str:
    """Writes the book of the runs in a folder and returns what its contents say."""
    return words(write_book(folder / "runs", write_scripts(folder / "scripts", numbers)))


def test_every_page_is_sound_and_every_link_and_picture_leads_somewhere(book: Path) -> None:
    assert faults(book) == []
    assert len(list(book.glob("*.html"))) == 15


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('href="lesson-02.html"', 'href="lesson-99.html"', "lesson-99.html, which is not there"),
        ('href="#a-part', 'href="#no-part', "which the page does not have"),
        ('src="../lesson-01/wide.png"', 'src="gone.png"', "gone.png is not there"),
        ('alt="a grey surface"', 'alt=" "', "is not described"),
        ("<h2", "<h4", "level 4 follows one of level 1"),
        ("<h2", "<h1", r"levels of its headings are \[1, 1"),
        ("</main>", "", "closes another tag"),
        ('<html lang="en">', "<html>", "language"),
        ('scope="row"', "", "no scope"),
        ('id="row-2"', 'id="row-1"', "two parts are named row-1"),
        ('<a class="skip" href="#text">', '<a class="skip" href="#row-1">', "main part"),
        ('aria-label="Book"', "", "navigation"),
    ],
)
def test_what_is_unsound_would_be_seen(
    book: Path, tmp_path: Path, before: str, after: str, said: str
) -> None:
    runs = tmp_path / "runs"
    write_run(runs, 1)
    copy = runs / "book"
    copy.mkdir()
    for path in book.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    for number in (2, 3, 4):
        write_run(runs, number)
    page = copy / "lesson-01.html"
    text = page.read_text(encoding="utf-8")
    assert faults(copy) == []
    page.write_text(text.replace(before, after), encoding="utf-8")
    assert before in text
    assert re.search(said, "\n".join(faults(copy)))


def test_the_contents_sum_up_all_verdicts_and_link_the_rows(tmp_path: Path) -> None:
    for number in (1, 2):
        write_run(tmp_path / "runs", number)
    said = index_of(tmp_path, range(1, 3))
    assert "All lessons have run to their end. The runs took 4 min 10 s in all." in said
    assert (
        "10 published figures were measured again: 2 reproduced, 2 differing, 2 wrong in the "
        "source, 2 unexplained, 2 undecided." in said
    )
    assert "10 published figures, measured again, and 4 checks of our own" in said
    assert re.search(r"does not hold 0 2 It is not so", said)
    page = (tmp_path / "runs/book/index.html").read_text(encoding="utf-8")
    by_kind = {row["kind"]: i for i, row in enumerate(rows(), start=1)}
    unknown = by_kind["not reproduced, and nobody knows why"]
    (section,) = re.findall(r'<h3 id="unknown">.*?</table>', page, re.DOTALL)
    links = re.findall(r'href="([^"]+)"', section)
    assert links == [f"lesson-{number:02d}.html#row-{unknown}" for number in (1, 2)]
    assert re.search(r'id="differs".*the machine is another', page, re.DOTALL)
    (errata,) = re.findall(r'<h2 id="errata">.*?</table>', page, re.DOTALL)
    assert errata.count("the sum is 0.5") == 2
    assert "because" not in errata


def test_the_syllabus_says_what_each_lesson_is_about(book: Path) -> None:
    said = words(book / "index.html")
    for number, word in ((1, "this"), (13, "much")):  # one has run, one is known by its script
        assert re.search(
            rf"Lesson {number}: Part {number} What this is about, in a sentence with the formula "
            rf".*? After this lesson you can do this: {word}; do that\.",
            said,
        )


def test_the_machine_and_every_run_are_named(book: Path) -> None:
    said = words(book / "index.html")
    assert "processor Abacus 9 cores 2 system Linux 6 python 3.12.1 torch 2.12.0 device cpu" in said
    assert "Lesson 1: Part 1 1 March 2026, 09:05 2 min 5 s cpu 1337 usual done" in said
    assert "Lesson 2: Part 2 1 March 2026, 09:05 2 min 5 s cpu 7 quick done" in said


def test_what_was_not_alike_is_said(book: Path, tmp_path: Path) -> None:
    said = words(book / "index.html")
    assert "The lessons did not all run alike; the last section says which of them" in said
    assert "of them had another seed." in said
    assert "seed 1337 (lessons 1, 3 and 4) 7 (lesson 2)" in said
    for number in (1, 2):
        write_run(tmp_path / "runs", number)
    said = index_of(tmp_path, range(1, 3))
    assert "alike" not in said
    assert "seed 1337 The runs" in said


def test_how_a_run_went_wrong_is_said_in_the_contents_and_on_its_page(book: Path) -> None:
    said = words(book / "index.html")
    assert "2 of 13 lessons have run to their end; minigpt course runs the others." in said
    assert "Quick runs, whose numbers mean nothing and which give no verdicts: lesson 2." in said
    assert "Failed, 2 min 5 s. Run it with minigpt lesson 3." in said
    assert "Interrupted, 2 min 5 s. Run it with minigpt lesson 4." in said
    assert re.search(
        r"What lesson 5 left cannot be read\. .*record\.json is no record of a lesson .* run the "
        r"lesson again\.", said,
    )  # fmt: skip
    assert "Not run yet. Run it with minigpt lesson 13." in said
    assert "numbers mean nothing" in words(book / "lesson-02.html")
    failed = words(book / "lesson-03.html")
    assert "This run ended early: failed (OSError: it is full)." in failed
    assert "Traceback OSError: a line" in failed
    assert failed.index("OSError") < failed.index("Here the run ended: failed.")
    assert "ended early: interrupted." in words(book / "lesson-04.html")
    assert "What the lesson left cannot be read." in words(book / "lesson-05.html")
    assert "minigpt lesson 6 runs it" in words(book / "lesson-06.html")


def test_a_killed_run_has_broken_off(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", 1, "running")
    said = index_of(tmp_path, range(1, 2))
    assert "0 of 1 lessons have run to their end; minigpt course runs the others." in said
    assert "The runs took 2 min 5 s in all." in said
    assert "ended early: cut short." in words(tmp_path / "runs/book/lesson-01.html")


def test_without_runs_the_contents_are_the_syllabus(tmp_path: Path) -> None:
    said = index_of(tmp_path, range(1, 3))
    assert "0 of 2 lessons have run to their end;" in said
    assert "All verdicts" not in said
    assert "Machine" not in said


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("record.json", {"number": 2}, "holds a run of lesson 2; run 1 again"),
        ("record.json", {"cells": 3}, "no record of a lesson"),
        ("record.json", {"cells": [{"cell": {}, "outputs": []}]}, "no record of a lesson"),
        ("record.json", {"cells": [{"cell": None, "outputs": []}]}, "no record of a lesson"),
        ("record.json", {"seconds": "long"}, "'long' stands in a wrong place"),
        ("record.json", {"settings": settings(machine="fast")}, "'fast' stands in a wrong place"),
        ("record.json", {"settings": {"seed": 1}}, "no record of a lesson ('device')"),
        ("record.json", {"started": "today"}, "'today' stands in a wrong place"),
        ("record.json", {"colour": "red"}, "no record of a lesson"),
        ("table.json", {"rows": [{"what": "half"}]}, "a row has no 'source'"),
        ("table.json", {"rows": [rows()[0] | {"kind": "perhaps"}]}, "'perhaps'"),
        ("table.json", {"rows": [rows()[0] | {"verdict": None}]}, "None stands in a wrong place"),
        ("table.json", {"rows": 1}, "no closing tables"),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_of_the_book_is_written(
    tmp_path: Path, file: str, change: dict, said: str
) -> None:
    folder = write_run(tmp_path / "runs", 1)
    write_run(tmp_path / "runs", 2)
    content = json.loads((folder / file).read_text(encoding="utf-8")) | change
    (folder / file).write_text(json.dumps(content), encoding="utf-8")
    index = index_of(tmp_path, range(1, 3))
    assert "1 of 2 lessons have run to their end" in index
    assert "What lesson 1 left cannot be read." in index
    assert said in index
    assert said in words(tmp_path / "runs/book/lesson-01.html")


def test_tables_that_are_gone_are_damage_and_a_figure_that_is_gone_is_said(tmp_path: Path) -> None:
    (write_run(tmp_path / "runs", 1) / "table.json").unlink()
    (write_run(tmp_path / "runs", 2) / "wide.png").unlink()
    assert "table.json holds no closing tables of a lesson" in index_of(tmp_path, range(1, 3))
    page = tmp_path / "runs/book/lesson-02.html"
    assert "The figure wide.png is gone." in words(page)
    assert "<img" not in page.read_text(encoding="utf-8")


def test_words_lead_to_lessons_and_to_the_glossary(book: Path) -> None:
    page = (book / "lesson-01.html").read_text(encoding="utf-8")
    assert '<a href="lesson-02.html">lesson 2</a>' in page
    assert '<a href="glossary.html#term-token" class="term"><strong>token</strong></a>' in page
    assert '<a href="lesson-01.html">lesson 1</a>' not in page
    assert '<a href="lesson-01.html">lesson 1</a>' in (book / "lesson-02.html").read_text("utf-8")


def test_nothing_that_is_printed_is_lost_or_read_as_html(book: Path) -> None:
    page = (book / "lesson-01.html").read_text(encoding="utf-8")
    assert f"half &amp; half &lt;b&gt;\n{LINE}</pre>" in page
    assert "[figure]" not in page
    assert "<math" in page
    assert "$" not in re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)


def test_every_colour_can_be_read_on_what_is_behind_it(book: Path) -> None:
    css = (book / "style.css").read_text(encoding="utf-8")
    light, dark = light_and_dark(css)
    named = variables(light), variables(light) | variables(dark)
    assert named[0].keys() == named[1].keys()
    low = [
        f"{word} {colours[word]} on {ground}: {contrast(colours[word], colours[ground]):.2f}"
        for colours in named
        for word in colours.keys() - {"paper", "soft", "line"}
        for ground in ("paper", "soft")
        if contrast(colours[word], colours[ground]) < ENOUGH
    ]
    for colours, part in zip(named, (light, dark), strict=True):
        code = code_colours(part)
        assert len(code) > 30
        low += [
            f"code {name} {colour}: {contrast(colour, colours['soft']):.2f}"
            for name, colour in code.items()
            if name != "w"  # white space is not read
            if contrast(colour, colours["soft"]) < ENOUGH
        ]
    assert low == []


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.005)  # known as just too low
    assert contrast("#123456", "#123456") == 1


def test_words_for_times_and_numbers() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.4, 60, 125.2)] == [
        "0 s", "59 s", "1 min 0 s", "2 min 5 s",
    ]  # fmt: skip
    assert day_and_time(BEGAN + 30) == "1 March 2026, 09:05"
    assert listing([4]) == "lesson 4"
    assert listing([1, 2]) == "lessons 1 and 2"
    assert listing([1, 2, 3, 5, 7, 8]) == "lessons 1 to 3, 5, 7 and 8"

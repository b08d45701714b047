"""The glossary has what the lessons define, in order, and points to where it is explained."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

LESSONS = Path(__file__).resolve().parents[2] / "lessons"
GLOSSARY = (LESSONS / "GLOSSARY.md").read_text(encoding="utf-8")
SCRIPTS = {int(script.name[:2]): script for script in sorted(LESSONS.glob("[0-9][0-9]_*.py"))}
ENTRY = re.compile(r"- (\*\*.+?) \(\[lesson (\d+)\]\(([^()]+)\)\): (.+)")
BOLD = re.compile(r"\*\*(.+?)\*\*")

EVERYDAY = "an axis of the comparison in lesson 13, in its everyday sense"
LABEL = "a label before what a learner will be able to do, needs to know, or should allow"
EXCEPTIONS = {
    "0 is not among the levels": "a finding, which is stressed",
    "is the right answer at least more likely to it than wrong ones?": "a question",
    "trained": "stressed, and explained nowhere: all lessons do it",
    "cheater": "a model of one experiment in lesson 2",
    "tree": "one of three ways to look up a level that lesson 10 counts",
    "mean": "everybody knows it",
    "memory": "where a table lies in lesson 10, an axis in lesson 13: the everyday sense",
    "training speed": EVERYDAY,
    "quality": EVERYDAY,
    "cost of inference": EVERYDAY,
    "after this lesson you can": LABEL,
    "you need": LABEL,
    "time": LABEL,
}


class Entry(NamedTuple):
    """One line of the glossary: "block, of a GPT" has the head with its qualifier, the form block.

    An entry may have several forms: a term, and a shorter or longer name of it.
    """

    head: str
    forms: list[str]
    lesson: int
    script: str
    meaning: str


def entries(glossary: str) -> list[Entry]:
    """Returns the entries, each of which may go on in indented lines."""
    found = []
    for line in re.sub(r"\n +", " ", glossary).splitlines():
        if line.startswith("- "):
            match = ENTRY.fullmatch(line)
            assert match, f"an entry is - **term** ([lesson N](script)): meaning. Got {line}"
            head, lesson, script, meaning = match.groups()
            forms = BOLD.findall(head)
            found.append(Entry(head.replace("**", ""), forms, int(lesson), script, meaning))
    return found


def markdown(script: str) -> str:
    """Returns the Markdown of a script in percent cells, without its comment signs."""
    cells = re.split(r"^# %%", script, flags=re.MULTILINE)
    shown = (cell.partition("\n")[2] for cell in cells if cell.startswith(" [markdown]"))
    return re.sub(r"^# ?", "", "\n".join(shown), flags=re.MULTILINE)


def bold_terms(text: str) -> list[str]:
    """Returns what Markdown sets in bold, in small letters; maths and code have no bold."""
    prose = re.sub(r"\$\$.+?\$\$|\$[^$]+\$|`[^`]+`", "", text, flags=re.DOTALL)
    return [term.casefold() for term in BOLD.findall(" ".join(prose.split()))]


def plain(term: str) -> str:
    """Returns term in small letters, with a space for a hyphen: "held-out" text was held out."""
    return term.casefold().replace("-", " ")


def spellings(term: str) -> set[str]:
    """Returns a plain term as it is, and without the ending of a plural or a genitive."""
    term = plain(term)
    shorter = {term.removesuffix("s"), term.removesuffix("'s"), re.sub("ies$", "y", term)}
    return {term, *shorter}


def sorting_key(head: str) -> str:
    """Returns head as a dictionary sorts it: hyphens are spaces, other signs do not count."""
    return re.sub(r"[^\w ]", "", plain(head))


def undefined(bold: dict[int, list[str]], glossary: list[Entry]) -> list[str]:
    """Returns a sentence for each bold term that no entry of its or an earlier lesson has."""
    known = [(plain(form), entry.lesson) for entry in glossary for form in entry.forms]
    return [
        f"lesson {lesson} sets {term!r} in bold, and the glossary does not have it"
        for lesson, terms in bold.items()
        for term in terms
        if term not in EXCEPTIONS
        and not any(form in spellings(term) and earlier <= lesson for form, earlier in known)
    ]


ENTRIES = entries(GLOSSARY)
TEXTS = {lesson: markdown(path.read_text(encoding="utf-8")) for lesson, path in SCRIPTS.items()}
BOLD_TERMS = {lesson: bold_terms(text) for lesson, text in TEXTS.items()}


def test_the_lessons_and_the_glossary_were_read() -> None:
    assert len(SCRIPTS) == 13
    assert all(len(text) > 5000 for text in TEXTS.values())
    assert sum(map(len, BOLD_TERMS.values())) > 80
    assert len(ENTRIES) > 80
    assert {entry.lesson for entry in ENTRIES} == set(SCRIPTS)


def test_entries_are_in_alphabetical_order_and_unique() -> None:
    for before, after in pairwise(ENTRIES):
        assert sorting_key(before.head) < sorting_key(after.head), f"{after.head} comes too late"


def test_no_line_of_an_entry_begins_another_list() -> None:
    assert not re.search(r"^ +([-+*#>]|\d+[.)])( |$)", GLOSSARY, re.MULTILINE)
    assert max(map(len, GLOSSARY.splitlines())) <= 100


def test_each_entry_stands_below_its_letter() -> None:
    letters = []
    for section in GLOSSARY.split("\n## ")[1:]:
        letter, _, listed = section.partition("\n")
        letters.append(letter)
        assert {sorting_key(entry.head)[0].upper() for entry in entries(listed)} == {letter}
    assert letters == sorted(set(letters))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.head)
def test_an_entry_is_one_sentence_and_its_link_names_a_lesson(entry: Entry) -> None:
    assert entry.meaning.endswith(".")
    assert not re.search(r"[.?!] [A-Z]", entry.meaning)
    assert entry.script == SCRIPTS[entry.lesson].name


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.head)
def test_the_lesson_has_the_term_and_no_earlier_one_defines_it(entry: Entry) -> None:
    text = " ".join(TEXTS[entry.lesson].replace("*", "").split())
    assert re.search(rf"(?<!\w){re.escape(entry.forms[0])}", text, re.IGNORECASE), entry
    for lesson in range(1, entry.lesson):
        for term in BOLD_TERMS[lesson]:
            known = spellings(term) & set(map(plain, entry.forms))
            assert not known, f"lesson {lesson} defines {term} already"


def test_what_a_lesson_sets_in_bold_is_in_the_glossary() -> None:
    assert not (sentences := undefined(BOLD_TERMS, ENTRIES)), "\n" + "\n".join(sentences)


def test_exceptions_are_needed() -> None:
    bold = {term for terms in BOLD_TERMS.values() for term in terms}
    assert not (spare := set(EXCEPTIONS) - bold), f"no lesson sets {spare} in bold: take it off"
    assert not set(EXCEPTIONS) & {form.casefold() for entry in ENTRIES for form in entry.forms}


def test_a_term_that_is_missing_or_comes_too_late_is_named() -> None:
    script = "# %% [markdown]\n# Two **big\n# Queries**, $x**2**$.\n\n# %%\nx = 2**3**2\n"
    assert bold_terms(markdown(script)) == ["big queries"]
    bold = {2: bold_terms(markdown(script))}
    line = "- **big query**, **BQ** ([lesson 2](02_attention.py)): a\n  query.\n"
    (entry,) = entries(line)
    assert entry == ("big query, BQ", ["big query", "BQ"], 2, "02_attention.py", "a query.")
    assert undefined(bold, [entry]) == []
    said = "lesson 2 sets 'big queries' in bold, and the glossary does not have it"
    assert undefined(bold, []) == undefined(bold, [entry._replace(lesson=3)]) == [said]
    with pytest.raises(AssertionError, match="an entry is"):
        entries("- **query**: without a link.\n")

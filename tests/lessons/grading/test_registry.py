"""Which lesson a file is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lessons.grading import registry
from lessons.grading.registry import defined_in, lesson, lesson_of, lessons, task_of, tasks_of


def test_lessons_have_their_scripts_titles_and_names() -> None:
    assert lessons()[8] == (8, "LoRA", "08_lora")
    assert list(lessons()) == sorted(lessons())
    for number in lessons():
        ids = [task.id for task in tasks_of(number)]
        assert ids == [f"{number}.{i}" for i in range(1, len(ids) + 1)]
        assert len({task.name for task in tasks_of(number)}) == len(ids)


def test_what_there_is_not_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"no exercises for lesson 77; there are for .*8"):
        lesson(77)
    with pytest.raises(ValueError, match=r"no exercise 8\.99; there are 8\."):
        task_of("8.99")
    with pytest.raises(ValueError, match=r"such as 8\.2, got eight"):
        task_of("eight")
    assert task_of("8.3").name == "merge"


def test_the_number_that_a_name_begins_with_decides() -> None:
    assert lesson_of(Path("somewhere/08_lora.py"), "") == 8
    assert lesson_of(Path("8.py"), "def nothing(): pass") == 8


def test_otherwise_the_names_decide_even_where_the_number_is_not_a_lesson() -> None:
    code = "def merge(): pass\nclass LoRALinear: pass\ndef other(): pass\n"
    assert lesson_of(Path("anna.py"), code) == 8
    assert lesson_of(Path("20261107_anna.py"), code) == 8
    assert lesson_of(Path("anna.py"), f"{code}\ndef broken(:\n") == 8


def test_a_file_of_two_lessons_alike_or_of_none_is_refused(small_course: None) -> None:
    with pytest.raises(ValueError, match="of no exercise; say which lesson it is for with --less"):
        lesson_of(Path("anna.py"), "def unheard_of(): pass")
    registry.lessons()[8] = registry.Lesson(8, "LoRA", "08_lora")  # small_course takes it out
    with pytest.raises(ValueError, match="of lessons 99 and 8 alike"):
        lesson_of(Path("anna.py"), "def double(): pass\ndef merge(): pass")


def test_names_are_those_of_the_top_level() -> None:
    code = "def a():\n    def b(): pass\nclass C:\n    def d(self): pass\nx = 1\n"
    assert defined_in(code) == {"a", "C"}
    assert defined_in(code + "def broken(:") == {"a", "C", "broken"}
    assert defined_in("def a(): return '\0'") == {"a"}

"""References as text: they run without the project and compute the same."""

from __future__ import annotations

import re

import pytest

from lessons.grading.audit import IMPORTS
from lessons.grading.faults import examine
from lessons.grading.outcome import Answered
from lessons.grading.registry import lessons, tasks_of
from lessons.grading.source_closure import source_closure
from lessons.grading.task import Draw, Task
from lessons.grading.trusted import run
from tests.lessons.grading.small_course.tasks import ADD_UP, QUADRUPLE

TASKS = [task for number in lessons() for task in tasks_of(number)]
PLAIN = [task for task in TASKS if not task.triton]


def made_of(text: str, name: str) -> object:
    """Returns what a text defines under a name."""
    space: dict[str, object] = {"__name__": "a learner's file"}
    exec(compile(text, "text", "exec", dont_inherit=True), space)
    return space[name]


@pytest.mark.parametrize("task", PLAIN, ids=lambda task: task.id)
def test_a_reference_s_text_runs_alone_and_computes_the_same(task: Task) -> None:
    text = source_closure(task)
    assert text is not None
    modules = set(re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE))
    assert modules <= set(IMPORTS)
    made = made_of(text, task.name)
    for case in list(task.cases(Draw(1)))[:6]:
        want = run(task, task.reference, case)
        assert isinstance(want, Answered)
        assert examine(task, case, run(task, made, case), want.answer) is None


def test_kernels_have_no_such_text() -> None:
    assert {source_closure(task) for task in TASKS if task.triton} <= {None}


def test_a_text_brings_the_constants_and_functions_that_it_needs() -> None:
    text = source_closure(QUADRUPLE)
    assert text is not None
    assert re.findall(r"\b(?:def|FACTOR =) ?\w+", text) == [
        "def _tests_lessons_grading_small_course_tasks", "FACTOR = 2", "def double",
        "def quadruple",
    ]  # fmt: skip
    assert made_of(text, "quadruple")(5) == 20  # type: ignore[operator]


def test_names_of_the_text_do_not_meet_the_learner_s() -> None:
    text = source_closure(QUADRUPLE)
    space: dict[str, object] = {"double": "mine", "FACTOR": "mine"}
    exec(str(text), space)
    assert (space["double"], space["FACTOR"]) == ("mine", "mine")
    assert space["quadruple"](1) == 4  # type: ignore[operator]


def test_default_values_are_kept() -> None:
    import torch

    made = made_of(str(source_closure(ADD_UP)), "add_up")
    assert made([torch.zeros(1)]).tolist() == [2.0]  # type: ignore[operator]

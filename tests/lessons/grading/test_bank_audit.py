"""The grader tries itself on right, wrong and trivial solutions."""

from __future__ import annotations

import importlib.util
import io
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from lessons.grading import bank_audit, outputs
from lessons.grading.bank_audit import (
    TaskAudit,
    as_json,
    audit_task,
    ids_here,
    print_table,
    total,
)
from lessons.grading.registry import lessons, tasks_of
from lessons.grading.task import Bank, Mistake, Task
from lessons.grading.trivial import submission_of, trivial_solutions
from lessons.grading.worker import Sandbox
from tests.lessons.grading.small_course import tasks as course

TASKS = [task for number in lessons() for task in tasks_of(number)]


@pytest.fixture
def here(
    small_course: None, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    """Lets audit_task use the sandbox of the tests and the small course."""
    monkeypatch.setattr(bank_audit, "sandbox_for", lambda lesson: sandbox)
    return monkeypatch


@pytest.mark.usefixtures("here")
def test_a_good_bank_reaches_the_goals() -> None:
    outcome = audit_task("99.1")
    assert (outcome.mistakes, outcome.named, outcome.answers, outcome.trivial) == (2, 2, 2, 5)
    assert (outcome.accepted, outcome.unnamed, outcome.refused) == ([], {}, {})
    assert total([outcome]).good


def test_what_is_wrong_with_a_bank_is_said(here: pytest.MonkeyPatch) -> None:
    bank = Bank()
    bank.answers = ["def double(x):\n    return x + x\n", "def double(x):\n    return x\n"]
    bank.mistakes = [
        Mistake("harmless", "No.", "def double(x):\n    return 2 * x\n"),
        Mistake("raises", "It raises.", "def double(x):\n    return x / 0\n"),
        Mistake("raises too", "It raises.", "def double(x):\n    return 2 * x / 0\n"),
        Mistake("same", "It is the same.", "def double(x):\n    return x * 2\n", "2 x is x 2"),
    ]
    broken = replace(course.DOUBLE, bank=bank)
    here.setattr(course, "TASKS", [broken])
    here.setattr(bank_audit, "task_of", lambda number: broken)
    outcome = audit_task("99.1")
    assert outcome.accepted == ["harmless"]
    assert outcome.unnamed == {"raises too": "raises"}
    assert list(outcome.refused) == ["right answer 2"]
    assert (outcome.mistakes, outcome.answers) == (3, 3)  # one mistake must pass
    assert not total([outcome]).good


def test_totals_and_the_table_count_everything() -> None:
    outcomes = [
        TaskAudit("99.1", "double", 10, 2, 5, named=10),
        TaskAudit("99.2", "quadruple", 10, 3, 5, named=9, unnamed={"a": "b"}),
    ]
    found = total(outcomes)
    assert found[:8] == (2, 30, 30, 20, 19, 5, 5, 0)
    assert found.good
    assert not total([*outcomes, TaskAudit("99.3", "add_up", broken={"a": "bug"})]).good
    outcomes[1].named -= 1
    assert not total(outcomes).good  # 90%
    written = io.StringIO()
    print_table(outcomes, Console(file=written, width=100))
    text = written.getvalue()
    assert "SHORT OF THE GOALS" in text
    assert "99.2: 'a' is not named but b" in text
    assert "30/30" in text
    whole = json.loads(as_json(outcomes))
    assert whole["total"]["good"] is False
    assert [task["id"] for task in whole["tasks"]] == ["99.1", "99.2"]


def test_kernels_are_left_out_where_there_is_no_triton(here: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    here.setattr(
        importlib.util, "find_spec", lambda name: None if name == "triton" else find_spec(name)
    )
    tasks = (course.DOUBLE, replace(course.QUADRUPLE, triton=True), course.ADD_UP)
    here.setattr(bank_audit, "tasks_of", lambda number: tasks)
    here.setattr(bank_audit, "start_processes", ThreadPoolExecutor)
    counted: list[int] = []

    @contextmanager
    def progress_bar(total: int, unit: str) -> Iterator[Callable[[], None]]:
        counted.append(total)
        yield lambda: counted.append(1)

    here.setattr(outputs, "progress_bar", progress_bar)
    outcomes = outputs.audit_with_progress([99], seed=0)
    assert [outcome.id for outcome in outcomes] == ["99.1", "99.3"]
    assert counted == [2, 1, 1]
    assert total(outcomes).good
    _, left_out = ids_here([99])
    written = io.StringIO()
    print_table(outcomes, Console(file=written, width=100), left_out)
    assert "Left out, as Triton is not installed here: 99.2.\n" in written.getvalue()
    assert json.loads(as_json(outcomes, left_out))["left_out"] == ["99.2"]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_trivial_solutions_are_files_that_define_the_task(task: Task) -> None:
    texts = trivial_solutions(task)
    assert "the stub" in texts
    assert "nothing" in texts
    assert len(texts) == (2 if task.triton else 5)
    for text in texts.values():
        compile(text, "submission", "exec")
        assert re.search(rf"^(def|class) {task.name}\b", text, re.MULTILINE)


def test_zeros_and_nan_have_the_form_of_the_right_answer() -> None:
    def run(what: str) -> torch.Tensor:
        space: dict = {}
        exec(trivial_solutions(course.ADD_UP)[what], space)
        return space["add_up"]([torch.ones(3)])

    assert run("zeros").tolist() == [0, 0, 0]
    assert run("NaN").isnan().all()
    assert run("a copy of the input")[0].tolist() == [1, 1, 1]
    assert run("nothing") is None
    assert "import torch" in submission_of(course.ADD_UP, "")

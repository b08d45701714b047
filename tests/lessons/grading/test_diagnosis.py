"""The diagnosis names what a wrong function computes, and says nothing that is not so."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lessons.grading.diagnosis import diagnose
from lessons.grading.experiment import Experiment
from lessons.grading.faults import examine
from lessons.grading.judge import first_round, judge_task
from lessons.grading.outcome import Outcome
from lessons.grading.task import Case, Draw, Task
from lessons.grading.trial import Trial
from lessons.grading.trusted import reference_answer, run
from tests.lessons.grading import (
    choice_problems,
    element_problems,
    layer_problems,
    list_problems,
    number_problems,
)
from tests.lessons.grading.problems import Problem, Wrong

PROBLEMS = [
    *choice_problems.PROBLEMS,
    *layer_problems.PROBLEMS,
    *element_problems.PROBLEMS,
    *list_problems.PROBLEMS,
    *number_problems.PROBLEMS,
]
CASES = [(problem, wrong) for problem in PROBLEMS for wrong in problem.wrong]


def asking(task: Task, f: Callable) -> Callable[[Case], Outcome]:
    return lambda case: run(task, f, case)


def name(case: object) -> str:
    if isinstance(case, Problem):
        return case.task.name
    return f"{case.kinds[0]}, {case.words[0]}" if isinstance(case, Wrong) and case.words else ""


@pytest.mark.parametrize(("problem", "wrong"), CASES, ids=name)
def test_a_mistake_is_called_what_it_is_and_unseen_inputs_agree(
    problem: Problem, wrong: Wrong
) -> None:
    task, ask = problem.task, asking(problem.task, wrong.f)
    experiment = Experiment(task, ask, first_round(task, ask, 0), asks=160, seconds=20)
    findings = diagnose(experiment)
    message = " ".join(finding.sentence for finding in findings)
    assert findings[0].kind in wrong.kinds, message
    for words in wrong.words:
        assert any(said in message for said in words.split(" or ")), message
    for trial in unseen(task, ask):
        for finding in findings:
            assert finding.holds is None or finding.holds(trial) is not False, finding.sentence
    assert not experiment.problems


def unseen(task: Task, ask: Callable[[Case], Outcome]) -> Iterator[Trial]:
    for i in range(32):
        case = task.sample(Draw(987_654 + i, (1, 2, 3, 4)[i % 4]))
        outcome, want = ask(case), reference_answer(task, case)
        assert want is not None
        yield Trial(task, case, outcome, want, examine(task, case, outcome, want), True)


@pytest.mark.parametrize("problem", PROBLEMS, ids=name)
def test_a_right_solution_passes(problem: Problem) -> None:
    for f in problem.right:
        assert judge_task(problem.task, asking(problem.task, f)).status == "passed"

"""Verdicts: what passes, what fails and how, and which known mistake it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from lessons.grading import judge
from lessons.grading.judge import judge_task
from lessons.grading.outcome import Answered, Outcome, Stopped
from lessons.grading.task import Bank, Case, Close, Draw, Task
from lessons.grading.trusted import expected, load, run

bank = Bank()


@bank.right
def scaled(x, alpha=2.0):
    return alpha * x


bank.edit("divided", "You divide by alpha.", ("alpha * x", "x / alpha"))
bank.edit("alpha fixed", "You take alpha to be 2.", ("alpha * x", "2.0 * x"))
bank.edit("added", "You add alpha.", ("alpha * x", "alpha + x"))


@bank.mistake("raises", "You index past the end.")
def scaled(x, alpha=2.0):  # noqa: F811
    return alpha * x[len(x)]


@bank.mistake("in place", "You change x.")
def scaled(x, alpha=2.0):  # noqa: F811
    x *= alpha
    return x


@bank.mistake("remembers", "You take the alpha of the call before.")
def scaled(x, alpha=2.0, kept=[]):  # noqa: B006, F811
    kept.append(alpha)
    return kept[max(0, len(kept) - 2)] * x


def reference(x, alpha=2.0):
    return alpha * x


def sample(draw: Draw) -> Case:
    kwargs = {"alpha": draw.uniform(low=0.5, high=3).item()} if draw.integer(0, 2) else {}
    return Case((draw.normal(draw.size + 1),), kwargs)


def cases(draw: Draw) -> Iterator[Case]:
    yield Case((draw.normal(2),))
    yield Case((draw.normal(3),), {"alpha": 3.0})
    yield Case((draw.normal(5),), {"alpha": 0.5})


TASK = Task(
    id="0.2", name="scaled", reference=reference, idea="", example="", hints=("", "", ""),
    cases=cases, sample=sample, bank=bank, compare=Close(),
)  # fmt: skip


def asking(f: Callable, task: Task = TASK) -> Callable[[Case], Outcome]:
    return lambda case: run(task, f, case)


def test_a_right_solution_passes() -> None:
    verdict = judge_task(TASK, asking(lambda x, alpha=2.0: x.double().mul(alpha).float()))
    assert (verdict.id, verdict.name, verdict.status) == ("0.2", "scaled", "passed")
    assert verdict.mistake is None
    assert verdict.message == ""


@pytest.mark.parametrize("mistake", bank.mistakes, ids=lambda mistake: mistake.name)
def test_a_mistake_of_the_bank_is_named(mistake: Any) -> None:
    verdict = judge_task(TASK, asking(load(TASK, mistake.code)))
    assert (verdict.mistake, verdict.message) == (mistake.name, mistake.sentence)
    assert verdict.status == ("error" if mistake.name == "raises" else "failed")


def test_the_same_answers_in_other_words_are_the_same_mistake() -> None:
    verdict = judge_task(TASK, asking(lambda x, alpha=2.0: torch.stack([v / alpha for v in x])))
    assert verdict.mistake == "divided"


def test_a_mistake_that_only_looks_like_one_is_not_named() -> None:
    def wrong(x, alpha=2.0):
        return x / alpha if alpha > 1 else alpha * x

    verdict = judge_task(TASK, asking(wrong))
    assert verdict.mistake is None
    assert "that of a known mistake: You divide by alpha." in verdict.message
    assert verdict.kinds[0] == "looks like"


def test_the_smallest_failing_case_is_shown() -> None:
    verdict = judge_task(TASK, asking(lambda x, alpha=2.0: alpha * x + (len(x) > 2)))
    assert verdict.case is not None
    assert len(verdict.arguments["x"]) == 3
    assert verdict.got.tolist() == pytest.approx((verdict.expected + 1).tolist(), abs=1e-6)
    assert verdict.difference is not None
    assert verdict.difference.wrong is not None
    assert bool(verdict.difference.wrong.all())


@pytest.mark.parametrize("status", ["timeout", "memory", "crashed", "forbidden", "missing"])
def test_a_stop_ends_the_questions(status: str) -> None:
    asked = []

    def ask(case: Case) -> Outcome:
        asked.append(case)
        if len(asked) == 2:
            return Stopped(status, "It took longer than 5 seconds.")
        return run(TASK, reference, case)

    verdict = judge_task(TASK, ask)
    assert (verdict.status, verdict.message) == (status, "It took longer than 5 seconds.")
    assert len(asked) == 2


def test_an_answer_that_differs_when_asked_again_fails() -> None:
    calls = []

    def tires(x, alpha=2.0):
        calls.append(x)
        return alpha * x if len(calls) <= 9 else alpha * x + 1

    verdict = judge_task(TASK, asking(tires))
    assert verdict.status == "failed"
    assert "asked again" in verdict.message


def test_a_false_fact_fails() -> None:
    def ask(case: Case) -> Outcome:
        outcome = run(TASK, reference, case)
        assert isinstance(outcome, Answered)
        return Answered({**outcome.answer, "facts": {"the base is frozen": False}})

    verdict = judge_task(TASK, ask)
    assert verdict.status == "failed"
    assert "the base is frozen" in verdict.message


def test_a_check_may_accept_several_answers() -> None:
    def either_sign(case: Case, got: Any, want: Any) -> str | None:
        return None if torch.allclose(got.abs(), want.abs()) else "The sizes are wrong."

    task = replace(TASK, check=either_sign)
    assert judge_task(task, asking(lambda x, alpha=2.0: -alpha * x, task)).status == "passed"
    verdict = judge_task(task, asking(lambda x, alpha=2.0: x, task))
    assert verdict.status == "failed"


def test_a_view_is_what_is_compared() -> None:
    task = replace(TASK, view=lambda y: y - y.mean())
    assert judge_task(task, asking(lambda x, alpha=2.0: alpha * x + 5, task)).status == "passed"
    assert judge_task(task, asking(lambda x, alpha=2.0: None, task)).status == "failed"


def test_an_argument_that_the_task_changes_must_be_changed() -> None:
    def halve(x):
        x *= 0.5
        return x.numel()

    task = Task(
        id="0.3", name="halve", reference=halve, idea="", example="", hints=("", "", ""),
        cases=lambda draw: iter([Case((draw.normal(n),)) for n in (1, 2, 3)]),
        sample=lambda draw: Case((draw.normal(draw.size),)), bank=Bank(), compare=Close(),
        changes=("x",),
    )  # fmt: skip
    assert judge_task(task, asking(halve, task)).status == "passed"
    verdict = judge_task(task, asking(lambda x: x.numel(), task))
    assert verdict.status == "failed"
    assert verdict.message == "After the call x is as it was before; it has to be changed in place."


def test_another_seed_asks_other_cases() -> None:
    def inputs(seed: int) -> list[list[float]]:
        known = expected(TASK, seed)
        return [case.args[0].tolist() for case, _ in (*known.fixed, *known.drawn)]

    assert inputs(0) == inputs(0)
    assert not any(x in inputs(0) for x in inputs(1))


def test_a_verdict_takes_less_than_two_seconds() -> None:
    verdict = judge_task(TASK, asking(lambda x, alpha=2.0: x * alpha + torch.rand(1) * x.sum()))
    assert verdict.status == "failed"
    assert verdict.seconds < 4  # on a busy machine; about one second alone


def test_a_bug_of_the_diagnosis_hides_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(experiment: object) -> list:
        raise KeyError("a bug")

    monkeypatch.setattr(judge, "diagnose", broken)
    verdict = judge_task(TASK, asking(lambda x, alpha=2.0: alpha * x + (len(x) > 2)))
    assert verdict.status == "failed"
    assert verdict.case is not None
    assert "wrong" in verdict.message
    monkeypatch.setenv("MINIGPT_DEBUG", "1")
    with pytest.raises(KeyError, match="a bug"):
        judge_task(TASK, asking(lambda x, alpha=2.0: alpha * x + (len(x) > 2)))

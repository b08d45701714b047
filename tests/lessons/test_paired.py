"""Two models compared on the same records: scores as elsewhere, errors as drawn or as known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lessons.experiments.paired import (
    Losses,
    bleu_gain,
    bleu_of,
    bleu_statistics,
    in_turns,
    rouge_l,
    time_ratio,
)
from minigpt.tasks.answers import questions, score
from minigpt.tasks.task import TASKS

RECORDS = [
    {"en": f"sentence {i % 9}", "fr": f"le chat numéro {i} dort sur le tapis, n'est-ce pas ?"}
    for i in range(12)
]
ENDS = (" dort , sur un tapis.", " dort sur le tapis", " mange")
ANSWERS = [f"le chat numéro {i % 9 + 1}{ENDS[i % 3]}" for i in range(12)]


@pytest.mark.parametrize("answers", [ANSWERS, ["chien"] * 12, [""] * 12, ["le chat dort"] * 12])
def test_bleu_of_the_statistics_is_the_tasks_own(answers: list[str]) -> None:
    task = TASKS["translation"]
    asked = questions(task, RECORDS)
    given = [answers[question.records[0]] for question in asked]
    expected = score(task, given, [question.targets for question in asked]).score
    assert bleu_of(bleu_statistics(answers, task, RECORDS)) == pytest.approx(expected)


@pytest.mark.parametrize("answers", [ANSWERS, ["chien"] * 12, [""] * 12])
def test_the_mean_of_rouge_l_is_the_tasks_own(answers: list[str]) -> None:
    task = replace(TASKS["translation"], metric="rouge")
    asked = questions(task, RECORDS)
    given = [answers[question.records[0]] for question in asked]
    expected = score(task, given, [question.targets for question in asked]).score
    assert rouge_l(answers, task, RECORDS).mean() == pytest.approx(expected)


def test_equal_answers_gain_nothing_for_certain() -> None:
    assert bleu_gain(ANSWERS, ANSWERS, TASKS["translation"], RECORDS) == (0.0, 0.0)


def test_right_answers_gain_more_than_chance() -> None:
    right = [next(r["fr"] for r in RECORDS if r["en"] == record["en"]) for record in RECORDS]
    gain, error = bleu_gain(right, ANSWERS, TASKS["translation"], RECORDS)
    assert gain > 5 * error > 0


def test_the_error_of_a_loss_difference_is_that_of_a_mean_where_batches_are_equal() -> None:
    n = np.full(6, 10.0)
    d = np.array([0.3, -0.1, 0.5, 0.2, 0.0, 0.4])
    other = Losses(np.arange(6) * 10.0, n)
    gain, error = Losses(other.sums + 10 * d, n).above(other)
    assert gain == pytest.approx(d.mean())
    assert error == pytest.approx(d.std(ddof=1) / math.sqrt(6))


def test_one_batch_has_no_error() -> None:
    one = Losses(np.array([3.0]), np.array([2.0]))
    assert one.mean == 1.5
    assert math.isnan(one.above(one)[1])


def test_pieces_of_work_take_turns_and_the_first_round_does_not_count() -> None:
    done: list[str] = []
    ms = in_turns({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, rounds=3)
    assert done == ["a", "b"] * 4
    assert [len(each) for each in ms.values()] == [3, 3]


def test_a_constant_ratio_of_times_has_no_error() -> None:
    ms = np.array([1.0, 5.0, 2.0])
    ratio, error = time_ratio(1.5 * ms, ms)
    assert ratio == pytest.approx(1.5)
    assert error == pytest.approx(0)

"""Two models compared on the same records: scores as elsewhere, errors as drawn or as known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lessons.experiments.paired import Losses, bleu_gain, in_turns, rouge_l, time_ratio
from lessons.experiments.task_scores import answered, scores_by_question
from minigpt.bleu import corpus_bleu
from minigpt.tasks.answers import evaluate_task, questions, score
from minigpt.tasks.task import TASKS

RECORDS = [
    {"en": f"sentence {i % 9}", "fr": f"le chat numéro {i} dort sur le tapis, n'est-ce pas ?"}
    for i in range(12)
]
ENDS = (" dort , sur un tapis.", " dort sur le tapis", " mange")
ANSWERS = [f"le chat numéro {i % 9 + 1}{ENDS[i % 3]}" for i in range(12)]


@pytest.mark.parametrize("metric", ["bleu", "rouge", "accuracy"])
@pytest.mark.parametrize("texts", [ANSWERS, ["chien"] * 12, [""] * 12, ["le chat dort"] * 12])
def test_scores_by_question_are_those_of_evaluate_task(
    monkeypatch: pytest.MonkeyPatch, texts: list[str], metric: str
) -> None:
    """Of the 12 records three share their prompt with another, and are its second answer."""
    task = replace(TASKS["translation"], metric=metric)
    monkeypatch.setattr("minigpt.tasks.answers.answer", lambda *_: texts[:9])
    model: Any = None  # answers as the line above says
    expected = evaluate_task(model, model, task, RECORDS)
    scores = answered(model, model, task, RECORDS)
    assert scores.answers == expected.answers == texts[:9] + texts[:3]
    assert scores.parts.keys() == expected.metrics.keys()
    for name, value in expected.metrics.items():
        assert len(scores.parts[name]) == 9
        assert scores.value(name) == pytest.approx(value, rel=1e-12)
        again = scores_by_question(task, expected.answers, RECORDS)
        assert again.value(name) == scores.value(name)


def test_bleu_by_question_is_that_of_a_corpus_with_several_references() -> None:
    task = TASKS["translation"]
    references = [[r["fr"] for r in RECORDS[:9]], [r["fr"] for r in RECORDS[9:]] + [None] * 6]
    expected = corpus_bleu(ANSWERS[:9], references).score
    assert 0 < expected < 100
    answers = ANSWERS[:9] + ANSWERS[:3]
    assert scores_by_question(task, answers, RECORDS).value("bleu") == expected


def test_a_gain_in_bleu_is_the_difference_of_two_corpora_whatever_the_tasks_metric() -> None:
    task = TASKS["translation"]
    one, other = (scores_by_question(task, each, RECORDS) for each in (ANSWERS, ["le chat"] * 12))
    expected = one.value("bleu") - other.value("bleu")
    for metric in ("bleu", "rouge"):
        gain = bleu_gain(ANSWERS, ["le chat"] * 12, replace(task, metric=metric), RECORDS)
        assert gain == one.gain(other, "bleu")
        assert gain.difference == expected


def test_the_mean_of_rouge_l_is_the_tasks_own() -> None:
    task = TASKS["translation"]
    asked = questions(task, RECORDS)
    given = [question.answer_among(ANSWERS) for question in asked]
    expected = score(replace(task, metric="rouge"), given, [question.targets for question in asked])
    assert rouge_l(ANSWERS, task, RECORDS).mean() == pytest.approx(expected.metrics["rougeL"])


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


def test_one_slow_round_does_not_move_a_ratio_of_times() -> None:
    ms = np.array([2.0, 2.1, 1.9, 2.0, 2.2, 1.8, 2.0])
    other = np.ones(7)
    ratio, error = time_ratio(ms, other)
    assert ratio == 2
    assert 0 < error < 0.1
    ms[3] = 200
    assert time_ratio(ms, other) == (2, pytest.approx(error, rel=0.5))


def test_the_error_of_a_ratio_of_times_is_that_of_a_median() -> None:
    ms = np.exp(0.1 * np.random.default_rng(2).normal(size=400))
    dice = np.random.default_rng(3)
    drawn = [np.median(dice.choice(ms, size=400)) for _ in range(300)]
    assert time_ratio(ms, np.ones(400))[1] == pytest.approx(np.std(drawn), rel=0.3)


def test_one_round_has_a_ratio_but_no_error() -> None:
    ratio, error = time_ratio(np.array([3.0]), np.array([2.0]))
    assert ratio == 1.5
    assert math.isnan(error)

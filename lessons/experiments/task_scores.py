"""Scores answers record by record, so that two models can be compared with a standard error.

`minigpt.tasks.answers` gives one number for a whole test set. Here each record keeps what its part
of that number is made of, so that the score of any drawing of the records is a sum and a division,
and the paired bootstrap (`lessons/verdicts.py`) takes milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tiktoken

from lessons.verdicts import bootstrap_difference
from minigpt import GPT
from minigpt.bleu import BLEU, closest_length, count_matches
from minigpt.metric_tokens import tokenize_13a
from minigpt.rouge import RougeScorer
from minigpt.tasks.answers import REPORTED_ROUGE, evaluate_task
from minigpt.tasks.task import Task

ORDERS = 4  # BLEU counts runs of 1 to 4 words


class Gain(NamedTuple):
    """The difference of two scores on the same records, and its standard error."""

    difference: float
    error: float


@dataclass(frozen=True)
class Scores:
    """Answers to a task's records, and what the scores are computed from.

    Attributes:
        answers: one text for each record.
        parts: by metric, either [records] numbers whose mean is the score, or for "bleu" [records,
            10]: the two lengths, the matches of each order, the n-grams of each order.
    """

    answers: list[str]
    parts: dict[str, np.ndarray]

    def of(self, metric: str) -> Callable[[np.ndarray], float]:
        """Returns the function from the numbers [n] of some records to their score."""
        parts = self.parts[metric]
        if metric == "bleu":
            return lambda rows: bleu_of(parts[rows])
        return lambda rows: float(parts[rows].mean())

    def value(self, metric: str) -> float:
        """Returns the score of all records: BLEU from 0 to 100, any other from 0 to 1."""
        return self.of(metric)(np.arange(len(self.answers)))

    def error(self, metric: str) -> float:
        """Returns the standard error of `value`: how much it varies with the choice of records."""
        return bootstrap_difference(self.of(metric), lambda _: 0.0, len(self.answers))

    def gain(self, before: Scores, metric: str) -> Gain:
        """Returns how much higher this score is than that of other answers to the same records."""
        error = bootstrap_difference(self.of(metric), before.of(metric), len(self.answers))
        return Gain(self.value(metric) - before.value(metric), error)


def bleu_of(parts: np.ndarray) -> float:
    """Returns the BLEU of some records [n, 10], smoothed like sacrebleu's default."""
    sys_len, ref_len, *counts = parts.sum(axis=0).tolist()
    matches, totals = counts[:ORDERS], counts[ORDERS:]
    score = BLEU.compute_bleu(matches, totals, sys_len, ref_len, "exp")
    return float(score.score)


def bleu_parts(answer: str, targets: Sequence[str]) -> list[int]:
    """Returns the 10 counts of one record: two lengths, matches and n-grams of each order."""
    written, wanted = tokenize_13a(answer), [tokenize_13a(target) for target in targets]
    n_grams = [max(0, len(written) - n) for n in range(ORDERS)]
    nearest = closest_length(len(written), map(len, wanted))
    return [len(written), nearest, *count_matches(written, wanted, ORDERS), *n_grams]


def scores_of(task: Task, answers: Sequence[str], targets: Sequence[Sequence[str]]) -> Scores:
    """Scores answers against targets, [record][right answer], by the task's metric."""
    pairs = list(zip(answers, targets, strict=True))
    if task.metric == "bleu":
        parts = {"bleu": np.array([bleu_parts(a, right) for a, right in pairs])}
    elif task.metric == "rouge":
        scorer = RougeScorer(REPORTED_ROUGE)
        each = [scorer.score_multi(right, a) for a, right in pairs]
        parts = {name: np.array([s[name].fmeasure for s in each]) for name in REPORTED_ROUGE}
    else:
        parts = {"accuracy": np.array([float(a in right) for a, right in pairs])}
    return Scores(list(answers), parts)


def answered(
    model: GPT,
    encoding: tiktoken.Encoding,
    task: Task,
    records: Sequence[Mapping[str, Any]],
    wording: int = 0,
) -> Scores:
    """Lets a model answer the records in one of the task's wordings, and scores the answers."""
    answers = evaluate_task(model, encoding, task, records, wording).answers
    return scores_of(task, answers, [task.targets(record) for record in records])


def with_error(value: float, error: float, places: int = 1) -> str:
    """Returns "51.3 ± 2.4"."""
    return f"{value:.{places}f} ± {error:.{places}f}" if math.isfinite(error) else f"{value}"

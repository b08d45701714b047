"""Scores answers question by question, so that two models can be compared with a standard error.

`minigpt.tasks.answers` gives one number for a whole test set. Here each question keeps its part of
that number, so that the score of any drawing of the questions is a sum and a division, and the
paired bootstrap (`lessons/verdicts.py`) takes milliseconds.

scores = answered(model, encoding, task, records)       # or scores_of, of texts that are there
scores.value("bleu"), scores.error("bleu")
difference, error = scores.gain(others, "bleu")         # against other answers to the same records
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import tiktoken

from lessons.verdicts import bootstrap_difference
from minigpt import GPT
from minigpt.bleu import BLEU
from minigpt.tasks.answers import evaluate_task, questions, score
from minigpt.tasks.task import Task

METRIC = BLEU(force=True)  # which does not warn of answers that look tokenized


class Gain(NamedTuple):
    """The difference of two scores on the same questions, and its standard error."""

    difference: float
    error: float


@dataclass(frozen=True)
class Scores:
    """Answers to a task's questions, and what the scores are computed from.

    Attributes:
        answers: one text for each record.
        parts: by metric, either [questions] numbers whose mean is the score, or for "bleu" what it
            counts, [questions, 10], as bleu_counts returns it.
    """

    answers: list[str]
    parts: dict[str, np.ndarray]

    @property
    def n_questions(self) -> int:
        """Returns how many questions were answered."""
        return len(next(iter(self.parts.values())))

    def of(self, metric: str) -> Callable[[np.ndarray], float]:
        """Returns the function from the numbers [n] of some questions to their score."""
        parts = self.parts[metric]
        if metric == "bleu":
            return lambda rows: bleu_of(parts[rows])
        return lambda rows: float(parts[rows].mean())

    def value(self, metric: str) -> float:
        """Returns the score of all questions: BLEU from 0 to 100, any other from 0 to 1."""
        return self.of(metric)(np.arange(self.n_questions))

    def error(self, metric: str) -> float:
        """Returns the standard error of `value`, which is due to the choice of questions."""
        return bootstrap_difference(self.of(metric), lambda _: 0.0, self.n_questions)

    def gain(self, before: Scores, metric: str) -> Gain:
        """Returns by how much this score is above that of other answers to the same questions."""
        error = bootstrap_difference(self.of(metric), before.of(metric), self.n_questions)
        return Gain(self.value(metric) - before.value(metric), error)


def bleu_counts(answers: Sequence[str], targets: Sequence[Sequence[str]]) -> np.ndarray:
    """Returns what BLEU counts in each answer, [answers, 10]: a corpus is scored by their sums.

    The columns are both lengths, then the matches of runs of 1 to 4 words, then the runs.

    Args:
        targets: [answer][right answer].
    """
    references = list(zip_longest(*targets))  # [reference set][answer], None where it has none
    return np.array(METRIC._extract_corpus_statistics(answers, references))


def bleu_of(counts: np.ndarray) -> float:
    """Returns the BLEU of some answers, 0 to 100, from what is counted in them, [n, 10]."""
    return METRIC._compute_score_from_stats(counts.sum(axis=0).tolist()).score


def scores_of(task: Task, answers: Sequence[str], targets: Sequence[Sequence[str]]) -> Scores:
    """Scores answers against targets, [question][right answer], by the task's metric."""
    if task.metric == "bleu":
        return Scores(list(answers), {"bleu": bleu_counts(answers, targets)})
    # Any other score of a test set is the mean of those of its questions.
    each = [score(task, [a], [right]).metrics for a, right in zip(answers, targets, strict=True)]
    parts = {metric: np.array([one[metric] for one in each]) for metric in each[0]}
    return Scores(list(answers), parts)


def scores_by_question(
    task: Task,
    answers: Sequence[str],
    records: Sequence[Mapping[str, Any]],
    wording: int = 0,
) -> Scores:
    """Scores what evaluate_task returned; as there, records with one prompt are one question.

    Args:
        answers: one for each record.
    """
    asked = questions(task, records, wording)
    given = [question.answer_among(answers) for question in asked]
    scores = scores_of(task, given, [question.targets for question in asked])
    return replace(scores, answers=list(answers))


def answered(
    model: GPT,
    encoding: tiktoken.Encoding,
    task: Task,
    records: Sequence[Mapping[str, Any]],
    wording: int = 0,
) -> Scores:
    """Lets a model answer the records in one of the task's wordings, and scores the answers."""
    answers = evaluate_task(model, encoding, task, records, wording).answers
    return scores_by_question(task, answers, records, wording)


def with_error(value: float, error: float, places: int = 1) -> str:
    """Returns "51.3 ± 2.4"."""
    return f"{value:.{places}f} ± {error:.{places}f}" if math.isfinite(error) else f"{value}"

"""Compares two models on the same records, batches or rounds, with a standard error.

What one model finds hard, another mostly finds hard too. So the two are compared record by record,
and the error is that of the difference, which is smaller than the error of either score.

gain, error = bleu_gain(new_answers, old_answers, task, records) # BLEU, by the paired bootstrap
gain, error = losses(old, batches).above(losses(new, batches))   # nats a token
ms = in_turns({"a": step_of_a, "b": step_of_b}, rounds=12)       # milliseconds, [rounds] each
ratio, error = time_ratio(ms["b"], ms["a"])
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from lessons.experiments.task_scores import Gain, scores_by_question
from lessons.held_out import ratio
from minigpt import GPT
from minigpt.dataset import Batch
from minigpt.device import autocast_dtype
from minigpt.layers import evaluated
from minigpt.tasks.task import Task
from minigpt.training.loss import autocast, part_of_loss

Name = TypeVar("Name")  # what tells pieces of work apart: a string, a tuple


class Losses(NamedTuple):
    """The summed loss of each batch in nats, and how many targets it has, [batches] each."""

    sums: np.ndarray
    targets: np.ndarray

    @property
    def mean(self) -> float:
        """Returns the loss in nats a token."""
        return float(self.sums.sum() / self.targets.sum())

    def above(self, other: Losses) -> tuple[float, float]:
        """Returns by how many nats a token this loss is above another, and the standard error.

        Both are of the same batches.
        """
        return ratio(self.sums - other.sums, self.targets)


@torch.no_grad()
def losses(model: GPT, batches: Iterable[Batch]) -> Losses:
    """Returns the losses of a model on some batches, without dropout."""
    device = next(model.parameters()).device
    model = evaluated(model)
    sums, targets = [], []
    for batch in batches:
        with autocast(device, autocast_dtype(device)):
            sums.append(part_of_loss(model, batch.to(device), total_targets=1).item())
        targets.append(batch.n_targets)
    return Losses(np.array(sums), np.array(targets))


def bleu_gain(
    answers: Sequence[str], others: Sequence[str], task: Task, records: Sequence[Mapping[str, Any]]
) -> Gain:
    """Returns how much higher the BLEU of answers is than that of others, and the standard error.

    Args:
        answers, others: one for each record, as evaluate_task returns them.
    """
    task = replace(task, metric="bleu")
    ours, theirs = (scores_by_question(task, texts, records) for texts in (answers, others))
    return ours.gain(theirs, "bleu")


def rouge_l(answers: Sequence[str], task: Task, records: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Returns the ROUGE-L F of each different prompt's answer, [questions], from 0 to 1.

    Args:
        answers: one for each record, as evaluate_task returns them.
    """
    return scores_by_question(replace(task, metric="rouge"), answers, records).parts["rougeL"]


def in_turns(work: Mapping[Name, Callable[[], object]], rounds: int) -> dict[Name, np.ndarray]:
    """Returns the milliseconds of each piece of work in each round, [rounds].

    They take turns, so that a machine which is busy for a while slows all of them. One more round
    comes first and does not count.
    """
    ms: dict[Name, list[float]] = {name: [] for name in work}
    for _ in range(rounds + 1):
        for name, piece in work.items():
            started = time.perf_counter()
            piece()
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # a GPU may still be at work
            ms[name].append(1e3 * (time.perf_counter() - started))
    return {name: np.array(each[1:]) for name, each in ms.items()}


def time_ratio(ms: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Returns how many times as long one piece of work takes as another, and the standard error.

    It is the median of the ratios of the rounds. A few slow rounds move neither it nor its error
    far. The error is that of the median of n normal numbers, sqrt(pi / (2 n)) times their standard
    deviation, which is taken as 1.4826 times their median distance from the median. A single round
    has the error nan.
    """
    ratios = ms / other
    ratio = float(np.median(ratios))
    if len(ratios) < 2:
        return ratio, math.nan
    deviation = 1.4826 * float(np.median(np.abs(ratios - ratio)))
    return ratio, math.sqrt(math.pi / (2 * len(ratios))) * deviation

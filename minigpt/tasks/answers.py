"""Lets a model answer prompts, and scores the answers.

A fine-tuned model is judged by what it writes, not by its loss: it answers the prompts of a test
set greedily, and the task's metric compares its answers with the right ones. In the comments B is
the batch, T the number of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, NamedTuple

import tiktoken
import torch

from minigpt.bleu import corpus_bleu
from minigpt.model import GPT
from minigpt.rouge import RougeScorer, mean_scores
from minigpt.tasks.task import Task
from minigpt.text.bars import progress_bar
from minigpt.tokenizer import unused_ids

REPORTED_ROUGE = ("rouge1", "rouge2", "rougeL")


@dataclass(frozen=True)
class TaskResult:
    """Answers to the records of a task, and their scores.

    Attributes:
        metrics: {"bleu": 0 to 100}, or {"rouge1", "rouge2", "rougeL": mean F from 0 to 1}, or
            {"accuracy": share of answers that are exactly right}.
        answers: one text for each record, in order.
        signature: the settings of the metric; scores compare only where these are the same.
    """

    metrics: dict[str, float]
    answers: list[str]
    signature: str

    @property
    def score(self) -> float:
        """Returns the task's one number: BLEU, ROUGE-L or the accuracy."""
        return list(self.metrics.values())[-1]

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {value:.2f}" if name == "bleu" else f"{name} {value:.3f}"
            for name, value in self.metrics.items()
        )


def answer(
    model: GPT,
    encoding: tiktoken.Encoding,
    prompts: Sequence[str],
    max_new_tokens: int,
    batch_size: int = 64,
    progress: bool = False,
    **generation: Any,
) -> list[str]:
    """Returns what model writes after each prompt, up to the end token, without outer spaces.

    It always takes the likeliest token. Prompts of similar length share a batch, padded on the
    left. A prompt that leaves no room for max_new_tokens in the context loses its beginning, as in
    training.

    Args:
        generation: more arguments of GPT.generate, such as temperature or prefix.

    Raises:
        ValueError: a prompt is empty, max_new_tokens leaves no room in the context, batch_size is
            not above 0, or the tokenizer has no token for most of the model's ids.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    room = model.config.block_size - max_new_tokens
    prefix = generation.get("prefix") or model.prefix()
    if prefix is not None:
        room -= prefix.length
    if room < 1:
        raise ValueError(
            f"max_new_tokens={max_new_tokens} leaves no room for a prompt in a context of "
            f"{model.config.block_size}"
        )
    encoded = [encoding.encode_ordinary(prompt)[-room:] for prompt in prompts]
    if not all(encoded):
        raise ValueError(f"prompt {encoded.index([]) + 1} of {len(prompts)} is empty")
    device = next(model.parameters()).device
    end = encoding.eot_token
    unused = _unused(model, encoding)
    answers = [""] * len(prompts)
    by_length = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
    with progress_bar(len(prompts), "prompt", "answers", show=progress) as advance:
        for start in range(0, len(prompts), batch_size):
            which = by_length[start : start + batch_size]
            T = max(len(encoded[i]) for i in which)
            idx = torch.tensor(
                [[end] * (T - len(encoded[i])) + encoded[i] for i in which]
            )  # [B, T]
            lengths = torch.tensor([len(encoded[i]) for i in which])
            segments = (torch.arange(T) >= T - lengths[:, None]).long()  # [B, T]
            settings = {"temperature": 0.0, "stop_token": end, "unused": unused, **generation}
            written = model.generate(
                idx.to(device), max_new_tokens, segments=segments.to(device), **settings
            )
            for i, row in zip(which, written[:, T:].tolist(), strict=True):
                text = row[: row.index(end)] if end in row else row
                answers[i] = decode(encoding, text).strip()
            advance(len(which))
    return answers


def _unused(model: GPT, encoding: tiktoken.Encoding) -> list[int]:
    """Returns the ids that have no token, unless those are so many that they cannot be padding."""
    unused, V = unused_ids(encoding, model.config.vocab_size), model.config.vocab_size
    if 2 * len(unused) > V and unused != model.unused:
        raise ValueError(
            f"the tokenizer {encoding.name!r} has no token for {len(unused):,} of the {V:,} ids of "
            "the model; use the one that it was trained with"
        )
    return unused


def decode(encoding: tiktoken.Encoding, ids: list[int]) -> str:
    """Returns the text of ids, broken characters replaced; raises ValueError for an unknown id."""
    try:
        return encoding.decode(ids, errors="replace")
    except KeyError:
        raise ValueError(
            f"the tokenizer {encoding.name!r} has no token {max(ids)}; "
            "use the one that the model was trained with"
        ) from None


def score(task: Task, answers: Sequence[str], targets: Sequence[Sequence[str]]) -> TaskResult:
    """Scores answers against targets, [record][right answer], by the task's metric.

    Raises:
        ValueError: there are no records.
    """
    if not answers:
        raise ValueError(f"there is nothing to judge: no answers to {task.name}")
    if task.metric == "bleu":
        bleu = corpus_bleu(answers, list(zip_longest(*targets)))
        return TaskResult({"bleu": bleu.score}, list(answers), bleu.signature)
    if task.metric == "rouge":
        scorer = RougeScorer(REPORTED_ROUGE)
        each = [scorer.score_multi(t, a) for t, a in zip(targets, answers, strict=True)]
        means = {name: mean.fmeasure for name, mean in mean_scores(each).items()}
        return TaskResult(means, list(answers), scorer.signature)
    right = sum(a in t for a, t in zip(answers, targets, strict=True))
    return TaskResult({"accuracy": right / len(answers)}, list(answers), "exact match")


class Question(NamedTuple):
    """A prompt, its right answers, and the numbers of the records that ask it."""

    prompt: str
    targets: list[str]
    records: list[int]

    def answer_among(self, answers: Sequence[str]) -> str:
        """Returns the answer to this question among those to all records."""
        return answers[self.records[0]]


def questions(task: Task, records: Sequence[Mapping[str, Any]], wording: int = 0) -> list[Question]:
    """Returns the different prompts of records, in order; those with one prompt are one question.

    Their answers are references of one another, as in the E2E challenge (Novikova et al. 2017),
    whose records are pairs of a meaning and one of its wordings.

    Raises:
        ValueError: a record lacks a field of the task.
    """
    found: dict[str, Question] = {}
    for i, record in enumerate(records):
        prompt = task.prompt(record, wording)
        question = found.setdefault(prompt, Question(prompt, [], []))
        question.records.append(i)
        question.targets.extend(task.targets(record))
    return list(found.values())


def evaluate_task(
    model: GPT,
    encoding: tiktoken.Encoding,
    task: Task,
    records: Sequence[Mapping[str, Any]],
    wording: int = 0,
    batch_size: int = 64,
    progress: bool = False,
    **generation: Any,
) -> TaskResult:
    """Lets model answer every different prompt of the records, and scores the answers.

    The arguments are those of `answer`. The result has an answer for each record; a prompt that
    several records share counts once in the scores, with all their right answers.

    Raises:
        ValueError: there are no records, or one lacks a field of the task.
    """
    asked = questions(task, records, wording)
    prompts = [question.prompt for question in asked]
    given = answer(
        model, encoding, prompts, task.max_new_tokens, batch_size, progress, **generation
    )
    result = score(task, given, [question.targets for question in asked])
    answers = [""] * len(records)
    for question, text in zip(asked, given, strict=True):
        for i in question.records:
            answers[i] = text
    return replace(result, answers=answers)

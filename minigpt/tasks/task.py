"""Tasks: how a record with named fields becomes a prompt and the answer that a model learns.

    record   {"en": "I was lucky.", "fr": "J'avais de la chance."}
    prompt   "fr: {en} ->" gives  fr: I was lucky. ->
    answer   " {fr}" gives        J'avais de la chance.

The same records can be put in several wordings, so that a model learns the task and not one phrase
(Wei et al. 2022, "Finetuned Language Models Are Zero-Shot Learners", section 2.1). The first
wording of each task is short, since every token of it is computed for every example.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.text import records as text_records
from minigpt.text.documents import name_hash
from minigpt.text.template import fields_of, fill

METRICS = ("bleu", "rouge", "accuracy")


@dataclass(frozen=True)
class Task:
    """How records become prompts and answers, and how answers are judged.

    Attributes:
        name: what the task is called.
        templates: wordings of the prompt, with fields of the record in braces, as
            text/template.py says; the first is used unless another is asked for.
        answer: the wording of what the model is to add. The space between prompt and answer is part
            of the answer, because in GPT-2's tokens a space belongs to the word after it.
        metric: "bleu", "rouge" or "accuracy".
        task_set: the name of the shipped data (`task_sets.task_set`); "" if there is none.
        max_new_tokens: where an answer that does not end by itself is cut off.

    Raises:
        ValueError: an attribute is not as described, or a template has no field.
    """

    name: str
    templates: tuple[str, ...]
    answer: str
    metric: str
    task_set: str
    max_new_tokens: int

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {self.metric!r}")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if not self.templates:
            raise ValueError(f"the task {self.name} needs at least one template")
        for template in (*self.templates, self.answer):
            if not fields_of(template):
                raise ValueError(f"the template {template!r} names no field, such as {{text}}")

    @property
    def fields(self) -> tuple[str, ...]:
        """Returns the fields that the templates or the answer name, each once."""
        named = [field.name for t in (*self.templates, self.answer) for field in fields_of(t)]
        return tuple(dict.fromkeys(named))

    def prompt(self, record: Mapping[str, Any], wording: int = 0) -> str:
        """Returns the prompt of a record.

        Raises:
            ValueError: there is no such wording, a field is missing, or nothing is in the prompt.
        """
        if not 0 <= wording < len(self.templates):
            raise ValueError(
                f"wording must be from 0 to {len(self.templates) - 1} for the task {self.name}, "
                f"got {wording}"
            )
        prompt = fill(self.templates[wording], record)
        if not prompt:
            raise ValueError(f"the prompt is empty: {self.templates[wording]!r} found no text")
        return prompt

    def targets(self, record: Mapping[str, Any]) -> list[str]:
        """Returns all right answers, without their leading space; numbered fields make several.

        A record without "summary" but with "summary1", "summary2", "summary3" has three, as in the
        test set of DialogSum.

        Raises:
            ValueError: a field is missing, or an answer is empty.
        """
        fields = [field.name for field in fields_of(self.answer)]
        numbered: list[dict[str, Any]] = []
        while all(f"{field}{len(numbered) + 1}" in record for field in fields):
            numbered.append({field: record[f"{field}{len(numbered) + 1}"] for field in fields})
        if all(field in record for field in fields) or not numbered:
            numbered = [dict(record)]
        answers = [fill(self.answer, answers).strip() for answers in numbered]
        if not all(answers):
            raise ValueError(f"the answer is empty: {self.answer!r} found no text")
        return answers

    def target(self, record: Mapping[str, Any]) -> str:
        """Returns the right answer, the first if there are several, without its leading space."""
        return self.targets(record)[0]

    def completion(self, record: Mapping[str, Any]) -> str:
        """Returns the right answer with the white space that separates it from the prompt."""
        return self.answer[: -len(self.answer.lstrip())] + self.target(record)


TRANSLATION = Task(
    name="translation",
    templates=(
        "fr: {en} ->",
        "{en}\nFrench:",
        "Translate into French: {en}\nTranslation:",
        'How do you say "{en}" in French?',
        "{en} <to-fr>",
    ),
    answer=" {fr}",
    metric="bleu",
    task_set="translation",
    max_new_tokens=48,
)
SUMMARIZATION = Task(
    name="summarization",
    templates=(
        "{dialogue}\nIn short:",
        "{dialogue}\nSummary:",
        "Summarize this dialogue.\n{dialogue}\nSummary:",
        "{dialogue}\nWhat was that about?",
        "Somebody missed this talk:\n{dialogue}\nTell them what was said:",
        "{dialogue}\nThe talk in a sentence or two:",
        "{dialogue} <summarize>",
    ),
    answer=" {summary}",
    metric="rouge",
    task_set="dialogues",
    max_new_tokens=80,
)
SENTIMENT = Task(
    name="sentiment",
    templates=(
        "{text} It was",
        "{text}\nSentiment:",
        "Review: {text}\nSentiment:",
        "{text}\nIs this review positive or negative?",
        "{text}\nWhat is this review?\n- negative\n- positive\nIt is",
    ),
    answer=" {label}",
    metric="accuracy",
    task_set="reviews",
    max_new_tokens=4,
)
TASKS = {task.name: task for task in (TRANSLATION, SUMMARIZATION, SENTIMENT)}


def named_task(name: str) -> Task:
    """Returns the shipped task of this name; raises ValueError if there is none."""
    if name not in TASKS:
        raise ValueError(f"no task is called {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]


def make_task(
    name: str, template: str, answer: str, metric: str = "rouge", max_new_tokens: int = 64
) -> Task:
    """Makes a task for records of one's own: make_task("quiz", "{question}", "{reply}").

    A space at the end of the template moves to the start of the answer, and one is added there if
    nothing separates the two. Raises ValueError as Task does.
    """
    template = template.rstrip(" ")
    gap = "" if template[-1:].isspace() or answer[:1].isspace() else " "
    return Task(name, (template,), gap + answer, metric, "", max_new_tokens)


def read_records(paths: Path | Sequence[Path], task: Task) -> list[dict]:
    """Reads files of records that have all fields of the task's templates and answer.

    Raises:
        OSError, ValueError: as `text.records.read_records`; the error names a line that lacks a
            field.
    """
    records: list[dict] = []
    for record in text_records.read_records(paths, task.fields):
        with record.blamed():
            task.targets(record)
            for wording in range(len(task.templates)):
                task.prompt(record, wording)
        records.append(record)
    return records


def split_records(
    records: Sequence[dict], task: Task, validation: float = 0.05, test: float = 0.05
) -> tuple[list[dict], list[dict], list[dict]]:
    """Splits records into (training, validation, test), each in the order given.

    Records with the same prompt stay together, so no prompt is in two parts. A hash of the prompt
    alone decides its part: the same records are always split alike, in whatever order they stand.

    Args:
        validation, test: how many different prompts the part gets: below 1 a fraction of them,
            rounded up; from 1 on their number; 0 for none.

    Raises:
        ValueError: a size is negative, or nothing is left to train on.
    """
    prompts = [task.prompt(record) for record in records]
    ranked = sorted(set(prompts), key=lambda prompt: (name_hash(prompt), prompt))
    sizes = []
    for name, size in (("test", test), ("validation", validation)):
        if size < 0 or not (size < 1 or float(size).is_integer()):
            raise ValueError(f"{name} must be a fraction below 1 or a whole number, got {size}")
        sizes.append(int(size) if size >= 1 else math.ceil(size * len(ranked)))
    n_test, n_validation = sizes
    if n_test + n_validation >= len(ranked):
        raise ValueError(
            f"{len(ranked)} different prompts cannot be split into {n_validation} for validation, "
            f"{n_test} to test and some to train on; give more records or smaller parts"
        )
    side = dict.fromkeys(ranked, 0)
    side |= dict.fromkeys(ranked[:n_test], 2)
    side |= dict.fromkeys(ranked[n_test : n_test + n_validation], 1)
    parts: tuple[list[dict], list[dict], list[dict]] = ([], [], [])
    for prompt, record in zip(prompts, records, strict=True):
        parts[side[prompt]].append(record)
    return parts

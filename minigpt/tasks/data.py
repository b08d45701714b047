"""Splits the records of tasks in three, and makes packed rows of them to fine-tune on.

part = task_data(TASKS["translation"])              # the shipped records
data = instruction_data([part], encoding, model.config.block_size)
train(model, data, config)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tiktoken

from minigpt.dataset import pack
from minigpt.tasks.rows import (
    Example,
    InstructionData,
    Rows,
    encode_examples,
    pack_examples,
    text_rows,
)
from minigpt.tasks.task import Task, read_records, split_records
from minigpt.text import documents, python_library, task_sets

SHIPPED = "shipped"


@dataclass(frozen=True)
class TaskData:
    """A task and its records, divided into three parts.

    Attributes:
        source: SHIPPED, or another word for records that do not ship, such as their file's name.
    """

    task: Task
    train: list[dict]
    validation: list[dict]
    test: list[dict]
    source: str = "given"

    def learnt(self, records: Sequence[dict]) -> int:
        """Returns how many different prompts of records are among those to train with."""
        prompts, train = ({self.task.prompt(r) for r in rs} for rs in (records, self.train))
        return len(prompts & train)


Files = Path | Sequence[Path]


def task_data(
    task: Task,
    data: Files | None = None,
    validation: float | Files = 0.05,
    test: float | Files = 0.05,
) -> TaskData:
    """Returns the shipped records of a task, or those of files.

    Args:
        data: files of records (`text.records`); None for the shipped ones.
        validation, test: how much of data they are (`split_records`), or files of their own.

    Raises:
        OSError, ValueError: as read_records and split_records; or the task has no data, or data is
            None and a part has files.
    """
    sizes = [part if isinstance(part, (int, float)) else 0 for part in (validation, test)]
    if data is None:
        if not task.task_set:
            raise ValueError(f"no data comes with the task {task.name}; give a file of records")
        if not all(isinstance(part, (int, float)) for part in (validation, test)):
            raise ValueError("files to validate or to test with need files to train on (data)")
        train, held_out, judged = (task_sets.task_set(task.task_set, p) for p in task_sets.SPLITS)
        return TaskData(task, train, held_out, judged, SHIPPED)
    train, held_out, judged = split_records(read_records(data, task), task, *sizes)
    if not isinstance(validation, (int, float)):
        held_out = read_records(validation, task)
    if not isinstance(test, (int, float)):
        judged = read_records(test, task)
    files = [data] if isinstance(data, (str, Path)) else data
    return TaskData(task, train, held_out, judged, " ".join(map(str, files)))


def row_length_for(examples: Sequence[Example], block_size: int) -> int:
    """Returns a power of two, from 128 to the context, that holds two of the longest examples.

    Short rows compute faster, since every token looks at fewer others; long rows pack better.
    """
    longest = max(len(prompt) + len(completion) for prompt, completion in examples)
    length = 128
    while length < 2 * longest:
        length *= 2
    return min(length, block_size)


def instruction_data(
    parts: Sequence[TaskData],
    encoding: tiktoken.Encoding,
    block_size: int,
    row_length: int | None = None,
    wording: int | None = 0,
    rehearse: float = 0.0,
    seed: int = 0,
    n_documents: int | None = None,
) -> InstructionData:
    """Packs the records of one or several tasks into rows; all tasks are drawn equally often.

    Args:
        row_length: T; None chooses one (row_length_for).
        wording: which wording of the prompts to train with; None mixes all of them.
        rehearse: the share of rows that hold text of the Python library, on which the base model
            was pretrained, instead of examples; at least 0 and below 1.
        n_documents: how many of the library's documents are rehearsed; None takes all of them.

    Raises:
        ValueError: as encode_examples, pack_examples and InstructionData; or rehearse or row_length
            is out of range.
    """
    if row_length is not None and not 1 <= row_length <= block_size:
        raise ValueError(f"row_length must be from 1 to {block_size}, got {row_length}")
    if not 0 <= rehearse < 1:
        raise ValueError(f"rehearse must be at least 0 and below 1, got {rehearse}")

    def encode(task: Task, records: list[dict], T: int) -> list[Example]:
        return encode_examples(records, task, encoding, T + 1, wording, seed)

    if row_length is None:
        every = [e for part in parts for e in encode(part.task, part.train, block_size)]
        row_length = row_length_for(every, block_size)

    def rows(examples: list[Example]) -> Rows:
        return pack_examples(examples, row_length, encoding.eot_token)

    sources = [(rows(encode(part.task, part.train, row_length)), 1.0) for part in parts]
    if rehearse:
        library, _ = documents.split_documents(python_library.python_library(n_documents))
        texts = (encoding.encode_ordinary(document.text) for document in library)
        text = text_rows(pack(texts, encoding.eot_token), row_length)
        sources.append((text, len(parts) * rehearse / (1 - rehearse)))
    validation = [e for p in parts for e in encode(p.task, p.validation, row_length)]
    return InstructionData(sources, rows(validation), seed)

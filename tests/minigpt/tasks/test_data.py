"""The way from a task's records to the rows that it is learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiktoken

from minigpt.config import IGNORE
from minigpt.tasks.data import (
    TaskData,
    instruction_data,
    row_length_for,
    task_data,
)
from minigpt.tasks.rows import Example
from minigpt.tasks.task import TASKS, make_task
from minigpt.text import python_library, task_sets
from minigpt.text.documents import Document
from tests.minigpt.tiny.finetune import RECORDS, shipped_encoding, write_jsonl

SUMS = make_task("sums", "{question} =", "{reply}", "accuracy")


@pytest.fixture(scope="module")
def encoding() -> tiktoken.Encoding:
    return shipped_encoding()


@pytest.mark.parametrize("name", TASKS)
def test_shipped_records_come_in_their_three_parts(name: str) -> None:
    part = task_data(TASKS[name])
    prompts = [{part.task.prompt(r) for r in rs} for rs in (part.train, part.validation, part.test)]
    assert min(map(len, prompts)) >= 100
    assert not prompts[0] & prompts[2]
    assert not prompts[1] & prompts[2]
    assert not prompts[0] & prompts[1]
    assert part.test == task_sets.task_set(TASKS[name].task_set, "test")


def test_a_file_is_split_so_that_no_prompt_is_in_two_parts(tmp_path: Path) -> None:
    records = [*RECORDS, *({**r, "reply": "another"} for r in RECORDS[:20])]
    part = task_data(SUMS, write_jsonl(tmp_path / "sums.jsonl", records), 0.1, 5)
    assert len({SUMS.prompt(r) for r in part.validation}) == 4
    assert len({SUMS.prompt(r) for r in part.test}) == 5
    parts = (part.train, part.validation, part.test)
    sides = [{SUMS.prompt(r) for r in side} for side in parts]
    assert sum(map(len, sides)) == len(set.union(*sides)) == len(RECORDS)
    assert sum(map(len, parts)) == len(records)


def test_a_task_without_data_of_its_own_asks_for_a_file() -> None:
    with pytest.raises(ValueError, match="sums; give a file of records"):
        task_data(SUMS)


@pytest.mark.parametrize(
    ("longest", "block_size", "length"),
    [(2, 256, 128), (64, 256, 128), (65, 256, 256), (129, 1024, 512), (200, 256, 256), (9, 64, 64)],
)
def test_rows_hold_two_of_the_longest_examples_if_the_context_does(
    longest: int, block_size: int, length: int
) -> None:
    examples = [Example([1], [0]), Example([1] * (longest - 1), [0]), Example([1], [0])]
    assert row_length_for(examples, block_size) == length


def drawn(data, n: int) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    """Returns n rows, in the order of training."""
    idx, *_ = data.train_batch(0, n)
    return list(idx.numpy())


def test_every_training_answer_is_learnt_once_an_epoch(encoding: tiktoken.Encoding) -> None:
    part = TaskData(SUMS, RECORDS[:30], RECORDS[30:35], RECORDS[35:])
    data = instruction_data([part], encoding, 128, row_length=32)
    idx, targets, _ = data.train_batch(0, len(data.sources[0]))
    texts = [encoding.decode([t for t in row if t != IGNORE]) for row in targets.tolist()]
    learnt = sorted("".join(texts).split("<|endoftext|>")[:-1])
    assert learnt == sorted(f" {r['reply']}" for r in RECORDS[:30])
    assert idx.shape[1] == 32


def test_tasks_take_turns_however_many_records_they_have(encoding: tiktoken.Encoding) -> None:
    other = make_task("other", "Say {word}", "{word}")
    words = [{"word": f"z{i}"} for i in range(200)]
    parts = [
        TaskData(SUMS, RECORDS[:20], RECORDS[20:22], []),
        TaskData(other, words[:150], words[150:], []),
    ]
    data = instruction_data(parts, encoding, 128, row_length=32)
    assert len(data.sources[1]) > 2 * len(data.sources[0])
    rows = [encoding.decode(row.tolist()) for row in drawn(data, 20)]
    of_other = sum("Say z" in row for row in rows)
    assert of_other == 10
    assert sum(" plus " in row for row in rows) == 10
    held_out = [encoding.decode(row.tolist()) for row in data.validation.idx]
    assert any("Say z" in row for row in held_out)
    assert any(" plus " in row for row in held_out)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_the_share_of_rehearsed_text_holds_with_several_tasks(
    encoding: tiktoken.Encoding, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    pages = [
        Document(f"page{i}", "".join(f"Entry {i} of {n} in the list.\n\n" for n in range(60)))
        for i in range(20)
    ]
    monkeypatch.setattr(python_library, "python_library", lambda n_documents=None: pages)
    part = TaskData(SUMS, RECORDS[:30], RECORDS[30:], [])
    data = instruction_data([part, part], encoding, 128, row_length=16, rehearse=share)
    rows = [encoding.decode(row.tolist()) for row in drawn(data, 24)]
    assert sum(" plus " not in row for row in rows) == pytest.approx(24 * share, abs=1)
    assert all(" plus " in encoding.decode(row.tolist()) for row in data.validation.idx)


def test_all_wordings_are_trained_with_if_asked_for(encoding: tiktoken.Encoding) -> None:
    part = task_data(TASKS["sentiment"])
    part = TaskData(part.task, part.train[:40], part.validation[:4], [])

    def asked(wording: int | None) -> str:
        data = instruction_data([part], encoding, 256, wording=wording)
        return "".join(encoding.decode(row.tolist()) for row in data.sources[0].idx)

    assert "Review:" not in asked(0)
    assert "Sentiment:" not in asked(0)
    mixed = asked(None)
    assert mixed.count(" It was") < 40
    assert "Review:" in mixed
    assert "Is this review positive or negative?" in mixed


def test_settings_out_of_range_are_refused(encoding: tiktoken.Encoding) -> None:
    part = TaskData(SUMS, RECORDS[:30], RECORDS[30:], [])
    for rehearse in (1.5, 1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="rehearse must be at least 0 and below 1"):
            instruction_data([part], encoding, 128, rehearse=rehearse)
    for length in (0, -4, 129):
        with pytest.raises(ValueError, match=f"row_length must be from 1 to 128, got {length}"):
            instruction_data([part], encoding, 128, row_length=length)
    with pytest.raises(ValueError, match="no examples of sums"):
        instruction_data([TaskData(SUMS, RECORDS, [], [])], encoding, 128)

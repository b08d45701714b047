"""The tasks that a run of fine-tuning learnt, read from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minigpt.files.schema import MapOf, Object, OneOf, Text, Whole, check
from minigpt.finetuning.methods import RESULTS_FILE, read_results
from minigpt.tasks.task import METRICS, TASKS, Task

TEST = "test.jsonl"
SAVED_TASK = Object(
    {"prompt": Text(), "answer": Text(), "metric": OneOf(*METRICS), "max_new_tokens": Whole(1)}
)
SAVED_TASKS = Object({"tasks": MapOf(SAVED_TASK)})


def saved_tasks(folder: Path) -> dict[str, Task]:
    """Returns the tasks of the run in a folder, by name; {} if no run of finetune() is there.

    Raises:
        ValueError: results.json is damaged; the error names it.
    """
    if not (folder / RESULTS_FILE).is_file():
        return {}
    found = read_results(folder)
    check(found, SAVED_TASKS, folder / RESULTS_FILE)
    try:
        return {name: task_of(name, saved) for name, saved in found["tasks"].items()}
    except ValueError as error:
        raise ValueError(f"{folder / RESULTS_FILE}: {error}") from None


def task_of(name: str, saved: dict[str, Any]) -> Task:
    """Returns the task that results.json describes."""
    task_set = TASKS[name].task_set if name in TASKS else ""
    wording, answer, metric = saved["prompt"], saved["answer"], saved["metric"]
    return Task(name, (wording,), answer, metric, task_set, saved["max_new_tokens"])


def records_file(folder: Path, task: str, n_tasks: int) -> Path:
    """Returns the file with a task's test records in the folder of a run with so many tasks."""
    return folder / (TEST if n_tasks == 1 else f"test-{task}.jsonl")

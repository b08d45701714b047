"""The options that name a task, or define one, and say where its records are."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import replace

from minigpt.command import values
from minigpt.command.parser import refuse_idle
from minigpt.tasks.task import METRICS, TASKS, Task, make_task


def add_task_options(parser: ArgumentParser, several: bool) -> None:
    """Adds --task, --data, and the options that define a task of one's own."""
    add = parser.add_argument
    add(
        "--task", nargs="+" if several else 1, choices=list(TASKS),
        help="what is to be done (default translation)",
    )  # fmt: skip
    add(
        "--data", type=values.file_to_read, nargs="+", metavar="FILE",
        help="records instead of the shipped ones: JSON Lines, JSON, CSV, TSV, or parallel text "
        "files (train.en train.fr: fields en and fr); gzipped or not",
    )  # fmt: skip
    add(
        "--template", type=values.template,
        help='a task of your own: the prompt, as "{question} Answer:"; {input|} may be empty, '
        "{turns[0][text]} is a part, {0} a column without a name",
    )  # fmt: skip
    add("--answer", type=values.template, help='and its answer, as "{reply}"')
    add("--metric", choices=METRICS, help="how it is judged (default rouge, or the task's)")
    add(
        "--max-new-tokens", type=values.whole(1),
        help="the longest answer (default 64 tokens, or the task's)",
    )  # fmt: skip


def chosen_tasks(arguments: Namespace, saved: Mapping[str, Task] | None = None) -> list[Task]:
    """Returns the tasks that are named, or the one that --template and --answer define.

    Args:
        saved: the tasks of the run that made the model; one alone is the default.

    Raises:
        ValueError: the options do not go together.
    """
    saved = saved or {}
    own = (arguments.template, arguments.answer)
    if own != (None, None):
        if None in (*own, arguments.data):
            raise ValueError("a task of your own needs --template, --answer and --data")
        refuse_idle(arguments, ["--task"], "beside --template and --answer, a task of your own")
        tasks = [make_task("own", *own)]
    elif arguments.task:
        known = {**TASKS, **saved}
        tasks = [known[name] for name in dict.fromkeys(arguments.task)]
    elif len(saved) > 1:
        raise ValueError(f"the model has learnt {' and '.join(saved)}; choose one with --task")
    else:
        tasks = list(saved.values()) or [TASKS["translation"]]
    if arguments.data and len(tasks) > 1:
        raise ValueError("--data is for one task; give one --task, or leave --data out")
    changes = {"metric": arguments.metric, "max_new_tokens": arguments.max_new_tokens}
    given = {name: value for name, value in changes.items() if value is not None}
    return [replace(task, **given) for task in tasks]

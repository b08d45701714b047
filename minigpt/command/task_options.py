"""The options that name a task, or define one, and say where its records are."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from minigpt.tasks.task import METRICS, TASKS, Task, make_task


def add_task_options(parser: ArgumentParser, several: bool) -> None:
    """Adds --task, --data, and the options that define a task of one's own."""
    add = parser.add_argument
    add(
        "--task", nargs="+" if several else 1, choices=list(TASKS), default=["translation"],
        help="what is to be done (default translation)",
    )  # fmt: skip
    add("--data", type=Path, metavar="FILE", help="JSON Lines instead of the shipped records")
    add("--template", help='a task of your own: the prompt, as "{question} Answer:"')
    add("--answer", help='and its answer, as "{reply}"')
    add("--metric", default="rouge", choices=METRICS, help="and how it is judged (default rouge)")
    add("--max-new-tokens", type=int, default=64, help="and the longest answer (default 64 tokens)")


def chosen_tasks(arguments: Namespace) -> list[Task]:
    """Returns the tasks that are named, or the one that --template and --answer define.

    Raises:
        ValueError: the options do not go together.
    """
    if arguments.template or arguments.answer:
        if not (arguments.template and arguments.answer and arguments.data):
            raise ValueError("a task of your own needs --template, --answer and --data")
        return [
            make_task(
                "own", arguments.template, arguments.answer, arguments.metric,
                arguments.max_new_tokens,
            )
        ]  # fmt: skip
    if arguments.data and len(arguments.task) > 1:
        raise ValueError("--data is the file of one task: give one --task, or leave --data out")
    return [TASKS[name] for name in dict.fromkeys(arguments.task)]

"""The options that say what the task is."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import pytest

from minigpt.command.task_options import add_task_options, chosen_tasks
from minigpt.tasks.task import TASKS


def parse(*options: str) -> Namespace:
    parser = ArgumentParser()
    add_task_options(parser, several=True)
    return parser.parse_args(options)


def test_the_command_line_chooses_tasks_that_ship_or_makes_one() -> None:
    assert chosen_tasks(parse()) == [TASKS["translation"]]
    both = parse("--task", "sentiment", "translation", "sentiment")
    assert chosen_tasks(both) == [TASKS["sentiment"], TASKS["translation"]]
    own = ["--template", "{q}?", "--answer", "{a}", "--data", "x.jsonl", "--max-new-tokens", "9"]
    (task,) = chosen_tasks(parse(*own, "--metric", "bleu"))
    assert (task.prompt({"q": "So"}), task.completion({"a": "no"})) == ("So?", " no")
    assert (task.metric, task.max_new_tokens) == ("bleu", 9)
    for missing in (0, 2, 4):  # --template, --answer, --data
        with pytest.raises(ValueError, match="needs --template, --answer and --data"):
            chosen_tasks(parse(*own[:missing], *own[missing + 2 :]))
    with pytest.raises(ValueError, match="--data is for one task"):
        chosen_tasks(parse("--task", "sentiment", "translation", "--data", "x.jsonl"))

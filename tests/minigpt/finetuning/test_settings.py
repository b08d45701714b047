"""FinetuneSettings says what is wrong, and finetune() works from a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minigpt.command.cli import make_parser
from minigpt.command.finetune import settings_of
from minigpt.finetuning import FinetuneSettings, finetune
from minigpt.tasks.data import TaskData
from minigpt.tasks.task import make_task
from tests.minigpt.tiny.finetune import OWN, RECORDS, shipped_encoding, tiny_gpt


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "prayer"}, "method must be one of full, lora, .* selective, got 'prayer'"),
        ({"r": 0}, "r must be a whole number of at least 1, got 0"),
        ({"bottleneck": 1.5}, "bottleneck must be a whole number of at least 1, got 1.5"),
        ({"last_blocks": 0}, "last_blocks must be a whole number of at least 1, got 0"),
        ({"last_blocks": True}, "last_blocks must be a whole number of at least 1, got True"),
        ({"row_length": 0}, "row_length must be a whole number of at least 1, got 0"),
        ({"alpha": float("nan")}, "alpha must be above 0, got nan"),
        ({"alpha": "8"}, "alpha must be above 0, got '8'"),
        ({"dropout": True}, "dropout must be at least 0 and below 1, got True"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"max_steps": 0}, "max_steps must be a whole number of at least 1, got 0"),
        ({"eval_every": 0}, "early_stopping=3 needs validations"),
        ({"out_dir": "runs/x"}, "out_dir='runs/x' needs model="),
    ],
)
def test_a_setting_out_of_range_is_one_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FinetuneSettings(**settings)


def test_options_left_out_are_the_defaults() -> None:
    found = settings_of(make_parser(only="finetune").parse_args(["finetune"]))
    assert found == FinetuneSettings(model="base", out_dir=Path("runs/finetune"))


def test_without_a_folder_a_model_learns_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, encoding = tiny_gpt(), shipped_encoding()
    task = make_task("sums", OWN[1], OWN[3], "accuracy", max_new_tokens=6)
    tasks = [TaskData(task, RECORDS[:30], RECORDS[30:35], RECORDS[35:])]
    settings = FinetuneSettings("lora", r=2, max_steps=4, batch_size=3, row_length=32, device="cpu")
    result = finetune(model, encoding, tasks, settings)
    assert result.training.steps == 4
    assert result.after["sums"].metrics.keys() == result.before["sums"].metrics.keys()
    assert result.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert [sample["task"] for sample in result.samples] == ["sums"] * 3
    assert list(tmp_path.iterdir()) == []


def test_tasks_need_names_that_are_known_and_different() -> None:
    model, encoding = tiny_gpt(), shipped_encoding()
    for tasks, message in [
        (["cooking"], "no task is called 'cooking'; there are translation"),
        ([], "tasks must be at least one"),
        ("sentiment", r"tasks must be a list, got 'sentiment'; write \['sentiment'\]"),
        (["sentiment", "sentiment"], "each with a name of its own"),
    ]:
        with pytest.raises(ValueError, match=message):
            finetune(model, encoding, tasks, FinetuneSettings())

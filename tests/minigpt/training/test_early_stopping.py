"""Early stopping: the run ends when it should, with the weights of its best validation.

The independent side is a run without early stopping whose weights are noted down at every step.
"""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt.model import GPT
from minigpt.training import checkpoint
from minigpt.training.interrupt import TrainingInterrupted
from minigpt.training.loop import train
from minigpt.training.result import BestWeights, TrainResult, lowest
from minigpt.training.settings import TrainConfig
from tests.minigpt.tiny.run import (
    StoppedError,
    TurningData,
    run_module,
    stop_early,
    tiny_config,
    tiny_model,
)

Weights = dict[str, torch.Tensor]


def weights_of(model: torch.nn.Module) -> Weights:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def same(ours: Weights, theirs: Weights) -> bool:
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


def stopping_config(**changes: Any) -> TrainConfig:
    return tiny_config(**{"eval_every": 4, "early_stopping": 2, **changes})


@pytest.fixture(scope="module")
def noted() -> tuple[TrainResult, dict[int, Weights]]:
    """Returns a run to max_steps, and its weights before each step and after the last."""
    model, weights = tiny_model(), {}

    def note(step: int) -> None:
        weights[step] = weights_of(model)

    result = train(model, TurningData(note), stopping_config(early_stopping=0))
    weights[result.steps] = weights_of(model)
    return result, weights


@pytest.mark.parametrize("patience", [1, 2, 3, 100])
@pytest.mark.parametrize("kept", ["on disk", "in memory"])
def test_it_ends_after_patience_and_leaves_the_weights_of_the_lowest_loss(
    tmp_path: Path, noted: tuple[TrainResult, dict[int, Weights]], patience: int, kept: str
) -> None:
    whole_run, weights = noted
    best = min(range(7), key=lambda i: whole_run.validation[i][1])
    assert best == 2  # neither the first nor the last
    model = tiny_model()
    out_dir = tmp_path if kept == "on disk" else None
    config = stopping_config(early_stopping=patience, out_dir=out_dir)
    result = train(model, TurningData(), config)
    assert result.steps == min(24, 4 * (best + patience))
    assert result.validation == whole_run.validation[: best + patience + 1]
    assert result.losses == whole_run.losses[: result.steps]
    assert result.best_step == 4 * best
    assert result.best_validation == whole_run.validation[best][1]
    assert same(weights_of(model), weights[4 * best])
    assert not same(weights_of(model), weights[result.steps])
    assert model.lm_head.weight is model.transformer["wte"].weight


def test_a_loss_that_only_stays_the_same_is_not_a_new_lowest() -> None:
    model = tiny_model()
    before = weights_of(model)
    config = stopping_config(learning_rate=0.0, min_learning_rate=0.0, early_stopping=3)
    result = train(model, TurningData(), config)
    assert (result.steps, result.best_step) == (12, 0)
    assert same(weights_of(model), before)


@pytest.mark.parametrize("step", [1, 5, 7, 8, 9, 11, 12, 15])
def test_a_crashed_and_resumed_run_stops_at_the_same_step_with_the_same_weights(
    tmp_path: Path, step: int
) -> None:
    def crash(now: int) -> None:
        if now == step:
            raise StoppedError

    config = stopping_config(out_dir=tmp_path, resume=True)
    with pytest.raises(StoppedError):
        train(tiny_model(), TurningData(crash), config)
    assert stop_early(config) == stop_early(stopping_config())
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(16))
    assert [line["step"] for line in lines if "validation_loss" in line] == list(range(0, 20, 4))


@pytest.mark.parametrize("step", [7, 11, 15])
def test_ctrl_c_just_before_a_validation_changes_nothing(tmp_path: Path, step: int) -> None:
    def press(now: int) -> None:
        if now == step:
            signal.raise_signal(signal.SIGTERM)

    config = stopping_config(out_dir=tmp_path, resume=True)
    with pytest.raises(TrainingInterrupted, match=f"stopped after {step + 1} of 24 steps"):
        train(tiny_model(), TurningData(press), config)
    assert stop_early(config) == stop_early(stopping_config())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_before_every_third_operation_on_the_disk_it_ends_bit_for_bit_the_same(
    tmp_path: Path,
) -> None:
    found = run_module("run", "stop", tmp_path)
    assert found["exit"] == 0
    assert len(found["steps"]) > 10
    assert set(found["steps"]) == {0, 7, 14, 16}  # kills before and after every checkpoint
    assert found["outcomes"] == [json.loads(json.dumps(stop_early(stopping_config())))]


@pytest.mark.parametrize("patience", [2, 100])
def test_a_finished_run_stays_finished_and_leaves_the_best_weights(
    tmp_path: Path, patience: int
) -> None:
    class Unvalidated(TurningData):
        def validation_batches(self, batch_size: int) -> Iterator[Any]:
            raise AssertionError("validated again; another machine might decide otherwise")

    config = stopping_config(early_stopping=patience, out_dir=tmp_path, resume=True)
    model, resumed = tiny_model(), tiny_model()
    result = train(model, TurningData(), config)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert vars(train(resumed, Unvalidated(), config)) == vars(result)
    assert same(weights_of(resumed), weights_of(model))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_frozen_weights_are_neither_copied_nor_saved(tmp_path: Path) -> None:
    def partly_frozen() -> GPT:
        model = tiny_model()
        model.transformer["h"].requires_grad_(False)
        return model

    model, weights = partly_frozen(), {}

    def note(step: int) -> None:
        weights[step] = weights_of(model)

    config = stopping_config(out_dir=tmp_path, max_steps=60, resume=True)
    result = train(model, TurningData(note), config)
    assert result.best_step is not None
    assert 0 < result.best_step < result.steps < 60
    assert same(weights_of(model), weights[result.best_step])
    tensors = checkpoint.load_file(tmp_path / checkpoint.read_commit_record(tmp_path)["tensors"])
    copied = {name.removeprefix("best.") for name in tensors if name.startswith("best.")}
    assert copied == {name for name, p in model.named_parameters() if p.requires_grad}
    resumed = partly_frozen()
    train(resumed, TurningData(), config)
    assert same(weights_of(resumed), weights_of(model))


def test_the_best_weights_can_be_read_from_the_folder(
    tmp_path: Path, noted: tuple[TrainResult, dict[int, Weights]]
) -> None:
    result = train(tiny_model(), TurningData(), stopping_config(out_dir=tmp_path))
    model = tiny_model()
    assert result.best_step is not None
    best = checkpoint.load_best(tmp_path, model)
    assert same(best, noted[1][result.best_step])
    checkpoint.load_checkpoint(tmp_path, model)  # where the run ended
    assert same(weights_of(model), noted[1][result.steps])
    with pytest.raises(ValueError, match=r"is of another model: best\.transformer\.wte\.weight"):
        checkpoint.load_best(tmp_path, tiny_model(n_embd=32))
    train(tiny_model(), TurningData(), tiny_config(out_dir=tmp_path / "other"))
    assert checkpoint.load_best(tmp_path / "other", model) == {}
    file = tmp_path / checkpoint.read_commit_record(tmp_path)["tensors"]
    with file.open("r+b") as opened:
        opened.write(bytes(file.stat().st_size))
    assert same(best, noted[1][result.best_step])  # they are not read from there any more


def test_the_lowest_loss_is_the_first_lowest_number() -> None:
    nan = math.nan
    assert lowest([]) is None
    assert lowest([(0, nan), (4, nan)]) is None
    assert lowest([(0, nan), (4, 2.0), (8, 1.0), (12, nan), (16, 1.0)]) == (8, 1.0)


@pytest.mark.parametrize(
    ("losses", "over"),
    [
        ([], [False, False, False]),
        ([3.0], [False, False, False]),
        ([3.0, 2.0, 1.0], [False, False, False]),
        ([3.0, 4.0], [False, True, False]),
        ([3.0, 1.0, 2.0, 1.5], [False, True, True]),  # falls again, but to no new lowest
        ([3.0, 4.0, 2.0], [False, False, False]),
        ([3.0, math.nan, math.inf], [False, True, True]),
        ([math.nan, math.nan], [False, True, True]),
    ],
)
def test_it_is_over_after_patience_validations_without_a_new_lowest(
    losses: list[float], over: list[bool]
) -> None:
    validation = [(10 * i, loss) for i, loss in enumerate(losses)]
    assert [BestWeights(patience, {}).should_stop(validation) for patience in (0, 1, 2)] == over


def test_what_decides_when_to_stop_must_be_the_same_on_resume(tmp_path: Path) -> None:
    config = stopping_config(out_dir=tmp_path, resume=True)
    train(tiny_model(), TurningData(), config)
    for changes, message in (
        ({"early_stopping": 3}, "setting early_stopping=2, this one early_stopping=3"),
        ({"early_stopping": 0}, "setting early_stopping=2, this one early_stopping=None"),
        ({"eval_every": 2}, "setting eval_every=4, this one eval_every=2"),
        ({"eval_batches": 1}, "setting eval_batches=None, this one eval_batches=1"),
    ):
        with pytest.raises(ValueError, match=message):
            train(tiny_model(), TurningData(), replace(config, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"early_stopping": 2}, "early_stopping=2 needs validations; set eval_every to at least 1"),
        ({"early_stopping": -1}, "early_stopping must be a whole number of at least 0, got -1"),
        ({"early_stopping": True}, "early_stopping must be a whole number of at least 0, got True"),
        ({"eval_every": -1}, "eval_every must be a whole number of at least 0, got -1"),
        ({"eval_every": 10**30}, "eval_every must be at most 1,000,000,000"),
        ({"eval_batches": 10**5000}, "eval_batches must be at most 1,000,000,000"),
        ({"checkpoint_every": 10**12}, "checkpoint_every must be at most 1,000,000,000"),
        ({"seed": 2**63}, "seed must be at most 9,223,372,036,854,775,807"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(max_steps=10, **changes)

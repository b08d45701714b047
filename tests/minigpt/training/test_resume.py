"""A run that crashes, is killed, is stopped or meets a full disk goes on as if nothing had been.

The independent side is always the run that was never interrupted; equal means equal bit for bit.
"""

from __future__ import annotations

import json
import math
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt.model import GPT
from minigpt.training import checkpoint
from minigpt.training.interrupt import TrainingInterrupted
from minigpt.training.loop import TrainingDivergedError, train
from minigpt.training.loss import evaluate_loss
from minigpt.training.result import TrainResult
from tests.minigpt.tiny.run import (
    StoppedError,
    TinyData,
    crash_at,
    run_module,
    tiny_config,
    tiny_model,
)


def log_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("step", [1, 5, 6, 13, 23])
def test_a_crashed_and_resumed_run_is_the_same_run(
    tmp_path: Path, uninterrupted: TrainResult, step: int
) -> None:
    config = tiny_config(out_dir=tmp_path, resume=True)
    with pytest.raises(StoppedError):
        train(tiny_model(), crash_at(step), config)
    model, whole = tiny_model(), tiny_model()
    result = train(model, TinyData(), config)
    assert result.losses == uninterrupted.losses
    assert result.validation == uninterrupted.validation
    assert result.tokens == uninterrupted.tokens
    train(whole, TinyData(), tiny_config())
    for name, tensor in whole.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_the_log_holds_every_step_once_after_a_crash(
    tmp_path: Path, uninterrupted: TrainResult
) -> None:
    config = tiny_config(out_dir=tmp_path, resume=True)
    for step in (9, 18):
        with pytest.raises(StoppedError):
            train(tiny_model(), crash_at(step), config)
        with (tmp_path / "log.jsonl").open("a") as log:
            log.write('{"step": 5, "loss": 1.2')  # the line that was being written
    train(tiny_model(), TinyData(), config)
    lines = log_lines(tmp_path)
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(24))
    assert [line["loss"] for line in steps] == uninterrupted.losses
    assert set(steps[0]) == {"step", "loss", "lr", "grad_norm", "tokens_per_second"}
    validation = [(x["step"], x["validation_loss"]) for x in lines if "validation_loss" in x]
    assert validation == uninterrupted.validation


def test_a_finished_run_resumed_has_nothing_to_do(
    tmp_path: Path, uninterrupted: TrainResult
) -> None:
    config = tiny_config(out_dir=tmp_path, resume=True)
    train(tiny_model(), TinyData(), config)
    before = log_lines(tmp_path)
    model = tiny_model()
    result = train(model, TinyData(), config)
    assert (result.losses, result.validation) == (uninterrupted.losses, uninterrupted.validation)
    assert log_lines(tmp_path) == before
    loss = evaluate_loss(model, TinyData().validation_batches(4))
    assert loss == uninterrupted.validation[-1][1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_the_step_saves_and_says_so(
    tmp_path: Path, uninterrupted: TrainResult, number: int
) -> None:
    def press(step: int) -> None:
        if step == 7:
            signal.raise_signal(number)

    handlers = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    config = tiny_config(out_dir=tmp_path)
    with pytest.raises(TrainingInterrupted, match=r"stopped after 8 of 24 steps .* is of step 8"):
        train(tiny_model(), TinyData(press), config)
    assert [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)] == handlers
    resumed = train(tiny_model(), TinyData(), replace(config, resume=True))
    assert resumed.losses == uninterrupted.losses
    assert resumed.validation == uninterrupted.validation


def test_what_the_caller_says_of_a_run_must_be_the_same_on_resume(tmp_path: Path) -> None:
    config = tiny_config(out_dir=tmp_path, resume=True, max_steps=6, warmup_steps=0)
    identity = {"method": "lora", "targets": ("a", "b"), "test": 0.5}
    train(tiny_model(), TinyData(), config, identity)
    train(tiny_model(), TinyData(), config, identity)  # the same, though JSON knows no tuples
    for changed, message in (
        ({"method": "full"}, "has setting method='lora', this one method='full'"),
        ({"targets": ("a",)}, r"has setting targets=\['a', 'b'\], this one targets=\['a'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            train(tiny_model(), TinyData(), replace(config, max_steps=7), {**identity, **changed})


@pytest.mark.usefixtures("_ctrl_c_interrupts")
def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, uninterrupted: TrainResult) -> None:
    def press_twice(step: int) -> None:
        if step == 7:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    config = tiny_config(out_dir=tmp_path, resume=True)
    with pytest.raises(KeyboardInterrupt) as stop:
        train(tiny_model(), TinyData(press_twice), config)
    assert not isinstance(stop.value, TrainingInterrupted)
    assert checkpoint.read_commit_record(tmp_path)["progress"]["steps"] == 5
    assert train(tiny_model(), TinyData(), config).losses == uninterrupted.losses


def test_outside_the_main_thread_signals_are_left_alone(uninterrupted: TrainResult) -> None:
    losses: list[float] = []
    thread = threading.Thread(
        target=lambda: losses.extend(train(tiny_model(), TinyData(), tiny_config()).losses)
    )
    thread.start()
    thread.join()
    assert losses == uninterrupted.losses


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment_it_resumes_bit_for_bit(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    outcome = run_module("run", "kill", folder)
    assert outcome["kills"] >= 40
    assert outcome["steps"] == sorted(outcome["steps"])  # no checkpoint was ever lost
    assert outcome["steps"][-1] == 120
    expected = train(tiny_model(), TinyData(), tiny_config(max_steps=120)).losses
    assert json.loads((folder / "result.json").read_text()) == expected
    logged = [line for line in log_lines(folder) if "loss" in line]
    assert [(line["step"], line["loss"]) for line in logged] == list(enumerate(expected))
    files = [name for name in outcome["files"] if not name.startswith("tensors-")]
    assert files == ["checkpoint.json", "log.jsonl", "result.json"]  # no leftovers of the kills
    assert len(outcome["files"]) == 4


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_a_number_stops_and_keeps_the_checkpoint(
    tmp_path: Path, bad: float, frozen: bool
) -> None:
    def partly_frozen() -> GPT:
        model = tiny_model()
        model.transformer["h"].requires_grad_(not frozen)
        return model

    model = partly_frozen()

    def spoil(step: int) -> None:
        if step == 13:
            with torch.no_grad():
                model.transformer["ln_f"].weight[0] = bad

    config = tiny_config(out_dir=tmp_path)
    with pytest.raises(TrainingDivergedError, match=r"step 13 .* learning rate .* is of step 10\)"):
        train(model, TinyData(spoil), config)
    fine = partly_frozen()
    checkpoint.load_checkpoint(tmp_path, fine)
    assert all(parameter.isfinite().all() for parameter in fine.parameters())
    assert model.lm_head.weight.isfinite().all()  # the step that failed changed nothing
    assert [line["step"] for line in log_lines(tmp_path) if "loss" in line] == list(range(13))
    resumed = train(partly_frozen(), TinyData(), replace(config, resume=True))
    assert resumed.losses == train(partly_frozen(), TinyData(), tiny_config()).losses


def test_a_full_disk_stops_with_one_sentence_and_the_run_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: TrainResult
) -> None:
    config = tiny_config(out_dir=tmp_path, resume=True)
    save_file, saves = checkpoint.save_file, 0

    def full_the_second_time(*arguments: Any) -> None:
        nonlocal saves
        saves += 1
        if saves == 2:
            raise OSError(28, "No space left on device")
        save_file(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full_the_second_time)
        with pytest.raises(OSError, match=r"could not write .*: No space left on device; what was"):
            train(tiny_model(), TinyData(), config)
    files = {"checkpoint.json", "log.jsonl", "tensors-0.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == files
    assert train(tiny_model(), TinyData(), config).losses == uninterrupted.losses


def test_a_folder_that_holds_a_run_is_not_written_over(tmp_path: Path) -> None:
    config = tiny_config(out_dir=tmp_path)
    train(tiny_model(), TinyData(), config)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="already holds a training run; go on with it"):
        train(tiny_model(), TinyData(), config)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_only_the_same_run_is_resumed(tmp_path: Path) -> None:
    config = tiny_config(out_dir=tmp_path, resume=True)
    with pytest.raises(StoppedError):
        train(tiny_model(), crash_at(13), config)
    for changed, message in (
        (replace(config, max_steps=25), r"setting max_steps=24, this one max_steps=25"),
        (replace(config, learning_rate=2e-2), r"setting learning_rate=0\.01, this one"),
        (replace(config, betas=(0.9, 0.99)), r"setting betas=\[0\.9, 0\.95\], this one"),
    ):
        with pytest.raises(ValueError, match=message):
            train(tiny_model(), TinyData(), changed)
    with pytest.raises(ValueError, match="has model n_head=2, this one n_head=4"):
        train(tiny_model(n_head=4), TinyData(), config)
    with pytest.raises(ValueError, match="has data checksum of the first batch="):
        train(tiny_model(), TinyData(salt=1), config)
    with pytest.raises(ValueError, match="has setting method=None, this one method='full'; resume"):
        train(tiny_model(), TinyData(), replace(config, max_steps=25), {"method": "full"})
    changed = replace(config, micro_batch_size=2, checkpoint_every=4, eval_every=4)
    assert train(tiny_model(), TinyData(), changed).steps == 24  # these may change

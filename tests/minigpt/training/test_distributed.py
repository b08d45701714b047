"""minigpt.training.distributed: two processes train what one would, with DDP and with FSDP2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt.dataset import Batch
from minigpt.training import checkpoint
from minigpt.training.distributed import Processes, join_processes
from minigpt.training.loop import train
from minigpt.training.result import TrainResult
from tests.minigpt.tiny.run import (
    SPREAD_STEPS,
    TORCHRUN,
    TinyData,
    run_python,
    run_two_processes,
    skip_without_gloo,
    stop_early,
    tiny_config,
    tiny_model,
)

MODES = ["ddp", "fsdp"]


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Returns what two gloo processes found, and where they wrote."""
    folder = tmp_path_factory.mktemp("spread")
    return run_two_processes("run", "spread", folder), folder


@pytest.fixture(scope="module")
def single() -> tuple[TrainResult, dict[str, torch.Tensor]]:
    model = tiny_model(dropout=0.0)
    result = train(model, TinyData(), tiny_config(max_steps=SPREAD_STEPS))
    return result, {name: p.detach() for name, p in model.named_parameters()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("micro_batch_size", [None, 1])
def test_two_processes_give_the_losses_and_weights_of_one(
    spread: tuple[dict[str, Any], Path],
    single: tuple[TrainResult, dict[str, torch.Tensor]],
    mode: str,
    micro_batch_size: int | None,
) -> None:
    found, (result, weights) = spread[0][f"{mode} {micro_batch_size}"], single
    assert found["losses"] == pytest.approx(result.losses, abs=1e-5)
    assert [step for step, _ in found["validation"]] == [step for step, _ in result.validation]
    for (_, ours), (_, theirs) in zip(found["validation"], result.validation, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert_weights_are_near(found["weights"], weights)


def assert_weights_are_near(found: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
    assert found.keys() == weights.keys()
    for name, values in found.items():
        ours, theirs = torch.tensor(values), weights[name]
        if name.endswith("c_attn.bias"):
            # A number added to all of a query's scores changes no softmax, so the gradient of the
            # keys' bias is 0. What is left is rounding, and Adam makes whole steps of it.
            n = len(ours) // 3
            ours, theirs = (torch.cat([part[:n], part[2 * n :]]) for part in (ours, theirs))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("mode", MODES)
def test_the_callers_model_comes_back_whole_and_tied(
    spread: tuple[dict[str, Any], Path], mode: str
) -> None:
    assert spread[0][f"{mode} None"]["tied"]
    assert spread[0][f"{mode} None"]["class"] == "GPT"


@pytest.mark.parametrize("mode", MODES)
def test_frozen_weights_stay_frozen_on_two_processes(
    spread: tuple[dict[str, Any], Path], mode: str
) -> None:
    model = tiny_model(dropout=0.0)
    model.transformer["h"].requires_grad_(False)
    expected = train(model, TinyData(), tiny_config(max_steps=SPREAD_STEPS)).losses
    assert spread[0][f"{mode} frozen"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_two_processes_stop_early_at_the_step_and_with_the_weights_of_one(
    spread: tuple[dict[str, Any], Path], mode: str
) -> None:
    found = spread[0][f"{mode} early"]
    expected = stop_early(tiny_config(eval_every=4, early_stopping=2), dropout=0.0)
    assert (found["steps"], found["best_step"]) == (expected["steps"], expected["best_step"])
    assert found["steps"] == found["best_step"] + 8 < 24
    weights = {name: torch.tensor(values) for name, values in expected["weights"].items()}
    assert_weights_are_near(found["weights"], weights)
    assert spread[0][f"{mode} early and resumed"] == [found, found]


@pytest.mark.parametrize("mode", MODES)
def test_a_signal_to_one_process_stops_both_after_the_same_step(
    spread: tuple[dict[str, Any], Path], mode: str
) -> None:
    assert spread[0][f"{mode} interrupted"] == 8
    assert spread[0][f"{mode} resumed"] == spread[0][f"{mode} with dropout"]


@pytest.mark.parametrize("mode", MODES)
def test_a_checkpoint_of_two_processes_loads_on_one(
    spread: tuple[dict[str, Any], Path], mode: str
) -> None:
    model = tiny_model()
    config = tiny_config(max_steps=SPREAD_STEPS, out_dir=spread[1] / mode, resume=True)
    progress = checkpoint.load_checkpoint(spread[1] / mode, model)
    loss = train(tiny_model(), TinyData(), config).validation[-1][1]
    assert progress["losses"] == spread[0][f"{mode} resumed"]
    model.eval()
    counted = [
        (model(batch.idx, batch.targets)[1].item(), batch.n_targets)
        for batch in TinyData().validation_batches(4)
    ]
    assert loss == pytest.approx(sum(x * n for x, n in counted) / sum(n for _, n in counted))
    lines = (spread[1] / mode / "log.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines if '"loss"' in line]
    assert steps == list(range(SPREAD_STEPS))


def test_processes_that_torchrun_starts_find_each_other() -> None:
    skip_without_gloo()
    printed = run_python(*TORCHRUN, "-m", "tests.minigpt.tiny.ranks")
    found = json.loads(printed.splitlines()[-1])
    assert found == {"mode": "ddp", "count": 2, "sum": 3.0, "first": 10.0}


def test_rows_are_shared_out_without_overlap() -> None:
    idx, targets = torch.arange(10).view(5, 2), torch.arange(10, 20).view(5, 2)
    processes = [Processes("ddp", rank, 3, torch.device("cpu")) for rank in range(3)]
    shares = [worker.share(Batch(idx, targets)) for worker in processes]
    assert sorted(torch.cat([share.idx for share in shares]).flatten().tolist()) == list(range(10))
    assert all(torch.equal(share.idx + 10, share.targets) for share in shares)
    few = processes[2].share(Batch(idx[:2], targets[:2]))
    assert few.idx.shape == (1, 2)
    assert (few.targets == -100).all()


@pytest.mark.parametrize(
    ("mode", "processes", "message"),
    [
        ("tensor", "1", "parallel must be one of auto, none, ddp, fsdp, got 'tensor'"),
        ("ddp", "1", "parallel='ddp' needs several processes; start the program with torchrun"),
        ("fsdp", "1", "parallel='fsdp' needs several processes"),
        ("none", "2", "would train the same model 2 times"),
    ],
)
def test_a_mode_that_does_not_fit_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, mode: str, processes: str, message: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", processes)
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match=message):
        join_processes(mode, torch.device("cpu"))


@pytest.mark.parametrize(
    ("rank", "count"), [("one", "2"), ("0", "0"), ("0", "-1"), ("2", "2"), ("0", ""), ("0", "1e3")]
)
def test_what_torchrun_cannot_have_said_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, rank: str, count: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", count)
    with pytest.raises(ValueError, match=r"WORLD_SIZE.* start with torchrun, or unset them"):
        join_processes("auto", torch.device("cpu"))


def test_processes_that_do_not_know_where_to_meet_are_told_of_torchrun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ValueError, match="start the program with torchrun"):
        join_processes("auto", torch.device("cpu"))

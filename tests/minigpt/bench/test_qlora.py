"""The benchmark of QLoRA: both contenders do the same work, and their memory is counted right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt import device as device_module
from minigpt.bench import gpt2
from minigpt.bench import qlora as bench
from minigpt.bench.processes import ContenderError, Work
from minigpt.bench.qlora import OURS, SAME_LOSS, THEIRS, Settings
from minigpt.bench.timing import Ratio
from minigpt.command.cli import main, make_parser
from minigpt.config import GPTConfig
from minigpt.dataset import Batch
from minigpt.memory.measured import measure_memory
from minigpt.memory.predicted import Memory, predict_memory
from minigpt.optim.adamw import make_optimizer

TINY = GPTConfig(vocab_size=97, block_size=64, n_layer=2, n_head=4, n_embd=64)
CPU = torch.device("cpu")


def settings(dtype: torch.dtype = torch.float32, **changes: Any) -> Settings:
    return replace(Settings(TINY, 3, 32, dtype, CPU, seed=1, rounds=3), **changes)


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps contenders from changing the tests' process, as they may change their own."""
    monkeypatch.setattr(bench, "keep_freed_memory", lambda: True)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Work]:
    """Contenders by name, in this process."""
    pytest.importorskip("peft")
    pytest.importorskip("bitsandbytes")

    def make(name: str, settings: Settings, checkpointing: bool = False) -> Work:
        bench.write_start(settings, tmp_path)
        work = bench.contender(name, settings, tmp_path, checkpointing)
        assert work is not None
        return work

    return make


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_both_learn_the_same(
    make: Callable[..., Work], dtype: torch.dtype, checkpointing: bool
) -> None:
    losses = {}
    for name in (OURS, THEIRS):
        work = make(name, settings(dtype), checkpointing)
        losses[name] = [work("step") for _ in range(6)]
    bench.check_losses(losses[OURS], losses[THEIRS], SAME_LOSS[dtype])
    assert losses[OURS][0] - losses[OURS][-1] > 0.05  # it did learn


def test_other_codes_or_another_adapter_would_be_noticed(make: Callable[..., Work]) -> None:
    ours, theirs = make(OURS, settings()), make(THEIRS, settings(r=9))
    first, second = ([work("step") for _ in range(4)] for work in (ours, theirs))
    with pytest.raises(RuntimeError, match="not the same work: at step 1 our loss is 4"):
        bench.check_losses(first, second, SAME_LOSS[torch.float32])
    with pytest.raises(RuntimeError, match="at step 0 our loss is nan and theirs 4,"):
        bench.check_losses([float("nan")], [4.0], 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_allocator_finds_what_our_counts_of_tensors_find(
    make: Callable[..., Work], dtype: torch.dtype, tmp_path: Path
) -> None:
    found: Memory = make(OURS, settings(dtype))("memory")
    model = bench.our_model(settings(dtype), tmp_path, checkpointing=False)
    batch = Batch(*settings(dtype).batch())
    counted = measure_memory(model, make_optimizer(model, 1e-3), batch, dtype)
    assert found.weights == counted.weights
    assert found.gradients == counted.gradients
    assert found.optimizer == counted.optimizer
    # Single numbers are not counted there: the loss, its factor, those that scale A x.
    assert 0 <= found.activations - counted.activations <= 256
    assert found.peak is not None
    assert found.peak > counted.total


def test_the_peer_keeps_its_codes_and_scales_where_they_are_counted(
    make: Callable[..., Work],
) -> None:
    ours, theirs = (make(name, settings())("memory") for name in (OURS, THEIRS))
    predicted = predict_memory(TINY, "qlora", 3, 32, r=8)
    assert ours.weights == predicted.weights
    # Each of its 8 layers holds the 16 and the 256 fp32 numbers that codes stand for.
    assert theirs.weights - ours.weights == 8 * (16 + 256) * 4
    assert (theirs.gradients, theirs.optimizer) == (ours.gradients, ours.optimizer)


def test_checkpointing_is_on_in_both_where_it_is_said(make: Callable[..., Work]) -> None:
    for name in (OURS, THEIRS):
        deep = settings(config=replace(TINY, n_layer=6))
        without, with_it = (make(name, deep, on)("memory") for on in (False, True))
        assert with_it.activations < without.activations / 2
        assert with_it.peak < without.peak


def test_the_table_and_the_ratios(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command runs from end to end; only the processes and the clock are replaced."""
    times = {OURS: [2.0, 4.0, 5.0], THEIRS: [3.0, 6.0, 5.0]}

    @contextmanager
    def here(makers: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Work]]:
        yield {name: make(*arguments) for name, (make, *arguments) in makers.items()}

    def timed(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
        for _ in range(1 + rounds):
            for step in work.values():
                step()
        return {name: times[name] for name in work}

    monkeypatch.setattr(bench, "contenders", here)
    monkeypatch.setattr(bench, "time_in_turn", timed)
    monkeypatch.setattr(bench, "SMALL", TINY)
    pytest.importorskip("peft")
    pytest.importorskip("bitsandbytes")
    options = ["bench", "qlora", "--device", "cpu", "--dtype", "float32", "--context", "32"]
    path = tmp_path / "bench.json"
    assert main([*options, "--layers", "1", "--rounds", "3", "--json", str(path)]) == 0
    report = json.loads(path.read_text(encoding="utf-8"))
    assert [(row["contender"], row["checkpointing"]) for row in report["qlora"]] == [
        (OURS, False), (THEIRS, False), (OURS, True), (THEIRS, True)
    ]  # fmt: skip
    for row in report["qlora"]:
        assert row["seconds"] == {OURS: 4.0, THEIRS: 5.0}[row["contender"]]
        assert len(row["losses"]) == 4
        assert 0 < row["activations"] < row["peak"]
    peaks = [row["peak"] for row in report["qlora"]]
    measured = {row["what"]: row["measured"] for row in report["ratios"]}
    assert measured == {
        "QLoRA step, no checkpointing": 1.5,
        "QLoRA peak memory, no checkpointing": round(peaks[1] / peaks[0], 4),
        "QLoRA step, checkpointing": 1.5,
        "QLoRA peak memory, checkpointing": round(peaks[3] / peaks[2], 4),
    }


def test_a_pair_that_needs_too_much_memory_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compare(*arguments: Any) -> tuple[list[dict[str, Any]], list[Ratio]]:
        if not arguments[-1]:
            raise ContenderError("theirs: OutOfMemoryError: 2 GiB")
        return [{"peak": 3}], [("memory", 2.0, None)]

    monkeypatch.setattr(bench, "contenders", lambda makers: nullcontext({}))
    monkeypatch.setattr(bench, "compare", compare)
    assert bench.bench_qlora(settings()) == ([("memory", 2.0, None)], [{"peak": 3}])
    printed = capsys.readouterr().out
    assert "without checkpointing: theirs: OutOfMemoryError: 2 GiB\n" in printed


def test_without_the_peers_libraries_ours_is_measured_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench, "find_spec", lambda name: None if name == "peft" else object())
    bench.write_start(settings(), tmp_path)
    assert bench.contender(THEIRS, settings(), tmp_path, False) is None
    ours = bench.contender(OURS, settings(), tmp_path, False)
    assert ours is not None
    rows, ratios = bench.compare({OURS: ours}, settings(), False)
    assert [row["contender"] for row in rows] == [OURS]
    assert ratios == []


def test_options_and_what_they_default_to() -> None:
    def chosen(device: str, *options: str) -> Settings:
        found: list[Settings | None] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gpt2, "run_benches", lambda _, qlora, *more: found.append(qlora))
            patch.setattr(device_module, "pick_device", lambda name: torch.device(device))
            arguments = make_parser().parse_args(["bench", "qlora", *options])
            arguments.run(arguments)
        assert found[0] is not None
        return found[0]

    small = chosen("cpu")
    assert (small.config.n_layer, small.config.n_embd) == (2, 768)
    assert (small.batch_size, small.context, small.rounds) == (2, 256, 5)
    wide = chosen("cpu", "--preset", "gpt2-xl", "--layers", "3", "--batch", "1", "--seed", "4")
    assert (wide.config.n_layer, wide.config.n_embd, wide.batch_size, wide.seed) == (3, 1600, 1, 4)
    large = chosen("cuda", "--dtype", "bfloat16")
    assert large.config == GPTConfig.preset("gpt2-xl")
    assert (large.batch_size, large.context) == (8, 1024)
    for options, message in [
        (["--context", "1025"], "context must be at most 1024, the model's block_size, got 1025"),
        (["--rounds", "0"], "--rounds must be a whole number from 1 to"),
        (["--layers", "0"], "--layers must be a whole number from 1 to"),
        (["--preset", "gpt5"], "no preset is called 'gpt5'"),
    ]:
        with pytest.raises(ValueError, match=message):
            chosen("cpu", *options)

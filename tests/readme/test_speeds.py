"""The README's table of speeds is that of the benchmarks, which run here in their smallest form.

What they find then means nothing, and no time is asserted: only that they run, and that the rows
that they print, and the aims beside them, are those of the README.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from minigpt.bench import gpt2, metrics, training
from minigpt.config import GPTConfig
from minigpt.text.python_library import python_library
from tests.readme.page import table

Print = pytest.CaptureFixture[str]
SPEEDS = table("what is timed")
TINY = GPTConfig(vocab_size=97, block_size=32, n_layer=1, n_head=2, n_embd=8)


@contextmanager
def in_this_process(makers: dict[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Stands in for benchmarks' processes of their own, each of which takes seconds to start."""
    made = {name: make(*arguments) for name, (make, *arguments) in makers.items()}
    yield {name: work for name, work in made.items() if work is not None}


def aims_of_metrics(patch: pytest.MonkeyPatch, capsys: Print) -> dict[str, float | None]:
    pairs = metrics.damaged_pairs
    library = python_library(20)
    patch.setattr(metrics, "python_library", lambda: library)
    patch.setattr(metrics, "damaged_pairs", lambda words, n, *rest: pairs(words, n // 400, *rest))
    return {what: aim for what, _, aim in metrics.bench_metrics(seed=0, rounds=1)}


def aims_of_training(patch: pytest.MonkeyPatch, capsys: Print) -> dict[str, float | None]:
    for name, value in {"SMALL": TINY, "BATCH": 2, "contenders": in_this_process}.items():
        patch.setattr(training, name, value)
    patch.setattr(training, "keep_freed_memory", lambda: None)  # it would last
    rows = training.bench_training(torch.device("cpu"), seed=0, rounds=1)
    return {what: aim for what, _, aim in rows}


def aims_of_generation(patch: pytest.MonkeyPatch, capsys: Print) -> dict[str, float | None]:
    rows = gpt2.bench_small(TINY, torch.device("cpu"), rounds=1, n_new=2)
    return {what.replace("width 8", "width 256"): aim for what, _, aim in rows}


def aims_of_nf4(patch: pytest.MonkeyPatch, capsys: Print) -> dict[str, float | None]:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is installed on Linux only")
    from kernels.bench import cpu

    assert cpu.main(["--size", "64", "--rounds", "1"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    return {f"NF4, {line[0]}, against bitsandbytes": float(line[-1]) for line in lines}


BENCHES = {
    "minigpt bench metrics": aims_of_metrics,
    "minigpt bench training": aims_of_training,
    "minigpt bench generation": aims_of_generation,
    "python -m kernels.bench.cpu": aims_of_nf4,
}


@pytest.mark.parametrize("command", BENCHES)
def test_a_benchmark_prints_the_rows_and_the_aims_of_the_table(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: Print
) -> None:
    found = BENCHES[command](monkeypatch, capsys)
    rows = [row for row in SPEEDS if row["measure it"] == f"`{command}`"]
    assert rows
    for row in rows:
        assert found[row["what is timed"]] == float(row["aim: times as fast"]), row["what is timed"]


def test_each_speed_has_its_benchmark() -> None:
    assert {row["measure it"].strip("`") for row in SPEEDS} == set(BENCHES)

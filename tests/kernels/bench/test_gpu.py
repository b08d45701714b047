"""The benchmarks without a GPU: exit codes, whole files, contenders that do the same work."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kernels import dequantize_nf4, quantize_nf4
from kernels.bench import contenders as bench_contenders
from kernels.bench import cpu as bench_cpu
from kernels.bench import gpu as bench
from kernels.bench import report as bench_report
from kernels.nf4 import DYNAMIC_MAP

SHAPE = (2, 2048)  # small: kernels are interpreted


def without_compiling(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Takes the place of torch.compile, which takes a C++ compiler's time."""
    return function


def play_gemv(patch: pytest.MonkeyPatch, functional: Any) -> None:
    """Replaces bitsandbytes' kernel for one row, which on a CPU wants codes in another order.

    It would end the process if it did not get them."""
    signature = inspect.signature(functional.gemv_4bit)

    def gemv(*given: Any, **named: Any) -> Tensor:
        bound = signature.bind(*given, **named).arguments
        assert bound["A"].shape[0] == 1
        return F.linear(bound["A"], functional.dequantize_4bit(bound["B"], bound["state"]))

    patch.setattr(functional, "gemv_4bit", gemv)


def a_row(report: dict[str, Any], shape: tuple[int, int]) -> None:
    """Takes the place of bench_weight."""
    seconds = {"ours": 1e-6, "torch": 2e-6}
    row = bench_report.row("quantize", shape, 0, seconds, 4000, 2048, 4e9, 1e12)
    report["rows"].append({**row, "python_in_time": []})


def a_row_and_a_failure(report: dict[str, Any], shape: tuple[int, int]) -> None:
    a_row(report, shape)
    report["failed"]["product, 2 x 2048, 1 rows: ours"] = "RuntimeError: no kernel image"


@pytest.mark.parametrize(("weight", "code"), [(a_row, 0), (a_row_and_a_failure, 1)])
def test_files_are_written_under_runs_and_a_failure_is_in_the_exit_code(
    weight: Callable[..., None], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A stand-in (2 TB)")
    report = {"gpu": "A stand-in", "copy_bytes_per_second": 4e9, "matmul_flops": 1e12, "seed": 0}
    monkeypatch.setattr(bench, "measure_gpu", lambda: {**report, "rows": [], "failed": {}})
    monkeypatch.setattr(bench, "bench_weight", weight)
    monkeypatch.setattr(bench, "bitsandbytes", lambda: None)
    monkeypatch.setattr(bench, "SHAPES", {"small": SHAPE})
    assert bench.main([]) == code
    written = tmp_path / "runs" / "kernels" / "a-stand-in-2-tb.json"
    assert len(json.loads(written.read_text())["rows"]) == 1
    assert written.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert len(list(written.parent.iterdir())) == 2


def test_contenders_do_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = [torch.randn(SHAPE).bfloat16() for _ in range(2)]
    packed = [quantize_nf4(weight) for weight in weights]
    module = bench_contenders.bitsandbytes()  # it looks around when it is first imported
    monkeypatch.setattr(torch, "compile", without_compiling)
    theirs = [bench_contenders.their_quantize(weight) for weight in weights] if module else []
    x = torch.randn(1, SHAPE[1]).bfloat16()
    products = bench_contenders.products(weights, packed, theirs)
    products |= bench_contenders.both_ways(packed)
    if module:
        play_gemv(monkeypatch, module.functional)
        products["gemv"] = bench_contenders.their_matvec(theirs)
    for i, q in enumerate(packed):
        parts = list(q.parts.values())
        for name, work in bench_contenders.quantizers(weights).items():
            found: Any = work(i)
            if name.startswith("ours"):
                found = list(found.parts.values())
            elif name == "bitsandbytes":
                state = found[1]
                found = [found[0].flatten(), state.absmax, state.state2.absmax, state.offset]
            assert torch.equal(found[0], q.codes), name
            # Who sums the scales in another order finds another last bit in their mean, and the
            # 8-bit codes of bitsandbytes are some places off on a processor.
            scale, expected = (DYNAMIC_MAP[part.int()] for part in (found[1], parts[1]))
            torch.testing.assert_close(scale, expected, rtol=0, atol=0.02, msg=name)
            for a, b in zip(found[2:], parts[2:], strict=True):
                torch.testing.assert_close(a, b, rtol=1e-5, atol=0)
        expected = dequantize_nf4(q)
        for name, work in bench_contenders.dequantizers(packed, theirs).items():
            weight = work(i)
            assert isinstance(weight, Tensor)
            assert weight.dtype == torch.bfloat16, name
            torch.testing.assert_close(weight, expected, rtol=2**-7, atol=0.01, msg=name)
        for name, product in products.items():
            wanted = F.linear(x, weights[i] if name == "bf16 weight" else expected).float()
            y = product(x, i)
            assert y.dtype == torch.bfloat16
            assert (y.float() - wanted).norm() < 0.02 * wanted.norm(), name


def test_who_raises_an_error_or_gives_other_numbers_is_not_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def seconds(able: dict[str, Any], keep: int) -> tuple[dict[str, float], list[str]]:
        for work in able.values():
            work(1)
        return dict.fromkeys(able, 1e-6), []

    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(bench, "median_seconds", seconds)
    report = {"copy_bytes_per_second": 1e9, "matmul_flops": 1e9, "rows": [], "failed": {}}

    def fail(i: int) -> None:
        raise RuntimeError("no kernel image\nfor this GPU")

    def idle(i: int) -> None:
        pass

    bench.time_row(report, "product", (4, 2), 1, {"ours": idle, "torch": fail}, 8, 8, 1)
    bench.time_row(report, "dequantize", (4, 2), 0, {"ours": fail, "torch": idle}, 8, 8, 1)
    numbers = torch.arange(1.0, 9.0)
    peers = {"near": numbers + 0.1, "far": numbers.flip(0), "nan": numbers / 0 * 0, "none": None}
    works = {"ours": lambda i: numbers} | {k: lambda i, v=v: v for k, v in peers.items()}  # type: ignore[misc]
    bench.time_row(report, "product", (4, 2), 2, works, 8, 8, 1)
    codes = quantize_nf4(numbers, backend="torch").codes
    works = {"ours": lambda i: [codes], "torch": lambda i: (codes[:, None],)}
    works |= {"zeros": lambda i: [0 * codes], "checked": lambda i: quantize_nf4(numbers)}
    bench.time_row(report, "quantize", (4, 2), 0, works, 8, 8, 1)
    calls = iter([None])

    def tire(i: int) -> object:
        return next(calls)

    bench.time_row(report, "product", (4, 2), 9, {"ours": tire}, 8, 8, 1)
    assert report["failed"] == {
        "product, 4 x 2, 1 rows: torch": "RuntimeError: no kernel image",
        "dequantize, 4 x 2, 0 rows: ours": "RuntimeError: no kernel image",
        "product, 4 x 2, 2 rows: far": "ValueError: its numbers are 91% off ours",
        "product, 4 x 2, 2 rows: nan": "ValueError: its numbers are nan% off ours",
        "quantize, 4 x 2, 0 rows: zeros": "ValueError: its numbers are 100% off ours",
        "product, 4 x 2, 9 rows": "StopIteration: ",
    }
    timed = [list(line["microseconds"]) for line in report["rows"]]  # type: ignore[attr-defined]
    assert timed == [["ours"], ["ours", "near", "none"], ["ours", "torch", "checked"]]
    assert (
        "product, 4 x 2, 1 rows: torch: RuntimeError: no kernel image\n" in capsys.readouterr().out
    )


class Event:
    """An event that is over as soon as it is recorded, long before anybody asks."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.time = time.perf_counter()

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        assert self.time

    def elapsed_time(self, end: Event) -> float:
        return 1000 * (end.time - self.time)


def test_the_gpu_gets_a_head_start_and_results_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "WARM_UP", 2)
    monkeypatch.setattr(bench, "TURNS", 3)
    monkeypatch.setattr(bench, "CALLS", 4)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    waits: list[int] = []
    monkeypatch.setattr(torch.cuda, "_sleep", waits.append)
    turns: list[int] = []
    alive: WeakSet[Tensor] = WeakSet()
    most = 0

    def work(turn: int) -> Tensor:
        nonlocal most
        time.sleep(0.001)
        turns.append(turn)
        result = torch.empty(8)
        alive.add(result)
        most = max(most, len(alive))
        return result

    medians, late = bench.median_seconds({"slow": work}, keep=6)
    assert turns == list(range(5 * 4))  # two turns before the three that count
    assert most == 7  # six, and the one that is made
    assert waits[0] == 0
    assert all(2 * 4 * 0.001 <= wait / bench.CLOCK <= 0.02 for wait in waits[1:])
    assert medians["slow"] >= 0.001
    assert late == ["slow"]


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    bench_report.write({"a": 1}, path)

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        bench_report.replace(path, fail)
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_goals_stand_in_the_table() -> None:
    seconds = {"ours": 2e-6, "bitsandbytes": 6e-6}
    line = bench_report.row("quantize", (64, 32), 0, seconds, 4000, 2048, 4e9, 1e12)
    assert line["bytes_per_second"] == pytest.approx(2e9)
    assert line["share_of_roof"] == line["share_of_copy"] == pytest.approx(0.5)  # 2 of 4 GB/s
    said = bench_report.describe_row({**line, "python_in_time": ["ours"]})
    assert "50% (goal 85%)  bitsandbytes 3.00 (goal 3.0); Python's time is in: ours" in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_without_a_gpu_it_says_so_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([]) == 2
    said = capsys.readouterr().err
    assert "needs a CUDA GPU" in said
    assert "kernels.machine_code" in said


def test_the_processor_bench_times_both_contenders(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("bitsandbytes")
    assert bench_cpu.main(["--size", "64", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith(("quantize", "dequantize"))]) == 8

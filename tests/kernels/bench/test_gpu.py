"""The benchmarks: all of their code in a dry run without a GPU, and what they say of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakSet

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import kernels.gpu.dequantize
from kernels import dequantize_nf4, quantize_nf4
from kernels.bench import checks as bench_checks
from kernels.bench import contenders as bench_contenders
from kernels.bench import cpu as bench_cpu
from kernels.bench import gpu as bench
from kernels.bench import report as bench_report
from kernels.nf4 import DYNAMIC_MAP
from tests.kernels.paper_gpu.bench_stand_ins import (
    CALLED_ROWS,
    CHECKED_ROWS,
    SHAPE,
    WAYS,
    Event,
    Work,
    in_place_of_a_gpu,
    run,
)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The stand-in for one test."""
    in_place_of_a_gpu(monkeypatch)
    yield monkeypatch
    torch.compiler.reset()


class DryRun(NamedTuple):
    code: int
    printed: str
    report: dict[str, Any]
    folder: Path


@pytest.fixture(scope="module")
def dry_run(tmp_path_factory: pytest.TempPathFactory) -> DryRun:
    """One run of all there is, from the command line to the files."""
    folder = tmp_path_factory.mktemp("results")
    path = folder / "stand-in.json"
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        in_place_of_a_gpu(patch)
        code = run(patch, path)
    torch.compiler.reset()
    return DryRun(code, printed.getvalue(), json.loads(path.read_text()), folder)


def test_all_checks_are_made_and_find_nothing_wrong(dry_run: DryRun) -> None:
    checks = dry_run.report["checks"]
    assert list(checks["values"]) == [
        f"small, {name}" for name in ("float32", "float16", "bfloat16")
    ]
    for name, values in checks["values"].items():
        eps = torch.finfo(getattr(torch, name.removeprefix("small, "))).eps
        errors = [value for what, value in values.items() if what.startswith("relative error")]
        assert len(errors) == 2 * len(CHECKED_ROWS)
        assert all(eps / 100 < error < 4 * eps for error in errors), values
        assert {v for what, v in values.items() if "differ" in what} == {0}
    names = ["quantize", "dequantize", *(f"product of {rows} rows" for rows in CALLED_ROWS)]
    assert checks["behaviour"] == {way: dict.fromkeys(names, 0) for way in WAYS}
    for way in WAYS:
        assert f"\n{way}: right\n" in dry_run.printed
    assert "WRONG" not in dry_run.printed
    assert dry_run.code == 0


def test_every_contender_is_timed_at_everything(dry_run: DryRun) -> None:
    assert dry_run.report["failed"] == {}
    theirs = {"bitsandbytes"} if bench_contenders.bitsandbytes() is not None else set()
    gemv = {"bitsandbytes gemv"} if theirs else set()
    ways = {"ours, packed", "ours, dequantized"}
    usual = {"ours", "torch", "torch.compile"} | theirs
    assert [(line["what"], line["rows"]) for line in dry_run.report["rows"]] == [
        ("quantize", 0), ("dequantize", 0),
        ("matrix-vector", 1), ("matrix-vector, with backward", 1),
        ("product", 3), ("product, with backward", 3),
    ]  # fmt: skip
    product = usual | {"bf16 weight"}
    expected = [usual | {"ours, checked"}, usual]
    expected += [product | gemv | ways, product, product | ways, product]
    assert [set(line["microseconds"]) for line in dry_run.report["rows"]] == expected


def test_figures_of_a_row_agree_with_each_other(dry_run: DryRun) -> None:
    report = dry_run.report
    bandwidth, peak = report["copy_bytes_per_second"], report["matmul_flops"]
    n = SHAPE[0] * SHAPE[1]
    vector, three = 0.516 * n + 2 * sum(SHAPE), 0.516 * n + 6 * sum(SHAPE)
    n_bytes = [2.5625 * n, 2.516 * n, vector, 2 * vector, three, 2 * three]
    operations = [n, n, 2 * n, 4 * n, 6 * n, 12 * n]
    for line, moved, done in zip(report["rows"], n_bytes, operations, strict=True):
        seconds = {name: 1e-6 * us for name, us in line["microseconds"].items()}
        ours = seconds.pop("ours")
        assert line["bytes_per_second"] == pytest.approx(moved / ours)
        assert line["share_of_copy"] == pytest.approx(moved / ours / bandwidth)
        assert line["share_of_roof"] == pytest.approx(max(moved / bandwidth, done / peak) / ours)
        assert line["operations_per_byte"] == pytest.approx(done / moved)
        assert line["times"] == pytest.approx({name: s / ours for name, s in seconds.items()})


def test_what_is_printed_is_what_is_written(dry_run: DryRun) -> None:
    table = dry_run.printed[dry_run.printed.index(bench_report.HEADER) :].splitlines()[1:]
    lines = [bench_report.describe_row(line) for line in dry_run.report["rows"]]
    assert table[: len(lines)] == lines
    assert f"random seed {dry_run.report['seed']}" in dry_run.printed
    for line in bench_checks.describe(dry_run.report["checks"]):
        assert line in dry_run.printed
    files = sorted(dry_run.folder.iterdir())
    assert [file.name for file in files] == ["stand-in.json", "stand-in.png"]
    assert files[1].read_bytes().startswith(b"\x89PNG")


def without_bitsandbytes(patch: pytest.MonkeyPatch) -> None:
    for module in (bench, bench_checks, bench_contenders):
        patch.setattr(module, "bitsandbytes", lambda: None)


def test_again_without_bitsandbytes_and_with_something_wrong(
    gpu: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_bitsandbytes(gpu)
    gpu.setattr(bench, "ROWS", ())
    found = {"values": {"small, bfloat16": {"parts that differ": 0.25}}, "behaviour": {}}
    gpu.setattr(bench, "check_all", lambda shapes, device: found)
    path = tmp_path / "folder" / "a.json"
    path.parent.mkdir()
    path.write_text("of the last run, and longer than what comes now" * 999)
    assert run(gpu, path) == 1
    report = json.loads(path.read_text())
    assert report["versions"]["bitsandbytes"] is None
    for line, ours in zip(report["rows"], ({"ours", "ours, checked"}, {"ours"}), strict=True):
        assert set(line["microseconds"]) == ours | {"torch", "torch.compile"}
    printed = capsys.readouterr().out
    assert "bitsandbytes is not installed: compared with torch only" in printed
    assert "WRONG: small, bfloat16: parts that differ 0.25, allowed 0" in printed


def test_contenders_do_the_same_work(gpu: pytest.MonkeyPatch) -> None:
    weights = [torch.randn(SHAPE).bfloat16() for _ in range(2)]
    packed = [quantize_nf4(weight) for weight in weights]
    module = bench_contenders.bitsandbytes()
    theirs = [bench_contenders.their_quantize(weight) for weight in weights] if module else []
    x = torch.randn(1, SHAPE[1]).bfloat16()
    products = bench_contenders.products(weights, packed, theirs)
    products |= bench_contenders.both_ways(packed)
    if module:
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


def test_who_raises_an_error_is_out_of_the_race(
    gpu: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = {"copy_bytes_per_second": 1e9, "matmul_flops": 1e9, "rows": [], "failed": {}}

    def fail(i: int) -> None:
        raise RuntimeError("no kernel image\nfor this GPU")

    def idle(i: int) -> None:
        pass

    bench.race(report, "product", (4, 2), 1, {"ours": idle, "torch": fail}, 8, 8, 1)
    bench.race(report, "dequantize", (4, 2), 0, {"ours": fail, "torch": idle}, 8, 8, 1)
    numbers = torch.arange(1.0, 9.0)
    peers = {"near": numbers + 0.1, "far": numbers.flip(0), "nan": numbers / 0 * 0, "none": None}
    works = {"ours": lambda i: numbers} | {k: lambda i, v=v: v for k, v in peers.items()}  # type: ignore[misc]
    bench.race(report, "product", (4, 2), 2, works, 8, 8, 1)
    codes = quantize_nf4(numbers, backend="torch").codes
    works = {"ours": lambda i: [codes], "torch": lambda i: (codes[:, None],)}
    works |= {"zeros": lambda i: [0 * codes], "checked": lambda i: quantize_nf4(numbers)}
    bench.race(report, "quantize", (4, 2), 0, works, 8, 8, 1)
    calls = iter([None])

    def tire(i: int) -> object:
        return next(calls)

    bench.race(report, "product", (4, 2), 9, {"ours": tire}, 8, 8, 1)
    assert report["failed"] == {
        "product, 4 x 2, 1 rows: torch": "RuntimeError: no kernel image",
        "dequantize, 4 x 2, 0 rows: ours": "RuntimeError: no kernel image",
        "product, 4 x 2, 2 rows: far": "ValueError: its numbers are 91% off ours",
        "product, 4 x 2, 2 rows: nan": "ValueError: its numbers are nan% off ours",
        "quantize, 4 x 2, 0 rows: zeros": "ValueError: its numbers are 100% off ours",
        "product, 4 x 2, 9 rows": "StopIteration: ",
    }
    raced = [list(line["microseconds"]) for line in report["rows"]]  # type: ignore[attr-defined]
    assert raced == [["ours"], ["ours", "near", "none"], ["ours", "torch", "checked"]]
    assert (
        "product, 4 x 2, 1 rows: torch: RuntimeError: no kernel image\n" in capsys.readouterr().out
    )


def test_the_gpu_gets_a_head_start_and_results_are_kept(gpu: pytest.MonkeyPatch) -> None:
    gpu.setattr(bench, "WARM_UP", 2)
    gpu.setattr(bench, "TURNS", 3)
    gpu.setattr(bench, "CALLS", 4)
    gpu.setattr(Event, "query", lambda event: True)
    waits: list[int] = []
    gpu.setattr(torch.cuda, "_sleep", waits.append)
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


def test_outputs_that_a_graph_does_not_write_again_are_found_out(
    gpu: pytest.MonkeyPatch,
) -> None:
    first, second = torch.randn(2, 10)
    operation = bench_checks.Operation(lambda x: [x + 1], [first], [second], 0)

    def capture_once(work: Work) -> tuple[Callable[[], None], list[Tensor]]:
        return lambda: None, work()

    assert torch.equal(bench_checks.in_a_graph(operation)[0], second + 1)
    gpu.setattr(bench_checks, "capture", capture_once)
    found = bench_checks.in_a_graph(operation)
    assert bench_checks.count_different(found, [second + 1], 0) == 10


def test_every_way_to_call_is_compared_with_the_second_inputs(gpu: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 10)

    def refuse(x: Tensor) -> list[Tensor]:
        raise RuntimeError("cannot be captured")

    found = {
        "good": bench_checks.Operation(lambda x: [x + 1], [x[0]], [x[1]], 0),
        "other": bench_checks.Operation(refuse, [x[0]], [x[1]], 0),
    }
    gpu.setattr(bench_checks, "operations", lambda device: {"good": found["good"]})
    gpu.setattr(bench_checks, "on_a_side_stream", lambda operation: [operation.first[0] + 1])
    gpu.setattr(bench_checks, "in_a_graph", lambda operation: refuse(x))
    checks = {"values": {}, "behaviour": bench_checks.check_behaviour(torch.device("cpu"))}
    assert checks["behaviour"]["stream"] == {"good": 10}
    assert checks["behaviour"]["graph"] == {"good": "RuntimeError: cannot be captured"}
    assert checks["behaviour"]["torch.compile"] == {"good": 0}
    assert bench_checks.what_is_wrong(checks) == [
        "WRONG: stream: good: 10",
        "WRONG: graph: good: RuntimeError: cannot be captured",
    ]
    assert "stream: good: 10 values differ" in bench_checks.describe(checks)


def test_wrong_values_are_found(gpu: pytest.MonkeyPatch) -> None:
    right = kernels.gpu.dequantize.dequantize

    def slip(*arguments: Any, **options: Any) -> Tensor:
        out = right(*arguments, **options)
        out.view(-1)[5] += 1
        return out

    gpu.setattr(kernels.gpu.dequantize, "dequantize", slip)
    gpu.setattr(bench_checks, "VALUE_ROWS", (33,))
    gpu.setattr(bench_checks, "check_behaviour", lambda device: {})
    checks = bench_checks.check_all({"small": SHAPE}, torch.device("cpu"))
    n = SHAPE[0] * SHAPE[1]
    for name, values in checks["values"].items():
        assert values["dequantized that differ"] == pytest.approx(1 / n)
        wrong = [line for line in bench_checks.what_is_wrong(checks) if name in line]
        assert len(wrong) == 3, wrong  # the product with many rows and its gradient too


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

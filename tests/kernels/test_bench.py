"""What the benchmarks say without a GPU, and the arithmetic of what they report with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from kernels import bench, bench_cpu


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_without_a_gpu_it_says_so_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([]) == 2
    said = capsys.readouterr().err
    assert "needs a CUDA GPU" in said
    assert "kernels.machine_code" in said


def test_a_row_is_bandwidth_share_and_ratios() -> None:
    seconds = {"ours": 2e-6, "bitsandbytes": 5e-6}
    row = bench.row(
        "dequantize", (64, 32), 1, seconds, n_bytes=4000, operations=8000, bandwidth=4e9
    )
    assert row["bytes_per_second"] == pytest.approx(2e9)
    assert row["share_of_copy"] == pytest.approx(0.5)
    assert row["operations_per_byte"] == 2
    assert row["times"] == {"bitsandbytes": pytest.approx(2.5)}
    assert row["microseconds"]["ours"] == pytest.approx(2)


def test_the_torch_peer_computes_the_same_weight() -> None:
    from kernels import dequantize_nf4, quantize_nf4

    q = quantize_nf4(torch.randn(32, 64), double_quant=False)
    assert torch.equal(bench.eager_dequantize(q), dequantize_nf4(q))


def test_the_report_is_printed_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        bench.row(what, (64, 64), 1, {"ours": 1e-6, "bitsandbytes": 3e-6}, 8192.0, 8192.0, 1e10)
        for what in ("quantize", "matrix-vector")
    ]
    report = {
        "gpu": "a GPU", "copy_bytes_per_second": 1e10, "matmul_flops": 1e13, "rows": rows,
        "checks": {"64 x 64": {"codes that differ": 0.0}},
    }  # fmt: skip
    json.dumps(report)
    bench.print_report(report)
    printed = capsys.readouterr().out
    assert "bitsandbytes 3.00 (goal 3.0)" in printed
    assert "82% (goal 85%)" in printed
    bench.roofline(report, tmp_path / "roofline.png")
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")


def test_the_processor_bench_times_both_contenders(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("bitsandbytes")
    assert bench_cpu.main(["--size", "64", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith(("quantize", "dequantize"))]) == 8

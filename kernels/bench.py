"""python -m kernels.bench: the kernels beside their peers, on the GPU that is there.

Correctness first: fresh random weights, against the reference in float64. Then times, every
contender in turn, medians, on buffers that rotate past the L2 cache so that memory is what is
measured. A figure that counts is a fraction of the bandwidth at which this GPU copies, or a ratio
to a peer: bitsandbytes where it is installed, torch as it comes, and torch.compile.

Writes kernels/results/GPU.json and a figure beside it. Without a GPU it says so and exits 2.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import torch
import triton
from torch import Tensor
from torch.nn import functional as F

from kernels import NF4Tensor, dequantize_nf4, nf4_linear, quantize_nf4
from kernels.nf4 import LEVELS

SHAPES = {
    "4096 x 4096": (4096, 4096),
    "4096 x 14336": (4096, 14336),
    "GPT-2 XL c_attn": (4800, 1600),
    "GPT-2 XL c_fc": (6400, 1600),
    "Llama-70B q_proj": (8192, 8192),
    "Llama-70B gate_proj": (28672, 8192),
}
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)  # M of the matrix products
GOALS = {"quantize": 0.85, "dequantize": 0.85}  # of the copy bandwidth
PEER_GOALS = {"quantize": 3.0, "dequantize": 1.4, "matrix-vector": 1.3}  # times bitsandbytes
Contenders = dict[str, Callable[[int], object]]  # each takes the number of the turn


def median_seconds(contenders: Contenders, turns: int = 30, calls: int = 10) -> dict[str, float]:
    """Median seconds a call of each contender, by CUDA events around `calls` calls, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(-3, turns):  # the first turns compile, tune and warm up
        for name, work in contenders.items():
            start, end = torch.cuda.Event(True), torch.cuda.Event(True)
            start.record()
            for call in range(calls):
                work((turn + 3) * calls + call)
            end.record()
            end.synchronize()
            if turn >= 0:
                seconds[name].append(start.elapsed_time(end) / 1000 / calls)
    return {name: statistics.median(times) for name, times in seconds.items()}


def copies_past_cache(n_bytes: int) -> int:
    """How many buffers of n_bytes it takes until the L2 cache has forgotten the first."""
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    return max(2, -(-3 * cache // n_bytes))


def copy_bandwidth() -> float:
    """Bytes a second, read and written, of copying 1 GiB."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    seconds = median_seconds({"copy": lambda _: target.copy_(source)})
    return 2 * source.nbytes / seconds["copy"]


def check(shape: tuple[int, int], dtype: torch.dtype, seed: int) -> dict[str, float]:
    """Compare one weight's kernels with the reference, and with float64.

    Returns:
        the share of codes that differ from the reference's, the largest error of dequantizing in
        units of the last place of the output, and the relative error of a product with 1, 16 and
        64 rows.
    """
    torch.manual_seed(seed)
    weight = torch.randn(shape, device="cuda").to(dtype)
    ours = quantize_nf4(weight, backend="triton")
    reference = quantize_nf4(weight.cpu(), backend="torch")
    report = {"codes that differ": (ours.codes.cpu() != reference.codes).double().mean().item()}
    exact = dequantize_nf4(ours, torch.float32, backend="torch").double()
    got = dequantize_nf4(ours, backend="triton")
    report["dequantized values that differ"] = (got != exact.to(dtype)).double().mean().item()
    for rows in (1, 16, 64):
        x = torch.randn(rows, shape[1], device="cuda").to(dtype)
        wanted = x.double() @ exact.T
        error = (nf4_linear(x, ours, backend="triton").double() - wanted).norm() / wanted.norm()
        report[f"relative error of x [{rows}]"] = error.item()
    return report


def eager_dequantize(q: NF4Tensor) -> Tensor:
    """What a few lines of torch do: a table, a product, no double quantization."""
    assert q.absmax is not None
    levels = LEVELS.to(q.device)
    codes = torch.stack((q.codes >> 4, q.codes & 15), dim=-1).flatten().long()  # (n,)
    values = levels[codes].view(-1, q.block_size) * q.absmax[:, None]
    return values.view(q.shape).to(q.dtype)


def bitsandbytes_functions() -> Any:
    """bitsandbytes.functional, or None where it is not installed."""
    try:
        from bitsandbytes import functional
    except ImportError:
        return None
    return functional


def bench_weight(shape: tuple[int, int], bandwidth: float) -> list[dict[str, Any]]:
    """Quantize and dequantize a bf16 weight with double quantization."""
    n = shape[0] * shape[1]
    weights = [
        torch.randn(shape, device="cuda", dtype=torch.bfloat16)
        for _ in range(copies_past_cache(2 * n))
    ]
    packed = [quantize_nf4(weight) for weight in weights]
    single = [quantize_nf4(weight, double_quant=False) for weight in weights]
    compiled = torch.compile(eager_dequantize)
    count = len(weights)
    quantizers: Contenders = {"ours": lambda i: quantize_nf4(weights[i % count])}
    dequantizers: Contenders = {
        "ours": lambda i: dequantize_nf4(packed[i % count]),
        "torch": lambda i: eager_dequantize(single[i % count]),
        "torch.compile": lambda i: compiled(single[i % count]),
    }
    functional = bitsandbytes_functions()
    if functional is not None:
        theirs = [
            functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
            for weight in weights
        ]
        quantizers["bitsandbytes"] = lambda i: functional.quantize_4bit(
            weights[i % count], quant_type="nf4", compress_statistics=True
        )
        dequantizers["bitsandbytes"] = lambda i: functional.dequantize_4bit(*theirs[i % count])
    rows = []
    for what, contenders, n_bytes in [
        ("quantize", quantizers, 2.5625 * n),
        ("dequantize", dequantizers, 2.516 * n),
    ]:
        seconds = median_seconds(contenders)
        rows.append(row(what, shape, 1, seconds, n_bytes, 2 * n, bandwidth))
    return rows


def row(
    what: str,
    shape: tuple[int, int],
    rows: int,
    seconds: dict[str, float],
    n_bytes: float,
    operations: float,
    bandwidth: float,
) -> dict[str, Any]:
    """One line of the report: our speed, and how many times as fast as each peer."""
    ours = seconds["ours"]
    return {
        "what": what,
        "shape": list(shape),
        "rows": rows,
        "microseconds": {name: 1e6 * s for name, s in seconds.items()},
        "bytes_per_second": n_bytes / ours,
        "share_of_copy": n_bytes / ours / bandwidth,
        "operations_per_byte": operations / n_bytes,
        "times": {name: s / ours for name, s in seconds.items() if name != "ours"},
    }


def bench_product(shape: tuple[int, int], rows: int, bandwidth: float) -> list[dict[str, Any]]:
    """y = x @ W^T and its backward pass with respect to x, from NF4 and from bf16."""
    n = shape[0] * shape[1]
    count = copies_past_cache(n // 2)
    weights = [torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(count)]
    packed = [quantize_nf4(weight) for weight in weights]
    x = torch.randn(rows, shape[1], device="cuda", dtype=torch.bfloat16)
    gradient = torch.randn(rows, shape[0], device="cuda", dtype=torch.bfloat16)

    def backward(product: Callable[[Tensor, int], Tensor]) -> Callable[[int], object]:
        leaf = x.clone().requires_grad_()
        return lambda i: torch.autograd.grad(product(leaf, i % count), leaf, gradient)

    products: dict[str, Callable[[Tensor, int], Tensor]] = {
        "ours": lambda x, i: nf4_linear(x, packed[i % count]),
        "bf16": lambda x, i: F.linear(x, weights[i % count]),
    }
    functional = bitsandbytes_functions()
    if functional is not None:
        from bitsandbytes import matmul_4bit

        theirs = [
            functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
            for weight in weights
        ]

        def their_product(x: Tensor, i: int) -> Tensor:
            codes, state = theirs[i % count]
            return matmul_4bit(x, codes.t(), state)

        products["bitsandbytes"] = their_product
    forward: Contenders = {name: partial(product, x) for name, product in products.items()}
    both: Contenders = {name: backward(product) for name, product in products.items()}
    name = "matrix-vector" if rows == 1 else "product"
    n_bytes = 0.516 * n + 2 * rows * sum(shape)
    operations = 2 * rows * n
    with torch.no_grad():
        lines = [row(name, shape, rows, median_seconds(forward), n_bytes, operations, bandwidth)]
    seconds = median_seconds(both)
    lines.append(
        row(name + ", with backward", shape, rows, seconds, 2 * n_bytes, 2 * operations, bandwidth)
    )
    return lines


def roofline(report: dict[str, Any], path: Path) -> None:
    """Draw every measured kernel under what memory and arithmetic allow."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5))
    peak, bandwidth = report["matmul_flops"], report["copy_bytes_per_second"]
    x = [0.25, peak / bandwidth, 8192]
    axes.plot(x, [min(peak, bandwidth * i) / 1e12 for i in x], "k-", label="copy speed, bf16 peak")
    for what in dict.fromkeys(line["what"] for line in report["rows"]):
        lines = [line for line in report["rows"] if line["what"] == what]
        intensity = [line["operations_per_byte"] for line in lines]
        speed = [line["operations_per_byte"] * line["bytes_per_second"] / 1e12 for line in lines]
        axes.plot(intensity, speed, "o", ms=5, alpha=0.7, label=what)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("arithmetic operations for each byte of memory traffic")
    axes.set_ylabel("10^12 operations a second")
    axes.set_title(f"NF4 kernels on {report['gpu']}")
    axes.legend()
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def measure() -> dict[str, Any]:
    """All checks and times, as the JSON has them."""
    bandwidth = copy_bandwidth()
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    seconds = median_seconds({"matmul": lambda _: a @ a})["matmul"]
    report: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": "python -m kernels.bench",
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__,
            "triton": triton.__version__, "cuda": torch.version.cuda,
        },
        "copy_bytes_per_second": bandwidth,
        "matmul_flops": 2 * 8192**3 / seconds,
        "checks": {},
        "rows": [],
    }  # fmt: skip
    for number, (name, shape) in enumerate(SHAPES.items()):
        for dtype in (torch.bfloat16, torch.float16, torch.float32):
            report["checks"][f"{name}, {dtype}"] = check(shape, dtype, seed=number)
    for shape in SHAPES.values():
        report["rows"] += bench_weight(shape, bandwidth)
    for shape in ((4096, 4096), (4096, 14336)):
        for rows in ROWS:
            report["rows"] += bench_product(shape, rows, bandwidth)
    return report


def print_report(report: dict[str, Any]) -> None:
    """The table, with the goals where there are any."""
    print(f"{report['gpu']}: copies {report['copy_bytes_per_second'] / 1e12:.2f} TB/s\n")
    for name, checks in report["checks"].items():
        print(f"{name}: " + ", ".join(f"{what} {value:.2g}" for what, value in checks.items()))
    print(f"\n{'':<28} {'shape':>14} {'rows':>5} {'us':>8} {'of copy':>8}  times the peers")
    for line in report["rows"]:
        shape = "x".join(map(str, line["shape"]))
        goal = f" (goal {GOALS[line['what']]:.0%})" if line["what"] in GOALS else ""
        peers = ", ".join(
            f"{peer} {times:.2f}"
            + (
                f" (goal {PEER_GOALS[line['what']]})"
                if peer == "bitsandbytes" and line["what"] in PEER_GOALS
                else ""
            )
            for peer, times in line["times"].items()
        )
        print(
            f"{line['what']:<28} {shape:>14} {line['rows']:>5} "
            f"{line['microseconds']['ours']:>8.1f} {line['share_of_copy']:>8.0%}{goal}  {peers}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 2 if there is no GPU to measure."""
    parser = argparse.ArgumentParser(
        prog="python -m kernels.bench", description=(__doc__ or "").split("\n\n")[0],
        epilog="example: python -m kernels.bench --json bench.json",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="where to write (default kernels/results/)")
    path = parser.parse_args(arguments).json
    if not torch.cuda.is_available():
        print(
            "kernels.bench needs a CUDA GPU, and torch finds none here. What can be told without "
            "one: python -m kernels.machine_code",
            file=sys.stderr,
        )
        return 2
    report = measure()
    if path is None:
        name = re.sub(r"\W+", "-", report["gpu"]).strip("-").lower()
        path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    roofline(report, path.with_suffix(".png"))
    print_report(report)
    print(f"\nwritten: {path}, {path.with_suffix('.png')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""python -m kernels.bench: times the kernels and their peers in turn, on this machine's GPU.

The contenders of `kernels.bench.contenders` work on buffers that rotate past the L2 cache, so that
memory is measured and not the cache. A contender whose numbers differ from ours is left out; that
ours are right is tested by tests/kernels/test_on_gpu.py. The figures that count are medians: as a
share of what this GPU's speeds of copying and multiplying allow, and as a ratio to a peer, which is
bitsandbytes (if it is installed), torch, or torch.compile.

It writes runs/kernels/GPU.json, complete after every weight, and a figure beside it. Without a GPU
it says so and exits with 2; if a contender failed it exits with 1. It takes some minutes.
"""

from __future__ import annotations

import argparse
import platform
import re
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernels import NF4Tensor, quantize_nf4
from kernels.backend import has_triton
from kernels.bench.contenders import (
    Contenders,
    bitsandbytes,
    both_ways,
    dequantizers,
    products,
    quantizers,
    their_matvec,
    their_quantize,
)
from kernels.bench.report import HEADER, describe_row, roofline, row, write

DEVICE = torch.device("cuda", 0)
SHAPES = {
    "4096 x 4096": (4096, 4096),
    "4096 x 14336": (4096, 14336),
    "GPT-2 XL c_attn": (4800, 1600),
    "GPT-2 XL c_fc": (6400, 1600),
    "Llama-70B q_proj": (8192, 8192),
    "Llama-70B gate_proj": (28672, 8192),
}
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)  # M of the matrix products
COPY_BYTES = 2**30
SQUARE = 8192  # side of the matrices whose product stands for the GPU's peak
WARM_UP, TURNS, CALLS = 2, 11, 10  # the median over TURNS of the mean of CALLS calls
CLOCK = 2e9  # cycles a second, about the highest of any GPU
LONGEST_HEAD_START = 0.02  # seconds
FAR = 0.3  # relative error that no rounding in the same work can cause


def median_seconds(contenders: Contenders, keep: int = 1) -> tuple[dict[str, float], list[str]]:
    """Times the contenders in turn by the GPU's own clock.

    Python needs longer to launch many a kernel than it takes to run. So the GPU first waits, twice
    as long as Python took for the calls of the turn before, and then runs one call after the other.
    The last `keep` results are kept, so that they too are written to memory outside the cache.

    Returns:
        The median seconds a call of each contender; and the contenders that the GPU had to wait for
        all the same, because they wait for the GPU themselves: their times include Python's.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    late = dict.fromkeys(contenders, 0)
    head_start = dict.fromkeys(contenders, 0.0)
    kept: deque[object] = deque(maxlen=keep)
    for turn in range(WARM_UP + TURNS):
        for name, work in contenders.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda._sleep(int(CLOCK * head_start[name]))
            start.record()
            began = time.perf_counter()
            for call in range(CALLS):
                kept.append(work(turn * CALLS + call))
            end.record()
            head_start[name] = min(2 * (time.perf_counter() - began), LONGEST_HEAD_START)
            too_late = start.query()
            end.synchronize()
            if turn >= WARM_UP:
                seconds[name].append(start.elapsed_time(end) / 1000 / CALLS)
                late[name] += too_late
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return medians, [name for name in contenders if 2 * late[name] > TURNS]


def copies_past_cache(n_bytes: int) -> int:
    """Returns how many buffers of n_bytes push the first out of the L2 cache."""
    cache = torch.cuda.get_device_properties(DEVICE).L2_cache_size
    return max(2, -(-3 * cache // n_bytes))


def copy_bandwidth() -> float:
    """Returns the bytes a second, read and written, of a copy."""
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    seconds, _ = median_seconds({"copy": lambda _: target.copy_(source)})
    return 2 * source.nbytes / seconds["copy"]


def matmul_speed() -> float:
    """Returns the arithmetic operations a second of torch's bf16 product."""
    a = torch.randn(SQUARE, SQUARE, device=DEVICE, dtype=torch.bfloat16)
    seconds, _ = median_seconds({"matmul": lambda _: a @ a})
    return 2 * SQUARE**3 / seconds["matmul"]


def measure_gpu() -> dict[str, Any]:
    """Begins the report: which GPU this is, and how fast it copies and multiplies."""
    import triton  # imported here, so that main can say that it is missing

    module = bitsandbytes()
    return {
        "gpu": torch.cuda.get_device_name(DEVICE),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": "python -m kernels.bench",
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__,
            "triton": triton.__version__, "cuda": torch.version.cuda,
            "bitsandbytes": None if module is None else module.__version__,
        },
        "seed": torch.seed(),
        "copy_bytes_per_second": copy_bandwidth(),
        "matmul_flops": matmul_speed(),
        "rows": [],
        "failed": {},
    }  # fmt: skip


def time_row(
    report: dict[str, Any],
    what: str,
    shape: tuple[int, int],
    rows: int,
    contenders: Contenders,
    n_bytes: float,
    operations: float,
    keep: int,
) -> None:
    """Times the contenders, prints a row and adds it to the report.

    A contender that raises an error or computes other numbers goes into "failed" and is not timed.
    Only the product with the bf16 weight must differ, since it lacks the error of 4 bits.
    """
    able: Contenders = {}
    label = f"{what}, {shape[0]} x {shape[1]}, {rows} rows"
    ours: Tensor | None = None
    for name, work in contenders.items():
        try:
            result = work(0)
            torch.cuda.synchronize()
            found = numbers(result)
            ours = found if name == "ours" else ours
            if found is not None and ours is not None and name != "bf16 weight":
                error = relative_error(found, ours.double())
                if not error < FAR:  # NaN is not
                    raise ValueError(f"its numbers are {error:.0%} off ours")
            able[name] = work
        except Exception as error:  # the others can still be measured
            fail(report, f"{label}: {name}", error)
    if "ours" not in able:
        return
    try:
        seconds, late = median_seconds(able, keep)
    except Exception as error:  # if the memory is full, other rows can still be measured
        fail(report, label, error)
        return
    bandwidth, peak = report["copy_bytes_per_second"], report["matmul_flops"]
    line = row(what, shape, rows, seconds, n_bytes, operations, bandwidth, peak)
    report["rows"].append({**line, "python_in_time": late})
    print(describe_row(report["rows"][-1]), flush=True)


def numbers(result: object) -> Tensor | None:
    """Returns the numbers of a contender's result to compare, flat: a weight, product or codes."""
    if isinstance(result, NF4Tensor):
        result = result.codes
    if isinstance(result, (list, tuple)):  # codes and scales
        result = result[0]
    return result.flatten() if isinstance(result, Tensor) else None


def relative_error(found: Tensor, exact: Tensor) -> float:
    """Returns |found - exact| / |exact|."""
    return ((found.double() - exact).norm() / exact.norm()).item()


def one_line(error: Exception) -> str:
    """Returns the kind of error and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def fail(report: dict[str, Any], what: str, error: Exception) -> None:
    """Reports that there is no figure for this, and why."""
    report["failed"][what] = one_line(error)
    print(f"{what}: {one_line(error)}", flush=True)


def bench_weight(report: dict[str, Any], shape: tuple[int, int]) -> None:
    """Times a bf16 weight: quantizing, dequantizing, and products forward and backward."""
    n = shape[0] * shape[1]
    count = copies_past_cache(n // 2)
    weights = [torch.randn(shape, device=DEVICE).bfloat16() for _ in range(count)]
    packed = [quantize_nf4(weight, backend="triton") for weight in weights]
    theirs = []
    if bitsandbytes() is not None:
        try:
            theirs = [their_quantize(weight) for weight in weights]
        except Exception as error:
            fail(report, f"bitsandbytes, {shape[0]} x {shape[1]}", error)
    torch.compiler.reset()  # otherwise the second shape would be compiled for all shapes
    least = copies_past_cache(2 * n)
    time_row(report, "quantize", shape, 0, quantizers(weights), 2.5625 * n, n, least)
    time_row(report, "dequantize", shape, 0, dequantizers(packed, theirs), 2.516 * n, n, least)

    contenders = products(weights, packed, theirs)
    for rows in ROWS:
        x = torch.randn(rows, shape[1], device=DEVICE).bfloat16()
        gradient = torch.randn(rows, shape[0], device=DEVICE).bfloat16()
        name = "matrix-vector" if rows == 1 else "product"
        n_bytes, operations = 0.516 * n + 2 * rows * sum(shape), 2 * rows * n
        forward: Contenders = {
            peer: partial(product, x) for peer, product in (contenders | both_ways(packed)).items()
        }
        if rows == 1 and theirs:
            forward["bitsandbytes gemv"] = partial(their_matvec(theirs), x)
        with torch.no_grad():
            time_row(report, name, shape, rows, forward, n_bytes, operations, least)
        both: Contenders = {
            peer: partial(forward_and_backward, product, x, gradient)
            for peer, product in contenders.items()
        }
        name += ", with backward"
        time_row(report, name, shape, rows, both, 2 * n_bytes, 2 * operations, least)


def forward_and_backward(
    product: Callable[[Tensor, int], Tensor], x: Tensor, gradient: Tensor, i: int
) -> Tensor:
    """Returns the gradient of x through the product with the i-th weight."""
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad(product(leaf, i), leaf, gradient)[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints and writes; returns 2 if there is no GPU, 1 if a contender failed."""
    parser = argparse.ArgumentParser(
        prog="python -m kernels.bench", description=(__doc__ or "").split("\n\n")[0],
        epilog="example: python -m kernels.bench --json bench.json",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="where to write (default runs/kernels/GPU.json)")
    path = parser.parse_args(arguments).json
    if path is not None and (not path.name or (path.exists() and not path.is_file())):
        parser.error(f"--json must be a file to write, got {str(path)!r}")
    if not torch.cuda.is_available():
        print(
            "kernels.bench needs a CUDA GPU, and torch finds none here. What can be told without "
            "one: python -m kernels.machine_code",
            file=sys.stderr,
        )
        return 2
    if not has_triton():
        print("kernels.bench needs triton: pip install triton", file=sys.stderr)
        return 2
    if path is None:
        gpu = re.sub(r"\W+", "-", torch.cuda.get_device_name(DEVICE)).strip("-").lower()
        path = Path("runs") / "kernels" / f"{gpu}.json"
    torch.cuda.set_device(DEVICE)
    report = measure_gpu()
    print(
        f"{report['gpu']}: copies {report['copy_bytes_per_second'] / 1e12:.2f} TB/s, multiplies "
        f"{report['matmul_flops'] / 1e12:.0f} TFLOP/s; random seed {report['seed']}"
    )
    if bitsandbytes() is None:
        print("bitsandbytes is not installed: compared with torch only")
    print(f"\n{HEADER}", flush=True)
    for shape in SHAPES.values():
        bench_weight(report, shape)
        write(report, path)
    figure = path.with_suffix(".png")
    roofline(report, figure)
    print(f"\nwritten: {path}, {figure}")
    return 1 if report["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""python -m kernels.bench.cpu: times NF4 on a CPU, ours and bitsandbytes' C++ in turn.

Every contender does the same work once a round, they take turns to begin, and the ratio is the
median of the rounds' ratios. Ours dequantizes weights of 4 MiB or more into memory that it has kept
from the last; bitsandbytes asks the C library, which gives large memory back to the system, and
pays for page faults again. `--keep-memory` asks the C library to keep it, which saves most of
bitsandbytes' time.

Both have code of their own for AVX-512; bitsandbytes' is for weights whose rows are a multiple of
16 long, and its portable C++ for all others. `ATEN_CPU_CAPABILITY=avx2 python -m kernels.bench.cpu
--columns 4097` times what a CPU without AVX-512 runs: our tables, and that C++.
"""

from __future__ import annotations

import argparse
import ctypes
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from kernels import dequantize_nf4, quantize_nf4
from kernels.cpu import avx512

LARGEST = 2**30  # weights: 4 GiB in fp32
GOALS = {"dequantize": 1.0, "quantize": 1.5}
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of mallopt, from glibc's malloc.h


def seconds_in_turn(
    contenders: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, list[float]]:
    """Returns the seconds of each contender in each round, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        items = list(contenders.items())
        for name, work in items if turn % 2 else items[::-1]:
            started = time.perf_counter()
            work()
            if turn > 0:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def measure(shape: tuple[int, int], rounds: int) -> list[dict[str, Any]]:
    """Returns rows for quantize and dequantize, bf16 and fp32, one and two levels of scales."""
    from bitsandbytes import functional as peer

    rows = []
    for dtype in (torch.bfloat16, torch.float32):
        for double_quant in (False, True):
            weight = torch.randn(shape).to(dtype)
            settings: dict[str, Any] = {
                "blocksize": 64,
                "compress_statistics": double_quant,
                "quant_type": "nf4",
            }
            theirs = peer.quantize_4bit(weight, **settings)
            ours = quantize_nf4(weight, double_quant=double_quant)
            work: dict[str, dict[str, Callable[[], object]]] = {
                "dequantize": {
                    "bitsandbytes": lambda theirs=theirs: peer.dequantize_4bit(*theirs),  # type: ignore[misc]
                    "ours": lambda ours=ours: dequantize_nf4(ours),  # type: ignore[misc]
                },
                "quantize": {
                    "bitsandbytes": lambda w=weight, s=settings: peer.quantize_4bit(w, **s),  # type: ignore[misc]
                    "ours": lambda w=weight, d=double_quant: quantize_nf4(w, double_quant=d),  # type: ignore[misc]
                },
            }
            for what, contenders in work.items():
                seconds = seconds_in_turn(contenders, rounds)
                pairs = zip(seconds["bitsandbytes"], seconds["ours"], strict=True)
                row = {"what": what, "dtype": str(dtype).removeprefix("torch.")}
                rows.append(
                    {
                        **row,
                        "double_quant": double_quant,
                        "milliseconds": {
                            name: 1e3 * statistics.median(times) for name, times in seconds.items()
                        },
                        "times": statistics.median(b / o for b, o in pairs),
                    }
                )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; returns 2 if bitsandbytes is not installed."""
    parser = argparse.ArgumentParser(
        prog="python -m kernels.bench.cpu", description=(__doc__ or "").split("\n\n")[0],
        epilog="example: python -m kernels.bench.cpu --rounds 15",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=9, help="default 9")
    parser.add_argument("--size", type=int, default=4096, help="rows of the weight, default 4096")
    parser.add_argument("--columns", type=int, help="of the weight, default as many as rows")
    parser.add_argument("--keep-memory", action="store_true", help="no page faults (glibc only)")
    chosen = parser.parse_args(arguments)
    for name, most in {"rounds": 1000, "size": LARGEST, "columns": LARGEST}.items():
        if (number := getattr(chosen, name)) is not None and not 1 <= number <= most:
            parser.error(f"--{name} must be at least 1 and at most {most:,}, got {number}")
    if (weights := chosen.size * (chosen.columns or chosen.size)) > LARGEST:
        parser.error(f"--size times --columns must be at most {LARGEST:,}, got {weights:,}")
    if chosen.keep_memory and platform.libc_ver()[0] != "glibc":
        parser.error("--keep-memory needs Linux with glibc; leave it out")
    if chosen.keep_memory:
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        shape = (chosen.size, chosen.columns or chosen.size)
        rows = measure(shape, chosen.rounds)
    except ImportError as error:
        print(f"kernels.bench.cpu compares with bitsandbytes: {error}", file=sys.stderr)
        return 2
    ours = "avx512.c" if avx512.usable(torch.device("cpu")) else "tables"
    print(f"{shape[0]} x {shape[1]}, {torch.get_num_threads()} threads, ours from {ours}\n")
    print(f"{'':<12}{'dtype':<10}{'scales':<8}{'bitsandbytes':>13}{'ours':>11}{'times':>8}  goal")
    for row in rows:
        times = row["milliseconds"]
        print(
            f"{row['what']:<12}{row['dtype']:<10}{'nested' if row['double_quant'] else 'plain':<8}"
            f"{times['bitsandbytes']:>10.2f} ms{times['ours']:>8.2f} ms{row['times']:>8.2f}"
            f"{GOALS[row['what']]:>6}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Writes the results of `python -m kernels.bench`: a table, a JSON file and a figure."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

GOAL = 0.85  # share of the copy bandwidth that quantize and dequantize should reach
PEER_GOALS = {
    ("quantize", "bitsandbytes"): 3.0,
    ("dequantize", "bitsandbytes"): 1.4,
    ("matrix-vector", "bitsandbytes gemv"): 1.3,
}  # times as fast


def row(
    what: str,
    shape: tuple[int, int],
    rows: int,
    seconds: dict[str, float],
    n_bytes: float,
    operations: float,
    bandwidth: float,
    peak: float,
) -> dict[str, Any]:
    """Returns a line of the report: our speed, and how many times as fast as each peer ours is.

    n_bytes is the least that has to be moved. `share_of_copy` compares with the time to copy so
    many bytes; `share_of_roof` allows for the arithmetic as well.
    """
    ours = seconds["ours"]
    return {
        "what": what,
        "shape": list(shape),
        "rows": rows,
        "microseconds": {name: 1e6 * s for name, s in seconds.items()},
        "bytes_per_second": n_bytes / ours,
        "share_of_copy": n_bytes / ours / bandwidth,
        "share_of_roof": max(n_bytes / bandwidth, operations / peak) / ours,
        "operations_per_byte": operations / n_bytes,
        "times": {name: s / ours for name, s in seconds.items() if name != "ours"},
    }


HEADER = f"{'':<28} {'shape':>12} {'rows':>5} {'us':>9} {'GB/s':>6} {'of roof':>8}  times the peers"


def describe_row(line: dict[str, Any]) -> str:
    """Returns a line of the table, with its goals if there are any."""
    shape = "x".join(map(str, line["shape"]))
    goal = f" (goal {GOAL:.0%})" if line["what"] in ("quantize", "dequantize") else ""
    peers = []
    for peer, times in line["times"].items():
        wanted = PEER_GOALS.get((line["what"], peer))
        peers.append(f"{peer} {times:.2f}" + (f" (goal {wanted})" if wanted is not None else ""))
    late = ", ".join(line["python_in_time"])
    return (
        f"{line['what']:<28} {shape:>12} {line['rows']:>5} {line['microseconds']['ours']:>9.1f} "
        f"{line['bytes_per_second'] / 1e9:>6.0f} {line['share_of_roof']:>8.0%}{goal}  "
        + ", ".join(peers)
        + (f"; Python's time is in: {late}" if late else "")
    )


def write(report: dict[str, Any], path: Path) -> None:
    """Writes the report as JSON; if that fails, the file is as it was before."""
    text = json.dumps(report, indent=1) + "\n"
    replace(path, lambda path: path.write_text(text, encoding="utf-8"))


def replace(path: Path, make: Callable[[Path], object]) -> None:
    """Makes a file under a temporary name, and renames it when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"unfinished-{os.getpid()}-{path.name}")  # same suffix
    try:
        make(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def roofline(report: dict[str, Any], path: Path) -> None:
    """Draws every measured kernel below the limits of memory and arithmetic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5))
    axes = figure.subplots()
    peak, bandwidth = report["matmul_flops"], report["copy_bytes_per_second"]
    x = sorted([0.25, peak / bandwidth, 8192])
    axes.plot(x, [min(peak, bandwidth * i) / 1e12 for i in x], "k-", label="copy speed, bf16 peak")
    for what in dict.fromkeys(line["what"] for line in report["rows"]):
        lines = [line for line in report["rows"] if line["what"] == what]
        intensity = [line["operations_per_byte"] for line in lines]
        speed = [line["operations_per_byte"] * line["bytes_per_second"] / 1e12 for line in lines]
        axes.plot(intensity, speed, "o", ms=5, alpha=0.7, label=what)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("arithmetic operations for each byte that has to be moved")
    axes.set_ylabel("10^12 operations a second")
    axes.set_title(f"NF4 kernels on {report['gpu']}")
    axes.legend()
    replace(path, lambda path: figure.savefig(path, dpi=130, bbox_inches="tight"))

"""Lesson 10 runs, draws its figures, and its table holds what was computed."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kernels.nf4 import LEVELS

HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="triton is not installed")


INT4 = [k / 7 for k in range(-7, 8)]
# E2M1: sign, two bits of exponent with bias 1, one bit of mantissa; exponent 0 is subnormal.
FP4 = [
    sign * (mantissa / 2 if exponent == 0 else (1 + mantissa / 2) * 2 ** (exponent - 1)) / 6
    for sign in (1, -1) for exponent in range(4) for mantissa in range(2)
]  # fmt: skip


def errors_of_normal_numbers(levels: list[float]) -> list[float]:
    """Mean absolute and RMS error of N(0, 1) in blocks of 64, each number to the nearest level."""
    x = torch.randn(2**12, 64, generator=torch.Generator().manual_seed(0))
    scaled = torch.tensor(levels) * x.abs().amax(dim=1, keepdim=True)  # [4096, levels]
    error = (x[:, :, None] - scaled[:, None, :]).abs().amin(dim=2)
    return [error.mean().item(), error.square().mean().sqrt().item()]


def interpreted(code: str) -> str:
    """What a script prints in a process that has Triton's interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_lesson_10(run_lesson: Callable) -> None:
    lesson = run_lesson(10, "--quick", "--device", "cpu")
    drawn = {"buckets.png", "levels.png", "errors.png"}
    assert set(lesson.figures) == drawn | ({"instructions.png"} if HAS_TRITON else set())
    measured = {what: row["measured here"] for what, row in lesson.table.items()}
    verdict = {what: row["verdict"] for what, row in lesson.table.items()}

    assert measured["the 16 levels of NF4"] == "16 of 16 equal in all 32 bits"
    assert verdict["the 16 levels of NF4"] == "reproduced"
    assert measured["QLoRA, equation 4"] == "q_0 = -inf, q_16 = inf"
    assert verdict["QLoRA, equation 4"].startswith("the published formula is wrong")

    least, most = map(float, re.findall(r"[\d.]+", measured["NF4: numbers to each level"]))
    # A block's largest number goes to one of the two ends: 1/128 each at least.
    assert 100 / 128 < least < 100 / 16 < most
    assert verdict["NF4: numbers to each level"].startswith("not reproduced")

    what = "NF4, blocks of 64 of N(0, 1): mean absolute error"
    assert float(measured[what]) == pytest.approx(0.0728, abs=3e-4)
    printed = re.search(r"^N\(0, 1\) +(.*?) +in standard", lesson.output, re.MULTILINE)
    assert printed is not None
    pairs = re.findall(r"([\d.]+) / ([\d.]+)", printed[1])
    for pair, levels in zip(pairs, (INT4, FP4, LEVELS.tolist()), strict=True):
        assert [*map(float, pair)] == pytest.approx(errors_of_normal_numbers(levels), rel=0.02)

    row = measured["QLoRA: best 4-bit format"]
    rms = dict(re.findall(r"(\w+): RMS error ([\d.]+)%", row))
    assert set(rms) == {"int4", "FP4", "NF4"}
    assert float(rms["NF4"]) == min(map(float, rms.values()))

    if not HAS_TRITON:
        assert "Triton is not installed" in lesson.output
        return
    assert "the same as by hand, in every bit" in lesson.output
    tree, memory, shuffle = (
        float(measured[f"levels by {what}"].split()[0])
        for what in ("tree of comparisons", "table in memory", "shuffle")
    )
    assert tree > memory > shuffle
    assert tree > 15  # that many selections are written down
    fast = float(verdict["levels by shuffle"].split()[-1])
    assert fast <= 6.0  # the budget that the kernel has
    assert verdict["levels by shuffle"].startswith("reproduced")


@needs_triton
@pytest.mark.parametrize("way", ["tree", "memory"])
def test_every_lookup_of_a_level_gives_the_reference_s_values(way: str) -> None:
    interpreted(f"""
import torch
from kernels.nf4 import LEVELS, NF4Tensor
from kernels.reference import dequantize_plainly
from lessons.level_lookup import WORDS, lookup_kernel

torch.manual_seed(0)
n = 2 * WORDS * 8
codes = torch.randint(256, (n // 2,), dtype=torch.uint8)
absmax = torch.rand(n // 64)
out = torch.full((n,), torch.nan, dtype=torch.bfloat16)
lookup_kernel[(2,)](codes, absmax, LEVELS, out, WORDS, {way!r}, INTERPRETED=True)
q = NF4Tensor(codes, (n,), torch.bfloat16, 64, absmax=absmax)
assert torch.equal(out, dequantize_plainly(q, torch.bfloat16))
""")


TOY = """
import torch, triton
import triton.language as tl
from lessons.kernel_trace import trace

@triton.jit
def double(x):
    twice = x + x
    return twice

@triton.jit
def kernel(x_ptr, n, SIZE: tl.constexpr):
    i = tl.arange(0, SIZE)
    x = tl.load(x_ptr + i,
                mask=i < n, other=0)
    for k in range(4):
        x = double(x)
    tl.store(x_ptr + i, x, mask=i < n)
"""


@needs_triton
def test_trace_prints_each_statement_with_what_it_sets(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(TOY, encoding="utf-8")
    printed = interpreted(f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from toy import *
x = torch.tensor([1.0, 2.0, 3.0])
trace(lambda: kernel[(1,)](x, 3, 4), kernel)
assert x.tolist() == [16, 32, 48], x
assert sys.gettrace() is None
""")
    lines = [line.strip() for line in printed.splitlines()]
    assert "14  x = tl.load(x_ptr + i, mask=i < n, other=0)" in lines  # from two lines
    rows = [line.strip("[]").split() for line in lines if line.startswith("[")]
    # i, x as it was loaded, after two turns of the loop, and when the loop has ended
    wanted = [[0, 1, 2, 3], [1, 2, 3, 0], [2, 4, 6, 0], [4, 8, 12, 0], [16, 32, 48, 0]]
    assert [[float(number) for number in row] for row in rows] == wanted
    assert not any("twice" in line for line in lines), "only the kernels that were named"

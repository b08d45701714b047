"""Lesson 10 runs, draws its figures, and its table holds what was computed."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kernels.nf4 import LEVELS, THRESHOLDS
from lessons.experiments import nf4_errors
from lessons.experiments.nf4_errors import expected_error_of_nf4
from minigpt import load_pretrained

HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="triton is not installed")


INT4 = [k / 7 for k in range(-7, 8)]
# E2M1: sign, two bits of exponent with bias 1, one bit of mantissa; exponent 0 is subnormal.
FP4 = [
    sign * (mantissa / 2 if exponent == 0 else (1 + mantissa / 2) * 2 ** (exponent - 1)) / 6
    for sign in (1, -1) for exponent in range(4) for mantissa in range(2)
]  # fmt: skip


def errors_of_normal_numbers(levels: list[float]) -> list[float]:
    """Returns mean absolute and RMS error of N(0, 1), in blocks of 64, to the nearest level."""
    x = torch.randn(2**12, 64, generator=torch.Generator().manual_seed(0))
    scaled = torch.tensor(levels) * x.abs().amax(dim=1, keepdim=True)  # [4096, levels]
    error = (x[:, :, None] - scaled[:, None, :]).abs().amin(dim=2)
    return [error.mean().item(), error.square().mean().sqrt().item()]


@pytest.fixture
def interpreted(run_code: Callable[[str], str]) -> Callable[[str], str]:
    """Returns a function: what code prints where Triton interprets kernels."""
    return lambda code: run_code(f"import os\nos.environ['TRITON_INTERPRET'] = '1'\n{code}")


def test_lesson_10(run_lesson: Callable) -> None:
    lesson = run_lesson(10, "--device", "cpu")
    assert set(lesson.figures) == {"buckets.png", "levels.png", "errors.png"}
    measured = {what: row["measured here"] for what, row in lesson.table.items()}
    kind = {what: row["kind"] for what, row in lesson.table.items()}

    assert measured["the 16 levels of NF4"] == "16 of 16 equal in all 32 bits"
    assert kind["the 16 levels of NF4"] == "reproduced"
    assert measured["levels, by hand and in the library"] == "16 of 16 equal"
    assert measured["QLoRA, equation 4"] == "q_0 = -inf, q_16 = inf"
    assert kind["QLoRA, equation 4"] == "the published figure is wrong"
    assert kind["16 symmetric quantiles leave out 0"] == "reproduced"
    assert kind["64 weights by hand and by the library"] == "holds"

    play = lesson.plays["nf4"]
    weight = next(load_pretrained("base")[0].blocks()).attn.c_attn.weight.flatten()
    assert torch.equal(torch.tensor(play["weights"]), weight[:64])
    assert torch.equal(torch.tensor(play["levels"]), LEVELS)
    assert torch.equal(torch.tensor(play["thresholds"]), THRESHOLDS)

    what = "NF4: share of numbers at each level, in %"
    least, most = map(float, re.findall(r"[\d.]+", measured[what]))
    # A block's largest number goes to one of the two ends: 1/128 each at least.
    assert 100 / 128 < least < 100 / 16 < most
    assert kind[what] == "differs"

    what = "NF4, blocks of 64 of N(0, 1): mean absolute error"
    found, expected = map(float, re.findall(r"0\.\d+", measured[what]))
    assert found == pytest.approx(expected, abs=6e-4)  # of 2^18 numbers
    printed = re.search(r"^N\(0, 1\) +(.*?) +in standard", lesson.output, re.MULTILINE)
    assert printed is not None
    pairs = re.findall(r"([\d.]+) / ([\d.]+)", printed[1])
    for pair, levels in zip(pairs, (INT4, FP4, LEVELS.tolist()), strict=True):
        assert [*map(float, pair)] == pytest.approx(errors_of_normal_numbers(levels), rel=0.02)
    for rival in ("int4", "FP4"):
        for measure in ("absolute", "squared"):
            what = f"base model's weights, mean {measure} error: NF4 below {rival}"
            ours, theirs = map(float, re.findall(r"0\.\d+", measured[what]))
            assert ours < theirs
            assert kind[what] == "holds"

    changes = {
        pair: (float(value), float(error))
        for pair, value, error in re.findall(
            r"^(\w+ minus \w+): ([+-][\d.]+) ± ([\d.]+)", lesson.output, re.MULTILINE
        )
    }
    assert len(changes) == 5
    for rival in ("int4", "FP4"):
        value, error = changes[f"NF4 minus {rival}"]
        by_fp32 = changes["NF4 minus fp32"][0] - changes[f"{rival} minus fp32"][0]
        assert value == pytest.approx(by_fp32, abs=2e-4)
        if abs(abs(value) - 2 * error) > 3e-4:  # else what was rounded away decides
            side = "reproduced" if value < 0 else "differs"
            wanted = "undecided" if abs(value) < 2 * error else side
            assert kind[f"base model's quality: NF4 before {rival}"] == wanted

    if not HAS_TRITON:
        assert lesson.output.count("Triton is not installed") == 4, "each part says so"
        return
    what = "two plain kernels, in Triton's interpreter"
    assert measured[what] == "as by hand, in every bit"
    shuffle, tree = map(
        float, measured["instructions a weight: a shuffle below a tree"].split(" against ")
    )
    _, memory = map(
        float,
        measured["instructions a weight: a shuffle below a table in memory"].split(" against "),
    )
    assert tree > memory > shuffle
    assert tree > 15  # that many selections are written down
    (fast,) = re.findall(r"^dequantize_fast +32 .* ([\d.]+)$", lesson.output, re.MULTILINE)
    assert float(fast) <= 6.0  # the budget that the kernel has
    assert "time for 17 instructions a weight" in lesson.output
    listed = re.findall(r"^[0-9a-f]{4}  (?:@\S+ )?(\w+)", lesson.output, re.MULTILINE)
    assert len(listed) == 10
    assert Counter(listed) >= Counter(SHFL=2, SHF=2, FMUL=2, F2FP=1, STG=1)


def test_the_error_of_nf4_that_is_integrated_is_the_one_of_random_numbers() -> None:
    for block_size, rel in ((64, 0.01), (32, 0.01)):
        x = torch.randn(2**14, block_size, generator=torch.Generator().manual_seed(1))
        levels = LEVELS * x.abs().amax(dim=1, keepdim=True)  # [16384, 16]
        middles = (levels[:, 1:] + levels[:, :-1]) / 2
        nearest = levels.gather(1, torch.searchsorted(middles, x))
        error = (x - nearest).abs().mean().item()
        assert expected_error_of_nf4(block_size) == pytest.approx(error, rel=rel)
    assert f"{expected_error_of_nf4(64):.4f}" == "0.0728"


def test_fp4_has_the_numbers_that_its_bits_stand_for() -> None:
    assert nf4_errors.FP4.tolist() == pytest.approx(sorted({number + 0.0 for number in FP4}))
    x = torch.randn(256, generator=torch.Generator().manual_seed(0))
    scaled = torch.tensor(FP4) * x.view(-1, 64).abs().amax(dim=1)[:, None]  # [4, 16]
    nearest = (x.view(-1, 64)[:, :, None] - scaled[:, None, :]).abs().amin(dim=2).flatten()
    error = (nf4_errors.round_to_fp4(x, 64) - x).abs()
    assert torch.allclose(error, nearest, atol=1e-6)


def test_errors_of_blocks_are_means_of_whole_blocks() -> None:
    x = torch.tensor([1.0, -1.0, 1.0, -1.0, 5.0])
    absolute, squared = nf4_errors.block_errors(x, x + torch.tensor([1.0, 3, 0, 2, 9]), 2)
    s = x.std().item()
    assert absolute.tolist() == pytest.approx([2 / s, 1 / s])
    assert squared.tolist() == pytest.approx([5 / s**2, 2 / s**2])


@needs_triton
def test_an_instruction_is_followed_back_through_what_it_needs() -> None:
    from kernels.machine_code.assembly import Instruction
    from lessons.kernel_views.read_machine_code import behind

    texts = [
        "LDG.E R1, desc[UR4][R8.64]",
        "IADD3 R2, R1, 0x1, RZ",
        "MOV R3, R9",  # made again below before anything reads it
        "@P0 FMUL R3, R2, R2.reuse",
        "FMUL R5, R1, R7",  # for another
        "FADD R12, R3, R4",
        "FADD R5, R5, R5",
        "BAR.SYNC 0x0",
    ]
    code = [Instruction(16 * number, text) for number, text in enumerate(texts)]
    assert behind(code, 5, many=9) == [code[0], code[1], code[3], code[5]]
    assert behind(code, 5, many=2) == [code[3], code[5]]


@needs_triton
def test_every_lookup_of_a_level_gives_the_reference_s_values(
    interpreted: Callable[[str], str],
) -> None:
    interpreted("""
import torch
from kernels.nf4 import LEVELS, NF4Tensor
from kernels.reference import dequantize_plainly
from lessons.kernel_views.lookup_costs import WORDS, lookup_kernel

torch.manual_seed(0)
n = 2 * WORDS * 8
codes = torch.randint(256, (n // 2,), dtype=torch.uint8)
absmax = torch.rand(n // 64)
q = NF4Tensor(codes, (n,), torch.float32, 64, absmax=absmax)
for way in ("tree", "memory"):
    out = torch.full((n,), torch.nan)  # fp32: the interpreter cuts bf16 off instead of rounding
    lookup_kernel[(2,)](codes, absmax, LEVELS, out, WORDS, way)
    assert torch.equal(out, dequantize_plainly(q, torch.float32)), way
""")


TOY = """
import torch, triton
import triton.language as tl
from lessons.kernel_views.trace import trace

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
def test_trace_prints_each_statement_with_what_it_sets(
    interpreted: Callable[[str], str], tmp_path: Path
) -> None:
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

"""A learner's kernel is compiled, and stands beside the library's."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path

import pytest

from kernels.machine_code.assembly import Instruction
from lessons.grading.kernel_code import (
    SHAPES,
    Made,
    executed,
    machine_code,
    rows_and_sentences,
    turns_of,
    why_not_compiled,
)
from lessons.grading.registry import lessons, tasks_of
from tests.kernels.compiling import compiler
from tests.lessons.grading.learner_kernel import HEAD, KERNEL


@pytest.mark.parametrize(
    ("body", "turns"),
    [
        ("for k in range(15):\n        pass", 15),
        ("for k in tl.range(1, N):\n        pass", 15),
        ("for i in range(0, BLOCK_SIZE, 2):\n        pass", 32),
        ("half: tl.constexpr = BLOCK_SIZE // 2\n    for k in range(half):\n        pass", 32),
        ("for k in range(15):\n        pass\n    for k in range(15):\n        pass", 15),
        ("for k in tl.static_range(9):\n        pass\n    for k in range(4):\n        pass", 4),
        ("for k in range(15):\n        pass\n    for k in range(16):\n        pass", None),
        ("for k in range(n):\n        pass", None),
        ("for k in range(2):\n        for l in range(2):\n            pass", None),
        ("while n > 0:\n        n -= 1", None),
        ("m = 3\n    m = 4\n    for k in range(m):\n        pass", None),
    ],
)
def test_how_often_a_loop_runs_is_read_from_the_text(body: str, turns: int | None) -> None:
    code = (
        f"N = tl.constexpr(16)\n@triton.jit\ndef quantize_kernel(x, n, BLOCK_SIZE):\n    {body}\n"
    )
    assert turns_of(code, "quantize_kernel") == turns


def test_every_loop_s_instructions_count() -> None:
    lines = [Instruction(16 * i, "IADD R1") for i in range(10)]
    lines[3], lines[7] = Instruction(48, "@P0 BRA `(.L_a)"), Instruction(112, "@P0 BRA `(.L_b)")
    lines[9] = Instruction(144, "EXIT")
    labels = {".L_a": 16, ".L_b": 96}  # a loop of three instructions and one of two
    assert executed(lines, labels, 15) == 5 + 15 * (3 + 2)
    assert executed(lines, labels, None) is None
    assert executed(lines[8:], labels, None) == 2


def test_a_reason_is_the_last_line_of_the_innermost_error() -> None:
    error = RuntimeError("at 5:47:\n  f(x)\n  ^")
    error.__cause__ = ValueError("at 2:40:\n  y = x\n      ^\nno such name: x")
    assert why_not_compiled(error) == "no such name: x"
    assert why_not_compiled(KeyError()) == "KeyError"


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_the_learner_s_kernel_stands_beside_the_library_s(tmp_path: Path) -> None:
    spy = tmp_path / "was run"
    code = f"{HEAD}open({str(spy)!r}, 'w')\n{KERNEL}\n"
    other = "@triton.jit\ndef quantize_kernel(x_ptr, thresholds_ptr, codes_ptr, absmax_ptr, n, "
    code += f"{other}BLOCK_SIZE: tl.constexpr):\n    tl.nonsense(x_ptr)\n"
    rows, sentences = machine_code(code, ("dequantize_kernel", "quantize_kernel"))
    assert not spy.exists()
    (made,) = rows.values()
    assert [row.kernel for row in made] == ["yours", "dequantize", "dequantize_fast"]
    yours, plain, fast = made
    # The plain kernel computes its offsets in 64 bits, which costs a few instructions more.
    assert 0.5 < yours.instructions_per_element / plain.instructions_per_element < 1.2
    assert fast.instructions_per_element < yours.instructions_per_element / 2
    assert (yours.store_bytes, fast.store_bytes, yours.spill_bytes) == (2, 16, 0)
    half, mask, refused = sentences
    assert half.endswith("HALF: tl.constexpr = 4; write HALF = tl.constexpr(4).")
    assert mask.endswith("MASK = 15; write MASK = tl.constexpr(15).")
    assert refused.startswith("quantize_kernel does not compile for sm_90: ")
    assert "nonsense" in refused


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_what_lies_in_the_folder_is_not_taken_for_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("json", "token"):
        Path(f"{name}.py").write_text("raise SystemExit('a stranger')", encoding="utf-8")
    rows, _ = machine_code(HEAD + KERNEL, ("dequantize_kernel",))
    assert list(rows) == ["dequantize_kernel"]


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_a_kernel_that_does_more_at_once_needs_fewer_instructions() -> None:
    better = f"""{HEAD}
@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    j = tl.program_id(0) * (SIZE // 2) + tl.arange(0, SIZE // 2)
    byte = tl.load(codes_ptr + j, mask=2 * j < n, other=0)
    scale = tl.load(absmax_ptr + 2 * j // BLOCK_SIZE, mask=2 * j < n, other=0.0)
    first, second = tl.load(levels_ptr + (byte >> 4)), tl.load(levels_ptr + (byte & 15))
    i = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    tl.store(out_ptr + i, tl.interleave(first * scale, second * scale), mask=i < n)
"""
    pieces = f"""{HEAD}
@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    for first in range(0, n, SIZE):
        i = first + tl.arange(0, SIZE)
        tl.store(out_ptr + i, tl.load(absmax_ptr + i // BLOCK_SIZE), mask=i < n)
"""
    found = [
        compiler().submit(rows_and_sentences, {"dequantize_kernel": code}, "sm_90").result()
        for code in (better, pieces)
    ]
    column = Made._fields.index("instructions_per_element")
    (faster, _), (unknown, (sentence,)) = (f.values() for f in found)
    yours, plain, _ = (row[column] for row in faster["dequantize_kernel"])
    assert yours < plain
    assert unknown["dequantize_kernel"][0][column] is None
    assert sentence == "dequantize_kernel loops, and its text does not say how often."


def test_every_kernel_has_a_type_for_each_argument() -> None:
    kernels = {t.name: t for n in lessons() for t in tasks_of(n) if t.triton}
    for name, task in kernels.items():
        names = list(inspect.signature(task.reference).parameters)
        shape = SHAPES[name]
        assert [*shape["signature"], *shape["constexprs"]] == names

"""The drivers of the kernel tasks see what a kernel reads and writes, element by element."""

from __future__ import annotations

import traceback
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from lessons.exercises.lesson_10 import (
    DEQUANTIZE_KERNEL,
    QUANTIZE_KERNEL,
    dequantize_case,
    quantize_case,
)
from lessons.grading import kernel_drivers
from lessons.grading.faults import Fault, examine
from lessons.grading.kernel_drivers import LOADS, OUTPUTS, PARTS, STORES, WHOLE
from lessons.grading.outcome import Answered
from lessons.grading.task import Case, Draw, Task
from lessons.grading.trusted import load, run

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="there is no Triton")

LOAD = "tl.load(codes_ptr + i // 2, mask=i < n, other=0)"
STORE = "tl.store(out_ptr + i, level * scale, mask=i < n)"


def changed(task: Task, *changes: tuple[str, str]) -> Any:
    """Returns the bank's first kernel of a task with each (old, new) replaced."""
    code = task.bank.answers[0]
    for old, new in changes:
        assert code.count(old) == 1
        code = code.replace(old, new)
    return load(task, code)


def launched(kernel: Any, n: int = 66, **kwargs: Any) -> dict[str, Any]:
    """Returns the driver's answer for n elements: 32 a program, 32 a block."""
    case = dequantize_case(Draw(0), n, 32)
    return kernel_drivers.dequantize_kernel(kernel, case.args, kwargs)


def untrue(answer: dict[str, Any]) -> list[str]:
    """Returns the sentences that do not hold."""
    return [sentence for sentence, true in answer["facts"].items() if not true]


def test_a_right_kernel_gives_the_references_numbers_whatever_runs_first() -> None:
    kernel = changed(DEQUANTIZE_KERNEL)
    expected = launched(DEQUANTIZE_KERNEL.reference)["result"]
    for kwargs in ({}, {"more_programs": 2}, {"order": [2, 0, 1]}):
        answer = launched(kernel, **kwargs)
        assert untrue(answer) == []
        assert torch.equal(answer["result"], expected)


def test_programs_run_in_the_order_that_is_asked_for() -> None:
    line = "print(tl.program_id(0))\n    " + STORE
    kernel = changed(DEQUANTIZE_KERNEL, (STORE, line))
    ran: list[int] = []
    kernel.fn.__globals__["print"] = lambda number: ran.append(int(number.handle.data[0]))
    launched(kernel, more_programs=1, order=[3, 1, 0, 2])
    assert ran == [3, 1, 0, 2]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        # The last program has elements 64 and 65, of byte 32, and threads for 64 to 95.
        (LOAD, "tl.load(codes_ptr + i // 2)",
         f"{LOADS} (program 2 reads codes_ptr + 33 to codes_ptr + 47, but the last is "
         "codes_ptr + 32)"),
        (LOAD, "tl.load(codes_ptr + i // 2 - 1, mask=i < n, other=0)",
         f"{LOADS} (program 0 reads codes_ptr - 1, but the first is codes_ptr + 0)"),
        (STORE, STORE.replace("<", "<="),
         f"{STORES} (program 2 writes out_ptr + 66, but the last is out_ptr + 65)"),
        (STORE, STORE.replace("+ i", "+ i.to(tl.int64) * 10**10"),
         f"{STORES} (program 0 writes at an address that is in none of them)"),
        (STORE, STORE + "\n    tl.store(absmax_ptr + 1, 2.0)",
         f"{OUTPUTS} (program 0 writes absmax_ptr + 1)"),
        (STORE, STORE + "\n    tl.store(out_ptr + 40, 2.0)",
         f"{PARTS} (program 0 writes out_ptr + 40, which belongs to program 1)"),
        (STORE, STORE.replace("i < n", "i != 35"),
         f"{WHOLE} (no program writes out_ptr + 35)"),
        (STORE, STORE + "\n    tl.atomic_add(out_ptr + 66, 1.0)",
         f"{STORES} (program 0 writes out_ptr + 66, but the last is out_ptr + 65)"),
    ],
)  # fmt: skip
def test_the_first_access_of_each_kind_that_is_wrong_is_named(
    old: str, new: str, found: str
) -> None:
    assert found in untrue(launched(changed(DEQUANTIZE_KERNEL, (old, new))))


def test_a_load_wider_than_its_elements_has_to_be_inside_with_all_its_bytes() -> None:
    wide = "tl.load((codes_ptr + i // 2).to(tl.pointer_type(tl.int32)), mask=i < n, other=0)"
    kernel = changed(DEQUANTIZE_KERNEL, (LOAD, f"{wide}.to(tl.uint8)"))
    (found,) = untrue(launched(kernel))
    assert "program 1 reads codes_ptr + 33 to codes_ptr + 34, but the last is" in found


def test_what_nobody_wrote_is_not_a_number() -> None:
    kernel = changed(DEQUANTIZE_KERNEL, (STORE, STORE.replace("i < n", "i < 50")))
    assert launched(kernel)["result"].isnan().tolist() == [i >= 50 for i in range(66)]


def test_no_argument_of_a_case_is_touched() -> None:
    case = quantize_case(Draw(0), torch.randn(20), 8)
    before = [x.clone() for x in case.args if isinstance(x, torch.Tensor)]
    for kernel in (changed(QUANTIZE_KERNEL), QUANTIZE_KERNEL.reference):
        kernel_drivers.quantize_kernel(kernel, case.args, {})
        after = [x for x in case.args if isinstance(x, torch.Tensor)]
        for x, y in zip(after, before, strict=True):
            torch.testing.assert_close(x, y, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("new", "error", "text"),
    [
        ("tl.load(codes_ptr + elements)", NameError, "elements"),
        ("tl.load(codes_ptr + i) + tl.arange(0, 2 * SIZE)", ValueError, "incompatible dimensions"),
    ],
)
def test_an_error_is_raised_as_it_is_and_its_line_is_the_kernels(
    new: str, error: type[Exception], text: str
) -> None:
    kernel = changed(DEQUANTIZE_KERNEL, (LOAD, new))
    with pytest.raises(error, match=text) as raised:
        launched(kernel)
    frames = traceback.extract_tb(raised.value.__traceback__)
    lines = [frame.line for frame in frames if frame.name == "dequantize_kernel"]
    assert lines[-1] == f"byte = {new}"


def test_what_is_not_a_kernel_is_refused_with_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"write @triton\.jit above it"):
        launched(lambda *arguments: None)
    twice = changed(DEQUANTIZE_KERNEL, ("code = ", "code = same = "))
    with pytest.raises(SyntaxError, match=r"line \d+: a kernel cannot assign a = b = ..."):
        launched(twice)


def test_a_sixteen_bit_output_may_be_cut_off_but_not_computed() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        case = dequantize_case(Draw(1), 66, 8, dtype=dtype)
        assert fault_of(case, changed(DEQUANTIZE_KERNEL)) is None
    halves = "level.to(tl.float16) * scale.to(tl.float16), mask"
    rounded = changed(DEQUANTIZE_KERNEL, ("level * scale, mask", halves))
    case = dequantize_case(Draw(1), 66, 8)
    assert fault_of(case, rounded) is not None


def fault_of(case: Case, kernel: Any) -> Fault | None:
    """Returns what is wrong with a kernel's answer to a case of 10.6, or None."""
    right = run(DEQUANTIZE_KERNEL, DEQUANTIZE_KERNEL.reference, case)
    assert isinstance(right, Answered)
    return examine(DEQUANTIZE_KERNEL, case, run(DEQUANTIZE_KERNEL, kernel, case), right.answer)

"""Dequantization: in the interpreter, and as compiled, in a machine of our own (ptx.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from kernels.checks import BLOCK_SIZES
from kernels.gpu.launch import THREADS, dequantize, pointers
from kernels.nf4 import DYNAMIC_MAP, LEVELS, NF4Tensor
from kernels.reference import dequantize_plainly
from tests.kernels import compiling
from tests.kernels.paper_gpu import ptx
from tests.kernels.tiny import random_nf4

Poisoned = Callable[..., Tensor]  # the fixture of conftest.py
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
PER_PROGRAM = THREADS * 32
SIZES = (1, 2, 31, 64, 127, 128, 129, 1000, PER_PROGRAM, PER_PROGRAM + 128, 2 * PER_PROGRAM + 333)


def expected(q: NF4Tensor, dtype: torch.dtype) -> Tensor:
    """Dequantizes element by element, from the definition, in NumPy's fp32."""
    i = np.arange(q.numel)
    codes = q.codes.numpy()[i // 2]
    codes = np.where(i % 2 == 0, codes >> 4, codes & 15)
    block = i // q.block_size
    parts = {name: part.numpy() for name, part in q.parts.items()}
    if q.nested_block_size is None:
        scale = parts["absmax"][block]
    else:
        scale = DYNAMIC_MAP.numpy()[parts["absmax_codes"][block]]
        scale = scale * parts["absmax_scale"][block // q.nested_block_size]
        scale = scale + parts["absmax_offset"]
    value = LEVELS.numpy()[codes] * scale
    assert value.dtype == np.float32
    return torch.from_numpy(value).to(dtype)


def same_bits(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.view(torch.uint8), b.view(torch.uint8))


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("nested_block_size", [None, 256])
@pytest.mark.parametrize("dtype", DTYPES.values())
def test_every_size_gives_the_bits_of_the_definition(
    dtype: torch.dtype, nested_block_size: int | None, fast: bool
) -> None:
    for n in SIZES:
        q = random_nf4(n, 64, nested_block_size)
        assert same_bits(dequantize(q, dtype, fast=fast), expected(q, dtype)), n


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_every_block_size_gives_the_bits_of_the_definition(block_size: int, fast: bool) -> None:
    n = 3 * PER_PROGRAM + 200
    for nested_block_size in (None, 32, 256, 4096):
        q = random_nf4(n, block_size, nested_block_size)
        found = dequantize(q, torch.bfloat16, fast=fast)
        assert same_bits(found, expected(q, torch.bfloat16)), nested_block_size


def test_the_reference_says_the_same() -> None:
    q = random_nf4(777, 64, 32)
    assert torch.equal(dequantize_plainly(q, torch.float32), expected(q, torch.float32))


@pytest.mark.usefixtures("poisoned")
def test_nothing_is_written_for_an_empty_tensor() -> None:
    assert dequantize(random_nf4(0, 64, 256), torch.bfloat16).shape == (0,)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("shift", [1, 8])
def test_a_view_that_begins_anywhere_is_read_right(shift: int) -> None:
    q = random_nf4(5000, 64, 256)
    codes = torch.zeros(3000, dtype=torch.uint8)[shift : shift + 2500]
    codes.copy_(q.codes)
    found = dequantize(replace(q, codes=codes), torch.bfloat16)
    assert same_bits(found, expected(q, torch.bfloat16))


@pytest.mark.usefixtures("poisoned")
def test_rounding_is_to_the_nearest_even_bf16() -> None:
    # Level 1.0 times a scale gives the scale: 1 + 2^-8 lies half way between two bf16 numbers, and
    # so does 1 + 3 * 2^-8; the even ones are 1 and 1 + 2^-6.
    scales = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20])
    codes = torch.full((96,), 0xFF, dtype=torch.uint8)
    q = NF4Tensor.from_parts([codes, scales], [192], torch.float32, 64, None)
    assert dequantize(q, torch.bfloat16)[::64].tolist() == [1.0, 1 + 2**-6, 1 + 2**-7]


# As compiled: shuffles, exchanges and all


CASES = [
    ("bf16", 64, 256, "i32", "sm_90"),
    ("bf16", 64, None, "i32", "sm_90"),
    ("bf16", 32, 256, "i32", "sm_90"),
    ("bf16", 32, 32, "i32", "sm_90"),
    ("bf16", 128, 256, "i64", "sm_90"),
    ("bf16", 4096, 32, "i32", "sm_90"),
    ("fp16", 64, 256, "i32", "sm_90"),
    ("fp32", 64, 256, "i32", "sm_90"),
    ("fp32", 32, None, "i32", "sm_90"),
    ("bf16", 64, 256, "i32", "sm_75"),
    ("bf16", 64, 256, "i32", "sm_80"),
    ("bf16", 64, 256, "i32", "sm_100"),
]
JOBS = [("dequantize_fast", *case) for case in CASES]
JOBS += [("dequantize_fast_tail", *CASES[number]) for number in (0, 3, 4, 6, 8)]
HUGE_JOBS = [(k, "bf16", 64, 256, "i64", "sm_90") for k in ("dequantize", "dequantize_fast_tail")]


@pytest.fixture(scope="module")
def listings() -> dict[tuple, str]:
    return compiling.listings(JOBS + HUGE_JOBS)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: "-".join(str(value) for value in job))
def test_the_compiled_kernel_gives_the_bits_of_the_definition(
    job: tuple, listings: dict[tuple, str], poisoned: Poisoned
) -> None:
    kernel, dtype, block_size, nested_block_size, *_ = job
    tail = kernel.endswith("tail")
    for n in (1, 127, PER_PROGRAM + 5, 2 * PER_PROGRAM + 5 * 128 + 77) if tail else (
        128, PER_PROGRAM, 2 * PER_PROGRAM + 5 * 128
    ):  # fmt: skip
        q = random_nf4(n, block_size, nested_block_size)
        out = poisoned(n, DTYPES[dtype])
        codes, levels, scales = pointers(q)
        given = [codes, levels, *(part for part in scales if part is not None), out, n]
        programs = max(1, -(-(n // 128 * 128) // PER_PROGRAM))
        filled = ptx.run(listings[job], programs, given, THREADS)
        assert same_bits(out, expected(q, DTYPES[dtype])), n
        assert filled == 1.0 or tail, "a store fills half a sector of memory"


@pytest.mark.parametrize("job", HUGE_JOBS, ids=lambda job: job[0])
def test_elements_behind_the_first_two_to_the_33_are_found(
    job: tuple, listings: dict[tuple, str], poisoned: Poisoned
) -> None:
    n = 2**33 + 2**20 + 77
    size = 1024 if job[0] == "dequantize" else PER_PROGRAM
    first = (n // (64 * 256) - 1) * 64 * 256  # where a scale of scales begins
    q = random_nf4(n - first, 64, 256)
    codes, absmax_codes, absmax_scale, absmax_offset = q.parts.values()
    out = poisoned(n - first, torch.bfloat16)
    given = [
        ptx.Part(codes, first // 2), LEVELS, ptx.Part(absmax_codes, first // 64),
        ptx.Part(absmax_scale, first // (64 * 256)), absmax_offset, DYNAMIC_MAP,
        ptx.Part(out, first), n,
    ]  # fmt: skip
    programs = -(-n // size) if job[0] == "dequantize" else -(-(n // 128 * 128) // size)
    ptx.run(listings[job], programs, given, THREADS, only=range(first // size, programs))
    assert same_bits(out, expected(q, torch.bfloat16))

"""Products from packed weights against fp64, and the machine code of their kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from kernels.gpu.launch import TILES, best_threads, matmul, pointers
from kernels.gpu.matmul_fast import OUTPUTS
from kernels.machine_code import measure as machine_code
from kernels.nf4 import DYNAMIC_MAP, LEVELS, NF4Tensor
from kernels.reference import dequantize_plainly, quantize_plainly
from tests.kernels import compiling
from tests.kernels.paper_gpu import ptx, ptx_more

Poisoned = Callable[..., Tensor]


Launch = Callable[[Tensor, NF4Tensor], Tensor]


def compare(
    rows: int,
    shape: tuple[int, int],
    block_size: int,
    nested: int | None,
    dtype: torch.dtype,
    launch: Launch,
) -> None:
    """Compares what is launched with the product in fp64, within what roundings can do.

    With u the unit roundoff of the dtype: every product is at most u off for the rounded level or
    weight, the result u for its own rounding; the fp32 sum of k products is k * 2^-24 off.
    """
    generator = torch.Generator().manual_seed(rows + shape[0])
    weight = torch.randn(shape, generator=generator).to(dtype)
    x = torch.randn(rows, shape[1], generator=generator).to(dtype)
    q = quantize_plainly(weight, block_size, nested)
    out = launch(x, q)

    exact = dequantize_plainly(q, torch.float32).double()
    expected = x.double() @ exact.T
    unit = torch.finfo(dtype).eps / 2
    sums = x.double().abs() @ exact.T.abs()
    bound = 1.01 * (unit * (sums + expected.abs()) + (shape[1] + 8) * 2**-24 * sums)
    assert ((out.double() - expected).abs() <= bound).all()


def check(*settings: Any, fast: bool) -> None:
    """Compares what `matmul` gives; settings as above."""
    compare(*settings, lambda x, q: matmul(x, q, fast))


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("rows", "shape", "block_size", "nested", "dtype"),
    [
        (1, (5, 64), 64, None, torch.bfloat16),
        (1, (9, 1600), 64, 256, torch.float32),
        (1, (4, 4224), 128, None, torch.float16),  # rows end within a turn of 128 threads
        (1, (3, 96), 64, 32, torch.float32),  # blocks reach across rows
        (2, (7, 96), 4096, 256, torch.bfloat16),
        (3, (33, 512), 32, 256, torch.float32),
        (3, (33, 512), 32, 256, torch.float16),
        (17, (40, 96), 64, 256, torch.bfloat16),
        (16, (32, 64), 256, None, torch.float16),
    ],
)
def test_product_is_exact_up_to_rounding(
    rows: int,
    shape: tuple[int, int],
    block_size: int,
    nested: int | None,
    dtype: torch.dtype,
    fast: bool,
) -> None:
    check(rows, shape, block_size, nested, dtype, fast=fast)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("shape", [(3, 1), (4, 33), (35, 100), (1, 31)])
def test_rows_of_any_length(rows: int, shape: tuple[int, int]) -> None:
    check(rows, shape, 32, 32, torch.bfloat16, fast=True)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize(("rows", "shape"), [(0, (4, 32)), (2, (0, 32)), (2, (4, 0))])
def test_nothing_to_multiply_gives_zeros_or_nothing(rows: int, shape: tuple[int, int]) -> None:
    q = quantize_plainly(torch.ones(shape), 64, None)
    out = matmul(torch.ones(rows, shape[1]), q)
    assert torch.equal(out, torch.zeros(rows, shape[0]))


def test_one_row_keeps_all_bits_of_the_levels() -> None:
    """In fp32 the product with a row of the identity is the weight itself, for every k."""
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    q = quantize_plainly(weight, 64, None)
    expected = dequantize_plainly(q, torch.float32)
    for k in (0, 1, 7, 8, 31, 32, 63):
        assert torch.equal(matmul(torch.eye(64)[k : k + 1], q)[0], expected[:, k])


def test_weights_that_begin_anywhere_in_memory() -> None:
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(0)).half()
    q = quantize_plainly(weight, 64, None)
    moved = torch.cat([q.codes[:1], q.codes])[1:]
    x = torch.randn(1, 64, generator=torch.Generator().manual_seed(1)).half()
    found = matmul(x, replace(q, codes=moved))
    torch.testing.assert_close(found, matmul(x, q), rtol=2**-9, atol=2**-9)


def test_few_threads_are_idle() -> None:
    """As many as a row has groups, up to 32; then 64 or 128, and fewer than 64 are idle."""
    for groups in range(1, 1000):
        threads = best_threads(groups)
        assert threads >= min(groups, 64)
        assert -groups % threads < max(threads // 2, 64)
        assert threads == 32 or -groups % threads <= -groups % 64


JOBS = [
    ("matvec_fast_128", "bf16", 64, 256, "sm_90"),
    ("matvec_fast_128", "fp16", 32, None, "sm_90"),
    ("matvec_fast_64", "bf16", 128, 256, "sm_90"),
    ("matvec_fast_128", "fp32", 64, 256, "sm_90"),
    ("matvec_fast_32", "bf16", 64, None, "sm_90"),
]
TENSOR_CORE_JOBS = [
    ("matmul_fast_64", "bf16", 64, 256, "sm_90"),
    ("matmul_fast_64", "fp16", 128, None, "sm_90"),
    ("matmul_fast_32", "bf16", 32, 256, "sm_90"),
]

HUGE_JOBS = [("matmul", "fp16", 64, 256, "sm_90"), ("matvec_fast_32", "fp16", 64, 256, "sm_90")]


@pytest.fixture(scope="module")
def listings() -> dict[tuple, str]:
    return compiling.listings(JOBS + TENSOR_CORE_JOBS + HUGE_JOBS)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: "-".join(str(value) for value in job))
def test_the_compiled_kernel_for_a_row_is_exact_up_to_rounding(
    job: tuple, listings: dict[tuple, str], poisoned: Poisoned
) -> None:
    kernel, name, block_size, nested, _ = job
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[name]
    threads = int(kernel.rpartition("_")[2])
    shape = (6, 32 * threads + 96)  # two turns, the second short; two programs, the second short

    def launch(x: Tensor, q: NF4Tensor) -> Tensor:
        out = poisoned(shape[0], dtype).view(1, -1)
        codes, levels, scales = pointers(q)
        parts = [codes, levels, *(part for part in scales if part is not None)]
        given = [x, *parts, out, shape[0], shape[1] // 32]
        ptx_more.run(listings[job], math.ceil(shape[0] / OUTPUTS), given, threads)
        return out

    compare(1, shape, block_size, nested, dtype, launch)


@pytest.mark.parametrize("job", TENSOR_CORE_JOBS, ids=lambda job: "-".join(map(str, job)))
def test_the_compiled_kernel_for_tensor_cores_is_exact_up_to_rounding(
    job: tuple, listings: dict[tuple, str], poisoned: Poisoned
) -> None:
    kernel, name, block_size, nested, _ = job
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[name]
    length = int(kernel.rpartition("_")[2])
    rows, shape = 11, (32, 11 * length)  # two turns of eight slices, the second short

    def launch(x: Tensor, q: NF4Tensor) -> Tensor:
        out = poisoned(rows * shape[0], dtype).view(rows, -1)
        codes, levels, scales = pointers(q)
        parts = [codes, levels, *(part for part in scales if part is not None)]
        given = [x, *parts, out, rows, shape[0], shape[1] // 32]
        ptx_more.run(listings[job], 1, given, 256)
        return out

    compare(rows, shape, block_size, nested, dtype, launch)


@pytest.mark.parametrize("job", HUGE_JOBS, ids=lambda job: job[0])
def test_outputs_behind_the_first_two_to_the_34_weights_are_found(
    job: tuple, listings: dict[tuple, str], poisoned: Poisoned
) -> None:
    kernel, _, block_size, nested, _ = job
    outputs, threads = (OUTPUTS, 32) if kernel.startswith("matvec") else (TILES["TILE_O"], 128)
    n_out, n_in = 2**29 + 5, 32
    first = (n_out - 5) * n_in  # where a scale of scales begins

    def launch(x: Tensor, q: NF4Tensor) -> Tensor:
        out = poisoned(5, torch.float16).view(1, 5)
        assert q.absmax_codes is not None
        assert q.absmax_scale is not None
        parts = [
            ptx.Part(q.codes, first // 2), LEVELS, ptx.Part(q.absmax_codes, first // block_size),
            ptx.Part(q.absmax_scale, first // (block_size * nested)), q.absmax_offset, DYNAMIC_MAP,
        ]  # fmt: skip
        given = [x, *parts, ptx.Part(out, first // n_in)]
        given += [n_out, 1] if kernel.startswith("matvec") else [1, n_out, n_in]
        programs = math.ceil(n_out / outputs)
        ptx_more.run(
            listings[job], programs, given, threads, range(first // n_in // outputs, programs)
        )
        return out

    compare(1, (5, n_in), block_size, nested, torch.float16, launch)


def test_machine_code_of_the_product_with_a_row_is_lean() -> None:
    rows = machine_code.table(["sm_90"], ["matvec_fast_32"], ["bf16"], [64])
    rows += machine_code.table(["sm_90"], ["matvec_fast_128"], ["fp32"], [64])
    assert len(rows) == 4
    for row in rows:
        assert row.spill_bytes == 0, row
        assert row.load_bytes == 16, row
        assert row.instructions_per_element is not None
        assert 3 < row.instructions_per_element < 4.3, row


def test_machine_code_for_tensor_cores_is_lean() -> None:
    rows = machine_code.table(["sm_90"], ["matmul_fast_64"], ["bf16"], [64])
    assert len(rows) == 2
    for row in rows:
        assert row.spill_bytes == 0, row
        assert row.load_bytes == 16, row
        assert row.instructions_per_element is not None
        assert 5.5 < row.instructions_per_element < 7, row


def test_the_plain_kernel_does_not_spill() -> None:
    both = product(("bf16", "fp32"), (None, 256))
    jobs = [("matmul", dtype, 64, nested, "sm_90") for dtype, nested in both]
    assert compiling.spilled(jobs) == {}

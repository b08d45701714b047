"""The kernels that quantize give the bytes of the specification, and their machine code is lean."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import triton.language as tl
from torch import Tensor
from triton.runtime.interpreter import TensorHandle, interpreter_builder

from kernels.gpu.launch import QUANTIZE_SIZE, THREADS, comparison_tables, quantize
from kernels.gpu.quantize import quantize_kernel, quantize_scales_kernel
from kernels.gpu.quantize_fast import quantize_fast_kernel
from kernels.machine_code import measure as machine_code
from kernels.nf4 import THRESHOLDS
from kernels.reference import quantize_plainly
from tests.kernels import compiling
from tests.kernels.paper_gpu import ptx_more

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
TILE = (
    4096  # elements that a program of the fast kernel takes; what is left over goes the plain way
)

Poisoned = Callable[..., Tensor]


def check(weight: Tensor, block_size: int, nested: int | None, fast: bool = True) -> None:
    """Quantizes, and compares every part with the specification's."""
    found = quantize(weight, block_size, nested, fast=fast)
    expected = quantize_plainly(weight, block_size, nested)
    assert found.shape == expected.shape
    for name, part in found.parts.items():
        torch.testing.assert_close(part, getattr(expected, name), rtol=0, atol=0, msg=name)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("n", "block_size"),
    [(0, 64), (1, 64), (63, 32), (4097, 64), (2 * TILE, 32), (TILE, 512), (TILE, 1024)]
    + [(TILE + 33, size) for size in (128, 256, 2048)]
    + [(3 * TILE - 1, 4096)],
)
def test_bytes_are_those_of_the_specification(
    n: int, block_size: int, dtype: torch.dtype, fast: bool
) -> None:
    generator = torch.Generator().manual_seed(n + block_size)
    check(torch.randn(n, generator=generator).to(dtype), block_size, None, fast)


def near_thresholds() -> Tensor:
    """Returns each threshold, and the three fp32 numbers below and above it: [105]."""
    near = [THRESHOLDS]
    for end in (-torch.inf, torch.inf):
        for _ in range(3):
            start = near[-1] if len(near) % 3 != 1 else THRESHOLDS
            near.append(torch.nextafter(start, torch.tensor(end)))
    return torch.cat(near)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.7, 3.1e-5])
def test_numbers_at_and_beside_each_threshold(scale: float, fast: bool) -> None:
    """With absmax 1 they are what is compared with the thresholds; else some of them are."""
    block = torch.cat([torch.tensor([1.0]), near_thresholds()])
    block = torch.nn.functional.pad(block, (0, 128 - len(block))) * scale
    check(block.repeat(TILE // 128), 128, None, fast)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("fast", [True, False])
def test_every_bfloat16_from_0_to_1(fast: bool) -> None:
    values = torch.arange(0x3F80 + 1, dtype=torch.int16).view(torch.bfloat16)
    signs = torch.tensor([1.0, -1.0], dtype=torch.bfloat16)
    weight = torch.cat([(values[:, None] * signs).flatten(), signs[:1]])
    weight = torch.nn.functional.pad(weight, (0, -len(weight) % TILE), value=0.37)
    weight = weight.view(-1, TILE).clone()
    weight[:, 0] = 1  # absmax of a block
    check(weight.flatten(), 4096, None, fast)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # 1 / absmax
@pytest.mark.parametrize("fast", [True, False])
def test_zeros_and_what_is_almost_zero_or_infinite(fast: bool) -> None:
    smallest = torch.tensor([1], dtype=torch.int32).view(torch.float32).item()
    sizes = [0.0, -0.0, smallest, 100 * smallest, 2.0**-127, 2.0**-126, 1e-30, 1e30, 3.4e38]
    pattern = torch.linspace(-1, 1, 64)
    weight = torch.cat([pattern * size for size in sizes]).repeat(8)
    check(weight[: TILE + 64], 64, None, fast)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # Inf * 0
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [math.nan, -math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_shows_in_the_absmax_of_its_block(
    bad: float, dtype: torch.dtype, fast: bool
) -> None:
    weight = torch.ones(TILE, dtype=dtype)
    for position in (0, 77, 200, 301, TILE - 1):
        weight[position] = bad
    absmax = quantize(weight, 64, None, fast).parts["absmax"]
    assert absmax.isfinite().logical_not().nonzero().flatten().tolist() == [0, 1, 3, 4, 63]


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize(
    ("n", "nested"), [(0, 64), (5, 256), (TILE, 32), (TILE, 4096), (9 * TILE + 1, 1024)]
)
def test_scales_are_quantized_as_the_specification_says(n: int, nested: int) -> None:
    generator = torch.Generator().manual_seed(n)
    weight = torch.randn(n, generator=generator) * torch.rand(n, generator=generator)
    check(weight, 32, nested)


def test_a_scale_half_way_between_two_values_goes_to_the_lower(poisoned: Poisoned) -> None:
    midpoints = comparison_tables(torch.device("cpu"))[2]
    above = torch.nextafter(midpoints, torch.tensor(torch.inf))
    absmax = torch.stack([midpoints, above]).flatten()
    absmax = torch.nn.functional.pad(absmax, (0, 2), value=1.0)  # absmax of the block: y is exact
    codes, scale = poisoned(512, torch.uint8), poisoned(1, torch.float32)
    quantize_scales_kernel[(1,)](absmax, torch.zeros(()), midpoints, codes, scale, 512, 512)
    assert codes.tolist() == [*range(255), *range(1, 256), 255, 255]
    assert scale.item() == 1


@pytest.mark.usefixtures("poisoned")
def test_scales_that_are_all_alike() -> None:
    check(torch.full((TILE,), -0.3), 64, 256)


@pytest.mark.usefixtures("poisoned")
def test_weights_that_begin_anywhere_in_memory() -> None:
    weight = torch.randn(TILE + 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    check(weight[3:], 64, 256)


@pytest.mark.parametrize("fast", [True, False])
def test_elements_beyond_two_to_the_31(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of these tensors only the end is touched, so only the end takes memory."""
    n = 2**31 + TILE
    weight = torch.empty(n, dtype=torch.bfloat16)
    codes, absmax = torch.empty(n // 2, dtype=torch.uint8), torch.empty(n // 64)
    end = torch.randn(TILE, generator=torch.Generator().manual_seed(0)).bfloat16()
    weight[-TILE:] = end
    thresholds, cells, _ = comparison_tables(torch.device("cpu"))
    number = TensorHandle(np.array([n // TILE - 1], dtype=np.int32), tl.int32)
    monkeypatch.setattr(interpreter_builder, "create_get_program_id", lambda axis: number)
    if fast:
        quantize_fast_kernel[(1,)](weight, cells, codes, absmax, 64, THREADS, SHUFFLE=False)
    else:
        quantize_kernel[(1,)](weight, thresholds, codes, absmax, n, 64, QUANTIZE_SIZE)
    expected = quantize_plainly(end, 64, None)
    assert torch.equal(codes[-TILE // 2 :], expected.codes)
    assert torch.equal(absmax[-TILE // 64 :], expected.absmax)


JOBS = [
    ("quantize_fast", dtype, block_size, "sm_90")
    for dtype, block_size in [
        ("bf16", 32),
        ("bf16", 64),
        ("fp16", 128),
        ("fp32", 64),
        ("fp32", 1024),
    ]
]


@pytest.fixture(scope="module")
def listings() -> dict[tuple, str]:
    return compiling.listings(JOBS)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: "-".join(str(value) for value in job))
def test_the_compiled_kernel_gives_the_bytes_of_the_specification(
    job: tuple, listings: dict[tuple, str], poisoned: Poisoned
) -> None:
    _, dtype, block_size, _ = job
    generator = torch.Generator().manual_seed(block_size)
    weight = torch.randn(2 * TILE, generator=generator)
    weight[:block_size] = 0
    weight[block_size :: TILE // 32] = 3.0
    weight[TILE + 1 :: 50] *= 1e-38
    weight[block_size : 2 * block_size] *= 1e-40  # 1 / absmax is not finite
    weight[-1024:] = 0
    near = near_thresholds()
    weight[-1024:].view(-1, 32)[:, 0] = 1  # absmax, and near the thresholds in fp32
    weight[-1024:].view(-1, 32)[:7, 1:16] = near.view(7, 15)
    weight = weight.to(
        {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[dtype]
    )
    codes = poisoned(TILE, torch.uint8)
    absmax = poisoned(2 * TILE // block_size, torch.float32)
    cells = comparison_tables(torch.device("cpu"))[1]
    filled = ptx_more.run(listings[job], 2, [weight, cells, codes, absmax], THREADS)
    expected = quantize_plainly(weight, block_size, None)
    assert torch.equal(codes, expected.codes)
    assert torch.equal(absmax, expected.absmax)
    assert filled > 0.9, "stores of codes fill whole sectors of memory"


def test_machine_code_is_lean() -> None:
    rows = machine_code.table(["sm_90"], ["quantize_fast"], ["bf16", "fp16", "fp32"], [64])
    assert len(rows) == 3
    for row in rows:
        assert row.spill_bytes == row.shared_bytes == row.barriers == 0, row
        assert row.load_bytes == row.store_bytes == 16, row
        assert row.instructions_per_element is not None
        assert 10 < row.instructions_per_element < 12.5, row


def test_no_block_size_makes_registers_spill() -> None:
    jobs = [
        (kernel, dtype, block_size, None, "sm_90")
        for kernel in ("quantize", "quantize_fast")
        for dtype in ("bf16", "fp32")
        for block_size in (32, 4096)
    ]
    jobs.append(("quantize_scales", "fp32", 64, 256, "sm_90"))
    assert compiling.spilled(jobs) == {}

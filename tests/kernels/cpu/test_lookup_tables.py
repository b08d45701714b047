"""The CPU path gives the bits of the specification, which are those of bitsandbytes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from kernels.checks import BLOCK_SIZES
from kernels.cpu import avx512
from kernels.cpu.lookup_tables import CHUNK, SMALL, THREAD_CHUNK, dequantize, quantize
from kernels.nf4 import LEVELS, THRESHOLDS, NF4Tensor
from kernels.reference import dequantize_plainly, normalise, quantize_plainly, unpack

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# fp32 bits of the numbers that the CUDA kernels of bitsandbytes compare with, 0|1 to 14|15
THRESHOLD_BITS = """bf591cd9 bf1c5270 beeb8480 beadea76 be703cec be0d38bc bd3a7871 3d22faff
                    3df64863 3e5067e0 3e9582d4 3ec753f9 3f006d03 3f248daf 3f5c89d9"""
SIZES = (0, 1, 2, 63, 64, 65, 4095, 12_345, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 777)


@pytest.fixture(autouse=True, params=["tables", "machine code"])
def cpu_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs every test with and without a C compiler."""
    if request.param == "tables":
        monkeypatch.setattr(avx512, "compiled", lambda: None)
    elif not avx512.usable(torch.device("cpu")):
        pytest.skip("needs a processor with AVX-512, and a C compiler")


def oracle(x: Tensor, block_size: int) -> tuple[bytes, np.ndarray]:
    """Computes packed codes and scales, element by element in numpy's fp32."""
    thresholds = np.array([int(word, 16) for word in THRESHOLD_BITS.split()], dtype=np.uint32)
    codes, scales = [], []
    for start in range(0, len(x), block_size):
        block = x[start : start + block_size].float().numpy()
        scales.append(np.abs(block).max())
        inverse = np.float32(1) / scales[-1] if scales[-1] else np.float32(0)
        codes += [int((thresholds.view(np.float32) < y).sum()) for y in block * inverse]
    codes += [7] * (len(codes) % 2)
    return bytes(16 * a + b for a, b in zip(codes[::2], codes[1::2], strict=True)), np.array(scales)


def assert_same_parts(a: NF4Tensor, b: NF4Tensor) -> None:
    assert a.parts.keys() == b.parts.keys()
    for name, part in a.parts.items():
        assert torch.equal(part, b.parts[name]), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "block_size"), [(1, 32), (127, 64), (1000, 32), (5000, 4096)])
def test_codes_and_scales_are_those_of_ten_plain_lines(
    dtype: torch.dtype, n: int, block_size: int
) -> None:
    x = torch.randn(n).to(dtype)
    codes, scales = oracle(x, block_size)
    for q in (quantize_plainly(x, block_size, None), quantize(x, block_size, None)):
        assert bytes(q.codes.numpy()) == codes
        np.testing.assert_array_equal(q.absmax, scales)


def test_fast_path_decides_next_to_a_threshold_as_the_plain_one() -> None:
    around = THRESHOLDS.view(torch.int32)[:, None] + torch.arange(-200, 201, dtype=torch.int32)
    y = around.flatten().view(torch.float32)
    x = torch.nn.functional.pad(y, (0, -len(y) % 63)).view(-1, 63)
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1)  # every block has absmax 1, so that y is x
    q = quantize(x, 64, None)
    assert_same_parts(q, quantize_plainly(x, 64, None))
    codes = unpack(q.codes, x.numel()).view_as(x)[:, :63].flatten()[: len(y)]
    above = y > THRESHOLDS.repeat_interleave(401)
    assert torch.equal(codes.long(), torch.arange(15).repeat_interleave(401) + above)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_fast_path_gives_the_bits_of_the_plain_one(n: int, dtype: torch.dtype) -> None:
    block_size = BLOCK_SIZES[n % len(BLOCK_SIZES)]
    weight = (torch.randn(n) * torch.rand(n).exp()).to(dtype)
    for nested in (None, 256):
        plain, fast = quantize_plainly(weight, block_size, nested), quantize(
            weight, block_size, nested
        )  # fmt: skip
        assert_same_parts(plain, fast)
        for to in DTYPES:
            assert torch.equal(dequantize(fast, to), dequantize_plainly(plain, to))


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_every_block_size_gives_the_bits_of_the_plain_path(block_size: int) -> None:
    weight = torch.randn(3, 5001)
    fast, plain = (f(weight, block_size, 32) for f in (quantize, quantize_plainly))
    assert_same_parts(fast, plain)
    for to in DTYPES:
        assert torch.equal(dequantize(fast, to), dequantize_plainly(plain, to))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("more", [-1, 0, 1, SMALL + 777])
@pytest.mark.parametrize("n", [SMALL, 6 * THREAD_CHUNK])
def test_one_thread_and_several_look_up_the_bits_of_the_plain_path(
    n: int, more: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    n += more
    codes = torch.randint(256, (math.ceil(n / 2),), dtype=torch.uint8)
    q = NF4Tensor(codes, torch.Size([n]), torch.float32, 64, absmax=torch.rand(math.ceil(n / 64)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for to in DTYPES:
        back = dequantize(q, to)
        assert back.is_contiguous()
        assert torch.equal(back, dequantize_plainly(q, to))


def test_dequantize_rounds_level_times_scale_once() -> None:
    q = quantize(torch.randn(4096), 64, None)
    assert q.absmax is not None
    levels = LEVELS.double()[unpack(q.codes, 4096).long()].view(-1, 64)
    product = (levels * q.absmax.double()[:, None]).flatten()  # exact: 24 + 24 bits fit in fp64
    assert torch.equal(dequantize(q, torch.float32), product.float())
    for dtype in (torch.float16, torch.bfloat16):
        assert torch.equal(dequantize(q, dtype), product.float().to(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_stay_zeros(dtype: torch.dtype) -> None:
    q = quantize(torch.zeros(300, dtype=dtype), 64, None)
    assert set(q.codes.tolist()) == {0x77}
    zeros = dequantize(q, dtype)
    assert not zeros.any()
    assert not zeros.signbit().any()
    mixed = torch.cat([torch.zeros(64), torch.ones(64)]).to(dtype)
    assert torch.equal(dequantize(quantize(mixed, 64, None), dtype), mixed)


@pytest.mark.parametrize("top", [1e-45, 1e-40, 2e-38, 1e-30, 3e38])
def test_very_small_and_very_large_weights_stay_finite_and_in_order(top: float) -> None:
    weight = torch.linspace(-1, 1, 128) * top
    for nested in (None, 256):
        plain, fast = quantize_plainly(weight, 64, nested), quantize(weight, 64, nested)
        assert_same_parts(plain, fast)
        back = dequantize(fast, torch.float32)
        assert back.isfinite().all()
        assert (back - weight).abs().max() <= top


def test_error_on_normal_numbers_is_the_known_one() -> None:
    weight = torch.randn(2048, 2048)
    error = {
        nested: (dequantize(quantize(weight, 64, nested), torch.float32) - weight).abs().mean()
        for nested in (None, 256)
    }
    assert error[None].item() == pytest.approx(0.0728, abs=1e-4)
    assert error[256].item() == pytest.approx(0.0729, abs=1e-4)


def test_no_number_ends_further_than_half_a_gap_from_where_it_was() -> None:
    weight = torch.randn(640, 64)
    q = quantize(weight, 64, None)
    half_gaps = LEVELS.diff() / 2
    limit = half_gaps.max() * weight.abs().amax(dim=1, keepdim=True)
    assert ((dequantize(q, torch.float32) - weight).abs() <= limit * (1 + 1e-6)).all()


@pytest.mark.parametrize("f", [quantize, quantize_plainly])
def test_views_are_read_row_by_row(f: Callable[..., NF4Tensor]) -> None:
    weight = torch.randn(70, 90)
    for view in (weight.T, weight[::3, 5:], weight[0].expand(7, 90)):
        copied = torch.tensor(view.tolist())
        assert_same_parts(f(view, 64, 256), f(copied, 64, 256))
        assert f(view, 64, 256).shape == view.shape


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_is_named_by_its_position(dtype: torch.dtype, bad: float) -> None:
    weight = torch.randn(40, 30).to(dtype)
    weight[3, 17] = bad
    weight[30, 2] = math.nan
    with pytest.raises(ValueError, match=rf"^weight\[3, 17\] is {bad}; "):
        quantize(weight, 64, 256)
    with pytest.raises(ValueError, match=rf"^weight\[17, 3\] is {bad}; "):
        quantize(weight.T[:, :20], 64, 256)


def test_a_single_number_that_is_not_finite_has_no_position() -> None:
    with pytest.raises(ValueError, match=r"^weight is nan; "):
        quantize(torch.tensor(math.nan), 64, None)


def test_position_behind_the_first_chunk_is_named() -> None:
    weight = torch.zeros(3, CHUNK)
    weight[2, CHUNK - 1] = math.nan
    with pytest.raises(ValueError, match=rf"^weight\[2, {CHUNK - 1}\] is nan"):
        quantize(weight, 64, None)


# bitsandbytes. Its CPU kernels compare with other last bits at these thresholds than its CUDA
# kernels (and this package) do.
OTHER_ON_CPU = (0, 8, 12, 14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_codes_are_those_of_bitsandbytes(dtype: torch.dtype) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    weight = torch.randn(1024, 1024).to(dtype)
    packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")
    q = quantize(weight, 64, None)
    assert torch.equal(state.absmax, q.absmax)
    theirs, ours = unpack(packed.flatten(), weight.numel()), unpack(q.codes, weight.numel())
    differ = (theirs != ours).nonzero().flatten()
    y = normalise(weight.flatten().float(), q.absmax, 64)[differ]
    near = y.view(torch.int32)[:, None] - THRESHOLDS.view(torch.int32)[list(OTHER_ON_CPU)]
    assert (near.abs().amin(dim=1) <= 1).all() if len(differ) else True
    assert len(differ) <= 4  # of a million: a last bit has to fall into one gap


@pytest.mark.parametrize("dtype", DTYPES)
def test_double_quantization_is_that_of_bitsandbytes(dtype: torch.dtype) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    weight = torch.randn(1024, 1024).to(dtype)
    packed, state = functional.quantize_4bit(
        weight, blocksize=64, compress_statistics=True, quant_type="nf4"
    )
    q = quantize(weight, 64, 256)
    assert q.absmax_offset is not None
    assert q.absmax_scale is not None
    assert q.absmax_codes is not None
    torch.testing.assert_close(state.offset, q.absmax_offset, rtol=3e-7, atol=0)
    torch.testing.assert_close(state.state2.absmax, q.absmax_scale, rtol=1e-5, atol=0)
    # Its 8-bit quantizer is approximate on a CPU: 117 of 65536 codes were found off by one.
    apart = (state.absmax.int() - q.absmax_codes.int()).abs()
    assert apart.max() <= 1
    assert (apart > 0).double().mean() < 0.005
    ours, theirs = dequantize(q, torch.float32), functional.dequantize_4bit(packed, state).float()
    error = [(x - weight.float()).abs().mean().item() for x in (ours, theirs)]
    assert error[0] == pytest.approx(error[1], rel=1e-3)


@pytest.mark.skipif(
    "KERNELS_LARGE_TESTS" not in os.environ,
    reason="takes 12 GB of memory and most of a minute; set KERNELS_LARGE_TESTS=1 to run it",
)
def test_more_than_2_to_the_31_elements() -> None:
    n, tail = 2**31 + 4097, 4097 + 64
    weight = torch.zeros(n, dtype=torch.bfloat16)
    weight[-tail:] = torch.randn(tail)
    weight[:4096] = torch.randn(4096)
    q = quantize(weight, 64, None)
    assert q.codes.shape == (2**30 + 2049,)
    expected = quantize_plainly(weight[-tail:], 64, None)  # a multiple of 64 is in front of it
    assert torch.equal(q.codes[-math.ceil(tail / 2) :], expected.codes)
    back = dequantize(q, torch.bfloat16)
    assert torch.equal(back[-tail:], dequantize_plainly(expected, torch.bfloat16))
    assert torch.equal(back[:4096], dequantize(quantize(weight[:4096], 64, None), torch.bfloat16))
    assert not back[4096:-tail].any()
    weight[-1] = math.nan
    with pytest.raises(ValueError, match=rf"weight\[{n - 1}\] is nan"):
        quantize(weight, 64, None)

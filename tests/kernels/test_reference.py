"""The specification says what the format is, step by step."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
import torch

from kernels import reference
from kernels.nf4 import DYNAMIC_MAP, LEVELS, THRESHOLDS
from kernels.reference import dequantize_scales, encode_nf4, pack, quantize_scales, unpack


def test_the_example_in_the_docstring_is_what_happens() -> None:
    found = doctest.testmod(reference)
    assert found.attempted > 5
    assert found.failed == 0


def test_a_tie_goes_to_the_lower_level() -> None:
    up, down = torch.tensor(math.inf), torch.tensor(-math.inf)
    assert encode_nf4(THRESHOLDS).tolist() == list(range(15))
    assert encode_nf4(torch.nextafter(THRESHOLDS, up)).tolist() == list(range(1, 16))
    assert encode_nf4(torch.nextafter(THRESHOLDS, down)).tolist() == list(range(15))
    assert encode_nf4(LEVELS).tolist() == list(range(16))


def test_packing_keeps_the_first_of_two_in_the_high_half() -> None:
    codes = torch.tensor([1, 2, 15, 0, 9], dtype=torch.uint8)
    assert pack(codes).tolist() == [0x12, 0xF0, 0x97]
    assert torch.equal(unpack(pack(codes), 5), codes)


@pytest.mark.parametrize("nested_block_size", [32, 256])
@pytest.mark.parametrize("n", [1, 255, 256, 257, 3000])
def test_scales_go_to_the_nearest_of_the_dynamic_map(n: int, nested_block_size: int) -> None:
    absmax = torch.rand(n) + 1
    codes, scale, offset = quantize_scales(absmax, nested_block_size)
    assert offset.item() == np.float32(absmax.double().mean())
    z = (absmax - offset).double().numpy()
    for start in range(0, n, nested_block_size):
        block = z[start : start + nested_block_size]
        top = np.abs(block).max()
        assert scale[start // nested_block_size] == top
        distance = np.abs(block[:, None] / max(top, 1e-30) - DYNAMIC_MAP.double().numpy())
        chosen = distance[np.arange(len(block)), codes[start : start + len(block)].numpy()]
        # The midpoints are rounded to fp32, so next to one the other neighbour may be taken.
        np.testing.assert_allclose(chosen, distance.min(axis=1), atol=2e-7)
    back = dequantize_scales(codes, scale, offset, nested_block_size)
    expected = DYNAMIC_MAP.numpy()[codes] * scale.numpy().repeat(nested_block_size)[:n]
    np.testing.assert_array_equal(back, expected + offset.numpy())


def test_equal_scales_survive_double_quantization_exactly() -> None:
    codes, scale, offset = quantize_scales(torch.full((300,), 0.7), 256)
    assert set(codes.tolist()) == {127}
    assert torch.equal(dequantize_scales(codes, scale, offset, 256), torch.full((300,), 0.7))

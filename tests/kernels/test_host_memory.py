"""Memory that is used again is never that of a tensor somebody holds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from kernels import host_memory
from kernels.reference import SMALL, dequantize, dequantize_plainly, quantize


def test_large_tensors_are_aligned_as_those_of_torch() -> None:
    for n_bytes in (100, host_memory.LARGE, host_memory.LARGE + 1):
        tensor = host_memory.new_tensor(n_bytes, torch.uint8, torch.device("cpu"))
        assert tensor.shape == (n_bytes,)
        assert tensor.data_ptr() % 64 == 0
        assert tensor.untyped_storage().nbytes() == n_bytes


def new_kept(n_bytes: int) -> Tensor:
    return host_memory.recycled_tensor("test", n_bytes, torch.uint8, torch.device("cpu"))


@pytest.mark.parametrize(
    "hold",
    [
        lambda tensor: tensor,
        lambda tensor: tensor.view(torch.int16)[1:2],
        lambda tensor: tensor.numpy()[5:6],
        lambda tensor: torch.from_dlpack(tensor)[:1],
        lambda tensor: torch.nn.Parameter(tensor.view(torch.float32)),
    ],
    ids=["itself", "view", "numpy", "dlpack", "parameter"],
)
def test_memory_is_handed_out_again_only_when_nobody_holds_it(
    hold: Callable[[Tensor], object],
) -> None:
    before = host_memory.kept_bytes()
    held = hold(new_kept(1000))
    assert host_memory.kept_bytes() == before + 1000
    address = host_memory.KEPT["test"][0].ctypes.data
    other = new_kept(1000)
    assert other.data_ptr() != address
    del held  # this memory is no longer kept: the last one is
    address = other.data_ptr()
    del other
    assert new_kept(1000).data_ptr() == address
    assert new_kept(10).data_ptr() == address
    assert new_kept(10).untyped_storage().nbytes() == 10
    larger = new_kept(10**8)
    assert larger.untyped_storage().nbytes() == 10**8
    assert (larger.data_ptr() - address) % host_memory.LARGE_PAGE == 0
    del host_memory.KEPT["test"]


def test_a_weight_that_is_held_is_not_written_over() -> None:
    first, second = (quantize(torch.randn(SMALL + 1), 64, None) for _ in range(2))
    weights = [dequantize(q, torch.bfloat16) for q in (first, second, first)]
    for q, weight in zip((first, second, first), weights, strict=True):
        assert torch.equal(weight, dequantize_plainly(q, torch.bfloat16))


def test_threads_dequantize_at_once_in_memory_of_their_own() -> None:
    parts = [quantize(torch.randn(SMALL + 64 * i), 64, None) for i in range(1, 5)]
    wanted = [dequantize_plainly(q, torch.float32) for q in parts]

    def right(i: int) -> bool:
        return torch.equal(dequantize(parts[i % 4], torch.float32), wanted[i % 4])

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(right, range(64)))

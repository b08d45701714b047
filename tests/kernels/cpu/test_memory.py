"""Memory that is used again is never that of a tensor somebody holds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from kernels.cpu import memory as host_memory
from kernels.cpu.lookup_tables import SMALL, dequantize, quantize
from kernels.reference import dequantize_plainly


def test_large_tensors_are_aligned_as_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "LARGE", 10**6)
    for n_bytes in (100, 10**6, 10**6 + 1):
        tensor = host_memory.new_tensor(n_bytes, torch.uint8, torch.device("cpu"))
        assert tensor.shape == (n_bytes,)
        assert tensor.data_ptr() % 64 == 0
        assert tensor.untyped_storage().nbytes() == n_bytes


def new_kept(n_bytes: int) -> Tensor:
    return host_memory.recycled_tensor(torch.Size([n_bytes]), torch.uint8, torch.device("cpu"))


@pytest.fixture(autouse=True)
def every_size_is_kept_and_nothing_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "LARGE", 0)
    monkeypatch.setattr(host_memory, "KEPT", {})


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
    held = hold(new_kept(1000))
    assert host_memory.kept_bytes() == 1000
    [(kept, _)] = host_memory.KEPT.values()
    other = new_kept(1000)
    assert other.data_ptr() != kept.ctypes.data
    del held  # this memory is no longer kept: the last one is
    address = other.data_ptr()
    del other
    for n_bytes in (1000, 512):
        again = new_kept(n_bytes)
        assert again.data_ptr() == address
        assert again.untyped_storage().nbytes() == n_bytes
        del again
    new_kept(1001)
    assert host_memory.kept_bytes() == 1001  # the shorter one is given back


def test_a_small_tensor_does_not_hold_a_large_ones_memory() -> None:
    large, small = new_kept(10**7), new_kept(10**5)
    addresses = large.data_ptr(), small.data_ptr()
    del large, small
    for n_bytes, address in zip((10**7, 10**5), addresses, strict=True):
        assert new_kept(n_bytes).data_ptr() == address


def test_what_is_not_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "LARGE", 1000)
    assert new_kept(999).shape == (999,)
    assert host_memory.kept_bytes() == 0
    new_kept(1000)
    assert host_memory.kept_bytes() == 1000


def test_a_very_large_piece_is_not_kept() -> None:
    new_kept(host_memory.MOST)
    assert host_memory.kept_bytes() == host_memory.MOST
    host_memory.KEPT.clear()
    new_kept(host_memory.MOST + 1)
    assert host_memory.kept_bytes() == 0


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

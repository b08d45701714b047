"""Allocates large tensors on a CPU, where page faults can take longer than the arithmetic."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

LARGE = 2**22  # bytes; from this size numpy asks for large pages, and memory is kept
LARGE_PAGE = 2**21  # bytes
MOST = 2**28  # bytes; larger memory is not kept
KEPT: dict[int, tuple[np.ndarray, weakref.ref[np.ndarray]]] = {}  # memory and its user, by size


def large_pages(n_bytes: int) -> np.ndarray:
    """Returns uninitialised memory, uint8 [n_bytes], in pages of 2 MiB if the system has them.

    Every page of fresh memory costs a page fault at its first touch. With pages of 4 KiB the faults
    take longer than all the arithmetic here, with large ones a fraction of it. numpy asks for large
    pages, torch does not. They begin at multiples of 2 MiB, so the memory does too; what is left
    over in front of it is never touched.
    """
    buffer = np.empty(n_bytes + LARGE_PAGE, dtype=np.uint8)
    start = -buffer.ctypes.data % LARGE_PAGE
    return buffer[start : start + n_bytes]


def new_tensor(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns an uninitialised tensor [n]; on a CPU torch cannot resize it, since numpy owns it."""
    n_bytes = n * dtype.itemsize
    if device.type != "cpu" or n_bytes < LARGE:
        return torch.empty(n, dtype=dtype, device=device)
    return torch.from_numpy(large_pages(n_bytes)).view(dtype)


def recycled_tensor(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns an uninitialised tensor; a large one reuses the memory of one that is gone.

    Layer after layer dequantizes its weight, multiplies by it and drops it. The C library gives
    large memory back to the system, and new memory costs page faults again, whatever the pages. So
    the last memory is kept, as torch does on a GPU: one piece for every power of two up to MOST, so
    that a tensor takes less than twice its size. KEPT.clear() frees it. torch holds the array
    `view` as long as any tensor shares its memory, so a weak reference tells when it is free. torch
    cannot resize such a tensor, as the memory is not its own.
    """
    n_bytes = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or n_bytes < LARGE:
        return torch.empty(shape, dtype=dtype, device=device)
    size_class = n_bytes.bit_length()
    kept = KEPT.pop(size_class, None)  # removed, so that no other thread takes it too
    if kept is not None and kept[1]() is None and len(kept[0]) >= n_bytes:
        memory = kept[0]
    else:
        memory = large_pages(n_bytes)
    view = memory[:n_bytes]
    if n_bytes <= MOST:
        KEPT[size_class] = (memory, weakref.ref(view))
    return reshaped(torch.from_numpy(view).view(dtype), shape)


def reshaped(result: Tensor, shape: Sequence[int]) -> Tensor:
    """Returns result in another shape, but not as a view, so that callers may change it in place.

    torch refuses that for a view that an autograd.Function returns, or that was made in no_grad.
    """
    return torch.ops.aten._unsafe_view(result, list(shape))


def kept_bytes() -> int:
    """Returns the bytes that are kept for the next weight, which torch's own count leaves out."""
    return sum(len(memory) for memory, _ in list(KEPT.values()))  # list: threads may change it

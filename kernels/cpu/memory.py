"""Memory for large tensors on a CPU, where page faults can take longer than the arithmetic."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

LARGE = 2**22  # bytes; from here on numpy asks for large pages, and memory is kept
LARGE_PAGE = 2**21  # bytes
MOST = 2**28  # bytes; a larger piece of memory is not kept
KEPT: dict[int, tuple[np.ndarray, weakref.ref[np.ndarray]]] = {}  # memory and its user, by size


def large_pages(n_bytes: int) -> np.ndarray:
    """Uninitialised memory, uint8 [n_bytes], in pages of 2 MiB where the system has them.

    Fresh memory costs a page fault a page, at its first touch. With pages of 4 KiB that takes
    longer than all the arithmetic here: 12.5 ms of 1 core for 32 MiB, and 2.1 ms with large ones
    (AMD EPYC, Linux). numpy asks for large pages where torch does not. They begin at multiples of
    2 MiB, so the memory does too; what is left over in front is never touched.
    """
    buffer = np.empty(n_bytes + LARGE_PAGE, dtype=np.uint8)
    start = -buffer.ctypes.data % LARGE_PAGE
    return buffer[start : start + n_bytes]


def new_tensor(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Uninitialised [n]; on a CPU in large pages, which numpy owns: torch cannot resize those."""
    n_bytes = n * dtype.itemsize
    if device.type != "cpu" or n_bytes < LARGE:
        return torch.empty(n, dtype=dtype, device=device)
    return torch.from_numpy(large_pages(n_bytes)).view(dtype)


def recycled_tensor(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Uninitialised; a large one lies in the memory of an earlier one that nobody holds.

    Layer after layer dequantizes its weight, multiplies and forgets it. The C library gives what is
    large back to the system, and it comes again with its page faults, large pages or not; so the
    last piece is kept, as torch keeps a GPU's: one for every power of two, so that a tensor takes
    less than twice its memory, and none above MOST. KEPT.clear() gives it back. torch holds the
    array `view` as long as any tensor shares its memory, so a weak reference tells when it is free.
    What is not torch's own it cannot resize.
    """
    n_bytes = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or n_bytes < LARGE:
        return torch.empty(shape, dtype=dtype, device=device)
    size_class = n_bytes.bit_length()
    kept = KEPT.pop(size_class, None)  # away, so that no other thread takes it too
    if kept is not None and kept[1]() is None and len(kept[0]) >= n_bytes:
        memory = kept[0]
    else:
        memory = large_pages(n_bytes)
    view = memory[:n_bytes]
    if n_bytes <= MOST:
        KEPT[size_class] = (memory, weakref.ref(view))
    return reshaped(torch.from_numpy(view).view(dtype), shape)


def reshaped(result: Tensor, shape: Sequence[int]) -> Tensor:
    """result in another shape, but no view to torch: callers may change it in place.

    torch refuses that for a view that an autograd.Function returns, or that was made in no_grad.
    """
    return torch.ops.aten._unsafe_view(result, list(shape))


def kept_bytes() -> int:
    """The memory that is kept for the next weight; torch's own count does not have it."""
    return sum(len(memory) for memory, _ in list(KEPT.values()))  # threads may change it

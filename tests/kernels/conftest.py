"""Runs kernels in Triton's interpreter, with outputs that reveal stray or missing writes."""

from __future__ import annotations

import os

# Triton reads this when a kernel is defined, so it stands before anything that defines one. On a
# GPU, TRITON_INTERPRET=0 lets test_on_gpu.py compile them.
os.environ.setdefault("TRITON_INTERPRET", "1")

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from kernels.machine_code import measure
from tests.kernels.compiling import compiler

measure.compilers = compiler  # one: the tests use both cores already

GUARD_BYTES = 4096  # on each side; a multiple of 64, so that outputs stay aligned as torch's are
POISON_BYTE = 0xCD


def poison(buffer: Tensor) -> None:
    """Fills a buffer with what no kernel writes: NaN in floats, 0xCD in bytes."""
    buffer.fill_(torch.nan if buffer.dtype.is_floating_point else POISON_BYTE)


def is_poison(values: Tensor) -> Tensor:
    """Returns where `poison` has not been overwritten, as bool."""
    return values.isnan() if values.dtype.is_floating_point else values == POISON_BYTE


Poisoned = Callable[..., Tensor]


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[Poisoned]:
    """Provides poisoned(n, dtype), an output [n] in the middle of a larger poisoned buffer.

    Launchers make their outputs with torch.empty, which returns such tensors too during a test.

    When the test is over, the guard bands on both sides must still be poison, and no NaN may be
    left in a float output. In a byte output 0xCD can be a right answer: compare with the expected
    bytes, which an unwritten byte equals only by chance.
    """
    handed_out: list[tuple[Tensor, int, int]] = []

    def make(n: int, dtype: torch.dtype) -> Tensor:
        guard = GUARD_BYTES // dtype.itemsize
        buffer = empty(n + 2 * guard, dtype=dtype)
        poison(buffer)
        handed_out.append((buffer, guard, n))
        return buffer[guard : guard + n]

    def make_for_launcher(*shape: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
        assert device.type == "cpu"
        sizes = torch.Size(shape[0] if isinstance(shape[0], Sequence) else shape)
        return make(sizes.numel(), dtype).view(sizes)

    empty = torch.empty
    with monkeypatch.context() as patch:
        patch.setattr(torch, "empty", make_for_launcher)
        yield make
    for buffer, guard, n in handed_out:
        what = f"{buffer.dtype} output of {n} elements"
        assert is_poison(buffer[:guard]).all(), f"something was written before the {what}"
        assert is_poison(buffer[guard + n :]).all(), f"something was written behind the {what}"
        if buffer.dtype.is_floating_point:
            unwritten = buffer[guard : guard + n].isnan().nonzero().flatten().tolist()
            assert not unwritten, f"not written in the {what}: {unwritten[:10]}"

"""The tables that every kernel looks values up in, on the device where it runs."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from kernels.nf4 import DYNAMIC_MAP, LEVELS


@cache
def tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns LEVELS and DYNAMIC_MAP on a device; made once, as no CUDA graph can copy them."""
    check_not_capturing(device)
    return LEVELS.to(device), DYNAMIC_MAP.to(device)


def check_not_capturing(device: torch.device) -> None:
    """Raises RuntimeError while a CUDA graph is captured, which can hold no copy from the host."""
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "the first NF4 operation on a GPU copies its tables there and compiles its kernel, "
            "which no CUDA graph can hold; call it once before you capture it"
        )

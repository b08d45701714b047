"""`torch.nn.functional.dropout` with cheaper random numbers on a CPU.

F.dropout draws its random numbers one by one there; cutting each number of 64 bits into four of 16
takes a third of the time (`minigpt bench training` times whole steps).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Zeroes each number of x with probability p in training, and divides the others by 1 - p.

    On a CPU p is rounded to a multiple of 1 / 65536.
    """
    if not training or p == 0.0:
        return x
    if not x.is_cpu or torch.compiler.is_compiling():
        return F.dropout(x, p)
    bits = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64).random_(-(2**63), None)
    number = bits.view(torch.int16)[: x.numel()].view(x.shape)  # from -32768 to 32767
    return torch.where(number >= round(p * 2**16) - 2**15, x / (1 - p), 0.0)

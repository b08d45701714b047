"""Counts the operations of a layer and times it, for lesson 2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode


@torch.no_grad()
def operations(layer: Callable[..., object], *inputs: Tensor) -> int:
    """Returns the additions and multiplications in the matrix products of layer(*inputs)."""
    with FlopCounterMode(display=False) as counter:
        layer(*inputs)
    return int(counter.get_total_flops())


@torch.no_grad()
def least_seconds(layer: Callable[..., object], *inputs: Tensor, measure_for: float) -> float:
    """Returns the shortest time of layer(*inputs), the least disturbed one of measure_for seconds.

    As many threads are used as torch uses now.
    """
    timer = Timer(
        "layer(*inputs)",
        globals={"layer": layer, "inputs": inputs},
        num_threads=torch.get_num_threads(),
    )
    return min(timer.blocked_autorange(min_run_time=measure_for).times)

"""A GPU played by the processor, for a dry run of `python -m kernels.bench`.

Tensors are on the processor, kernels in Triton's interpreter, and what only a GPU has (streams,
events, graphs) is played by what is here. The times that come out mean nothing.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kernels.bench import checks as bench_checks
from kernels.bench import contenders as bench_contenders
from kernels.bench import gpu as bench

SHAPE = (2, 2048)  # one part of those that kernels divide a weight into: the interpreter is slow
ROWS = (1, 3)
CHECKED_ROWS = (1, 3, 33)  # one for each of the products' kernels, and one for torch's
CALLED_ROWS = (1, 33)
WAYS = (
    "stream", "graph", "torch.compile", "torch.compile, reduce-overhead", "another device",
)  # fmt: skip


class Event:
    """An event that the processor passes when it is recorded."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.time = time.perf_counter()

    def query(self) -> bool:
        return False

    def synchronize(self) -> None:
        assert self.time

    def elapsed_time(self, end: Event) -> float:
        return 1000 * (end.time - self.time)


class Stream:
    def wait_stream(self, other: Stream) -> None:
        assert isinstance(other, Stream)

    def synchronize(self) -> None:
        pass


Work = Callable[[], list[Tensor]]


def capture(work: Work) -> tuple[Callable[[], None], list[Tensor]]:
    """A graph that calls the work again and writes into the same outputs."""
    outputs = work()

    def replay() -> None:
        for old, new in zip(outputs, work(), strict=True):
            old.copy_(new)

    return replay, outputs


def on_stream(stream: Stream) -> AbstractContextManager[None]:
    assert isinstance(stream, Stream)
    return nullcontext()


def in_place_of_a_gpu(patch: pytest.MonkeyPatch) -> None:
    """Make the processor pass for two GPUs, and give it a small job."""
    module = bench_contenders.bitsandbytes()  # it looks for GPUs when it is first imported
    stand_ins: dict[str, Any] = {
        "Event": Event, "Stream": Stream,
        "stream": on_stream, "current_stream": Stream, "synchronize": lambda device=None: None,
        "set_device": lambda device: None, "_sleep": lambda cycles: None,
        "device_count": lambda: 2,
        "get_device_name": lambda device=None: "A stand-in (2 TB)",
        "get_device_properties": lambda device: SimpleNamespace(L2_cache_size=4096),
    }  # fmt: skip
    for name, stand_in in stand_ins.items():
        patch.setattr(torch.cuda, name, stand_in)
    compile = torch.compile

    def trace(function: Callable[..., Any], mode: str | None = None, **options: Any) -> Any:
        """torch.compile that finds breaks as always, but takes no C++ compiler's time."""
        assert mode in (None, "reduce-overhead")
        return compile(function, backend="aot_eager", **options)

    patch.setattr(torch, "compile", trace)
    patch.setattr(torch, "seed", lambda: torch.manual_seed(0).initial_seed())
    patch.setattr(bench, "DEVICE", torch.device("cpu"))
    patch.setattr(bench_checks, "OTHER_DEVICE", torch.device("cpu"))
    patch.setattr(bench_checks, "capture", capture)
    job: dict[str, Any] = {"SHAPES": {"small": SHAPE}, "ROWS": ROWS, "COPY_BYTES": 2**16}
    for name, value in {**job, "SQUARE": 32, "WARM_UP": 0, "TURNS": 1, "CALLS": 1}.items():
        patch.setattr(bench, name, value)
    job = {"TIMES": 1, "SHAPE": SHAPE, "VALUE_ROWS": CHECKED_ROWS, "GRAPH_ROWS": CALLED_ROWS}
    for name, value in job.items():
        patch.setattr(bench_checks, name, value)
    if module is None:
        return
    signature = inspect.signature(module.functional.gemv_4bit)

    def gemv(*given: Any, **named: Any) -> Tensor:
        """Theirs for processors wants codes in another order, and ends the process if not."""
        bound = signature.bind(*given, **named).arguments
        assert bound["A"].shape[0] == 1
        return F.linear(bound["A"], module.functional.dequantize_4bit(bound["B"], bound["state"]))

    patch.setattr(module.functional, "gemv_4bit", gemv)


def run(patch: pytest.MonkeyPatch, path: Path) -> int:
    """python -m kernels.bench --json path."""
    asked = iter([True])  # by main; torch.compile asks too, and would use what is not there
    patch.setattr(torch.cuda, "is_available", lambda: next(asked, False))
    return bench.main(["--json", str(path)])

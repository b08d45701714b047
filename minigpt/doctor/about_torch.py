"""What torch says of itself and of the processor, asked in a child process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minigpt.doctor.finding import OK, PROBLEM, Finding, pip


def facts() -> dict[str, Any]:
    """Returns what the other checks need to know; to be called in a child process."""
    import torch

    from minigpt.device import free_memory

    return {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda or "",
        "hip": torch.version.hip or "",
        "mps": torch.backends.mps.is_built(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "free_memory": free_memory(),
        "numpy": numpy_trouble(),
    }


def numpy_trouble() -> str:
    """Returns why torch and numpy cannot share an array, "" if they can.

    A torch that was compiled for numpy 1 works without numpy 2, and the other way round, until an
    array is handed over; then it says "Numpy is not available".
    """
    import torch

    try:
        import numpy as np

        shared = torch.from_numpy(np.ones(2)).add_(1).numpy()
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return "" if shared.sum() == 4 else "torch and numpy read the same array differently"


def judge_numpy(trouble: str) -> Iterator[Finding]:
    """Yields what is to be said of torch and numpy together."""
    if trouble:
        remedy = pip("install", "--upgrade", "--force-reinstall", "numpy")
        yield Finding("torch and numpy", PROBLEM, f"cannot share an array ({trouble})", remedy)
    else:
        yield Finding("torch and numpy", OK, "share arrays")


def build_of(torch: Mapping[str, Any]) -> str:
    """Returns for which GPUs a torch was built."""
    if torch["cuda"]:
        return f"CUDA {torch['cuda']}"
    if torch["hip"]:
        return f"ROCm {torch['hip']}"
    return "Apple's GPUs" if torch["mps"] else "processors only"

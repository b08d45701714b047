"""Chooses the backend: the Triton kernels, or PyTorch."""

from __future__ import annotations

import warnings
from functools import cache

import torch


@cache
def has_triton() -> bool:
    """Returns whether triton can be imported."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True


@cache
def warn_without_triton() -> None:
    """Warns once that there is a GPU but triton is not installed."""
    warnings.warn(
        "triton is not installed, so NF4 runs on the GPU in plain PyTorch, which is many times "
        "slower; `pip install triton` where there are wheels for it",
        stacklevel=2,
    )


def check_backend(backend: str | None) -> None:
    """Raises ValueError unless there is a backend of this name."""
    if backend not in (None, "triton", "torch"):
        raise ValueError(f'backend must be "triton", "torch" or None, got {backend!r}')


def use_triton(backend: str | None, device: torch.device) -> bool:
    """Returns whether the Triton kernels, and not PyTorch, are used for tensors on `device`.

    Raises:
        ValueError: there is no such backend, or it cannot work on `device`.
    """
    check_backend(backend)
    if backend == "torch" or (backend is None and device.type != "cuda"):
        return False
    if not has_triton():
        if backend is None:
            warn_without_triton()
            return False
        raise ValueError('backend="triton" needs triton, which is not installed; use "torch"')
    if device.type != "cuda":
        from triton import knobs

        if not knobs.runtime.interpret:  # then triton.jit compiles kernels, which needs a GPU
            raise ValueError(
                f'backend="triton" needs a GPU, and the tensor is on {device}; use "torch", or '
                "set TRITON_INTERPRET=1 in the environment to run the kernels in the interpreter"
            )
    return True

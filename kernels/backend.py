"""Who does the work: the Triton kernels, or PyTorch."""

from __future__ import annotations

import warnings
from functools import cache

import torch


@cache
def has_triton() -> bool:
    """Whether triton can be imported."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True


@cache
def warn_without_triton() -> None:
    """Say once that a GPU is there and triton is not."""
    warnings.warn(
        "triton is not installed, so NF4 runs on the GPU in plain PyTorch, which is many times "
        "slower; `pip install triton` where there are wheels for it",
        stacklevel=2,
    )


def check_backend(backend: str | None) -> None:
    """Raises ValueError unless there is such a backend."""
    if backend not in (None, "triton", "torch"):
        raise ValueError(f'backend must be "triton", "torch" or None, got {backend!r}')


def use_triton(backend: str | None, device: torch.device) -> bool:
    """Whether the Triton kernels do the work for tensors on `device`, and not PyTorch.

    Raises:
        ValueError: there is no such backend, or it cannot work there.
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
        import triton

        from kernels.gpu.dequantize import dequantize_kernel

        if isinstance(dequantize_kernel, triton.JITFunction):  # it would be compiled for a GPU
            raise ValueError(
                f'backend="triton" needs a GPU, and the tensor is on {device}; use "torch", or '
                "set TRITON_INTERPRET=1 in the environment to run the kernels in the interpreter"
            )
    return True


def check_not_capturing(device: torch.device) -> None:
    """Raises RuntimeError while a CUDA graph is captured, which can hold no copy from the host."""
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "the first NF4 operation on a GPU copies its tables there and compiles its kernel, "
            "which no CUDA graph can hold; call it once before you capture it"
        )

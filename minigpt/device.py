"""Chooses the processor to compute on, and the number format.

Everything in minigpt runs on a CPU, an NVIDIA or AMD GPU ("cuda") or Apple silicon ("mps"); unless
you name one, the fastest that is present is used.
"""

from __future__ import annotations

import torch


def pick_device(name: str | None = None) -> torch.device:
    """Returns the device called name, or the best one here if name is None or "auto".

    Raises:
        ValueError: there is no such device, or this machine lacks it.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name is None or name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device must be cpu, cuda, cuda:N, mps or auto, got {name!r}") from None
    here = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(mps)}.get(device.type, 0)
    if (device.index or 0) >= here:
        best = pick_device()
        raise ValueError(f"device {name!r} is not on this machine; leave it out to use {best}")
    return device


def has_fast_bfloat16(device: torch.device) -> bool:
    """Returns whether the device has instructions for bf16 matrix products and need not emulate."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def autocast_dtype(device: torch.device, wanted: str = "auto") -> torch.dtype:
    """Returns the format of matrix products: "auto" is bf16 if the device is fast at it, else fp32.

    Raises:
        ValueError: wanted is none of auto, float32, bfloat16.
    """
    if wanted == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if wanted not in formats:
        raise ValueError(f"dtype must be auto, float32 or bfloat16, got {wanted!r}")
    return formats[wanted]

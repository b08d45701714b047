"""Chooses the processor to compute on and the number format, and says how much memory is free.

Everything in minigpt runs on a CPU, an NVIDIA or AMD GPU ("cuda") or Apple silicon ("mps"); unless
you name one, the fastest that is present is used.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F

from minigpt.fast.measured import choose
from minigpt.fast.threads import system_text

CPU = torch.device("cpu")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}  # of matrix products


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
    if not 0 <= (device.index or 0) < here:  # torch makes -25 of 999
        best = pick_device()
        raise ValueError(f"device {name!r} is not on this machine; leave it out to use {best}")
    return device


def rank_and_count() -> tuple[int, int]:
    """Returns this process's number and how many train together, as torchrun says; else (0, 1).

    Raises:
        ValueError: the environment's RANK or WORLD_SIZE cannot be one.
    """
    said = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if not all(re.fullmatch("[0-9]{1,9}", number) for number in said) or int(said[1]) == 0:
        raise ValueError(
            "RANK and WORLD_SIZE in the environment must be numbers, as torchrun sets them, got "
            f"{said[0]!r} and {said[1]!r}; start with torchrun, or unset them"
        )
    rank, count = map(int, said)
    if rank >= count:
        raise ValueError(
            f"RANK in the environment must be below WORLD_SIZE, got {rank} and {count}; start with "
            "torchrun, or unset them"
        )
    return rank, count


def has_fast_bfloat16(device: torch.device, width: int = 256) -> bool:
    """Returns whether the device multiplies sooner in bf16 than in fp32.

    A GPU does if it has instructions for it. Of two CPUs that have them, one takes half the time
    and the other twice the time of fp32; so the products of a layer of this width, forward and
    backward, are timed.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    n_rows = max(128, min(2048, 2**26 // width**2))  # not more than takes some milliseconds
    shapes = ((n_rows, width), (4 * width, width), (n_rows, 4 * width))
    x, weight, grad = (torch.ones(shape, dtype=torch.float32, device="cpu") for shape in shapes)

    def multiply(dtype: torch.dtype) -> None:
        w, inputs, grads = (tensor.to(dtype) for tensor in (weight, x, grad))
        F.linear(inputs, w), grads @ w, (grads.t() @ inputs).float()

    ways = {"float32": partial(multiply, torch.float32)}
    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
        ways["bfloat16"] = partial(multiply, torch.bfloat16)  # elsewhere it is emulated
    where = f"products in training, width {width}, {torch.get_num_threads()} threads"
    return choose("dtype", where, ways, margin=0.1, enough=0.2) == "bfloat16"


def autocast_dtype(device: torch.device, wanted: str = "auto", width: int = 256) -> torch.dtype:
    """Returns the format of matrix products: "auto" is bf16 if the device is fast at it, else fp32.

    Args:
        width: of the model, for which the speed counts.

    Raises:
        ValueError: wanted is not auto, float32 or bfloat16.
    """
    if wanted == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device, width) else torch.float32
    if wanted not in DTYPES:
        raise ValueError(f"dtype must be auto, float32 or bfloat16, got {wanted!r}")
    return DTYPES[wanted]


def check_room(n_bytes: int, what: str, advice: str, device: torch.device = CPU) -> None:
    """Makes sure that there is memory for something before it is begun.

    Linux grants a process more memory than there is, and kills it when it uses it.

    Args:
        n_bytes: what it takes at least.
        what, advice: how the error begins and ends.

    Raises:
        ValueError: there is too little.
    """
    free = free_memory(device)
    if free is not None and n_bytes > free:
        raise ValueError(
            f"{what} takes at least {n_bytes / 1e9:,.1f} GB of memory, of which {device.type} has "
            f"{free / 1e9:,.1f} GB free; {advice}"
        )


def free_memory(device: torch.device = CPU) -> int | None:
    """Returns the bytes that this process may still take on a device; None if nothing says.

    On a CPU that is what is free and what swapping frees, or less if a container or the shell
    (ulimit -v) has a limit.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] if torch.cuda.is_available() else None
    rooms = [_free_in_machine(), _free_in_container(), _free_in_address_space()]
    return min((room for room in rooms if room is not None), default=None)


def _free_in_machine() -> int | None:
    lines = system_text(Path("/proc/meminfo")).splitlines()
    sizes = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines}
    if "MemAvailable" in sizes:
        return sizes["MemAvailable"] + sizes.get("SwapFree", 0)
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):  # macOS: all there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _free_in_container() -> int | None:
    """Returns what the narrowest control group around this process has left."""
    rooms = []
    for line in system_text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            root, limit, used = "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "usage_in_bytes"
        elif not controllers:
            root, limit, used = "/sys/fs/cgroup", "memory.max", "current"
        else:
            continue
        inner = Path(root + path)
        for folder in (inner, *inner.parents):
            if not folder.is_relative_to(root):
                break
            most, taken = system_text(folder / limit), system_text(folder / f"memory.{used}")
            stat = dict(row.split() for row in system_text(folder / "memory.stat").splitlines())
            files = sum(int(stat.get(f"{kind}_file", 0)) for kind in ("active", "inactive"))
            if most.isdigit() and taken.isdigit():  # it may be "max"; copies of files are dropped
                rooms.append(int(most) - int(taken) + files)
    return min(rooms, default=None)


def _free_in_address_space() -> int | None:
    try:
        import resource  # POSIX
    except ImportError:
        return None
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    pages = system_text(Path("/proc/self/statm")).split()
    if most == resource.RLIM_INFINITY or not pages:
        return None
    return max(0, most - int(pages[0]) * resource.getpagesize())

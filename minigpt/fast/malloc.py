"""Keeps the memory that a training step frees for the next step.

A step on a CPU allocates hundreds of megabytes of activations and frees them again. glibc's malloc
gives blocks that large back to the operating system at once, and the next step has to ask for them
anew: the system hands out pages of 4 KiB one by one, on first touch, each filled with zeros. These
page faults took a fifth of a step of the base model in bf16, which `minigpt bench training` times.
On a GPU torch's caching allocator keeps memory for the same reason.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3), from malloc.h
LARGEST = 2**31 - 1  # bytes; mallopt takes an int


def keep_freed_memory() -> bool:
    """Tells malloc to keep freed memory for as long as this process lasts.

    The process then stays as large as it once was. Only Linux with glibc needs this; elsewhere
    nothing is done.

    Returns:
        Whether malloc accepted the settings.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, LARGEST))

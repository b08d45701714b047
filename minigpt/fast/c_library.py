"""Compiles one_token.c and loads it; run as a program, it calls the function before others do.

    python -I -S c_library.py LIBRARY

What a compiler has made may end the process that calls it (an instruction that the processor lacks)
or never come back. The program finds that out in a process of its own: it ends with status 0, or
the library is no good. Whether the scores are right is seen later (one_token.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("one_token.c")
FLAGS = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"]
SECONDS = 5  # the time limit of the compiler and of the first call; they take 0.3 and 0.05
POINTER, INT, INT64, FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float


class Layer(ctypes.Structure):
    """`layer` in C: the addresses of a weight and of a bias, which may be None."""

    _fields_ = (("weight", POINTER), ("bias", POINTER))


LAYERS = ("ln_1", "c_attn", "attn_proj", "ln_2", "c_fc", "mlp_proj")


class Block(ctypes.Structure):
    """`block` in C."""

    _fields_ = (*((name, Layer) for name in LAYERS), ("keys", POINTER), ("values", POINTER))


ARGUMENTS: list[Any] = [
    *(POINTER, POINTER, ctypes.POINTER(Block), INT64),  # scores, x, blocks, n_layer
    *(ctypes.POINTER(Layer), ctypes.POINTER(Layer)),  # ln_f, lm_head
    *(INT64, INT64, INT64, INT64, INT64),  # V, C, H, n, capacity
    *(FLOAT, POINTER, INT),  # eps, room, n_threads
]


def room_for(C: int, capacity: int, n_threads: int) -> int:
    """Returns how many numbers `room` must hold."""
    return 6 * C + n_threads * (C + capacity)


@cache
def compiled() -> ctypes.CDLL | None:
    """Compiles and loads one_token.c; returns None where there is no compiler that can do it.

    The compiler is `$CC`, or cc. It runs at the first use in a process and leaves no file behind
    that another process could find half-written or out of date.
    """
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            file = str(Path(folder) / "one_token.so")
            compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
            run([*compiler, *FLAGS, "-x", "c", str(SOURCE), "-o", file, "-lm"])
            run([sys.executable, "-I", "-S", __file__, file])
            return load(file)
    except (OSError, ValueError, AttributeError, subprocess.SubprocessError):
        return None


def run(command: Sequence[str]) -> None:
    """Runs a program that says nothing, and ends it with all that it has started.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be started, fails or takes too long.
    """
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(
        command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
    )
    try:
        status = process.wait(SECONDS)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill() if os.name == "nt" else os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if status:
        raise subprocess.CalledProcessError(status, list(command))


def load(file: str) -> ctypes.CDLL:
    """Returns the library with its function declared.

    Raises:
        OSError, AttributeError: it cannot be loaded, or lacks the function.
    """
    library = ctypes.CDLL(file)
    library.one_token.argtypes, library.one_token.restype = ARGUMENTS, None
    return library


def first_call(library: ctypes.CDLL) -> None:
    """Computes a token of a tiny model whose weights are all alike.

    Raises:
        ArithmeticError: numbers near zero are now rounded to zero, which -ffast-math may do to a
            whole process.
    """
    V, C, H, capacity, n_threads = 5, 68, 2, 3, 2
    numbers = (FLOAT * (4 * C * C))(*[0.5] * (4 * C * C))
    weights = ctypes.addressof(numbers)
    layer, blocks = Layer(weights, weights), (Block * 1)()
    for name in LAYERS:
        setattr(blocks[0], name, layer)
    cached = [(FLOAT * (capacity * C))(*[0.5] * (capacity * C)) for _ in range(2)]
    blocks[0].keys, blocks[0].values = map(ctypes.addressof, cached)
    scores, x = (FLOAT * V)(), (FLOAT * C)(*range(C))
    room = (FLOAT * room_for(C, capacity, n_threads))()
    library.one_token(
        scores, x, blocks, 1, layer, layer, V, C, H, capacity - 1, capacity, 1e-5, room, n_threads
    )
    if sys.float_info.min / 2 == 0:
        raise ArithmeticError("the library makes numbers near zero zero")


if __name__ == "__main__":
    first_call(load(sys.argv[1]))

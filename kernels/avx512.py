"""Dequantizing in machine code: `avx512.c`, where a processor and a compiler for it are there.

In torch's operations it is a look-up, a product and a rounding for every number, 0.6 ns on one core
of a Xeon. In C the tables lie in registers, and it takes 0.15 to 0.25 ns.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from kernels.nf4 import DTYPES, DYNAMIC_MAP, LEVELS, NF4Tensor

SOURCE = Path(__file__).with_name("avx512.c")
FLAGS = ["-O2", "-mavx512f", "-mavx512bw", "-mavx512vl", "-fopenmp", "-shared", "-fPIC"]
FLAGS += ["-ffp-contract=off"]  # a product and a sum are rounded one by one, as everywhere else
MANY = 2**16  # elements; with fewer, waking another thread takes longer than the work


@cache
def compiled() -> Callable[..., None] | None:
    """`dequantize` of avx512.c; None without AVX-512, or where it does not compile.

    The compiler is `$CC`, or cc. It is called once in a process, for 0.3 s, and leaves nothing
    behind: no file that another process could find half-written or out of date.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        library = Path(folder) / "avx512.so"
        try:
            compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
            command = [*compiler, *FLAGS, str(SOURCE), "-o", str(library)]
            subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
            function = ctypes.CDLL(str(library)).dequantize
        except (OSError, ValueError, subprocess.CalledProcessError):
            return None
    pointer, int64 = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [pointer, ctypes.c_int, int64, pointer, pointer, ctypes.c_int]
    function.argtypes += [pointer] * 5 + [ctypes.c_int] * 2
    function.restype = None
    return function


def usable() -> bool:
    """Whether the machine code is there, and no dispatch mode of torch's is on.

    Such a mode (FakeTensorMode, make_fx) has to see torch's operations instead.
    """
    return compiled() is not None and torch._C._len_torch_dispatch_stack() == 0


def dequantize(q: NF4Tensor, out: Tensor) -> None:
    """Write the numbers of q into out, contiguous, of q's shape and a dtype of NF4."""
    function = compiled()
    assert function is not None
    parts = {name: part.contiguous() for name, part in q.parts.items()}
    address = {name: part.data_ptr() for name, part in parts.items()}
    function(
        out.data_ptr(),
        DTYPES.index(out.dtype),
        q.numel,
        address["codes"],
        LEVELS.data_ptr(),
        q.block_size.bit_length() - 1,
        address.get("absmax"),
        address.get("absmax_codes"),
        DYNAMIC_MAP.data_ptr(),
        address.get("absmax_scale"),
        address.get("absmax_offset"),
        q.nested_block_size.bit_length() - 1 if q.nested_block_size else 0,
        torch.get_num_threads() if q.numel >= MANY else 1,
    )

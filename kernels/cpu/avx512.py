"""kernels/reference.py in machine code: `avx512.c`, for a CPU with AVX-512 and a C compiler.

In C the levels and thresholds stay in registers: one core of a Xeon dequantizes a number in 0.14 ns
instead of the tables' 0.8, and quantizes one in 0.7 ns instead of 3.4 (`python -m
kernels.bench.cpu`, after ATEN_CPU_CAPABILITY=avx2 for the tables).
"""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from kernels.checks import DTYPES
from kernels.cpu import first_call
from kernels.nf4 import DYNAMIC_MAP, LEVELS, MIDPOINTS, THRESHOLDS, NF4Tensor
from kernels.programs import run_program

SOURCE = Path(__file__).with_name("avx512.c")
FLAGS = ["-O2", "-mavx512f", "-mavx512bw", "-mavx512vl", "-fopenmp", "-shared", "-fPIC"]
FLAGS += ["-ffp-contract=off"]  # a product and a sum are rounded separately, as in torch
SECONDS = 5  # the compiler's time limit; it takes 0.4
FIRST_CALL = ["-I", "-S", str(first_call.__file__)]
MANY = 2**16  # elements; with fewer, waking another thread takes longer than the work


@cache
def compiled() -> ctypes.CDLL | None:
    """Compiles and loads the functions of avx512.c; returns None without AVX-512 or a compiler.

    The compiler is `$CC`, or cc. It runs at the first use in a process, for 0.4 s (in each of
    several threads that come first together), and leaves no file that another process could find
    half-written or out of date. Another process loads the library and calls its functions first: a
    bad one may end the process, or never return (first_call.py).
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            file = str(Path(folder) / "avx512.so")
            compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
            command = [*compiler, *FLAGS, "-x", "c", str(SOURCE), "-o", file]
            run_program(command, SECONDS)
            run_program([sys.executable, *FIRST_CALL, file], SECONDS)
            return first_call.load(file)
    except (OSError, ValueError, AttributeError, subprocess.SubprocessError):
        return None


def usable(device: torch.device) -> bool:
    """Returns whether the machine code can be used for tensors on `device`."""
    return device.type == "cpu" and compiled() is not None


def in_memory(tensor: Tensor) -> Tensor:
    """Returns the tensor contiguous, with its numbers in memory as they are."""
    tensor = tensor.contiguous().resolve_neg()
    if tensor.data_ptr() == 0 and tensor.numel() > 0:
        raise ValueError(
            f"a tensor {list(tensor.shape)} of an NF4 weight has no memory; was its storage freed?"
        )
    return tensor


def n_threads(n: int) -> int:
    """Returns how many threads are worth using for n numbers.

    They are OpenMP's, as torch's are, so a forked process hangs where it would hang in torch: with
    more than one, after its parent has used them.
    """
    return torch.get_num_threads() if n >= MANY else 1


def log2(power_of_two: int) -> int:
    return power_of_two.bit_length() - 1


def quantize(x: Tensor, block_size: int, absmax: Tensor, codes: Tensor) -> None:
    """Writes the scales and codes of x [n], if `usable`; both are contiguous, as in NF4Tensor.

    A block with a NaN or Inf gets that for its scale, and codes that mean nothing.
    """
    library, x = compiled(), in_memory(x)
    assert library is not None
    library.quantize(
        x.data_ptr(),
        DTYPES.index(x.dtype),
        len(x),
        THRESHOLDS.data_ptr(),
        log2(block_size),
        absmax.data_ptr(),
        codes.data_ptr(),
        n_threads(len(x)),
    )


def quantize_scales(
    absmax: Tensor, block_size: int, offset: Tensor, scale: Tensor, codes: Tensor
) -> None:
    """Writes the scale and codes of absmax [b] - offset, if `usable`; all are contiguous."""
    library = compiled()
    assert library is not None
    library.quantize_scales(
        absmax.data_ptr(),
        len(absmax),
        offset.data_ptr(),
        MIDPOINTS.data_ptr(),
        log2(block_size),
        scale.data_ptr(),
        codes.data_ptr(),
        n_threads(len(absmax)),
    )


def dequantize(q: NF4Tensor, out: Tensor) -> None:
    """Writes the numbers of q into out, contiguous fp32, fp16 or bf16, if `usable`."""
    library, n = compiled(), q.numel
    assert library is not None
    codes = in_memory(q.codes)
    if q.absmax is not None:
        scales = [in_memory(q.absmax)]
        pointers = [scales[0].data_ptr(), None, None, None, None]
    else:
        names = ("absmax_codes", "absmax_scale", "absmax_offset")
        scales = [in_memory(getattr(q, name)) for name in names]
        absmax_codes, absmax_scale, absmax_offset = (part.data_ptr() for part in scales)
        pointers = [None, absmax_codes, DYNAMIC_MAP.data_ptr(), absmax_scale, absmax_offset]
    library.dequantize(
        out.data_ptr(),
        DTYPES.index(out.dtype),
        n,
        codes.data_ptr(),
        LEVELS.data_ptr(),
        log2(q.block_size),
        *pointers,
        log2(q.nested_block_size or 1),
        n_threads(n),
    )

"""Loads a library of avx512.c; run as a program, it also calls its functions, before others do.

    python -I -S first_call.py LIBRARY

What a compiler has made may end the process that calls it (an instruction that the processor lacks,
a file that is cut short), never come back, or change how the whole process computes. The program
finds that out in a process of its own: it ends with status 0, or it is no good. Whether the results
are right is seen later (lookup_tables.py).
"""

from __future__ import annotations

import ctypes
import sys

POINTER, INT, INT64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
ARGUMENTS = {
    "quantize": [POINTER, INT, INT64, POINTER, INT, POINTER, POINTER, INT],
    "quantize_scales": [POINTER, INT64, POINTER, POINTER, INT, POINTER, POINTER, INT],
    "dequantize": [POINTER, INT, INT64, POINTER, POINTER, INT, *5 * [POINTER], INT, INT],
}
N = 2**12  # numbers in the first call, in blocks of 2^6, whose scales are one block of 2^8
FP32 = 0
N_THREADS = 2


def load(file: str) -> ctypes.CDLL:
    """Returns the library with its functions declared.

    Raises:
        OSError, AttributeError: it cannot be loaded, or lacks one of them.
    """
    library = ctypes.CDLL(file)
    for name, arguments in ARGUMENTS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    return library


def call(library: ctypes.CDLL) -> None:
    """Calls every function.

    Raises:
        ArithmeticError: numbers near zero are now rounded to zero, which -ffast-math may do to a
            whole process.
    """
    floats = [(ctypes.c_float * N)(*[0.5] * N) for _ in range(5)]
    x, absmax, table, offset, scale = floats
    codes = (ctypes.c_uint8 * N)()
    scale_codes = (ctypes.c_uint8 * N)()
    library.quantize(x, FP32, N, table, 6, absmax, codes, N_THREADS)
    library.quantize_scales(absmax, N >> 6, offset, table, 8, scale, scale_codes, N_THREADS)
    library.dequantize(
        x, FP32, N, codes, table, 6, None, scale_codes, table, scale, offset, 8, N_THREADS
    )
    if sys.float_info.min / 2 == 0:
        raise ArithmeticError("the library makes numbers near zero zero")


if __name__ == "__main__":
    call(load(sys.argv[1]))

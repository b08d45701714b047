"""Eight neighbouring elements in each thread: as many as a 32-bit word has codes.

What the fast kernels do with them, as tuples of eight tensors that have an element a thread. So the
compiler keeps them where they are, in registers, and moves nothing between threads.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def halves(word):
    """The two bf16 in an int32, the lower first, as fp32."""
    lower = (word << 16).to(tl.float32, bitcast=True)
    return lower, (word & -65536).to(tl.float32, bitcast=True)


@triton.jit
def load_rows(from_ptr, N: tl.constexpr, mask):
    """N neighbours from each of T pointers on, (T, N); 0 where not mask, which may be None."""
    at = from_ptr[:, None] + tl.arange(0, N)[None, :]
    if mask is None:
        x = tl.load(at)
    else:
        x = tl.load(at, mask=mask[:, None], other=0)
    return x


@triton.jit
def load_four(from_ptr, T: tl.constexpr, mask):
    """Four neighbouring elements from each of T pointers on, as a tuple of fp32 (T,)."""
    x = load_rows(from_ptr, 4, mask).to(tl.float32)
    even, odd = tl.split(tl.reshape(x, [T, 2, 2]))  # elements 0 and 2, 1 and 3
    x_0, x_2 = tl.split(even)
    x_1, x_3 = tl.split(odd)
    return x_0, x_1, x_2, x_3


@triton.jit
def load_eight(from_ptr, T: tl.constexpr, mask=None):
    """Eight neighbouring elements from each of T pointers on, as a tuple of fp32 (T,).

    In accesses of 16 bytes: one for 16-bit weights, two for fp32. A bf16 is the upper half of the
    fp32 of the same value, so four words of two are taken apart by a shift and a mask each.
    """
    if from_ptr.dtype.element_ty == tl.bfloat16:
        word_ptr = from_ptr.to(tl.pointer_type(tl.int32))
        words = load_rows(word_ptr, 4, mask)
        words_02, words_13 = tl.split(tl.reshape(words, [T, 2, 2]))
        word_0, word_2 = tl.split(words_02)
        word_1, word_3 = tl.split(words_13)
        return halves(word_0) + halves(word_1) + halves(word_2) + halves(word_3)
    if from_ptr.dtype.element_ty == tl.float32:
        return load_four(from_ptr, T, mask) + load_four(from_ptr + 4, T, mask)
    x = load_rows(from_ptr, 8, mask).to(tl.float32)
    even, odd = tl.split(tl.reshape(x, [T, 2, 2, 2]))
    x_04, x_26 = tl.split(even)
    x_15, x_37 = tl.split(odd)
    x_0, x_4 = tl.split(x_04)
    x_1, x_5 = tl.split(x_15)
    x_2, x_6 = tl.split(x_26)
    x_3, x_7 = tl.split(x_37)
    return x_0, x_1, x_2, x_3, x_4, x_5, x_6, x_7


@triton.jit
def largest_of_eight(x):
    """max |x|."""
    x_01 = larger(tl.abs(x[0]), tl.abs(x[1]))
    x_23 = larger(tl.abs(x[2]), tl.abs(x[3]))
    x_45 = larger(tl.abs(x[4]), tl.abs(x[5]))
    x_67 = larger(tl.abs(x[6]), tl.abs(x[7]))
    return larger(larger(x_01, x_23), larger(x_45, x_67))


@triton.jit
def scaled(x, inverse):
    """x * inverse of the eight in the tuple."""
    return (
        x[0] * inverse, x[1] * inverse, x[2] * inverse, x[3] * inverse,
        x[4] * inverse, x[5] * inverse, x[6] * inverse, x[7] * inverse,
    )  # fmt: skip


@triton.jit
def larger(a, b):
    """The larger one; NaN if one is."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def dot_eight(total, v, x):
    """total + the sum of the eight products."""
    total = tl.fma(v[0], x[0], total)
    total = tl.fma(v[1], x[1], total)
    total = tl.fma(v[2], x[2], total)
    total = tl.fma(v[3], x[3], total)
    total = tl.fma(v[4], x[4], total)
    total = tl.fma(v[5], x[5], total)
    total = tl.fma(v[6], x[6], total)
    return tl.fma(v[7], x[7], total)

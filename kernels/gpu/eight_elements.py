"""What the fast kernels do with eight neighbouring elements: as many as a word has codes.

The eight are a tuple of eight tensors, each of which has one element a thread. So the compiler
keeps all of them in registers and moves nothing between threads. warp.py explains what a word is.
"""

from __future__ import annotations

import triton
import triton.language as tl

GROUP = tl.constexpr(32)  # elements a thread takes at a time: 16 bytes of codes, in one block


@triton.jit
def split_four(x):
    """Takes the last two axes apart: x[..., i, j], 2 x 2, becomes element 2 i + j of a tuple."""
    x_02, x_13 = tl.split(x)  # tl.split takes the last axis apart
    x_0, x_2 = tl.split(x_02)
    x_1, x_3 = tl.split(x_13)
    return x_0, x_1, x_2, x_3


@triton.jit
def join_four(x_0, x_1, x_2, x_3):
    """Puts four tensors together, as `split_four` took them apart: two more axes of 2."""
    return tl.join(tl.join(x_0, x_2), tl.join(x_1, x_3))  # tl.join makes a new last axis


@triton.jit
def join_eight(x):
    """Puts eight tensors together in their order: three more axes of 2."""
    return tl.join(join_four(x[0], x[2], x[4], x[6]), join_four(x[1], x[3], x[5], x[7]))


@triton.jit
def load_words(codes_ptr, group, mask):
    """Loads the four words of each group in `group` (T,), 16 bytes, as a tuple of int32 (T,)."""
    word = group.to(tl.int64)[:, None] * 4 + tl.arange(0, 4)[None, :]  # may pass 2^31
    words = tl.load(codes_ptr.to(tl.pointer_type(tl.int32)) + word, mask=mask[:, None])
    return split_four(tl.reshape(words, [group.shape[0], 2, 2]))


@triton.jit
def halves(word):
    """Returns the two bf16 in an int32 as fp32: first the one in the lower bits."""
    lower = (word << 16).to(tl.float32, bitcast=True)
    return lower, (word & -65536).to(tl.float32, bitcast=True)


@triton.jit
def load_rows(x_ptr, N: tl.constexpr, mask):
    """Loads N neighbours at each of T pointers, (T, N); 0 where not mask, which may be None."""
    x_ptr = x_ptr[:, None] + tl.arange(0, N)[None, :]
    if mask is None:
        x = tl.load(x_ptr)
    else:
        x = tl.load(x_ptr, mask=mask[:, None], other=0)
    return x


@triton.jit
def load_four(x_ptr, T: tl.constexpr, mask):
    """Loads four neighbouring elements at each of T pointers, as a tuple of fp32 (T,)."""
    x = load_rows(x_ptr, 4, mask).to(tl.float32)
    return split_four(tl.reshape(x, [T, 2, 2]))


@triton.jit
def load_eight(x_ptr, T: tl.constexpr, mask=None):
    """Loads eight neighbouring elements at each of T pointers, as a tuple of fp32 (T,).

    An access has 16 bytes, so 16-bit numbers take one and fp32 takes two. A bf16 is the upper half
    of the fp32 of the same value, so a shift and a mask take two of them apart.
    """
    if x_ptr.dtype.element_ty == tl.bfloat16:
        pairs = load_rows(x_ptr.to(tl.pointer_type(tl.int32)), 4, mask)
        pair_0, pair_1, pair_2, pair_3 = split_four(tl.reshape(pairs, [T, 2, 2]))
        return halves(pair_0) + halves(pair_1) + halves(pair_2) + halves(pair_3)
    if x_ptr.dtype.element_ty == tl.float32:
        return load_four(x_ptr, T, mask) + load_four(x_ptr + 4, T, mask)
    x = load_rows(x_ptr, 8, mask).to(tl.float32)
    even, odd = tl.split(tl.reshape(x, [T, 2, 2, 2]))
    x_0, x_2, x_4, x_6 = split_four(even)
    x_1, x_3, x_5, x_7 = split_four(odd)
    return x_0, x_1, x_2, x_3, x_4, x_5, x_6, x_7


@triton.jit
def absmax_of_eight(x):
    """Returns max |x| of the eight; NaN if one is."""
    x_01 = larger(tl.abs(x[0]), tl.abs(x[1]))
    x_23 = larger(tl.abs(x[2]), tl.abs(x[3]))
    x_45 = larger(tl.abs(x[4]), tl.abs(x[5]))
    x_67 = larger(tl.abs(x[6]), tl.abs(x[7]))
    return larger(larger(x_01, x_23), larger(x_45, x_67))


@triton.jit
def times(x, factor):
    """Returns x * factor for each of the eight."""
    return (
        x[0] * factor, x[1] * factor, x[2] * factor, x[3] * factor,
        x[4] * factor, x[5] * factor, x[6] * factor, x[7] * factor,
    )  # fmt: skip


@triton.jit
def larger(a, b):
    """Returns the larger one; NaN if one is."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def dot_eight(total, v, x):
    """Returns total + the sum of the eight products."""
    total = tl.fma(v[0], x[0], total)
    total = tl.fma(v[1], x[1], total)
    total = tl.fma(v[2], x[2], total)
    total = tl.fma(v[3], x[3], total)
    total = tl.fma(v[4], x[4], total)
    total = tl.fma(v[5], x[5], total)
    total = tl.fma(v[6], x[6], total)
    return tl.fma(v[7], x[7], total)

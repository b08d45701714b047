"""How the threads of a warp hand each other registers: small functions for the fast kernels.

The words that all the fast kernels use:

    program  one run of a kernel, for one part of the tensor; on a GPU 32 to 256 threads share it
    thread   what has registers of its own; thread t of a program holds element t of a tensor
    warp     32 neighbouring threads, which execute each instruction together
    lane     a thread's number in its warp, 0 to 31
    quad     four neighbouring threads of a warp, beginning with lane 0, 4, 8, ...
    word     32 bits, one register: here eight codes, the first in the upper half of the lowest byte
    sector   32 neighbouring bytes of memory, the least that is read or written at a time
    shuffle  an instruction that gives each lane the register of another lane

A shuffle needs no memory and no barrier. Triton has no function for it, so these are lines of PTX,
NVIDIA's assembly language ("PTX ISA", shfl.sync). All lanes of a warp must take part, so none of
these functions may stand inside a condition. In a mask 0xSSCC of shfl.sync, SS are the bits of the
lane that stay as they are, CC is the last lane.

The interpreter and GPUs of other makers do not know PTX; there kernels take SHUFFLE=False.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def own_lane(like):
    """Returns the lane that holds each element, 0 to 31: int32, of the shape of `like`."""
    return tl.inline_asm_elementwise(
        "mov.u32 $0, %laneid;", "=r,r", [like], tl.int32, is_pure=True, pack=1
    )


@triton.jit
def from_lane_of_quad(value, lane: tl.constexpr):
    """Returns the fp32 value that thread number `lane`, 0 to 3, of the quad holds."""
    # 0x1c1f: the two low bits of the lane are free, the upper three stay the thread's own.
    return tl.inline_asm_elementwise(
        "shfl.sync.idx.b32 $0, $1, $2, 0x1c1f, 0xffffffff;",
        "=r,r,r", [value, lane], tl.float32, is_pure=False, pack=1,
    )  # fmt: skip


@triton.jit
def transpose_quad(a, b, c, d):
    """Transposes the 4 x 4 words of a quad: word k of thread t becomes word t of thread k.

    It takes four int32 and returns four. First each thread exchanges two of its words with its
    neighbour, then two with the thread two away.
    """
    return tl.inline_asm_elementwise(
        """
        {
        .reg .b32 lane, bit, send, a<4>;
        .reg .pred odd, upper;
        mov.u32 lane, %laneid;
        and.b32 bit, lane, 1;
        setp.ne.u32 odd, bit, 0;
        and.b32 bit, lane, 2;
        setp.ne.u32 upper, bit, 0;
        selp.b32 send, $4, $5, odd;
        shfl.sync.bfly.b32 send, send, 1, 0x1f, 0xffffffff;
        selp.b32 a0, send, $4, odd;
        selp.b32 a1, $5, send, odd;
        selp.b32 send, $6, $7, odd;
        shfl.sync.bfly.b32 send, send, 1, 0x1f, 0xffffffff;
        selp.b32 a2, send, $6, odd;
        selp.b32 a3, $7, send, odd;
        selp.b32 send, a0, a2, upper;
        shfl.sync.bfly.b32 send, send, 2, 0x1f, 0xffffffff;
        selp.b32 $0, send, a0, upper;
        selp.b32 $2, a2, send, upper;
        selp.b32 send, a1, a3, upper;
        shfl.sync.bfly.b32 send, send, 2, 0x1f, 0xffffffff;
        selp.b32 $1, send, a1, upper;
        selp.b32 $3, a3, send, upper;
        }
        """,
        "=&r,=&r,=&r,=&r,r,r,r,r", [a, b, c, d],
        (tl.int32, tl.int32, tl.int32, tl.int32), is_pure=False, pack=1,
    )  # fmt: skip


@triton.jit
def share_halves(word):
    """Returns halves of the words of two neighbouring threads, as an int32 of two halves.

    The even thread gets the two lower halves, each with the first four codes of a word; the odd one
    gets the two upper halves. The even thread's word comes first.
    """
    return tl.inline_asm_elementwise(
        """
        {
        .reg .b32 other, bytes, odd;
        .reg .pred p;
        mov.u32 odd, %laneid;
        and.b32 odd, odd, 1;
        setp.ne.u32 p, odd, 0;
        selp.b32 bytes, 0x3276, 0x5410, p;
        shfl.sync.bfly.b32 other, $1, 1, 0x1f, 0xffffffff;
        prmt.b32 $0, $1, other, bytes;
        }
        """,
        "=&r,r", [word], tl.int32, is_pure=False, pack=1,
    )  # fmt: skip


@triton.jit
def look_up(word, level, levels_ptr, SHUFFLE: tl.constexpr):
    """Returns the levels of the eight codes in a word, as a tuple of fp32.

    With SHUFFLE, lane l must hold LEVELS[l % 16] in `level`. A shuffle uses the five low bits of
    its index, one more than a code has; as lanes l and l + 16 hold the same, no code needs a mask.
    """
    if SHUFFLE:
        return tl.inline_asm_elementwise(
            """
            {
            .reg .b32 code;
            shr.u32 code, $8, 4;
            shfl.sync.idx.b32 $0, $9, code, 0x1f, 0xffffffff;
            shfl.sync.idx.b32 $1, $9, $8, 0x1f, 0xffffffff;
            shr.u32 code, $8, 12;
            shfl.sync.idx.b32 $2, $9, code, 0x1f, 0xffffffff;
            shr.u32 code, $8, 8;
            shfl.sync.idx.b32 $3, $9, code, 0x1f, 0xffffffff;
            shr.u32 code, $8, 20;
            shfl.sync.idx.b32 $4, $9, code, 0x1f, 0xffffffff;
            shr.u32 code, $8, 16;
            shfl.sync.idx.b32 $5, $9, code, 0x1f, 0xffffffff;
            shr.u32 code, $8, 28;
            shfl.sync.idx.b32 $6, $9, code, 0x1f, 0xffffffff;
            shr.u32 code, $8, 24;
            shfl.sync.idx.b32 $7, $9, code, 0x1f, 0xffffffff;
            }
            """,
            "=&r,=&r,=&r,=&r,=&r,=&r,=&r,=&r,r,r", [word, level],
            (tl.float32, tl.float32, tl.float32, tl.float32,
             tl.float32, tl.float32, tl.float32, tl.float32), is_pure=False, pack=1,
        )  # fmt: skip
    return (
        tl.load(levels_ptr + ((word >> 4) & 15)), tl.load(levels_ptr + (word & 15)),
        tl.load(levels_ptr + ((word >> 12) & 15)), tl.load(levels_ptr + ((word >> 8) & 15)),
        tl.load(levels_ptr + ((word >> 20) & 15)), tl.load(levels_ptr + ((word >> 16) & 15)),
        tl.load(levels_ptr + ((word >> 28) & 15)), tl.load(levels_ptr + ((word >> 24) & 15)),
    )  # fmt: skip

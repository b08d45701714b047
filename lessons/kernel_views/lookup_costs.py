"""Counts what three ways to turn a 4-bit code into its level cost, in one small kernel.

    python -m lessons.kernel_views.lookup_costs    # JSON: instructions an element, on sm_90

All three load a word of eight codes, look the levels up, multiply them by the scale of their block
and store eight bf16, 16 bytes, in one access. They differ in one line:

- "tree": 15 selections test the code's bits, one after the other;
- "memory": the 16 levels are a table in memory, and every element loads from it;
- "shuffle": lane l of the warp holds level l % 16, and a shuffle fetches it from there.

No GPU is needed: the kernel is compiled for one, and the instructions of its machine code counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter

import triton
import triton.language as tl

from kernels.gpu.eight_elements import join_eight
from kernels.gpu.warp import look_up, own_lane
from kernels.machine_code.assembly import Instruction, parse_sass
from kernels.machine_code.measure import compile_for, disassemble
from kernels.machine_code.variants import LaunchConfiguration
from kernels.nf4 import LEVELS

WAYS = ("tree", "memory", "shuffle")
WORDS = 128  # words of a program; each thread takes one
BLOCK_SIZE = 64
LEVEL = tl.constexpr(tuple(LEVELS.tolist()))
WORDS_A_BLOCK = tl.constexpr(BLOCK_SIZE // 8)
# Kinds of instructions by how they begin in NVIDIA's listings; all others handle bits, addresses
# and the kernel's arguments. A LOP3 that writes a predicate, P0 to P6, tests bits.
KINDS = {
    "load, store": r"LDG|STG",
    "shuffle": r"SHFL",
    "compare, select": r"[IF]SETP|F?SEL|PLOP3|LOP3\.LUT P\d",
    "multiply, round": r"FMUL|F2F",
}
OTHER = "bits, addresses"


@triton.jit
def one_of_two(code, K: tl.constexpr):
    """Selects level 2K or 2K + 1 by the lowest bit of the code."""
    return tl.where(code & 1 != 0, LEVEL[2 * K + 1], LEVEL[2 * K])


@triton.jit
def one_of_four(code, K: tl.constexpr):
    """Selects one of the four levels from 4K on by the code's two lowest bits, in 3 selections."""
    return tl.where(code & 2 != 0, one_of_two(code, 2 * K + 1), one_of_two(code, 2 * K))


@triton.jit
def tree(code):
    """Finds the level of each code by 15 selections; bits above the lowest four do not matter."""
    lower = tl.where(code & 4 != 0, one_of_four(code, 1), one_of_four(code, 0))
    upper = tl.where(code & 4 != 0, one_of_four(code, 3), one_of_four(code, 2))
    return tl.where(code & 8 != 0, upper, lower)


@triton.jit
def lookup_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr,
    WORDS: tl.constexpr, WAY: tl.constexpr,
):  # fmt: skip
    """Dequantizes WORDS words from word p * WORDS on in program p, without a check of bounds."""
    thread = tl.program_id(0) * WORDS + tl.arange(0, WORDS)
    word = tl.load(codes_ptr.to(tl.pointer_type(tl.int32)) + thread)
    scale = tl.load(absmax_ptr + thread // WORDS_A_BLOCK)
    if WAY == "tree":
        v = (
            tree(word >> 4), tree(word), tree(word >> 12), tree(word >> 8),
            tree(word >> 20), tree(word >> 16), tree(word >> 28), tree(word >> 24),
        )  # fmt: skip
    else:
        level = tl.load(levels_ptr + (own_lane(thread) & 15)) if WAY == "shuffle" else scale
        v = look_up(word, level, levels_ptr, WAY == "shuffle")
    value = tl.reshape(join_eight(v), [WORDS, 8]) * scale[:, None]
    place = thread[:, None] * 8 + tl.arange(0, 8)[None, :]
    tl.store(out_ptr + place, value)


def launch_configuration(way: str) -> LaunchConfiguration:
    """Returns the kernel's description for `kernels.machine_code`."""
    types = {"codes_ptr": "*u8", "absmax_ptr": "*fp32", "levels_ptr": "*fp32", "out_ptr": "*bf16"}
    constants = {"WORDS": WORDS, "WAY": way}
    return LaunchConfiguration(
        way,
        lookup_kernel,
        types,
        constants,
        WORDS // 32,
        WORDS * 8,
        "bf16",
        BLOCK_SIZE,
        False,
        {"enable_fp_fusion": False},
    )


def kind(instruction: Instruction) -> str:
    """Returns which of KINDS an instruction is, whatever condition ("@P0") it has itself."""
    text = re.sub(r"^@\S+\s+", "", instruction.text)
    return next((kind for kind, begins in KINDS.items() if re.match(begins, text)), OTHER)


def count(way: str, arch: str = "sm_90") -> dict[str, float]:
    """Counts the instructions per element by kind."""
    configuration = launch_configuration(way)
    instructions, _labels = parse_sass(disassemble(compile_for(configuration, arch).asm["cubin"]))
    kinds = Counter(map(kind, instructions))
    threads = configuration.num_warps * 32
    return {name: kinds[name] * threads / configuration.elements for name in (*KINDS, OTHER)}


def count_all() -> dict[str, dict[str, float]]:
    """Counts for all WAYS; TRITON_INTERPRET must not be set."""
    return {way: count(way) for way in WAYS}


if __name__ == "__main__":
    print(json.dumps(count_all()))

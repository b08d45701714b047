"""Follows two weights through the fast kernel, in the machine code of an NVIDIA GPU.

    python -m lessons.kernel_views.read_machine_code   # ten instructions, for sm_90

A compiler mixes the instructions of all 32 weights of a thread, so that some can run while others
wait. To find those that belong together, begin with the last instruction that rounds two weights to
bf16, and go back each time to the instruction that wrote a register that is still needed.

No GPU is needed: the kernel is compiled for one, and its machine code disassembled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kernels.machine_code.assembly import Instruction, parse_sass
from kernels.machine_code.measure import compile_for, disassemble
from kernels.machine_code.variants import launch_configuration


def behind(code: Sequence[Instruction], end: int, many: int) -> list[Instruction]:
    """Returns instruction `end` and the ones it depends on, directly or not: the last `many`.

    Registers are followed by name; the first that an instruction names is taken as its result.
    """
    needed = set(re.findall(r"\bR\d+", code[end].text)[:1])
    found: list[Instruction] = []
    for instruction in reversed(code[: end + 1]):
        result, *operands = re.findall(r"\bR\d+", instruction.text) or [""]
        if result in needed and len(found) < many:
            needed = needed - {result} | set(operands)
            found.insert(0, instruction)
    return found


def listing(arch: str = "sm_90", many: int = 10) -> str:
    """Returns lines "address  instruction"; TRITON_INTERPRET must not be set."""
    fast = launch_configuration("dequantize_fast", "bf16", block_size=64)
    code, _labels = parse_sass(disassemble(compile_for(fast, arch).asm["cubin"]))
    last = {i.name.split(".")[0]: number for number, i in enumerate(code)}
    shown = [*behind(code, last["F2FP"], many - 1), code[last["STG"]]]
    return "\n".join(f"{i.address:04x}  {i.text}" for i in shown)


if __name__ == "__main__":
    print(listing())

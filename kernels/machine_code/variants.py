"""One kernel in one configuration, described so that it can be compiled on a machine without a GPU.

Triton compiles a kernel when it is first launched, for the arguments it is launched with. Here the
arguments are only named: their types, and the values of those that are constants of the compiler.
Every kernel module has a function `variants()` that yields what its launchers launch.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Variant(NamedTuple):
    """What `machine_code` needs to compile a kernel and to say what its machine code costs.

    Attributes:
        kernel: its name in the table, as "dequantize_fast".
        fn: the function, decorated with triton.jit.
        signature: type of every argument that is no constant, in Triton's notation: "*u8" for a
            pointer to uint8, "*fp32", "*fp16", "*bf16", "i32", "i64". Pointers are taken to be
            divisible by 16, as torch's allocators guarantee.
        constexprs: value of every argument that is a constant of the compiler.
        num_warps: warps a program runs on.
        elements: elements of the weight that a program handles; in a kernel with a loop over the
            weight, that one turn of the loop handles.
        dtype: of the weight: "fp32", "fp16" or "bf16".
        block_size: elements that share a scale.
        double_quant: whether the scales are quantized too.
        options: what else is passed to the compiler, as {"enable_fp_fusion": False}.
        since: the compute capability, times 10, of the oldest NVIDIA GPU it is launched on.
        turns: how often a loop that is not over the weight runs, as that over 15 thresholds; None
            if there is no such loop. For one GPU the compiler unrolls it, for another not.
    """

    kernel: str
    fn: Any
    signature: dict[str, str]
    constexprs: dict[str, Any]
    num_warps: int
    elements: int
    dtype: str
    block_size: int
    double_quant: bool
    options: dict[str, Any]
    since: int = 75
    turns: int | None = None

"""Lists every kernel in every configuration that the package launches, without a GPU.

Triton compiles a kernel when it is first launched, for the arguments it is launched with. Here the
arguments are only described: their types, and the values of those that are compile-time constants.
`launch_configurations` lists what the launchers of `kernels.gpu` launch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from kernels.checks import BLOCK_SIZES
from kernels.gpu import launch
from kernels.gpu.dequantize import Scales, dequantize_kernel
from kernels.gpu.dequantize_fast import dequantize_fast_kernel
from kernels.gpu.eight_elements import GROUP
from kernels.gpu.matmul import matmul_kernel
from kernels.gpu.matmul_fast import OUTPUTS, matmul_fast_kernel, matvec_fast_kernel
from kernels.gpu.quantize import quantize_kernel, quantize_scales_kernel
from kernels.gpu.quantize_fast import quantize_fast_kernel
from kernels.nf4 import THRESHOLDS

DTYPES = ("bf16", "fp16", "fp32")  # Triton's names


class LaunchConfiguration(NamedTuple):
    """A kernel with all that `measure` needs to compile it and count its instructions.

    Attributes:
        kernel: its name in the table, such as "dequantize_fast".
        fn: the function, decorated with triton.jit.
        signature: types of all arguments but constants, in Triton's notation: "*u8" for a pointer
            to uint8, "*fp32", "*fp16", "*bf16", "i32", "i64". Pointers are assumed to be divisible
            by 16, as torch's allocators guarantee. In a tuple such as `Scales` each member has a
            type; "constexpr" says that it is None.
        constexprs: values of the arguments that are compile-time constants.
        num_warps: how many warps a program runs on.
        elements: elements of the weight that a program handles or, in a kernel with a loop over the
            weight, that one turn of the loop handles.
        dtype: the weight's number format: "fp32", "fp16" or "bf16".
        block_size: how many elements share a scale.
        double_quant: whether the scales are quantized too.
        options: more options of the compiler, such as {"enable_fp_fusion": False}.
        since: the compute capability of the oldest NVIDIA GPU it is launched on.
        turns: how often a loop that is not over the weight runs, such as one over 15 thresholds;
            None if there is no such loop. The compiler unrolls it for some GPUs only.
    """

    kernel: str
    fn: Any
    signature: dict[str, Any]
    constexprs: dict[str, Any]
    num_warps: int
    elements: int
    dtype: str
    block_size: int
    double_quant: bool
    options: dict[str, Any]
    since: tuple[int, int] = (7, 5)
    turns: int | None = None


def launch_configurations() -> Iterator[LaunchConfiguration]:
    """Yields every configuration, but of nested block sizes only 256, which checkpoints use."""
    for dtype in DTYPES:
        for block_size in BLOCK_SIZES:
            for kernel in ("quantize", "quantize_fast"):
                yield launch_configuration(kernel, dtype, block_size)
    yield launch_configuration("quantize_scales", "fp32", 64, 256)
    dequantizing = ("dequantize", "dequantize_fast", "dequantize_fast_tail")
    multiplying = ("matmul", *(f"matvec_fast_{threads}" for threads in (128, 64, 32)))
    slices = {"matmul_fast_64": 64, "matmul_fast_32": 32}  # at most a block long, not for fp32
    for kernels in (dequantizing, (*multiplying, *slices)):
        for dtype, nested_block_size in product(DTYPES, (256, None)):
            for block_size, kernel in product(BLOCK_SIZES, kernels):
                if kernel not in slices or (slices[kernel] <= block_size and dtype != "fp32"):
                    yield launch_configuration(kernel, dtype, block_size, nested_block_size)


def launch_configuration(
    kernel: str, dtype: str, block_size: int, nested_block_size: int | None = None, n: str = "i32"
) -> LaunchConfiguration:
    """Returns the kernel of this name for these constants.

    The number after "matvec_fast" is THREADS, the one after "matmul_fast" is K.
    "dequantize_fast_tail" handles a number of elements that is not a multiple of 128. n is the type
    of that number: "i64" from 2^31 on.
    """
    if kernel.startswith("quantize"):
        return of_quantize(kernel, dtype, block_size)
    scales = Scales("*fp32", *4 * ["constexpr"])
    if nested_block_size:
        scales = Scales("constexpr", "*u8", "*fp32", "*fp32", "*fp32")
    given: dict[str, Any] = {"codes_ptr": "*u8", "levels_ptr": "*fp32", "scales": scales}
    constants: dict[str, Any] = {"BLOCK_SIZE": block_size, "NESTED_BLOCK_SIZE": nested_block_size}
    fn: Any
    num_warps, since = 4, (7, 5)
    name, _, number = kernel.rpartition("_")
    if kernel.startswith("dequantize"):
        given |= {"out_ptr": f"*{dtype}", "n": n}
    else:
        given |= {"x_ptr": f"*{dtype}", "y_ptr": f"*{dtype}", "out_features": "i32"}
    if kernel == "dequantize":
        fn, elements = dequantize_kernel, launch.DEQUANTIZE_SIZE
        constants |= {"SIZE": elements}
    elif kernel.startswith("dequantize_fast"):
        fn, threads = dequantize_fast_kernel, launch.THREADS
        num_warps, elements = threads // 32, threads * GROUP.value
        constants |= {"THREADS": threads, "TAIL": kernel.endswith("tail"), "SHUFFLE": True}
    elif name == "matvec_fast":
        fn, threads = matvec_fast_kernel, int(number)
        num_warps, elements = threads // 32, threads * GROUP.value * OUTPUTS
        given |= {"groups": "i32"}
        constants |= {"THREADS": threads, "SHUFFLE": True}
    elif name == "matmul_fast":
        fn, sizes, since = matmul_fast_kernel, launch.FAST_TILES, launch.MIN_CAPABILITY
        num_warps, elements = sizes["SLICES"], sizes["TILE_O"] * sizes["SLICES"] * int(number)
        given |= {"rows": "i32", "groups": "i32"}
        constants |= {**sizes, "TILE_K": int(number), "SHUFFLE": True}
    else:
        fn, sizes = matmul_kernel, launch.TILES
        elements = sizes["TILE_O"] * sizes["TILE_K"]
        given |= {"rows": "i32", "in_features": "i32"}
        constants |= sizes
    return LaunchConfiguration(
        kernel, fn, given, constants, num_warps, elements,
        dtype, block_size, nested_block_size is not None, launch.OPTIONS, since,
    )  # fmt: skip


def of_quantize(kernel: str, dtype: str, block_size: int) -> LaunchConfiguration:
    """Returns a kernel of quantize.py or quantize_fast.py for these constants."""
    fn: Any
    num_warps, turns = 4, None
    constants: dict[str, Any] = {"BLOCK_SIZE": block_size}
    given = {"x_ptr": f"*{dtype}", "codes_ptr": "*u8", "absmax_ptr": "*fp32"}
    if kernel == "quantize_scales":
        fn, elements = quantize_scales_kernel, 256 * 64
        given = {"absmax_ptr": "*fp32", "offset_ptr": "*fp32", "midpoints_ptr": "*fp32"}
        given |= {"codes_ptr": "*u8", "scale_ptr": "*fp32", "b": "i32"}
        constants = {"BLOCK_SIZE": 256}
    elif kernel == "quantize":
        fn, elements, turns = quantize_kernel, launch.QUANTIZE_SIZE, len(THRESHOLDS)
        given |= {"thresholds_ptr": "*fp32", "n": "i32"}
        constants |= {"SIZE": elements}
    else:
        fn, threads = quantize_fast_kernel, launch.THREADS
        num_warps, elements = threads // 32, threads * GROUP.value
        given |= {"cells_ptr": "*i32"}
        constants |= {"THREADS": threads, "SHUFFLE": True}
    return LaunchConfiguration(
        kernel, fn, given, constants, num_warps, elements, dtype, block_size,
        kernel == "quantize_scales", launch.OPTIONS, turns=turns,
    )  # fmt: skip

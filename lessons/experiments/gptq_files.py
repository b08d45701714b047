"""Counts how large a file of Llama 2 is that was quantized by GPTQ, for lesson 9.

gptq_gigabytes(LLAMA_2["Llama2-7B"], group=128)    # 3.897 GB
"""

from __future__ import annotations

from minigpt.memory.llama import LlamaShape
from minigpt.quantization import bits_per_parameter


def gptq_gigabytes(shape: LlamaShape, group: int) -> float:
    """Returns the size in GB of 10^9 bytes with linear layers in 4 bits and all else in 16.

    Besides its 4-bit weights each linear layer stores a scale (16 bits) and a zero-point (4 bits)
    for every group of weights that share them, the number of its group (4 bytes) for every input,
    and a bias (2 bytes) for every output.
    """
    inputs = 6 * shape.dim + shape.ffn  # of q, k, v, o, gate and up, and of down
    outputs = 3 * shape.dim + 2 * shape.kv_dim + 2 * shape.ffn
    extra = shape.n_layer * (4 * inputs + 2 * outputs)
    return shape.gigabytes(bits_per_parameter(4, group, 16 + 4)) + extra / 1e9

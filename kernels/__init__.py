"""NF4, weights in 4 bits: `quantize_nf4`, `dequantize_nf4` and `nf4_linear`, and Triton kernels.

The package stands alone: it needs torch and numpy, and triton for the kernels on a GPU.
"""

from kernels.nf4 import NF4Tensor
from kernels.ops import dequantize_nf4, nf4_linear, quantize_nf4

__all__ = ["NF4Tensor", "dequantize_nf4", "nf4_linear", "quantize_nf4"]

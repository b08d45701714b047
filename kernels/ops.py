"""The functions that users of the package call: `quantize_nf4`, `dequantize_nf4`, `nf4_linear`.

Here is everything around the arithmetic: the checks, the choice of the backend (the Triton kernels
of `kernels.gpu` on a GPU, `kernels.cpu` elsewhere), the gradients, and three operators registered
with torch.library, which a graph of torch.compile calls like torch's own.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels.backend import check_backend, use_triton
from kernels.checks import check_block_size, check_dtype, check_finite, check_type
from kernels.cpu import lookup_tables as cpu
from kernels.cpu.memory import reshaped
from kernels.nf4 import NF4Tensor

# With up to this many rows a product reads the packed weight; with more the weight is dequantized
# first. In fp32 the kernel reads it again for each row. The numbers are estimates; the rows "ours,
# packed" and "ours, dequantized" of `python -m kernels.bench` show which is faster on a GPU.
FEW_ROWS = {torch.float32: 4, torch.float16: 32, torch.bfloat16: 32}


def quantize_nf4(
    weight: Tensor,
    block_size: int = 64,
    double_quant: bool = True,
    nested_block_size: int = 256,
    backend: str | None = None,
) -> NF4Tensor:
    """Stores a tensor of any shape in 4 bits a number; see `kernels.nf4` for the format.

    Args:
        weight: fp32, fp16 or bf16; contiguous or not, of any size. No gradient goes through.
        block_size: how many elements share a scale, a power of two from 32 to 4096.
        double_quant: store the scales in 8 bits each.
        nested_block_size: how many of those scales share one of their own, a power of two as above.
        backend: "triton", "torch", or None: triton for a tensor on a GPU, if it is installed.

    Raises:
        ValueError: weight has a NaN or Inf (the error says where; on a GPU the check waits for the
            kernels, and it is left out while a CUDA graph is captured), a size is not allowed, or
            there is no such backend.
        TypeError: weight has another dtype, or is not a dense tensor.
    """
    check_type("weight", weight, Tensor)
    check_dtype("weight", weight.dtype)
    block_size = check_block_size("block_size", block_size)
    nested = check_block_size("nested_block_size", nested_block_size) if double_quant else None
    check_backend(backend)
    weight = weight.detach()
    if not must_use_operators(weight):
        return quantize(weight, block_size, nested, backend)
    parts = quantize_op(weight, block_size, nested, backend)
    return NF4Tensor.from_parts(parts, weight.shape, weight.dtype, block_size, nested)


def dequantize_nf4(
    q: NF4Tensor, dtype: torch.dtype | None = None, backend: str | None = None
) -> Tensor:
    """Returns the numbers that q stands for, as a tensor of q's shape, rounded once to dtype.

    Args:
        q: a result of `quantize_nf4`.
        dtype: fp32, fp16 or bf16; None is the dtype before quantization.
        backend: as for `quantize_nf4`.

    Raises:
        TypeError: dtype is another one, or q is not an NF4Tensor.
        ValueError: there is no such backend, or it cannot work on q's device.
    """
    check_type("q", q, NF4Tensor)
    dtype = q.dtype if dtype is None else dtype
    check_dtype("dtype", dtype)
    check_backend(backend)
    if not must_use_operators(q.codes):
        return dequantize(q, dtype, backend)
    parts = list(q.parts.values())
    return dequantize_op(parts, q.shape, q.block_size, q.nested_block_size, dtype, backend)


def nf4_linear(
    x: Tensor, q: NF4Tensor, bias: Tensor | None = None, backend: str | None = None
) -> Tensor:
    """Computes x W^T + bias with a weight W in NF4: a linear layer whose weight is frozen.

        grad_x    = grad_out W
        grad_bias = grad_out summed over rows

    W is dequantized for each product, forward and backward, and never kept: only the 4-bit codes
    and their scales are saved for the backward pass. Under autocast x, W and bias take its dtype.

    Args:
        x: [..., in], of q's dtype.
        q: NF4Tensor of a weight [out, in].
        bias: [out], of q's dtype.
        backend: as for `quantize_nf4`. With "triton", up to FEW_ROWS rows are multiplied with the
            packed weight directly.

    Returns:
        [..., out], differentiable in x and bias, in reverse mode only; torch refuses to run it in
        the transforms of torch.func (grad, vmap, functionalize).

    Raises:
        ValueError: shapes or devices do not fit together, or there is no such backend.
        TypeError: dtypes do not fit together, or an argument is not a dense tensor.
    """
    check_type("q", q, NF4Tensor)
    check_type("x", x, Tensor)
    if bias is not None:
        check_type("bias", bias, Tensor)
    check_backend(backend)
    if len(q.shape) != 2:
        raise ValueError(f"nf4_linear needs a weight [out, in], got one of shape {list(q.shape)}")
    n_out, n_in = q.shape
    if x.dim() == 0 or x.shape[-1] != n_in:
        raise ValueError(
            f"x must be [..., {n_in}] for a weight of shape [{n_out}, {n_in}], got {list(x.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (n_out,):
        raise ValueError(
            f"bias must be [{n_out}] for a weight of shape [{n_out}, {n_in}], "
            f"got {list(bias.shape)}"
        )
    for name, tensor in (("x", x), ("bias", bias)):
        if tensor is not None and tensor.device != q.device:
            raise ValueError(
                f"{name} is on {tensor.device} and the weight on {q.device}; move one of them "
                "with .to(device)"
            )
    dtype, device = q.dtype, x.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x = x.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    for name, tensor in (("x", x), ("bias", bias)):
        if tensor is not None and tensor.dtype != dtype:
            raise TypeError(
                f"{name} is {tensor.dtype} and the weight was {dtype} before quantization; convert "
                f"{name} with .to({dtype})"
            )
    settings = q.shape, q.block_size, q.nested_block_size, backend
    scales = q.absmax, q.absmax_codes, q.absmax_scale, q.absmax_offset
    return FrozenLinear.apply(x, bias, settings, q.codes, *scales)


# The backends


def quantize(
    weight: Tensor, block_size: int, nested_block_size: int | None, backend: str | None
) -> NF4Tensor:
    """Returns weight in NF4, by the Triton kernels or on the processor."""
    if not use_triton(backend, weight.device):
        return cpu.quantize(weight, block_size, nested_block_size)
    from kernels.gpu import launch as gpu

    q = gpu.quantize(weight, block_size, nested_block_size)
    if not (weight.is_cuda and torch.cuda.is_current_stream_capturing()):
        scales = q.absmax if q.absmax_offset is None else q.absmax_offset  # the scales' mean
        assert scales is not None
        check_finite(weight, scales)
    return q


def dequantize(q: NF4Tensor, dtype: torch.dtype, backend: str | None) -> Tensor:
    """Returns q's numbers, by the Triton kernels or on the processor."""
    if not use_triton(backend, q.device):
        return cpu.dequantize(q, dtype)
    from kernels.gpu import launch as gpu

    return gpu.dequantize(q, dtype)


def multiply(x: Tensor, q: NF4Tensor, bias: Tensor | None, backend: str | None) -> Tensor:
    """Returns x W^T + bias, [..., out]; for few rows the product reads the packed weight."""
    few = math.prod(x.shape[:-1]) <= FEW_ROWS.get(x.dtype, 0) and 0 not in (*x.shape, *q.shape)
    if not few or not use_triton(backend, x.device):
        product = F.linear(x, dequantize(q, x.dtype, backend), bias)
        return reshaped(product, product.shape)
    from kernels.gpu import launch as gpu

    product = gpu.matmul(x, q)
    return product if bias is None else product.add_(bias)


# The operators, which are given an NF4Tensor as its parts and a few numbers


@torch.library.custom_op("kernels::quantize_nf4", mutates_args=())
def quantize_op(
    weight: Tensor, block_size: int, nested_block_size: int | None, backend: str | None
) -> list[Tensor]:
    """Returns the parts of the NF4Tensor of weight."""
    return list(quantize(weight, block_size, nested_block_size, backend).parts.values())


@quantize_op.register_fake
def _(weight: Tensor, block_size: int, nested_block_size: int | None, *_: Any) -> list[Tensor]:
    n = weight.numel()
    n_blocks = (n + block_size - 1) // block_size
    codes = weight.new_empty((n + 1) // 2, dtype=torch.uint8)
    if nested_block_size is None:
        return [codes, weight.new_empty(n_blocks, dtype=torch.float32)]
    n_scales = (n_blocks + nested_block_size - 1) // nested_block_size
    scale_codes = weight.new_empty(n_blocks, dtype=torch.uint8)
    return [codes, scale_codes, *(codes.new_empty(s, dtype=torch.float32) for s in (n_scales, ()))]


@torch.library.custom_op("kernels::dequantize_nf4", mutates_args=())
def dequantize_op(
    parts: list[Tensor],
    shape: list[int],
    block_size: int,
    nested_block_size: int | None,
    dtype: torch.dtype,
    backend: str | None,
) -> Tensor:
    """Returns the tensor of `shape` and `dtype` that the parts stand for."""
    q = NF4Tensor.from_parts(parts, shape, dtype, block_size, nested_block_size)
    return dequantize(q, dtype, backend)


@dequantize_op.register_fake
def _(parts: list[Tensor], shape: list[int], *settings: Any) -> Tensor:
    _block_size, _nested_block_size, dtype, _backend = settings
    return parts[0].new_empty(shape, dtype=dtype)


@torch.library.custom_op("kernels::nf4_linear", mutates_args=())
def linear_op(
    x: Tensor,
    parts: list[Tensor],
    bias: Tensor | None,
    shape: list[int],
    block_size: int,
    nested_block_size: int | None,
    backend: str | None,
) -> Tensor:
    """Returns what `multiply` returns; shape is [out, in]."""
    q = NF4Tensor.from_parts(parts, shape, x.dtype, block_size, nested_block_size)
    return multiply(x, q, bias, backend)


@linear_op.register_fake
def _(x: Tensor, parts: list[Tensor], bias: Tensor | None, shape: list[int], *_: Any) -> Tensor:
    return x.new_empty([*x.shape[:-1], shape[0]])


def must_use_operators(tensor: Tensor) -> bool:
    """Returns whether the work must go through the operators.

    It must if something records or transforms operations (torch.compile, torch.jit.trace, a
    dispatch mode such as make_fx, torch.func), or if the tensor has no numbers (FakeTensor, meta).
    """
    return (
        torch.compiler.is_compiling()
        or type(tensor) is not Tensor
        or tensor.is_meta
        or torch.jit.is_tracing()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._ops._len_torch_dispatch_stack_pre_dispatch() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
    )


class FrozenLinear(torch.autograd.Function):
    """Runs `multiply` and computes its gradients.

    The operators are called only where they must be: around each call of one, torch runs Python
    code that takes as long as dequantizing 1024 x 1024 numbers does in machine code.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor | None,
        settings: Any,
        codes: Tensor,
        absmax: Tensor | None,
        absmax_codes: Tensor | None,
        absmax_scale: Tensor | None,
        absmax_offset: Tensor | None,
    ) -> Tensor:
        """Saves only the parts: the gradient of x needs neither x nor the dequantized weight.

        The parts are separate arguments because torch.compile of torch 2.13 would drop ctx from a
        forward with *parts where no gradient is wanted and two parts are given.
        """
        scales = absmax, absmax_codes, absmax_scale, absmax_offset
        parts = [codes, *(part for part in scales if part is not None)]
        ctx.settings = settings
        ctx.save_for_backward(*parts)
        if must_use_operators(codes):
            return linear_op(x, parts, bias, *settings)
        shape, *sizes, backend = settings
        return multiply(x, NF4Tensor.from_parts(parts, shape, x.dtype, *sizes), bias, backend)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of x [..., in] and bias [out] from grad [..., out]."""
        shape, *sizes, backend = ctx.settings
        parts = list(ctx.saved_tensors)
        grad_x = grad_bias = None
        if ctx.needs_input_grad[0]:
            if must_use_operators(parts[0]):
                weight = dequantize_op(parts, shape, *sizes, grad.dtype, backend)
            else:
                q = NF4Tensor.from_parts(parts, shape, grad.dtype, *sizes)
                weight = dequantize(q, grad.dtype, backend)
            grad_x = grad @ weight
        if ctx.needs_input_grad[1]:
            grad_bias = grad[None].flatten(0, -2).sum(dim=0)
        return grad_x, grad_bias, *[None] * 6

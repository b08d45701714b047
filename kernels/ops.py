"""What users of the package call: `quantize_nf4`, `dequantize_nf4` and `nf4_linear`.

Here is everything around the arithmetic: what is checked, who does the work (the Triton kernels on
a GPU, `cpu/` elsewhere), what the gradients are, and how torch.compile gets to know of it.
The three operators below are registered with torch.library, so that a compiled graph calls them
like operators of torch itself; they see an NF4Tensor as the list of its parts and a few numbers.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels.backend import check_backend, use_triton
from kernels.cpu import lookup_tables as cpu
from kernels.cpu.memory import reshaped
from kernels.nf4 import NF4Tensor, check_block_size, check_dtype, check_type
from kernels.reference import check_finite

# With up to so many rows a product reads the packed weight; with more it is dequantized once. In
# fp32 the kernel reads it anew for each row. Not measured: set them when a GPU can be had, from
# "ours, packed" and "ours, dequantized" of `python -m kernels.bench`.
FEW_ROWS = {torch.float32: 4, torch.float16: 32, torch.bfloat16: 32}


def quantize_nf4(
    weight: Tensor,
    block_size: int = 64,
    double_quant: bool = True,
    nested_block_size: int = 256,
    backend: str | None = None,
) -> NF4Tensor:
    """Store a tensor of any shape in 4 bits a number; see `kernels.nf4` for the format.

    Args:
        weight: fp32, fp16 or bf16; contiguous or not, empty, of any size. Gradients end here.
        block_size: elements that share a scale, a power of two from 32 to 4096.
        double_quant: store the scales in 8 bits each.
        nested_block_size: scales that share a scale of their own then, a power of two as above.
        backend: "triton", "torch", or None: triton for a tensor on a GPU, where it is installed.

    Raises:
        ValueError: weight has a NaN or Inf (the message says where; on a GPU that waits for the
            kernels to end, and while a CUDA graph is captured it is left out), a size is not
            allowed, or there is no such backend.
        TypeError: weight is of another dtype, or no dense tensor.
    """
    check_type("weight", weight, Tensor)
    check_dtype("weight", weight.dtype)
    block_size = check_block_size("block_size", block_size)
    nested = check_block_size("nested_block_size", nested_block_size) if double_quant else None
    check_backend(backend)
    weight = weight.detach()
    if not traced(weight) and not use_triton(backend, weight.device):
        return cpu.quantize(weight, block_size, nested)
    codes, *scales = quantize_op(weight, block_size, nested, backend)
    return NF4Tensor(codes, weight.shape, weight.dtype, block_size, *four_scales(scales), nested)


def dequantize_nf4(
    q: NF4Tensor, dtype: torch.dtype | None = None, backend: str | None = None
) -> Tensor:
    """The numbers that q stands for, as a tensor of q's shape.

    Args:
        q: what `quantize_nf4` gave.
        dtype: fp32, fp16 or bf16; as it was before quantization if None. Rounded to it once.
        backend: as for `quantize_nf4`.

    Raises:
        TypeError: another dtype, or q is no NF4Tensor.
        ValueError: there is no such backend, or it cannot work there.
    """
    check_type("q", q, NF4Tensor)
    dtype = q.dtype if dtype is None else dtype
    check_dtype("dtype", dtype)
    check_backend(backend)
    if not traced(q.codes) and not use_triton(backend, q.device):
        return cpu.dequantize(q, dtype)
    return dequantize_op(parts_of(q), q.shape, q.block_size, q.nested_block_size, dtype, backend)


def nf4_linear(
    x: Tensor, q: NF4Tensor, bias: Tensor | None = None, backend: str | None = None
) -> Tensor:
    """x W^T + bias with a weight W in NF4: a linear layer whose weight is frozen.

        grad_x    = grad_out W
        grad_bias = grad_out summed over rows

    W is dequantized for the product, forward and backward, and never kept: what is saved for the
    backward pass are the 4-bit codes and their scales. Under autocast x, W and bias take its dtype.

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
        TypeError: dtypes do not, or something is no dense tensor.
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


# The operators. `parts` are those of an NF4Tensor: codes and absmax, or codes, absmax_codes,
# absmax_scale and absmax_offset.


def parts_of(q: NF4Tensor) -> list[Tensor]:
    """The parts in the order in which the operators take them."""
    if q.absmax is not None:
        return [q.codes, q.absmax]
    assert q.absmax_codes is not None
    assert q.absmax_scale is not None
    assert q.absmax_offset is not None
    return [q.codes, q.absmax_codes, q.absmax_scale, q.absmax_offset]


Scales = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]


def four_scales(scales: list[Tensor]) -> Scales:
    """absmax, absmax_codes, absmax_scale, absmax_offset: those that are there, contiguous."""
    scales = [part.contiguous() for part in scales]
    if len(scales) == 1:
        return scales[0], None, None, None
    absmax_codes, absmax_scale, absmax_offset = scales
    return None, absmax_codes, absmax_scale, absmax_offset


def empty_parts(weight: Tensor, block_size: int, nested_block_size: int | None) -> list[Tensor]:
    """Room for the parts, in the shapes that NF4Tensor wants."""
    n = weight.numel()
    n_blocks = (n + block_size - 1) // block_size
    codes = weight.new_empty((n + 1) // 2, dtype=torch.uint8)
    if nested_block_size is None:
        return [codes, weight.new_empty(n_blocks, dtype=torch.float32)]
    n_scales = (n_blocks + nested_block_size - 1) // nested_block_size
    return [
        codes,
        weight.new_empty(n_blocks, dtype=torch.uint8),
        weight.new_empty(n_scales, dtype=torch.float32),
        weight.new_empty((), dtype=torch.float32),
    ]


@torch.library.custom_op("kernels::quantize_nf4", mutates_args=())
def quantize_op(
    weight: Tensor, block_size: int, nested_block_size: int | None, backend: str | None
) -> list[Tensor]:
    """The parts of the NF4Tensor of weight."""
    if not use_triton(backend, weight.device):
        return parts_of(cpu.quantize(weight, block_size, nested_block_size))
    from kernels.gpu.quantize import quantize

    codes, *scales = parts = empty_parts(weight, block_size, nested_block_size)
    flat = weight.reshape(-1)
    quantize(flat, block_size, nested_block_size, codes, *four_scales(scales))
    if not (weight.is_cuda and torch.cuda.is_current_stream_capturing()):
        check_finite(weight, scales[-1])  # absmax, or the mean of it
    return parts


@quantize_op.register_fake
def _(weight: Tensor, block_size: int, nested_block_size: int | None, *_: Any) -> list[Tensor]:
    return empty_parts(weight, block_size, nested_block_size)


def weight_of(
    parts: list[Tensor],
    shape: list[int],
    block_size: int,
    nested_block_size: int | None,
    dtype: torch.dtype,
    backend: str | None,
) -> Tensor:
    """The tensor of `shape` and `dtype` that the parts stand for."""
    codes, *scales = parts
    if not use_triton(backend, codes.device):
        size = torch.Size(shape)
        q = NF4Tensor(codes, size, dtype, block_size, *four_scales(scales), nested_block_size)
        return cpu.dequantize(q, dtype)
    from kernels.gpu.dequantize import dequantize

    n = math.prod(shape)
    out = torch.empty(n, dtype=dtype, device=codes.device)
    codes = codes.contiguous()
    dequantize(codes, *four_scales(scales), n, block_size, nested_block_size, out)
    return reshaped(out, shape)


dequantize_op = torch.library.custom_op("kernels::dequantize_nf4", weight_of, mutates_args=())


@dequantize_op.register_fake
def _(parts: list[Tensor], shape: list[int], *settings: Any) -> Tensor:
    _block_size, _nested_block_size, dtype, _backend = settings
    return parts[0].new_empty(shape, dtype=dtype)


def multiply(
    x: Tensor,
    parts: list[Tensor],
    bias: Tensor | None,
    shape: list[int],
    block_size: int,
    nested_block_size: int | None,
    backend: str | None,
) -> Tensor:
    """x [..., in] -> [..., out]; shape is [out, in]."""
    n_out, n_in = shape
    n_rows = math.prod(x.shape[:-1])
    few = n_rows <= FEW_ROWS.get(x.dtype, 0) and 0 not in (n_rows, n_out, n_in)
    if not few or not use_triton(backend, x.device):
        weight = weight_of(parts, shape, block_size, nested_block_size, x.dtype, backend)
        return reshaped(F.linear(x, weight, bias), [*x.shape[:-1], n_out])
    from kernels.gpu.matmul import matmul

    codes, *scales = parts
    rows = x.reshape(n_rows, n_in).contiguous()
    out = x.new_empty(n_rows, n_out)
    codes = codes.contiguous()
    matmul(rows, codes, *four_scales(scales), n_out, n_in, block_size, nested_block_size, out)
    if bias is not None:
        out += bias
    return reshaped(out, [*x.shape[:-1], n_out])


linear_op = torch.library.custom_op("kernels::nf4_linear", multiply, mutates_args=())


@linear_op.register_fake
def _(x: Tensor, parts: list[Tensor], bias: Tensor | None, shape: list[int], *_: Any) -> Tensor:
    return x.new_empty([*x.shape[:-1], shape[0]])


def traced(tensor: Tensor) -> bool:
    """Whether something looks on that has to see operators, or a tensor holds no numbers.

    That is torch.compile, torch.jit.trace, a dispatch mode (make_fx), a transform of torch.func;
    and FakeTensor, meta.
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
    """What `multiply` computes, and its gradients.

    The operators are called only where torch looks on; see `traced`. Around each call of one torch
    runs much Python of its own, 0.2 ms a layer, forward and backward together (one core of a Xeon,
    torch 2.13): as much as dequantizing 1024 x 1024 takes in machine code.
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
        """Kept are neither x nor the dequantized weight: the gradient of x needs only the parts.

        They come one by one: of a forward with *parts, torch.compile loses ctx where no gradient is
        wanted and two parts make the arguments as many as the parameters (torch 2.13).
        """
        scales = absmax, absmax_codes, absmax_scale, absmax_offset
        parts = [codes, *(part for part in scales if part is not None)]
        ctx.settings = settings
        ctx.save_for_backward(*parts)
        product = linear_op if traced(codes) else multiply
        return product(x, parts, bias, *settings)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """grad [..., out] -> gradients of x [..., in] and bias [out]."""
        shape, block_size, nested_block_size, backend = ctx.settings
        parts = list(ctx.saved_tensors)
        grad_x = grad_bias = None
        if ctx.needs_input_grad[0]:
            weight = dequantize_op if traced(parts[0]) else weight_of
            grad_x = grad @ weight(parts, shape, block_size, nested_block_size, grad.dtype, backend)
        if ctx.needs_input_grad[1]:
            grad_bias = grad[None].flatten(0, -2).sum(dim=0)
        return grad_x, grad_bias, *[None] * 6

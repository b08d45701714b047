"""A linear layer that keeps its frozen weight in 4 bits (Dettmers et al. 2023, section 3).

The number format and its kernels are in the package kernels; in minigpt only this layer uses them.
Source: Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs" (arXiv 2305.14314).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

import kernels

if not hasattr(kernels, "NF4Tensor"):
    raise ImportError(
        "minigpt needs its own package kernels, but Python found another of that name (Hugging "
        f"Face publishes one), {kernels.__file__}; run `pip uninstall kernels`, then install "
        "minigpt again"
    )
from kernels import NF4Tensor, dequantize_nf4, nf4_linear, quantize_nf4
from minigpt.fast.linear import Linear


class NF4Linear(nn.Module):
    """Computes x W^T + b with a frozen W in NF4 (Dettmers et al., equations 5 and 6, without LoRA).

    The codes and scales of W are buffers, named as in NF4Tensor. They move with the module to other
    devices but keep their number formats: .to(torch.bfloat16) changes what the layer computes in,
    not the weight it stores. The layer has no attribute weight, since no such tensor exists.

    Args:
        base: the linear layer to store; it is left as it is, and its bias is shared.
        block_size, double_quant, nested_block_size: see kernels.quantize_nf4.

    Attributes:
        in_features, out_features: the sizes of W [out, in].
        bias: [out], frozen, or None.
        dtype: the number format of W when it is dequantized for good (dequantize).

    Raises:
        ValueError: the weight has a NaN or Inf, or a size is not allowed.
        TypeError: the weight is not fp32, fp16 or bf16.
    """

    codes: Tensor
    bias: Tensor | None

    def __init__(
        self,
        base: nn.Linear,
        block_size: int = 64,
        double_quant: bool = True,
        nested_block_size: int = 256,
    ) -> None:
        super().__init__()
        q = quantize_nf4(base.weight, block_size, double_quant, nested_block_size)
        self._hold(q, base.bias)
        self.train(base.training)

    @classmethod
    def from_nf4(cls, q: NF4Tensor, bias: Tensor | None = None) -> NF4Linear:
        """Returns a layer with the weight q [out, in] and the bias [out]."""
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer._hold(q, bias)
        return layer

    @classmethod
    def from_stored(
        cls, tensors: Mapping[str, Tensor], name: str, bias: Tensor | None = None
    ) -> NF4Linear:
        """Returns a layer with the weight that bitsandbytes stored as `name`; see NF4Tensor.

        Raises:
            KeyError, ValueError, TypeError: a part is missing or damaged, or it is not in NF4.
        """
        return cls.from_nf4(NF4Tensor.from_state_dict(tensors, name), bias)

    def _hold(self, q: NF4Tensor, bias: Tensor | None) -> None:
        if len(q.shape) != 2:
            raise ValueError(f"NF4Linear needs a weight [out, in], got the shape {list(q.shape)}")
        self.out_features, self.in_features = q.shape
        self.dtype = q.dtype
        self.block_size, self.nested_block_size = q.block_size, q.nested_block_size
        for name, part in q.parts.items():
            self.register_buffer(name, part)
        frozen = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self.register_parameter("bias", frozen)

    @property
    def quantized(self) -> NF4Tensor:
        """Returns W as an NF4Tensor, which shares the buffers of this layer."""
        return self._quantized(self.dtype)

    def _quantized(self, dtype: torch.dtype) -> NF4Tensor:
        return NF4Tensor(
            shape=torch.Size((self.out_features, self.in_features)),
            dtype=dtype,
            block_size=self.block_size,
            nested_block_size=self.nested_block_size,
            **dict(self.named_buffers()),
        )

    def forward(self, input: Tensor) -> Tensor:
        """Maps input [..., in] to [..., out], in the number format of input or of autocast."""
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return nf4_linear(input, self._quantized(input.dtype), bias)

    def dequantize(self) -> Linear:
        """Returns a frozen plain layer with the numbers that the codes stand for, in `dtype`."""
        linear = Linear(self.in_features, self.out_features, bias=False, device="meta")
        linear.weight = nn.Parameter(dequantize_nf4(self.quantized), requires_grad=False)
        linear.bias = self.bias  # type: ignore[assignment]
        return linear.train(self.training)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> NF4Linear:
        """Applies fn to every tensor; .to, .half, .cuda and the like call it to move a module."""
        before = dict(self.named_buffers())
        super()._apply(fn, recurse)
        for name, part in before.items():
            moved = self.get_buffer(name)
            if moved.dtype != part.dtype:  # rounded scales would be other weights
                setattr(self, name, part.to(moved.device))
        self.dtype = fn(torch.empty(0, dtype=self.dtype)).dtype
        return self

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, block_size={self.block_size}, "
            f"nested_block_size={self.nested_block_size}"
        )

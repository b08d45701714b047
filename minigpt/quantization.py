"""Fewer bits for a number: whole numbers that share a scale, and models with rounded weights.

Read it from the top: how 8 bits or fewer hold numbers that share a scale (absmax, zero-point); how
a model is trained although rounding has no useful gradient; and a model with all its linear layers
rounded, after training (PTQ) or during it (QAT). Floating-point formats are in float_formats.py.

Numbers that share a scale are a group: consecutive elements of a tensor in row-major order. `per`
says how large a group is: "tensor", "row" (all that differ in the last index only), or a block
size. In the comments G is the number of groups, n that of the elements in each.

Sources: Dettmers et al. 2022, "LLM.int8()" (section 2: absmax and zero-point); Bengio et al. 2013,
"Estimating or Propagating Gradients Through Stochastic Neurons" (straight-through); Jacob et al.
2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(training with fake quantization).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from minigpt.config import is_whole
from minigpt.layers import matches

Per = int | Literal["tensor", "row"]


def bits_per_parameter(bits: float, group_size: int, constant_bits: float = 32) -> float:
    """Returns bits + constant_bits / group_size: a number's own, and its share of its group's.

    Raises:
        ValueError: group_size is below 1.
    """
    if group_size < 1:
        raise ValueError(f"group_size must be at least 1, got {group_size}")
    return bits + constant_bits / group_size


def as_groups(x: Tensor, per: Per) -> Tensor:
    """Returns x of any shape as float32 [G, n], a row for each group that shares a scale.

    An empty x has no groups: [0, 1].

    Raises:
        TypeError: x is not fp32, fp16 or bf16.
        ValueError: x holds NaN or infinity (not looked for in a graph of torch.compile); per is
            something else, or does not divide x.
    """
    if x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise TypeError(f"x must be float32, float16 or bfloat16, got {x.dtype}; convert it first")
    looks = x.numel() > 0 and not torch.compiler.is_compiling()  # a compiled graph cannot stop
    if looks and not x.abs().amax().isfinite():  # NaN is larger than any number here
        where = tuple((~x.isfinite()).nonzero()[0].tolist())
        raise ValueError(
            f"x must be finite, got {x[where].item()} at position {list(where)}: a group has no "
            "largest number then; repair what made it"
        )
    is_size = is_whole(per) and per >= 1
    if not is_size and per not in ("tensor", "row"):
        raise ValueError(f'per must be "tensor", "row" or a block size of 1 or more, got {per!r}')
    if x.numel() == 0:
        return x.reshape(0, 1).float()
    if per == "row":
        return x.reshape(-1, x.size(-1) if x.dim() else 1).float()
    n = x.numel() if per == "tensor" else int(per)
    if x.numel() % n:
        nearest = next(d for d in range(min(n, x.numel()), 0, -1) if x.numel() % d == 0)
        raise ValueError(
            f"a block size must divide the {x.numel()} elements of x, got {n}; the nearest below "
            f'that does is {nearest}, or take per="row"'
        )
    return x.reshape(-1, n).float()


def check_bits(bits: int) -> None:
    """Raises ValueError unless bits is a whole number from 2 to 8."""
    if not is_whole(bits) or not 2 <= bits <= 8:
        raise ValueError(f"bits must be a whole number from 2 to 8, got {bits!r}")


def quantize_absmax(x: Tensor, bits: int = 8, per: Per = "tensor") -> tuple[Tensor, Tensor]:
    """Rounds each group of x to whole numbers from -Q to Q, where Q = 2^(bits-1) - 1 (127 for 8).

        c = Q / max|x|        q = round(c x), a tie going to the even number        x ~ q / c

    The code -Q - 1 stays unused, so that x and -x get opposite codes. A group of zeros gets codes
    0; c is then, as for all numbers too small for Q / max|x|, the largest that fp32 holds.

    Args:
        x: any shape, fp32, fp16 or bf16; computed in fp32.

    Returns:
        codes, int8 in the shape of x (one a byte, whatever the number of bits), and c, fp32 [G].

    Raises:
        TypeError, ValueError: bits is not from 2 to 8, or what as_groups raises.
    """
    check_bits(bits)
    groups = as_groups(x, per)  # [G, n]
    c = (2 ** (bits - 1) - 1) / groups.abs().amax(dim=1)  # [G]
    c = c.clamp(max=torch.finfo(torch.float32).max)
    codes = torch.round(c[:, None] * groups)  # [G, n]
    return codes.to(torch.int8).reshape(x.shape), c


def dequantize_absmax(codes: Tensor, c: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Returns x ~ q / c, in the shape of codes; c [G] belongs to G groups of equal size.

    Raises:
        ValueError: the codes cannot be divided into so many groups.
    """
    x = codes_in_groups(codes, len(c)) / c[:, None]  # [G, n]
    largest = torch.finfo(dtype).max  # rounding must not carry the largest number to infinity
    return x.clamp(-largest, largest).to(dtype).reshape(codes.shape)


def quantize_zero_point(
    x: Tensor, bits: int = 8, per: Per = "tensor"
) -> tuple[Tensor, Tensor, Tensor]:
    """Rounds each group of x to whole numbers from 0 to N = 2^bits - 1, one of which means 0.

        low = min(0, min x)             high = max(0, max x)
        s = (high - low) / N            z = round(-low / s)
        q = round(x / s) + z, kept within 0 and N               x ~ s (q - z)

    All codes lie between the smallest and the largest number, however lopsided the group; absmax
    would waste those on the empty side. That 0 stays exactly 0 matters: padding, ReLU and masks
    make many.

    Returns:
        codes, uint8 in the shape of x; s, fp32 [G]; z, int32 [G].

    Raises:
        TypeError, ValueError: bits is not from 2 to 8, or what as_groups raises.
    """
    check_bits(bits)
    groups = as_groups(x, per)  # [G, n]
    top = 2**bits - 1
    low, high = groups.amin(dim=1).clamp(max=0), groups.amax(dim=1).clamp(min=0)  # [G] each
    scale = high / top - low / top  # [G]; high - low itself could exceed what fp32 holds
    scale = scale.clamp(min=torch.finfo(torch.float32).tiny)
    zero_point = torch.round(-low / scale)  # [G]
    codes = torch.round(groups / scale[:, None]) + zero_point[:, None]  # [G, n]
    codes = codes.clamp(0, top).to(torch.uint8)
    return codes.reshape(x.shape), scale, zero_point.to(torch.int32)


def dequantize_zero_point(
    codes: Tensor, scale: Tensor, zero_point: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Returns x ~ s (q - z), in the shape of codes; scale and zero_point are [G].

    Raises:
        ValueError: the codes cannot be divided into so many groups, or scale and zero_point differ
            in length.
    """
    if len(scale) != len(zero_point):
        raise ValueError(
            f"scale and zero_point must have one number a group each, got {len(scale)} and "
            f"{len(zero_point)}; pass what one quantize_zero_point returned"
        )
    whole = codes_in_groups(codes, len(scale)).int() - zero_point[:, None]  # [G, n]
    largest = torch.finfo(dtype).max
    return (whole * scale[:, None]).clamp(-largest, largest).to(dtype).reshape(codes.shape)


def codes_in_groups(codes: Tensor, n_groups: int) -> Tensor:
    """Returns codes of any shape as [G, n]; ValueError if they cannot be divided evenly."""
    if codes.numel() % max(1, n_groups) or (n_groups == 0) != (codes.numel() == 0):
        raise ValueError(
            f"{codes.numel()} codes cannot be divided into {n_groups} equal groups; pass codes and "
            "constants of the same quantization"
        )
    return codes.reshape(n_groups, codes.numel() // max(1, n_groups))


class StraightThrough(torch.autograd.Function):
    """Computes with the rounded x forward, and backward as if nothing had been rounded.

    The derivative of a staircase is 0 nearly everywhere, and training would stand still.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Tensor) -> Tensor:
        """Takes x and rounded of one shape and returns rounded."""
        return rounded.view_as(rounded)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Returns d loss / d x, which is taken to be d loss / d rounded."""
        return grad, None


def fake_quantize(
    x: Tensor, bits: int = 8, per: Per = "tensor", zero_point: bool = False
) -> Tensor:
    """Quantizes and dequantizes x: only values that the codes can express are left.

    Shape and dtype stay. The result is differentiable in x, straight through: both ways of
    quantizing move a number by half a step at most and cut none off, so the gradient is passed on
    unchanged everywhere.

    Raises:
        TypeError, ValueError: what quantize_absmax raises.
    """
    with torch.no_grad():
        if zero_point:
            rounded = dequantize_zero_point(*quantize_zero_point(x, bits, per), x.dtype)
        else:
            rounded = dequantize_absmax(*quantize_absmax(x, bits, per), x.dtype)
    return StraightThrough.apply(x, rounded)


class FakeQuantize(nn.Module):
    """Holds fake_quantize's settings, as a module that torch can put in front of a weight."""

    def __init__(self, bits: int, per: Per) -> None:
        super().__init__()
        self.bits, self.per = bits, per

    def forward(self, weight: Tensor) -> Tensor:
        """Rounds weight [out, in] and returns it in the same shape."""
        return fake_quantize(weight, self.bits, self.per)


def layers_to_quantize(
    model: nn.Module, bits: int, per: Per, skip: str | tuple[str, ...]
) -> list[nn.Linear]:
    """Returns the linear layers of model that no name in skip means, such as "c_proj".

    A name in skip is a layer's whole name or how it ends, as everywhere (layers.matches). All
    layers are looked at before the caller changes the first.

    Raises:
        TypeError, ValueError: there is none, one is fake-quantized already, or bits and per do not
            fit.
    """
    check_bits(bits)
    skip = (skip,) if isinstance(skip, str) else skip
    linear = {n: layer for n, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    layers = {n: layer for n, layer in linear.items() if not any(matches(n, s) for s in skip)}
    if not layers:
        raise ValueError(
            f"this {type(model).__name__} has no linear layer to quantize: it has {len(linear)}, "
            f"and skip={skip} leaves none"
        )
    for name, layer in layers.items():
        if parametrize.is_parametrized(layer, "weight"):
            raise ValueError(
                f"the weight of {name} is fake-quantized already; call merge_fake_quantization"
            )
        as_groups(layer.weight, per)
    return list(layers.values())


@torch.no_grad()
def round_weights(
    model: nn.Module, bits: int = 8, per: Per = "row", skip: str | tuple[str, ...] = ("lm_head",)
) -> None:
    """Rounds the weight of every linear layer in place: post-training quantization (PTQ).

    The weights stay floating-point tensors, so all that works with the model still does. GPT's
    lm_head is skipped: its matrix is the token embedding too.

    Raises:
        TypeError, ValueError: what layers_to_quantize raises; no weight is changed then.
    """
    for layer in layers_to_quantize(model, bits, per, skip):
        layer.weight.copy_(fake_quantize(layer.weight, bits, per))


def apply_fake_quantization(
    model: nn.Module, bits: int = 8, per: Per = "row", skip: str | tuple[str, ...] = ("lm_head",)
) -> None:
    """Lets every linear layer compute with rounded weights: quantization-aware training (QAT).

    The exact weights stay and are trained: many updates, each too small to reach the next code, add
    up. Train the model as usual, then call merge_fake_quantization.

    Raises:
        TypeError, ValueError: what layers_to_quantize raises; no layer is changed then.
    """
    for layer in layers_to_quantize(model, bits, per, skip):
        parametrize.register_parametrization(layer, "weight", FakeQuantize(bits, per))


def merge_fake_quantization(model: nn.Module) -> None:
    """Replaces each weight by its rounded value; the model has its usual layers again."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)

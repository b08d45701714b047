"""`nn.Linear`, sooner on a CPU: by the way to multiply that was found to be fastest there.

Besides the product that nn.Linear calls there are two more in torch. Which one is fastest depends
on the processor and on the model, so they are timed where they are used (fast/measured.py), in two
situations:

- One row: generating a token with a KV cache multiplies every weight matrix by a single vector.
  That is little arithmetic. Where a matrix is large, the time goes into reading it from memory, and
  torch's routine for it runs on one core. oneDNN, which is part of torch, uses all of them, and so
  does a batched product of the matrix cut into pieces, one for each core. (On two cores of an AMD
  EPYC, pieces take 0.6 to 0.8 of the time for a model 768 wide, and a tenth more for one 192 wide,
  much of which stays in the cache.)
- Training: many rows, forward and backward. oneDNN can take the place of the library that torch
  was built with, for x W^T and for the gradient of x.

`minigpt bench generation` and `minigpt bench training` time whole models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minigpt.fast.measured import choose

FEW_ROWS = 8  # with more rows the usual matrix product is as fast
SMALL = 2**20  # weights of a model, 4 MiB; fewer take no time that is worth measuring
NARROW = 128  # a layer less wide than this takes no time that is worth measuring
ENOUGH = 2**24  # weights of a shape to time, 64 MiB: more than a cache holds
FP32: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # as defaults may differ
PLAIN, PIECES, ONEDNN = "plain", "pieces", "onednn"
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
ONE_ROW: dict[torch.Size, str] = {}  # the way for a weight of this shape; none is plain
PRODUCTS = ContextVar("PRODUCTS", default=PLAIN)  # the way to multiply with gradients


class Linear(nn.Linear):
    """Computes x W^T + b: as nn.Linear does, or in fp32 on a CPU in the way that is chosen."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps input [..., in] to [..., out]."""
        weight = self.weight
        if torch.compiler.is_compiling():
            return F.linear(input, weight, self.bias)
        if torch.is_grad_enabled():
            if PRODUCTS.get() == ONEDNN and can_choose(input, weight):
                return Product.apply(input, weight, self.bias)
        elif (way := ONE_ROW.get(weight.shape, PLAIN)) != PLAIN and (
            0 < input.numel() <= FEW_ROWS * self.in_features and can_choose(input, weight)
        ):
            return WAYS[way](input, weight, self.bias)
        return F.linear(input, weight, self.bias)


def can_choose(x: Tensor, weight: Tensor) -> bool:
    """Returns whether the product of x and weight is one of those that were timed."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and type(x) is Tensor
        and weight.is_contiguous()
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
    )


def linear_in_pieces(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Computes x W^T + b with W [out, in] cut into n pieces [out / n, in], multiplied side by side.

    It maps x [..., in] to [..., out], for any number of rows.
    """
    n_out, n_in = weight.shape
    n = pieces(n_out, torch.get_num_threads())
    rows = x.reshape(1, -1, n_in).expand(n, -1, -1)  # [n, R, in] the same rows for every piece
    y = torch.bmm(rows, weight.view(n, n_out // n, n_in).transpose(1, 2))  # [n, R, out / n]
    y = y.transpose(0, 1).reshape(*x.shape[:-1], n_out)  # [..., out] the pieces side by side
    return y if bias is None else y + bias


@cache
def pieces(n_out: int, n_threads: int) -> int:
    """Returns the smallest number of equal pieces of n_out rows that gives each thread one."""
    return next((n for n in range(n_threads, n_out) if n_out % n == 0), 1)


def linear_by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Computes x W^T + b with oneDNN, for x [..., in] and W [out, in] in any order in memory."""
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return y


WAYS: dict[str, Callable[..., Tensor]] = {
    PLAIN: F.linear,
    PIECES: linear_in_pieces,
    ONEDNN: linear_by_onednn,
}


class Product(torch.autograd.Function):
    """Computes x W^T + b and the gradient of x by oneDNN; it keeps what F.linear keeps."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Returns [..., out] for x [..., in]."""
        x_needed, weight_needed = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if weight_needed else None, weight if x_needed else None)
        return linear_by_onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of x [..., in], weight [out, in] and bias [out]."""
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = grad_bias = None
        rows = grad.reshape(-1, grad.size(-1))  # [R, out]
        if ctx.needs_input_grad[0]:
            # With create_graph, gradients have gradients too, for which torch's product is asked.
            again = torch.is_grad_enabled()
            grad_x = grad @ weight if again else linear_by_onednn(grad, weight.t(), None)
        if ctx.needs_input_grad[1]:
            grad_weight = rows.t() @ x.reshape(-1, x.size(-1))
        if ctx.needs_input_grad[2]:
            grad_bias = rows.sum(0)
        return grad_x, grad_weight, grad_bias


def choose_for_one_row(model: object) -> None:
    """Chooses the way to multiply one row by the Linear layers of the model, once for their shapes.

    All of them are timed one after the other, as a token goes through them, so that a matrix is in
    the cache if it would be there when the model writes. It takes as long as some tokens.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1 or not isinstance(model, nn.Module):  # nobody to share the work with
        return
    weights: list[Tensor] = []
    sizes: Counter[torch.Size] = Counter()  # weights of each shape
    for module in model.modules():
        if isinstance(module, Linear) and can_choose(weight := module.weight.detach(), weight):
            if sizes[weight.shape] < ENOUGH:
                weights.append(weight)
            sizes[weight.shape] += weight.numel()
    if sizes.total() < SMALL or sizes.keys() <= ONE_ROW.keys():
        return
    rows = {n_in: torch.ones(1, n_in, **FP32) for _, n_in in sizes}
    names = [name for name in WAYS if name != ONEDNN or HAS_ONEDNN]
    ways = {name: partial(through, WAYS[name], rows, weights) for name in names}
    where = f"one row, {sizes.total():,} weights, {n_threads} threads"
    way = choose("rows", where, ways, margin=0.12, enough=0.15)
    for shape in sizes:
        ONE_ROW.setdefault(shape, way)


def through(way: Any, rows: dict[int, Tensor], weights: list[Tensor]) -> None:
    """Multiplies each of weights by the row that fits."""
    for weight in weights:
        way(rows[weight.size(1)], weight, None)


def choose_products(width: int, n_rows: int) -> str:
    """Returns the way to multiply in training, for multiply_by.

    Args:
        width: of the layers.
        n_rows: tokens in a forward pass; with few of them another way may be the fastest.
    """
    if width < NARROW:
        return PLAIN
    n_rows = max(128, min(n_rows, 4096, 2**28 // width**2))  # no more than some milliseconds
    x, weight = torch.ones(n_rows, width, **FP32), torch.ones(4 * width, width, **FP32)
    grad = torch.ones(n_rows, 4 * width, **FP32)
    ways = {PLAIN: lambda: (F.linear(x, weight), grad @ weight)}
    if HAS_ONEDNN:
        ways[ONEDNN] = lambda: (
            linear_by_onednn(x, weight, None),
            linear_by_onednn(grad, weight.t(), None),
        )
    threads = f"{torch.get_num_threads()} threads"
    where = f"products in training, width {width}, {n_rows} tokens, {threads}"
    return choose("products", where, ways, margin=0.08, enough=0.5)


@contextmanager
def multiply_by(way: str) -> Iterator[None]:
    """Lets this thread multiply in this way where gradients are wanted, for a with-block."""
    token = PRODUCTS.set(way)
    try:
        yield
    finally:
        PRODUCTS.reset(token)

"""Lesson 12, QLoRA: adapters beside a weight that is stored in 4 bits.

Source: Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs" (arXiv 2305.14314).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from lessons.exercises import bank_12 as banks
from lessons.grading import drivers, kept_weights
from lessons.grading.task import Case, Close, Draw, Made, Task

drivers.DRIVERS.update(kept_weights.DRIVERS)


def stored_weight(
    draw: Draw, out: int, n_in: int, dtype: torch.dtype, whole: bool = False
) -> tuple[Tensor, Made]:
    """Returns codes, uint8 [out * in], and the callable that makes W [out, in] of them.

    With `whole`, W holds halves and whole numbers from -3 to 3.
    """
    codes = draw.integers(0, 15, out * n_in).to(torch.uint8)
    if whole:
        levels = draw.integers(-3, 3, 16).float()
        scales = torch.tensor(draw.sample([0.5, 1.0], out))
    else:
        levels, scales = draw.normal(16), draw.uniform(out, low=0.3, high=1.5)
    fields = {"levels": levels, "scales": scales, "shape": [out, n_in], "dtype": str(dtype)[6:]}
    return codes, Made("dequantizer", fields)


# 12.1 FrozenLinear


class FrozenLinearReference(torch.autograd.Function):
    """Computes y = x W^T + bias, and keeps neither x nor W for the gradients.

    FrozenLinear.apply(x, bias, codes, dequantize) makes W = dequantize(codes), [out, in] in x's
    dtype, uses it and lets it go. Backward makes it again:

        d loss / d x = (d loss / d y) W        d loss / d bias = d loss / d y, added over all rows

    W is frozen, so nobody asks for its gradient, the only one that x would be needed for.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor | None,
        codes: Tensor,
        dequantize: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """Returns y [..., out] from x [..., in], two dimensions or more, and bias [out] or None."""
        ctx.save_for_backward(codes)
        ctx.dequantize = dequantize
        y = x @ dequantize(codes).T
        return y if bias is None else y + bias

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Returns the gradients of x and bias from grad [..., out]; None for codes, dequantize."""
        grad_x = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ ctx.dequantize(*ctx.saved_tensors)  # [..., in]
        if ctx.needs_input_grad[1]:
            grad_bias = grad.flatten(0, -2).sum(dim=0)  # [out]
        return grad_x, grad_bias, None, None


def frozen_case(
    draw: Draw,
    shape: tuple[int, ...],
    out: int,
    note: str = "",
    bias: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Case:
    """Returns a case of 12.1 with x of that shape."""
    codes, dequantize = stored_weight(draw, out, shape[-1], dtype)
    x, b = draw.normal(*shape, dtype=dtype), draw.normal(out, dtype=dtype)
    return Case((x, b if bias else None, codes, dequantize), note=note)


def frozen_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 12.1."""
    yield frozen_case(draw, (1, 2), 3, "bias is None", bias=False)
    yield frozen_case(draw, (2, 3), 4)
    yield frozen_case(draw, (2, 3, 5), 4, "x has three dimensions")
    yield frozen_case(draw, (2, 3, 5), 4, "bias is None", bias=False)
    yield frozen_case(draw, (2, 2, 3, 4), 3, "x has four dimensions")
    yield frozen_case(draw, (3, 4), 4, "in and out are equal")
    yield frozen_case(draw, (3, 2, 4), 4, "in and out are equal", bias=False)
    yield frozen_case(draw, (2, 3, 5), 6, "x is in fp64", dtype=torch.float64)
    _, *rest = frozen_case(draw, (2, 3, 5), 4).args
    yield Case((draw.normal(5, 3, 2).permute(2, 1, 0), *rest), note="x is a transposed view")


def frozen_sample(draw: Draw) -> Case:
    """Returns a random case of 12.1."""
    shape = tuple(draw.integer(1, draw.size + 1) for _ in range(draw.integer(1, 3)))
    shape += (draw.integer(2, draw.size + 2),)
    dtype = draw.choice([torch.float32, torch.float64])
    return frozen_case(
        draw, shape, draw.integer(1, draw.size + 2), bias=draw.integer(0, 2) > 0, dtype=dtype
    )


FROZEN_LINEAR = Task(
    id="12.1",
    name="FrozenLinear",
    reference=FrozenLinearReference,
    idea="A weight in 4 bits is unpacked for each product, and autograd would keep what was "
    "unpacked until the backward pass: all that was saved would be lost. A Function of your "
    "own keeps the codes and unpacks them again.",
    example=">>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)\n"
    ">>> y = FrozenLinear.apply(x, None, torch.tensor([[3, -1]]), lambda codes: codes.float())\n"
    ">>> y.sum().backward()\n"
    ">>> y.detach(), x.grad\n"
    "(tensor([[1.]]), tensor([[ 3., -1.]]))",
    hints=(
        "Which of x, W and codes does the gradient of x need, and which can be made again?",
        "Save codes with ctx.save_for_backward and dequantize on ctx; call it in both passes. The "
        "bias was added to every row, so its gradient is added up over all of them.",
        "return grad @ ctx.dequantize(codes), grad.flatten(0, -2).sum(dim=0), None, None",
    ),
    cases=frozen_cases,
    sample=frozen_sample,
    bank=banks.frozen,
    drive="frozen_linear",
    compare=Close(),
    axes={"x": "batch token in", "bias": "out", "->": "batch token out"},
    points=2,
)

# 12.2 qlora_forward


def qlora_forward_reference(
    x: Tensor,
    codes: Tensor,
    dequantize: Callable[[Tensor], Tensor],
    lora_A: Tensor,
    lora_B: Tensor,
    alpha: float,
) -> Tensor:
    """Returns x W^T + alpha / r x A^T B^T with W = dequantize(codes), which is not kept.

    Differentiable in x, A and B. The first part is FrozenLinear of exercise 12.1, without bias.

    Args:
        x: [..., in], bf16 or fp32.
        codes, dequantize: dequantize(codes) is W [out, in] in x's dtype, frozen.
        lora_A: A [r, in], fp32.
        lora_B: B [out, r], fp32.
        alpha: the scale's numerator.

    Returns:
        [..., out], in the dtype of x.
    """
    y = FrozenLinearReference.apply(x, None, codes, dequantize)  # [..., out]
    low = x.to(lora_A.dtype) @ lora_A.T  # [..., r]
    return y + (alpha / lora_A.size(0) * (low @ lora_B.T)).to(y.dtype)


def qlora_case(
    draw: Draw,
    shape: tuple[int, ...],
    out: int,
    r: int,
    alpha: float,
    note: str = "",
    dtype: torch.dtype = torch.float32,
) -> Case:
    """Returns a case of 12.2 with x of that shape.

    In bf16 all numbers are whole or halves, and so few that each step of every right order of
    operations is exact: what is judged is not how it rounds.
    """
    whole = dtype == torch.bfloat16
    while True:
        codes, dequantize = stored_weight(draw, out, shape[-1], dtype, whole)
        sizes = (shape, (r, shape[-1]), (out, r))
        if whole:
            x, lora_A, lora_B = (draw.integers(-2, 2, *size).float() for size in sizes)
        else:
            x, lora_A, lora_B = (draw.normal(*size) for size in sizes)
        case = Case((x.to(dtype), codes, dequantize, lora_A, lora_B, alpha), note=note)
        if not whole or exact_in_bf16(case):
            return case


def exact_in_bf16(case: Case) -> bool:
    """Returns whether everything that may be computed for a case of 12.2 is a number of bf16."""
    x, codes, dequantize, A, B, alpha = case.args
    levels, scales, shape = (dequantize.fields[name] for name in ("levels", "scales", "shape"))
    W = levels[codes.long()].reshape(shape) * scales[:, None]
    x, scale = x.float().flatten(0, -2), alpha / len(A)
    g = drivers.cotangent(torch.empty(*case.args[0].shape[:-1], len(W), dtype=torch.bfloat16))
    g = g.float().flatten(0, -2)  # [rows, out]
    parts = [x @ W.T, x @ A.T, x @ A.T @ B.T, B @ A, g @ W, g @ B, g @ B @ A, (g @ B).T @ x]
    parts += [g.T @ (x @ A.T), g.T @ x, g.sum(0)]
    sums = [x @ (W + scale * B @ A).T, g @ (W + scale * B @ A), W + scale * B @ A, scale * A]
    everything = [*parts, *sums, *(scale * part for part in parts), *(alpha * p for p in parts)]
    return all(torch.equal(part, part.bfloat16().float()) for part in everything)


def qlora_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 12.2."""
    yield qlora_case(draw, (1, 2), 3, 1, 1.0, "r and alpha are 1")
    yield qlora_case(draw, (2, 3), 4, 2, 3.0)
    yield qlora_case(draw, (2, 3, 5), 4, 2, 7.0, "x has three dimensions")
    yield qlora_case(draw, (2, 2, 3, 6), 5, 3, 10.0, "x has four dimensions")
    yield qlora_case(draw, (3, 4), 4, 2, 3.0, "in and out are equal")
    yield qlora_case(draw, (4, 6), 5, 4, 6, "alpha is a whole number that r does not divide")
    yield qlora_case(draw, (2, 5), 4, 2, 3.0, "x is in bf16", torch.bfloat16)
    yield qlora_case(draw, (2, 2, 4), 3, 2, 1.0, "x is in bf16", torch.bfloat16)
    _, *rest = qlora_case(draw, (2, 3, 5), 4, 2, 3.0).args
    yield Case((draw.normal(5, 3, 2).permute(2, 1, 0), *rest), note="x is a transposed view")


def qlora_sample(draw: Draw) -> Case:
    """Returns a random case of 12.2."""
    shape = tuple(draw.integer(1, min(draw.size, 3) + 1) for _ in range(draw.integer(1, 2)))
    shape += (draw.integer(2, draw.size + 2),)
    out = draw.integer(2, draw.size + 2)
    if draw.integer(0, 2) == 0:
        alpha = draw.choice([1.0, 3.0])
        return qlora_case(draw, shape, out, 2, alpha, "x is in bf16", torch.bfloat16)
    return qlora_case(draw, shape, out, draw.integer(1, 3), draw.choice([1.0, 3.0, 8.0, 5]))


QLORA_FORWARD = Task(
    id="12.2",
    name="qlora_forward",
    reference=qlora_forward_reference,
    idea="QLoRA is LoRA beside a weight that is stored in 4 bits. The adapters stay in fp32, since "
    "they are trained; the rest runs in the dtype of x.",
    example=">>> A, B = torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0]])\n"
    ">>> qlora_forward(torch.tensor([[1.0, 2.0]]), torch.tensor([[3, -1]]),\n"
    "...               lambda codes: codes.float(), A, B, alpha=0.5)\n"
    "tensor([[4.]])",
    hints=(
        "What would autograd keep of x @ dequantize(codes).T?",
        "FrozenLinear keeps no W. Bring x to the adapters' dtype for A and B, and what they give "
        "back to the dtype of x.",
        "FrozenLinear.apply(x, None, codes, dequantize) + (alpha / r * (x.float() @ lora_A.T @ "
        "lora_B.T)).to(x.dtype)",
    ),
    cases=qlora_cases,
    sample=qlora_sample,
    bank=banks.forwards,
    drive="qlora",
    compare=Close(),
    axes={
        "x": "batch token in",
        "lora_A": "r in",
        "lora_B": "out r",
        "->": "batch token out",
    },
)

# 12.3 training_bytes


def training_bytes_reference(
    n_frozen: int, frozen_bits: float, n_trained: int, trained_bits: float = 32
) -> float:
    """Returns the bytes that weights, gradients and AdamW's moments take in training.

        n_frozen frozen_bits / 8 + n_trained (2 trained_bits / 8 + 2 x 4)

    A frozen number is only stored. A trained one has a gradient in its own format, and AdamW keeps
    two moments for it in fp32, 4 bytes each. What the layers compute is not counted.

    Args:
        n_frozen, frozen_bits: how many frozen numbers, and the bits of each: 16 in bf16, about
            4.127 in NF4 with double quantization.
        n_trained, trained_bits: how many trained numbers, and the bits of each.
    """
    return n_frozen * frozen_bits / 8 + n_trained * (2 * trained_bits / 8 + 2 * 4)


def bytes_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 12.3."""
    yield Case((8, 8, 1))
    yield Case((3, 4, 0), note="nothing is trained")
    yield Case((0, 16, 5), note="nothing is frozen")
    yield Case((1001, 4, 10), note="the frozen bits do not fill whole bytes")
    yield Case((500, 16, 300))
    yield Case((999, 4.127, 70), note="frozen_bits is not a whole number")
    yield Case((640, 16, 333, 16), note="trained_bits is 16")
    yield Case((0, 32, 101, 16), note="trained_bits is 16")
    yield Case((100, 4, 31, 4), note="trained_bits is 4")
    yield Case((77, 8, 51), {"trained_bits": 64}, note="trained_bits is 64")
    yield Case((7_000_000_000, 4.127, 160_000_000, 32), note="the model is large")


def bytes_sample(draw: Draw) -> Case:
    """Returns a random case of 12.3."""
    n_frozen, n_trained = draw.integer(0, 10**draw.size), draw.integer(0, 10**draw.size)
    args = (n_frozen, draw.choice([4, 4.127, 4.5, 8, 16, 32]), n_trained)
    return Case(args + draw.choice([(), (16,), (32,)]))


TRAINING_BYTES = Task(
    id="12.3",
    name="training_bytes",
    reference=training_bytes_reference,
    idea="Where the memory goes: a frozen number takes its bits, a trained one its weight, its "
    "gradient and two moments. QLoRA makes the first small and has few of the second.",
    example=">>> training_bytes(1000, 4, 10)  # 500 + 10 (4 + 4 + 4 + 4)\n660.0",
    hints=(
        "How many numbers does training with AdamW keep for one trained weight?",
        "Four: the weight, its gradient, and two moments that are always in fp32, 4 bytes each.",
        "n_frozen * frozen_bits / 8 + n_trained * (2 * trained_bits / 8 + 8)",
    ),
    cases=bytes_cases,
    sample=bytes_sample,
    bank=banks.memory,
    compare=Close(rtol=1e-9),
)

TASKS = [FROZEN_LINEAR, QLORA_FORWARD, TRAINING_BYTES]

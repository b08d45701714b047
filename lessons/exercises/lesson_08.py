"""Lesson 8, LoRA: two thin matrices beside a frozen layer."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lessons.grading.task import Bank, Case, Close, Draw, Task

# 8.3 merge


def merge_reference(weight: Tensor, lora_A: Tensor, lora_B: Tensor, alpha: float) -> Tensor:
    """W + alpha / r B A, added in fp32 and rounded to W's dtype once.

    Args:
        weight: W [out, in], in any dtype; it stays as it is.
        lora_A: [r, in]; lora_B: [out, r], both fp32.
        alpha: the scale's numerator.

    Returns:
        the merged weight, [out, in] in W's dtype.
    """
    update = alpha / lora_A.size(0) * (lora_B @ lora_A)  # [out, in]
    return (weight.float() + update).to(weight.dtype)


def merge_cases(draw: Draw) -> Iterator[Case]:
    """Cases of 8.3."""

    def case(out: int, in_: int, r: int, alpha: float, dtype: torch.dtype, note: str = "") -> Case:
        weight, a, b = draw.normal(out, in_, dtype=dtype), draw.normal(r, in_), draw.normal(out, r)
        return Case((weight, a, b, alpha), note=note)

    yield case(2, 3, 1, 1.0, torch.float32, "r and alpha are 1")
    yield case(2, 3, 2, 3.0, torch.float32)
    yield case(5, 3, 4, 6.0, torch.float32)
    small = case(6, 4, 2, 1e-3, torch.bfloat16, "the update is far below W's last bit")
    yield small
    yield case(6, 4, 2, 6.0, torch.bfloat16, "W is in bf16")
    weight = draw.normal(4, 6).T
    yield Case((weight, draw.normal(2, 4), draw.normal(6, 2), 5.0), note="W is a transposed view")


def merge_sample(draw: Draw) -> Case:
    """A random case of 8.3."""
    out, in_, r = (draw.integer(1, draw.size + 2) for _ in range(3))
    dtype = draw.choice([torch.float32, torch.bfloat16])
    weight = draw.normal(out, in_, dtype=dtype)
    return Case((weight, draw.normal(r, in_), draw.normal(out, r), draw.uniform(1).item() * 8))


merges = Bank()


@merges.right
def merge(weight, lora_A, lora_B, alpha):
    r = lora_A.shape[0]
    update = (alpha / r) * torch.einsum("or,ri->oi", lora_B, lora_A)
    return (weight.to(torch.float32) + update).to(weight.dtype)


@merges.right
def merge(weight, lora_A, lora_B, alpha):
    rank, n_in = lora_A.shape
    out = torch.zeros(weight.shape)
    for k in range(rank):
        out += lora_B[:, k, None] * lora_A[k]
    return (weight.float() + out * alpha / rank).to(weight.dtype)


merges.edit(
    "alpha is not divided by r",
    "This is what you get when the update is scaled by alpha alone: LoRA scales it by alpha / r.",
    ("(alpha / r)", "alpha"),
)


@merges.mistake(
    "the update is rounded before it is added",
    "You round alpha / r B A to W's dtype first and add there: small updates are lost in bf16. "
    "Add in fp32 and round the sum once.",
)
def merge(weight, lora_A, lora_B, alpha):
    return weight + (alpha / len(lora_A) * (lora_B @ lora_A)).to(weight.dtype)


MERGE = Task(
    id="8.3",
    name="merge",
    reference=merge_reference,
    idea="A trained adapter can be added to the weight once and for all. After that the layer is as "
    "fast as before.",
    example=">>> merge(torch.zeros(2, 2), torch.tensor([[1., 2.]]), torch.tensor([[3.], [4.]]), 2.0)\n"
    "tensor([[ 6., 12.],\n        [ 8., 16.]])",
    hints=(
        "Which of B A and A B has the shape of W?",
        "Add in fp32 and round once: an update that is smaller than bf16's last bit counts in a sum.",
        "(weight.float() + alpha / r * (lora_B @ lora_A)).to(weight.dtype)",
    ),
    cases=merge_cases,
    sample=merge_sample,
    bank=merges,
    compare=Close(),
    axes={"weight": "out in", "lora_A": "r in", "lora_B": "out r", "->": "out in"},
)

TASKS = [MERGE]

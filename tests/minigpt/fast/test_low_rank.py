"""minigpt.fast.low_rank: LoRA's sum in fewer passes, against its plain form and the formula."""

from __future__ import annotations

import pytest
import torch

from minigpt.fast.low_rank import add_low_rank
from minigpt.lora.layer import add_low_rank_plainly


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0, 4)])
def test_equals_the_formula_forward_and_backward(shape: tuple[int, ...]) -> None:
    scaling = 0.7
    sizes = {"y": (*shape, 6), "x": (*shape, 5), "A": (2, 5), "B": (6, 2)}
    inputs = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes.values()]
    y, x, A, B = inputs
    formula = y + scaling * (x @ A.T @ B.T)
    torch.testing.assert_close(add_low_rank_plainly(y, x, A, B, scaling), formula, rtol=0, atol=0)
    ours = add_low_rank(y, x, A, B, scaling)
    torch.testing.assert_close(ours, formula, rtol=1e-14, atol=1e-14)
    outgoing = torch.randn_like(formula)
    expected = torch.autograd.grad(formula, inputs, outgoing)
    found = torch.autograd.grad(ours, inputs, outgoing)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-14, atol=1e-14)


def test_the_sum_has_the_number_format_of_y() -> None:
    y, x = torch.randn(3, 6).bfloat16(), torch.randn(3, 5)
    A, B = torch.randn(2, 5), torch.randn(6, 2)
    found = add_low_rank(y, x, A, B, 0.5)
    assert found.dtype == torch.bfloat16
    expected = y.float() + 0.5 * (x @ A.T @ B.bfloat16().float().T)
    torch.testing.assert_close(found.float(), expected, rtol=2**-7, atol=2**-6)

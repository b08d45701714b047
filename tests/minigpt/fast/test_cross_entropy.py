"""minigpt.fast.cross_entropy: F.cross_entropy of a linear layer, a few rows at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from minigpt.config import GPTConfig
from minigpt.fast.cross_entropy import linear_cross_entropy
from minigpt.fast.linear import HAS_ONEDNN, ONEDNN, multiply_by
from minigpt.memory.measured import KeptTensors
from minigpt.model import GPT

N, C, V = 13, 7, 29
CHUNKS = (1, 3 * V, 5 * V + 1, N * V, 2**25)  # logits at once: of one row, 3, 5, all, all


def plain(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Computes the loss as usual, with all logits."""
    logits = F.linear(x, weight)
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


def example(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Returns x [N, C], weight [V, C] and targets [N], two of which do not count."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, C, generator=generator, dtype=dtype)
    weight = torch.randn(V, C, generator=generator, dtype=dtype)
    targets = torch.randint(V, (N,), generator=generator)
    targets[[0, 9]] = -100
    return x, weight, targets


def loss_and_gradients(
    loss_of: Callable[..., Tensor], x: Tensor, weight: Tensor, targets: Tensor, factor: float = 1.0
) -> list[Tensor]:
    """Returns the loss and the gradients of x and the weight."""
    x, weight = (tensor.clone().requires_grad_() for tensor in (x, weight))
    loss = loss_of(x, weight, targets)
    (factor * loss).backward()
    assert x.grad is not None
    assert weight.grad is not None
    return [loss.detach(), x.grad, weight.grad]


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-15), (torch.float32, 5e-7)])
def test_loss_and_gradients_are_those_of_cross_entropy(
    chunk: int, dtype: torch.dtype, tolerance: float
) -> None:
    batch = example(dtype)

    def ours(*batch: Tensor) -> Tensor:
        return linear_cross_entropy(*batch, chunk=chunk)

    for factor in (1.0, -0.3):  # of the gradient that comes in
        expected = loss_and_gradients(plain, *batch, factor)
        for found, right in zip(loss_and_gradients(ours, *batch, factor), expected, strict=True):
            assert found.dtype == dtype
            torch.testing.assert_close(found, right, rtol=0, atol=tolerance * 4)


@pytest.mark.skipif(not HAS_ONEDNN, reason="this torch is built without oneDNN")
@pytest.mark.parametrize("chunk", [1, 999])
def test_by_onednn_it_is_the_same(chunk: int) -> None:
    x, weight, targets = example(torch.float32)
    with multiply_by(ONEDNN):
        found = loss_and_gradients(partial(linear_cross_entropy, chunk=chunk), x, weight, targets)
    expected = loss_and_gradients(plain, x, weight, targets)
    torch.testing.assert_close(found, expected)


def test_torch_finds_the_gradients_to_be_slopes_of_the_loss() -> None:
    x, weight, targets = example()
    x.requires_grad_()
    weight.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, weight: linear_cross_entropy(x, weight, targets, chunk=4 * V), (x, weight)
    )


def test_backward_twice_adds_the_gradients_twice() -> None:
    x, weight, targets = example()
    once = loss_and_gradients(linear_cross_entropy, x, weight, targets)[1]
    x.requires_grad_()
    loss = linear_cross_entropy(x, weight, targets) * 2
    loss.backward(retain_graph=True)
    loss.backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 4 * once)


def test_rows_of_any_shape_and_another_number_to_ignore() -> None:
    x, weight, targets = example()
    right = plain(x, weight, targets)
    batch = x[1:].view(3, 4, C), weight, targets[1:].view(3, 4)
    torch.testing.assert_close(linear_cross_entropy(*batch), right)
    marked = torch.where(targets == -100, -1, targets)
    torch.testing.assert_close(linear_cross_entropy(x, weight, marked, ignore_index=-1), right)


def test_where_no_target_counts_it_is_as_in_cross_entropy() -> None:
    x, weight, targets = example()
    nothing = torch.full_like(targets, -100)
    for loss_of in (plain, linear_cross_entropy):
        loss, grad_x, grad_weight = loss_and_gradients(loss_of, x, weight, nothing)
        assert loss.isnan()
        assert not grad_x.any()
        assert not grad_weight.any()


def test_logits_too_large_to_exponentiate() -> None:
    x, weight, targets = example(torch.float32)
    x *= 1e4
    expected = loss_and_gradients(plain, x, weight, targets)
    found = loss_and_gradients(linear_cross_entropy, x, weight, targets)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_autocast_rounds_products_only() -> None:
    x, weight, targets = example(torch.float32)
    exact = loss_and_gradients(plain, x, weight, targets)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = loss_and_gradients(plain, x, weight, targets)
        found = loss_and_gradients(linear_cross_entropy, x, weight, targets)
    # cross_entropy gets the logits in bf16 and counts on in fp32, as here: the loss is the same.
    torch.testing.assert_close(found[0], rounded[0], rtol=1e-6, atol=0)
    for ours, theirs, right in zip(found, rounded, exact, strict=True):
        assert ours.dtype == torch.float32
        error = (theirs - right).norm()
        assert error > 1e-4 * right.norm()  # bf16 it was
        assert (ours - right).norm() <= 1.05 * error


@pytest.mark.parametrize("autocast", [False, True])
def test_a_frozen_weight_costs_nothing_but_the_gradient_of_x(autocast: bool) -> None:
    x, weight, targets = example(torch.float32)
    x.requires_grad_()
    kept = KeptTensors()
    with kept.hooks, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = linear_cross_entropy(x, weight, targets, chunk=V)
    assert sum(kept.storages().values()) == N * C * (2 if autocast else 4)
    with torch.no_grad():
        untrained = linear_cross_entropy(x, weight, targets, chunk=V)
    assert not untrained.requires_grad
    if not autocast:
        assert loss == untrained
    loss.backward()
    right = loss_and_gradients(plain, x.detach(), weight, targets)[1]
    assert x.grad is not None
    torch.testing.assert_close(x.grad, right, rtol=0, atol=2e-3 if autocast else 1e-7)


def test_a_tied_weight_learns_as_an_embedding_and_as_a_head() -> None:
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=V, block_size=8, n_layer=1, n_head=1, n_embd=8)).double()
    idx = torch.randint(V, (2, 8))
    targets = idx.roll(-1, 1)
    model(idx, targets)[1].backward()
    right = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    inside = torch.zeros(0)

    def keep(_: torch.nn.Module, __: tuple[Tensor], out: Tensor) -> None:
        nonlocal inside
        inside = out

    model.transformer["ln_f"].register_forward_hook(keep)
    model(idx)
    linear_cross_entropy(inside, model.lm_head.weight, targets, chunk=3 * V).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, right[name], rtol=1e-12, atol=1e-15, msg=name)


@pytest.mark.parametrize(("learning", "products"), [("", 1), ("x", 2), ("w", 2), ("xw", 3)])
def test_it_multiplies_as_much_as_the_usual_way(learning: str, products: int) -> None:
    x, weight, targets = example()
    x.requires_grad_("x" in learning)
    weight.requires_grad_("w" in learning)
    with FlopCounterMode(display=False) as counter:
        linear_cross_entropy(x, weight, targets, chunk=3 * V)
    assert counter.get_total_flops() == products * 2 * N * C * V
    if learning:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            linear_cross_entropy(x, weight, targets, chunk=3 * V)
        assert counter.get_total_flops() == 2 * N * C * V


def test_shapes_that_do_not_fit_are_refused() -> None:
    x, weight, targets = example()
    for batch, message in [
        ((x[:, 1:], weight, targets), "x must be [..., C] and weight [V, C], got [13, 6] and"),
        ((x, weight[0], targets), "got [13, 7] and [7]"),
        ((x, weight, targets[1:]), "a target for each row of x, got x [13, 7] and targets [12]"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            linear_cross_entropy(*batch)

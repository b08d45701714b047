"""The fast paths of Linear compute what torch's own layer does."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from minigpt.fast import linear, measured
from minigpt.fast.linear import (
    FEW_ROWS,
    HAS_ONEDNN,
    ONEDNN,
    PIECES,
    PLAIN,
    WAYS,
    Linear,
    Product,
    choose_for_one_row,
    choose_products,
    linear_in_pieces,
    multiply_by,
    pieces,
)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(768, 1400), (768, 1001), (96, 60), (7, 13)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (FEW_ROWS, 1), (FEW_ROWS, 2), (5,), ()])
def test_equals_float64_as_closely_as_fp32_allows(
    shape: tuple[int, ...], size: tuple[int, int], bias: bool
) -> None:
    ours, theirs = Linear(*size, bias=bias), nn.Linear(*size, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    x = 10 * torch.randn(*shape, size[0])
    exact = theirs.double()(x.double())
    with torch.no_grad():
        results = [ours(x), linear_in_pieces(x, ours.weight, ours.bias)]
        if HAS_ONEDNN:
            results.append(WAYS[ONEDNN](x, ours.weight, ours.bias))
    for y in results:
        assert y.shape == exact.shape
        error = (y.double() - exact).norm() / exact.norm()
        # Each of the sum's roundings is half of fp32's last place at most, in whatever order a
        # processor adds; n of them grow like a random walk, and the bias adds one.
        assert error < math.sqrt(size[0] + 1) * 2**-24


def test_gradients_are_those_of_a_linear_layer() -> None:
    layer, x = Linear(64, 32), torch.randn(2, 64)
    layer(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad, x.sum(0).expand(32, 64))


needs_onednn = pytest.mark.skipif(not HAS_ONEDNN, reason="this torch is built without oneDNN")


@pytest.fixture
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets two threads be there, and no choice be made yet."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(linear, "SMALL", 2**18)
    monkeypatch.setattr(linear, "ONE_ROW", {})
    monkeypatch.setattr(measured, "MADE", {})
    monkeypatch.delenv("MINIGPT_WAYS", raising=False)


@needs_onednn
@pytest.mark.parametrize("learning", ["weight", "x", "both"])
def test_trained_by_onednn_a_layer_learns_the_same(learning: str) -> None:
    layer, x = Linear(48, 32), torch.randn(2, 3, 48, requires_grad=learning != "weight")
    layer.requires_grad_(learning != "x")
    with torch.profiler.profile() as profile, multiply_by(ONEDNN):
        ours = layer(x)
    theirs = nn.functional.linear(x, layer.weight, layer.bias)
    assert "mkldnn::_linear_pointwise" in {event.name for event in profile.events()}
    torch.testing.assert_close(ours, theirs)
    learners = [p for p in (x, *layer.parameters()) if p.requires_grad]
    grad = torch.randn_like(theirs)
    found, expected = (torch.autograd.grad(y, learners, grad) for y in (ours, theirs))
    torch.testing.assert_close(found, expected)


@needs_onednn
def test_trained_by_onednn_gradients_have_gradients() -> None:
    x, weight, bias = (torch.randn(shape, requires_grad=True) for shape in ((4, 6), (5, 6), (5,)))

    def second(product: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        y = product(x, weight, bias).sin().sum()
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        return torch.autograd.grad(slope.pow(2).sum(), (x, weight, bias))

    torch.testing.assert_close(second(Product.apply), second(nn.functional.linear))


@pytest.mark.parametrize("elsewhere", ["autocast", "another format", "another thread", "after it"])
def test_no_other_product_is_by_onednn(elsewhere: str) -> None:
    dtype = torch.float64 if elsewhere == "another format" else torch.float32
    layer, x = Linear(8, 8, dtype=dtype), torch.randn(2, 8, dtype=dtype)

    def kind_of_result() -> str:
        with torch.autocast("cpu", torch.bfloat16, enabled=elsewhere == "autocast"):
            return str(layer(x).grad_fn)

    with multiply_by(ONEDNN):
        if elsewhere == "another thread":
            with ThreadPoolExecutor(1) as threads:
                found = threads.submit(kind_of_result).result()
        else:
            found = kind_of_result()
    if elsewhere == "after it":
        found = kind_of_result()
    assert "Product" not in found


@pytest.mark.parametrize("way", [PLAIN, PIECES, pytest.param(ONEDNN, marks=needs_onednn)])
def test_one_row_goes_the_chosen_way_and_training_does_not(
    way: str, nothing_chosen: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Sequential(Linear(512, 520), nn.ReLU(), Linear(520, 512), Linear(512, 8))
    seen: list[str] = []

    def spy(name: str, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        seen.append(name)
        return function(*arguments)

    for name, function in WAYS.items():
        monkeypatch.setitem(WAYS, name, partial(spy, name, function))
    monkeypatch.setenv("MINIGPT_WAYS", f"rows={way}")
    choose_for_one_row(model)
    assert not seen  # what was asked for is not measured
    x = torch.randn(1, 512)
    expected = model(x)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected)
        model(x.expand(FEW_ROWS + 1, 512))
    assert seen == ([] if way == PLAIN else [way] * 3)


def test_each_shape_is_measured_once_and_no_random_number_is_drawn(nothing_chosen: None) -> None:
    layers = [Linear(512, 520) for _ in range(3)]
    state = torch.random.get_rng_state()
    for _ in range(2):
        choose_for_one_row(nn.Sequential(*layers))
    choose_for_one_row("no module")
    (choice,) = measured.MADE.values()
    assert choice.where == "one row, 798,720 weights, 2 threads"
    assert choice.chosen == linear.ONE_ROW[layers[0].weight.shape]
    assert choose_products(16, 512) == PLAIN  # too narrow to measure
    assert choose_products(128, 512) in (PLAIN, ONEDNN)
    assert len(measured.MADE) == 2
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("n_out", "n_threads", "n"), [(768, 2, 2), (50257, 2, 29), (13, 4, 1)])
def test_pieces_are_equal_and_enough(n_out: int, n_threads: int, n: int) -> None:
    assert pieces(n_out, n_threads) == n

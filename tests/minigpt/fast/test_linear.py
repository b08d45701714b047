"""The fast paths of Linear compute what torch's own layer does."""

import math

import pytest
import torch
from torch import nn

from minigpt.fast.linear import FEW_ROWS, HAS_ONEDNN, LARGE, Linear, linear_in_pieces, pieces


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


@pytest.mark.parametrize(("size", "name"), [((768, 1400), "mkldnn::_linear_pointwise"),
                                            ((64, 32), "aten::bmm")])  # fmt: skip
def test_one_row_takes_a_fast_path_and_training_does_not(size: tuple[int, int], name: str) -> None:
    if "mkldnn" in name and not HAS_ONEDNN:
        name = "aten::bmm"
    layer, x = Linear(*size), torch.randn(1, size[0])
    assert (layer.weight.numel() >= LARGE) == (size[0] == 768)
    with torch.profiler.profile() as fast, torch.no_grad():
        layer(x)
    with torch.profiler.profile() as usual:
        layer(x)
    seen = [{event.name for event in profile.events()} for profile in (fast, usual)]
    assert [name in names for names in seen] == [True, False]


@pytest.mark.parametrize(("n_out", "n_threads", "n"), [(768, 2, 2), (50257, 2, 29), (13, 4, 1)])
def test_pieces_are_equal_and_enough(n_out: int, n_threads: int, n: int) -> None:
    assert pieces(n_out, n_threads) == n

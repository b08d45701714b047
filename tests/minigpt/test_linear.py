"""The fast path of Linear computes what torch's own layer does."""

import pytest
import torch
from torch import nn

from minigpt.linear import FEW_ROWS, HAS_ONEDNN, LARGE, Linear


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (FEW_ROWS, 1), (FEW_ROWS, 2), (5,), ()])
def test_equals_float64_as_closely_as_torch_does(shape: tuple[int, ...], bias: bool) -> None:
    ours, theirs = Linear(768, 1001, bias=bias), nn.Linear(768, 1001, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    assert ours.weight.numel() >= LARGE
    x = 10 * torch.randn(*shape, 768)
    exact = theirs.double()(x.double())
    with torch.no_grad():
        y = ours(x)
    assert y.shape == exact.shape
    error = (y.double() - exact).norm() / exact.norm()
    assert error < 5e-7  # sums of 768 products, each rounded to fp32 (6e-8)


@pytest.mark.skipif(not HAS_ONEDNN, reason="this torch is built without oneDNN")
def test_one_row_takes_the_fast_path_and_training_does_not() -> None:
    layer, x = Linear(768, 1001), torch.randn(1, 768)
    with torch.profiler.profile() as fast, torch.no_grad():
        layer(x)
    with torch.profiler.profile() as usual:
        layer(x)
    names = [{event.name for event in profile.events()} for profile in (fast, usual)]
    assert ["mkldnn::_linear_pointwise" in name for name in names] == [True, False]

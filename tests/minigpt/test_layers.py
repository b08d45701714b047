"""minigpt.layers: a model in training mode, and a look at it in evaluation mode."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from minigpt.layers import evaluated, in_training


@pytest.mark.parametrize("fails", [True, False])
def test_every_module_trains_and_then_gets_its_own_mode_back(fails: bool) -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)), nn.Dropout(0.5))
    model[0][1].eval()  # a frozen part, inside one that learns
    before = [module.training for module in model.modules()]
    assert before == [True, True, True, False, True]
    try:
        with in_training(model):
            assert [module.training for module in model.modules()] == 5 * [True]
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert [module.training for module in model.modules()] == before


def test_an_evaluated_model_has_no_dropout_and_shares_all_else() -> None:
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.BatchNorm1d(2), nn.Dropout(0.5), shared)
    parametrize.register_parametrization(shared, "weight", nn.Tanh())  # cannot be copied by copy
    x, twin = torch.randn(5, 2), evaluated(model)
    seen: list[str] = []
    model[0].register_forward_hook(lambda *_: seen.append("hook"))
    expected = copy.deepcopy(model).eval()(x)
    running = model[1].running_mean.clone()
    assert torch.equal(twin(x), expected)
    assert seen == 4 * ["hook"]  # twice in each model
    assert twin[0] is twin[3]  # the layer stands in two places there too
    assert torch.equal(model[1].running_mean, running)  # nothing was learnt from x
    assert all(module.training for module in model.modules())
    with torch.no_grad():
        shared.bias.zero_()
        shared.bias = nn.Parameter(torch.ones(2))  # put in place of the old one
    assert torch.equal(twin[0].bias, torch.ones(2))


def test_what_is_no_module_is_evaluated_as_it_is() -> None:
    function = torch.tanh
    assert evaluated(function) is function

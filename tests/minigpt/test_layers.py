"""minigpt.layers: a model in training mode, and a look at it in evaluation mode."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
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


def test_what_is_not_a_module_is_evaluated_as_it_is() -> None:
    function = torch.tanh
    assert evaluated(function) is function


class Halved(nn.Module):
    """Half of what a layer with dropout gives."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))

    def forward(self, x: Tensor, factor: float = 0.5) -> Tensor:
        return factor * self.layer(x)


def compiled_in_place(part: Halved) -> nn.Module:
    part._compiled_call_impl = part._call_impl  # as part.compile(), without the compiler
    return part


class Compiled(nn.Module):
    """As torch.compile returns it, without the compiler."""

    def __init__(self, part: Halved) -> None:
        super().__init__()
        self._orig_mod = part
        self.forward = part.forward

    def __len__(self) -> int:
        raise TypeError("Halved does not support len()")


def method(part: Halved) -> nn.Module:
    part.forward = part.forward  # type: ignore[method-assign]
    return part


def partial(part: Halved) -> nn.Module:  # as accelerate's hooks
    part.forward = functools.partial(Halved.forward, part, factor=0.5)  # type: ignore[method-assign]
    return part


def closure(part: Halved) -> nn.Module:
    before = part.forward
    part.forward = lambda x: before(x)  # type: ignore[method-assign]
    return part


def default(part: Halved) -> nn.Module:
    def forward(x: Tensor, *, before: Any = part.forward) -> Tensor:
        return before(x)

    part.forward = forward  # type: ignore[method-assign]
    return part


def scripted(part: Halved) -> nn.Module:
    return torch.jit.script(part)  # type: ignore[no-any-return]


def without_children(part: Halved) -> nn.Module:
    part.empty = nn.ModuleList()
    return part


WAYS = (compiled_in_place, Compiled, method, partial, closure, default, scripted, without_children)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("way", WAYS)
def test_what_stands_in_the_place_of_forward_has_no_dropout_either(
    way: Callable[[Halved], nn.Module],
) -> None:
    plain = Halved()
    x, expected = torch.randn(20, 3), copy.deepcopy(plain).eval()
    model = nn.Sequential(way(plain), nn.Dropout(0.5))
    with torch.no_grad():
        assert torch.equal(evaluated(model)(x), expected(x))
    assert all(module.training for module in model.modules())
    assert not torch.equal(model(x), expected(x))

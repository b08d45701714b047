"""The saved states that PagedAdamW loads, and those that it refuses."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from minigpt.optim import paged_adamw
from minigpt.optim.paged_adamw import PagedAdamW
from tests.minigpt.tiny.paged import (
    assert_same_state,
    paged,
    parameters_of,
    plain,
    some_parameters,
    take_steps,
    worst_difference,
)


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_its_state_and_that_of_torch_are_interchangeable(
    cut: bool, fused: bool, request: pytest.FixtureRequest
) -> None:
    if cut:
        request.getfixturevalue("cut_on_a_cpu")
    start = some_parameters()
    torch_first, paged_first = plain(start, fused=fused), paged(copy.deepcopy(start), 7)
    for _ in take_steps([torch_first, paged_first], last=30):
        pass
    for first, second in (
        (
            torch_first,
            paged([nn.Parameter(p.detach().clone()) for p in parameters_of(torch_first)]),
        ),
        (
            paged_first,
            plain([nn.Parameter(p.detach().clone()) for p in parameters_of(paged_first)]),
        ),
    ):
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        assert_same_state(second.state_dict(), first.state_dict())
        for a, b in take_steps([first, second], 30, 60):
            assert worst_difference(a, b) <= 1e-6


@pytest.mark.usefixtures("cut_on_a_cpu")
def test_loaded_moments_stay_on_the_host() -> None:
    """Parameters on torch's device without memory stand for parameters on a GPU."""
    saved = plain(some_parameters(torch.bfloat16), fused=True)
    for _ in take_steps([saved], last=8):
        pass
    parameters = [nn.Parameter(p.detach().to("meta")) for p in parameters_of(saved)]
    ours, theirs = paged(parameters), plain(parameters)
    for optimizer in (ours, theirs):
        optimizer.load_state_dict(saved.state_dict())
    assert theirs.state[parameters[0]]["exp_avg"].device.type == "meta"
    for parameter, before in zip(parameters, parameters_of(saved), strict=True):
        if before in saved.state:
            for name in ("exp_avg", "exp_avg_sq"):
                moment = ours.state[parameter][name]
                assert moment.device.type == "cpu"
                assert torch.equal(moment, saved.state[before][name])


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    model = nn.Linear(4, 3)
    optimizer = PagedAdamW(model.parameters())
    before = copy.deepcopy(optimizer.state_dict())

    def state_of(other: nn.Module, kind: Any, **settings: Any) -> dict[str, Any]:
        theirs = kind(other.parameters(), lr=0.1, **settings)
        other(torch.ones(4)).sum().backward()
        theirs.step()
        state: dict[str, Any] = theirs.state_dict()
        return state

    amsgrad = state_of(nn.Linear(4, 3), torch.optim.AdamW, amsgrad=True)
    with pytest.raises(ValueError, match="no maximum: amsgrad must be False"):
        optimizer.load_state_dict(amsgrad)
    with pytest.raises(ValueError, match=r"exp_avg has shape \[5, 4\], the parameter \[3, 4\]"):
        optimizer.load_state_dict(state_of(nn.Linear(4, 5), torch.optim.AdamW))
    with pytest.raises(ValueError, match=r"not AdamW's: its groups have no betas, eps$"):
        optimizer.load_state_dict(state_of(nn.Linear(4, 3), torch.optim.SGD, momentum=0.9))
    averaged = state_of(nn.Linear(4, 3), torch.optim.AdamW)
    averaged["state"][0]["momentum_buffer"] = averaged["state"][0].pop("exp_avg")
    with pytest.raises(ValueError, match="not AdamW's: it has exp_avg_sq, momentum_buffer, step"):
        optimizer.load_state_dict(averaged)
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optimizer.load_state_dict(state_of(nn.Linear(4, 3, bias=False), torch.optim.AdamW))
    assert optimizer.state_dict() == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1e-3}, "lr must be at least 0 and finite, got -0.001"),
        ({"lr": math.nan}, "lr must be at least 0 and finite, got nan"),
        ({"eps": -1.0}, r"eps must be at least 0 and finite, got -1\.0"),
        ({"weight_decay": math.inf}, "weight_decay must be at least 0 and finite, got inf"),
        ({"betas": (0.9, 1.0)}, r"betas must be two numbers from 0 to below 1, got \(0\.9, 1\.0\)"),
        ({"betas": (0.9,)}, r"betas must be two numbers from 0 to below 1, got \(0\.9,\)"),
    ],
)
def test_numbers_out_of_range_are_one_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PagedAdamW([nn.Parameter(torch.ones(2))], **settings)
    with pytest.raises(ValueError, match=message):
        PagedAdamW([{"params": [nn.Parameter(torch.ones(2))], **settings}])


def test_moments_of_a_parameter_on_a_gpu_are_asked_for_in_pinned_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(torch, "zeros_like", lambda parameter, **place: asked.append(place))
    paged_adamw.new_state(SimpleNamespace(is_cuda=True, device="cpu"))  # type: ignore[arg-type]
    assert asked == 2 * [{"device": "cpu", "pin_memory": True}]


def test_one_tensor_is_not_a_list_of_parameters() -> None:
    with pytest.raises(TypeError, match=r"needs a list of parameters, got one tensor; put it in"):
        PagedAdamW(nn.Parameter(torch.ones(2)))


def test_sparse_gradients_and_complex_numbers_are_one_sentence() -> None:
    embedding = nn.Embedding(5, 3, sparse=True)
    optimizer = PagedAdamW(embedding.parameters())
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match=r"a sparse gradient, got one of shape \[5, 3\]; make"):
        optimizer.step()
    assert not optimizer.state
    with pytest.raises(ValueError, match=r"numbers \(torch.complex64, shape \[2\]\); train"):
        PagedAdamW([nn.Parameter(torch.ones(2, dtype=torch.complex64))])


@pytest.mark.parametrize("nothing", [[], [{"params": []}], iter(())])
def test_no_parameters_are_one_sentence(nothing: Any) -> None:
    with pytest.raises(ValueError, match="nothing to train: PagedAdamW was given no parameters"):
        PagedAdamW(nothing)


def test_a_parameter_that_cannot_be_trained_is_one_sentence_and_is_not_added() -> None:
    frozen = nn.Parameter(torch.ones(2, 3), requires_grad=False)
    with pytest.raises(ValueError, match=r"frozen parameter of shape \[2, 3\]; leave it out, or"):
        PagedAdamW([nn.Parameter(torch.ones(2)), frozen])
    optimizer = PagedAdamW([nn.Parameter(torch.ones(2))])
    with pytest.raises(ValueError, match="frozen parameter"):
        optimizer.add_param_group({"params": frozen})
    assert len(optimizer.param_groups) == 1


def test_a_parameter_with_gaps_in_memory_is_one_sentence() -> None:
    gaps = nn.Parameter(torch.ones(4, 6)[:, ::2])
    with pytest.raises(ValueError, match=r"without gaps, got shape \[4, 3\] with strides \(6, 2\)"):
        PagedAdamW([gaps])


@pytest.mark.usefixtures("cut_on_a_cpu")
def test_a_parameter_that_fsdp_sliced_is_one_sentence() -> None:
    sliced = nn.Parameter(torch.ones(4))
    sliced.full_tensor = lambda: sliced  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"FSDP has sliced \(shape \[4\]\).* paged=False"):
        PagedAdamW([sliced])

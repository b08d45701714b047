"""PagedAdamW against torch.optim.AdamW: the same numbers, in pieces or whole."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from minigpt.optim.paged_adamw import PagedAdamW
from minigpt.training.loop import train
from minigpt.training.result import TrainResult
from tests.minigpt.tiny.paged import (
    assert_same_state,
    paged,
    plain,
    some_parameters,
    take_steps,
    worst_difference,
)
from tests.minigpt.tiny.run import StoppedError, TinyData, crash_at, tiny_config, tiny_model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_on_a_cpu_it_is_fused_adamw_bit_for_bit(dtype: torch.dtype) -> None:
    optimizers = [paged(some_parameters(dtype), 7), plain(some_parameters(dtype), fused=True)]
    for ours, theirs in take_steps(optimizers):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    ours_state, their_state = (optimizer.state_dict() for optimizer in optimizers)
    assert ours_state["param_groups"] == their_state["param_groups"]
    assert_same_state(ours_state, their_state)


@pytest.mark.usefixtures("cut_on_a_cpu")
@pytest.mark.parametrize("bucket_size", [2, 7, 64, 2**22])
def test_in_buckets_of_any_size_it_is_adamw(bucket_size: int) -> None:
    optimizers = [
        paged(some_parameters(), bucket_size),
        plain(some_parameters(), fused=True),
        plain(some_parameters(), foreach=False),
    ]
    for ours, fused, written_out in take_steps(optimizers):
        assert worst_difference(ours, fused) <= 2 * torch.finfo(torch.float32).eps
        assert worst_difference(ours, written_out) <= 1e-6
    ours_state, fused_state, _ = (optimizer.state_dict() for optimizer in optimizers)
    assert ours_state["param_groups"] == fused_state["param_groups"]
    assert_same_state(ours_state, fused_state, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("cut_on_a_cpu")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_number_formats_other_than_float32_go_the_same_way(dtype: torch.dtype) -> None:
    optimizers = [paged(some_parameters(dtype), 7), plain(some_parameters(dtype), fused=True)]
    for ours, theirs in take_steps(optimizers):
        assert worst_difference(ours, theirs) <= 2 * torch.finfo(dtype).eps
    moments = [state["exp_avg"] for state in optimizers[0].state.values()]
    assert {moment.dtype for moment in moments} == {dtype}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("bucket_size", [7, 64, 2**22])
def test_on_a_gpu_it_is_adamw_with_moments_on_the_host(bucket_size: int) -> None:
    optimizers = [
        paged(some_parameters(device="cuda"), bucket_size),
        plain(some_parameters(device="cuda"), fused=True),
    ]
    for ours, theirs in take_steps(optimizers):
        assert worst_difference(ours, theirs) <= 1e-7
    optimizers[0].load_state_dict(optimizers[1].state_dict())
    for state in optimizers[0].state.values():
        assert state["exp_avg"].is_pinned()
        assert state["exp_avg_sq"].is_pinned()
    for ours, theirs in take_steps(optimizers, 100, 110):
        assert worst_difference(ours, theirs) <= 1e-7


@pytest.mark.usefixtures("cut_on_a_cpu")
def test_a_gradient_may_lie_in_memory_in_another_order_than_its_parameter() -> None:
    start, gradient = torch.randn(6, 5), torch.randn(5, 6).t()
    ours, theirs = (nn.Parameter(start.clone()) for _ in range(2))
    ours.grad = theirs.grad = gradient
    optimizer = PagedAdamW([ours])
    optimizer.bucket_size = 4
    optimizer.step()
    torch.optim.AdamW([theirs], foreach=False).step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-7)


@pytest.mark.usefixtures("cut_on_a_cpu")
def test_a_gradient_scaler_works_as_with_adamw() -> None:
    results = []
    for kind in (PagedAdamW, torch.optim.AdamW):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(9))
        optimizer = kind([weight], **({} if kind is PagedAdamW else {"fused": True}))
        optimizer.bucket_size = 4  # type: ignore[attr-defined]
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for step in range(6):
            optimizer.zero_grad()
            spoilt = math.inf if step == 3 else 1.0  # this step is to be left out
            scaler.scale((weight.square() * spoilt).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
        results.append((weight.detach(), optimizer.state[weight]["step"], scaler.get_scale()))
    (ours, our_step, our_scale), (theirs, their_step, their_scale) = results
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-7)
    assert (our_step, our_scale) == (their_step, their_scale) == (5, 512)


def test_a_closure_gives_loss_and_gradients() -> None:
    weight = nn.Parameter(torch.tensor([3.0]))
    optimizer = PagedAdamW([weight], lr=0.1, weight_decay=0.0)

    def closure() -> float:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 9.0
    torch.testing.assert_close(weight.detach(), torch.tensor([2.9]))  # the first step is lr long


@pytest.mark.parametrize("cut", [False, True])
def test_a_paged_run_resumes_bit_for_bit(
    tmp_path: Path, cut: bool, uninterrupted: TrainResult, request: pytest.FixtureRequest
) -> None:
    expected = uninterrupted.losses  # of a run without paging: on a CPU it is the same
    if cut:
        request.getfixturevalue("cut_on_a_cpu")
        request.getfixturevalue("monkeypatch").setattr(PagedAdamW, "bucket_size", 100)
        expected = train(tiny_model(), TinyData(), tiny_config(paged=True)).losses
        torch.testing.assert_close(expected, uninterrupted.losses, rtol=0, atol=1e-5)
    config = tiny_config(out_dir=tmp_path, resume=True, paged=True)
    with pytest.raises(StoppedError):
        train(tiny_model(), crash_at(13), config)
    assert train(tiny_model(), TinyData(), config).losses == expected


def test_a_run_may_go_on_paged_that_began_otherwise(
    tmp_path: Path, uninterrupted: TrainResult
) -> None:
    with pytest.raises(StoppedError):
        train(tiny_model(), crash_at(13), tiny_config(out_dir=tmp_path))
    config = tiny_config(out_dir=tmp_path, resume=True, paged=True)
    assert train(tiny_model(), TinyData(), config).losses == uninterrupted.losses

"""minigpt.training: the loop is the textbook's (stopping and resuming it: test_resume.py).

The independent sides: a loop written out in plain PyTorch, cross-entropy over the whole batch at
once, and torch's own cosine scheduler.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from minigpt.dataset import Batch
from minigpt.text import bars
from minigpt.training import checkpoint
from minigpt.training.loop import train
from minigpt.training.loss import evaluate_loss
from minigpt.training.result import TrainResult
from minigpt.training.settings import TrainConfig, learning_rate_at
from tests.minigpt.tiny.run import (
    BLOCK_SIZE,
    VOCAB_SIZE,
    StoppedError,
    TinyData,
    crash_at,
    loss_and_gradients,
    tiny_config,
    tiny_model,
)


def test_learning_rate_climbs_straight_then_follows_torchs_cosine() -> None:
    config = TrainConfig(max_steps=50, learning_rate=2.0, min_learning_rate=0.5, warmup_steps=10)
    rates = [learning_rate_at(step, config) for step in range(50)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)], rel=1e-12)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=2.0)
    peer = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40, eta_min=0.5)
    for step in range(10, 50):
        assert rates[step] == pytest.approx(peer.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        peer.step()
    assert learning_rate_at(50, config) == pytest.approx(0.5)


def test_the_lowest_rate_is_a_tenth_unless_given() -> None:
    assert TrainConfig(max_steps=1, learning_rate=3e-4).min_learning_rate == pytest.approx(3e-5)
    assert TrainConfig(max_steps=1, min_learning_rate=0.0).min_learning_rate == 0.0


def batch_loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    logits, _ = model(batch.idx)
    return F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=-100)


@settings(max_examples=25, deadline=None)
@given(micro_batch_size=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_micro_batches_give_the_loss_and_gradient_of_the_whole_batch(
    micro_batch_size: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    idx = torch.randint(VOCAB_SIZE, (6, BLOCK_SIZE), generator=generator)
    targets = torch.randint(VOCAB_SIZE, (6, BLOCK_SIZE), generator=generator)
    for row in range(1, 6):  # the first row counts whole, others in part or not at all
        hidden = int(torch.randint(BLOCK_SIZE + 1, (), generator=generator))
        targets[row, :hidden] = -100
    targets[5] = -100
    model = tiny_model(dropout=0.0).double()
    batch = Batch(idx, targets)
    expected = batch_loss(model, batch)
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    loss, found = loss_and_gradients(model, batch, micro_batch_size)
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    names = [name for name, _ in model.named_parameters()]
    for name, ours, gradient in zip(names, found, gradients, strict=True):
        torch.testing.assert_close(ours, gradient, rtol=1e-9, atol=1e-12, msg=name)


def test_the_mean_of_micro_batch_means_would_be_another_loss() -> None:
    model = tiny_model(dropout=0.0).double()
    batch = TinyData().train_batch(0, 4)
    rows = [batch_loss(model, row).item() for row in batch.split(1)]
    assert abs(sum(rows) / 4 - loss_and_gradients(model, batch, 1)[0]) > 1e-3


def test_a_batch_without_targets_is_one_sentence() -> None:
    idx, targets, _ = TinyData().train_batch(0, 2)
    with pytest.raises(ValueError, match="no target to learn from: all 32 are -100"):
        loss_and_gradients(tiny_model(), Batch(idx, torch.full_like(targets, -100)))


def test_validation_loss_is_the_mean_over_all_targets() -> None:
    model = tiny_model(dropout=0.5).double()
    batches = list(TinyData().validation_batches(4))
    first, second = batches
    assert len(first.idx) != len(second.idx)
    both = Batch(torch.cat([first.idx, second.idx]), torch.cat([first.targets, second.targets]))
    model.eval()
    expected = batch_loss(model, both).item()
    model.train()
    assert evaluate_loss(model, batches) == pytest.approx(expected, rel=1e-12)
    assert model.training
    with pytest.raises(ValueError, match="there is no validation data"):
        evaluate_loss(model, [])


def test_training_is_the_loop_everyone_writes() -> None:
    config = tiny_config(max_steps=20, grad_clip=1.2, weight_decay=0.2)
    model = tiny_model(dropout=0.0)
    result = train(model, TinyData(), config)

    plain = tiny_model(dropout=0.0)
    groups = [
        {"params": [p for p in plain.parameters() if p.dim() > 1], "weight_decay": 0.2},
        {"params": [p for p in plain.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))

    def factor(step: int) -> float:
        if step < 4:
            return (step + 1) / 4
        return 0.1 + 0.9 * (0.5 + 0.5 * math.cos(math.pi * (step - 4) / 16))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    losses, clipped = [], 0
    for step in range(20):
        loss = batch_loss(plain, TinyData().train_batch(step, 4))
        optimizer.zero_grad()
        loss.backward()
        clipped += bool(torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.2) > 1.2)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    assert 0 < clipped < 20
    assert result.losses == pytest.approx(losses, abs=2e-5)
    for name, parameter in plain.named_parameters():
        trained = dict(model.named_parameters())[name]
        torch.testing.assert_close(trained, parameter, rtol=0, atol=1e-4, msg=name)


def test_it_learns_what_can_be_learnt() -> None:
    class Counting:
        """1, 2, 3 ...: after the first id there is nothing left to guess."""

        def train_batch(self, step: int, batch_size: int) -> Batch:
            start = torch.randint(
                VOCAB_SIZE, (batch_size, 1), generator=torch.Generator().manual_seed(step)
            )
            ids = (start + torch.arange(BLOCK_SIZE + 1)) % VOCAB_SIZE
            return Batch(ids[:, :-1], ids[:, 1:])

        def validation_batches(self, batch_size: int) -> Any:
            yield self.train_batch(10_000, batch_size)

    result = train(
        tiny_model(dropout=0.0),
        Counting(),
        tiny_config(max_steps=150, batch_size=8, eval_every=150),
    )
    assert result.losses[0] == pytest.approx(math.log(VOCAB_SIZE), abs=0.1)
    assert result.losses[-1] < 0.1
    assert [step for step, _ in result.validation] == [0, 150]
    assert result.best_validation == result.validation[1][1] < 0.1


def test_results_count_steps_tokens_and_validations(uninterrupted: TrainResult) -> None:
    assert uninterrupted.steps == len(uninterrupted.losses) == 24
    assert uninterrupted.tokens == 24 * 4 * BLOCK_SIZE
    assert [step for step, _ in uninterrupted.validation] == [0, 8, 16, 24]
    assert uninterrupted.out_dir is None
    assert uninterrupted.seconds > 0


def test_the_caller_keeps_random_state_and_mode() -> None:
    model = tiny_model()
    model.transformer["h"][0].eval()  # a frozen part keeps its own mode
    modes = [module.training for module in model.modules()]
    assert len(set(modes)) == 2
    state = torch.get_rng_state()
    train(model, TinyData(), tiny_config(max_steps=3, warmup_steps=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    evaluate_loss(model, TinyData().validation_batches(4))
    assert [module.training for module in model.modules()] == modes


def test_the_seed_decides_the_dropout_masks(uninterrupted: TrainResult) -> None:
    torch.manual_seed(99)
    again = train(tiny_model(), TinyData(), tiny_config())
    other = train(tiny_model(), TinyData(), tiny_config(seed=1))
    assert again.losses == uninterrupted.losses
    assert other.losses[0] != uninterrupted.losses[0]


def test_only_parameters_that_ask_for_it_are_trained(tmp_path: Path) -> None:
    model = tiny_model()
    model.transformer["h"].requires_grad_(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    config = tiny_config(out_dir=tmp_path)
    with pytest.raises(StoppedError):
        train(model, crash_at(13), config)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name
    header = checkpoint.load_file(
        tmp_path / checkpoint.read_commit_record(tmp_path)["tensors"], device="cpu"
    )
    assert not any(".h." in name for name in header)

    resumed, whole = tiny_model(), tiny_model()
    for fresh in (resumed, whole):
        fresh.transformer["h"].requires_grad_(False)
    losses = train(resumed, TinyData(), replace(config, resume=True)).losses
    assert losses == train(whole, TinyData(), tiny_config()).losses


def test_bfloat16_stays_near_float32_and_weights_stay_float32() -> None:
    model = tiny_model(dropout=0.0)
    low = train(model, TinyData(), tiny_config(dtype="bfloat16"))
    full = train(tiny_model(dropout=0.0), TinyData(), tiny_config())
    assert low.losses != full.losses
    assert low.losses == pytest.approx(full.losses, abs=0.02)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_float16_is_refused() -> None:
    with pytest.raises(ValueError, match="dtype must be auto, float32 or bfloat16"):
        train(tiny_model(), TinyData(), tiny_config(dtype="float16"))


def test_compiled_training_gives_the_same_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    config = tiny_config(max_steps=6)
    model, plain = tiny_model(dropout=0.0), tiny_model(dropout=0.0)
    losses = train(model, TinyData(), replace(config, compile=True)).losses
    assert losses == pytest.approx(train(plain, TinyData(), config).losses, abs=1e-6)
    assert list(model.state_dict()) == list(plain.state_dict())


def test_the_progress_bar_tells_loss_and_speed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "INTERVAL", 0.0)  # standard error is no terminal here
    train(tiny_model(), TinyData(), tiny_config(max_steps=3, warmup_steps=1))
    assert capsys.readouterr() == ("", "")
    result = train(
        tiny_model(), TinyData(), tiny_config(max_steps=3, warmup_steps=1, progress=True)
    )
    shown = capsys.readouterr().err
    assert shown.count("\n") == 3 + 1
    assert "1 thread: 3 of 3 steps, " in shown
    assert f"loss {result.losses[-1]:.3f}" in shown
    assert "tokens/s" in shown


def test_data_of_the_wrong_size_is_one_sentence() -> None:
    class Short(TinyData):
        def train_batch(self, step: int, batch_size: int) -> Batch:
            return super().train_batch(step, batch_size - 1)

    with pytest.raises(ValueError, match=r"of one shape \[4, T\], got \[3, 16\] and \[3, 16\]"):
        train(tiny_model(), Short(), tiny_config())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_steps": 0}, "max_steps must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1, got 2.5"),
        ({"micro_batch_size": 0}, "micro_batch_size must be a whole number of at least 1, got 0"),
        ({"warmup_steps": 11}, "warmup_steps must be at most max_steps=10, got 11"),
        ({"learning_rate": -1.0}, "learning_rate must be at least 0, got -1.0"),
        ({"learning_rate": math.nan}, "learning_rate must be at least 0, got nan"),
        ({"learning_rate": 10**400}, "learning_rate must be at least 0, got 1000"),
        ({"weight_decay": None}, "weight_decay must be at least 0, got None"),
        ({"min_learning_rate": 1.0}, "min_learning_rate must be at most learning_rate=0.001"),
        ({"betas": (0.9, 1.0)}, "betas must be two numbers from 0 to below 1"),
        ({"eval_every": -1}, "eval_every must be a whole number of at least 0, got -1"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
    ],
)
def test_settings_out_of_range_are_one_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**{"max_steps": 10, **changes})

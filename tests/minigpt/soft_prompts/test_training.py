"""Soft prompts are trained by the same loop as everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minigpt.config import GPTConfig
from minigpt.dataset import Batch
from minigpt.memory.counts import count_prompt_tuning
from minigpt.model import GPT
from minigpt.soft_prompts.model import (
    apply_prompt_tuning,
    load_soft_prompt,
    save_soft_prompt,
    set_soft_prompt,
)
from minigpt.training.checkpoint import save_checkpoint
from minigpt.training.loop import train
from tests.minigpt.tiny.run import StoppedError, run_two_processes, tiny_config
from tests.minigpt.tiny.soft_prompts import (
    EVERY_KIND,
    Short,
    apply,
    base_model,
    logits,
    train_prompt,
)

ROWS = Short().train_batch(99, 4).idx


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", EVERY_KIND)
def test_training_lowers_the_loss_and_changes_the_prompt_alone(kind: str, dtype: str) -> None:
    untrained = apply(base_model(), kind, n_tokens=3)
    before = untrained.state_dict()
    model, _ = train_prompt(kind, dtype=dtype, max_steps=60, learning_rate=0.1)
    idx, targets, _ = Short().train_batch(10_000, 64)
    with torch.no_grad():
        losses = [m.eval()(idx, targets)[1].item() for m in (untrained, model)]
    assert losses[1] < losses[0] - 0.1
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) == (not name.startswith("soft_prompts.")), name


def test_training_one_prompt_leaves_the_others_as_they_were() -> None:
    model, _ = train_prompt("prefix", max_steps=3, warmup_steps=0)
    alone = logits(model, ROWS)
    apply(model, "prompt", 3, name="second")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(model, Short(), tiny_config(max_steps=3, warmup_steps=0))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) == (".second." not in name), name
    set_soft_prompt(model, "default")
    assert torch.equal(logits(model, ROWS), alone)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_run_that_was_stopped_and_resumed_ends_to_the_bit_as_one_that_was_not(
    kind: str, tmp_path: Path
) -> None:
    straight, losses = train_prompt(kind, dropout=0.1)

    class Crashing(Short):
        def train_batch(self, step: int, batch_size: int) -> Batch:
            if step == 13:
                raise StoppedError
            return super().train_batch(step, batch_size)

    config = tiny_config(out_dir=tmp_path, resume=True)
    with pytest.raises(StoppedError):
        train(apply(base_model(0.1), kind, 3), Crashing(), config)
    resumed, again = train_prompt(kind, tmp_path, dropout=0.1, resume=True)
    assert again == losses
    for (name, one), other in zip(
        straight.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_what_was_trained_comes_back_from_its_file_without_the_network(
    kind: str, tmp_path: Path
) -> None:
    model, _ = train_prompt(kind)
    save_soft_prompt(model, tmp_path)
    again = load_soft_prompt(base_model(), tmp_path)
    assert torch.equal(logits(again, ROWS), logits(model, ROWS))
    held = {name.rpartition(".")[2] for name, _ in again.soft_prompts.named_parameters()}
    kept = {"embeddings" if kind == "prompt" else "start"}
    assert held == (kept | {"gate"} if "gated" in kind else kept)
    train(again, Short(), tiny_config(max_steps=4))  # and can be trained on


def test_a_checkpoint_of_what_is_trained_holds_the_prompt_and_no_more(tmp_path: Path) -> None:
    model = apply_prompt_tuning(GPT(GPTConfig(2000, 32, 1, 2, 64)))
    save_checkpoint(tmp_path, model, None, {}, trainable_only=True)
    size = (tmp_path / "tensors-0.safetensors").stat().st_size
    assert 0 < size - 4 * count_prompt_tuning(model.config, 20) < 500


def test_two_processes_train_what_one_does() -> None:
    found = run_two_processes("soft_prompts")
    single = {kind: train_prompt(kind, max_steps=6)[1] for kind in ("prompt", "network", "gated")}
    assert found == {
        f"{mode} {kind}": pytest.approx(losses, abs=1e-5)
        for mode in ("ddp", "fsdp")
        for kind, losses in single.items()
    }

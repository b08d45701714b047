"""minigpt.qlora: training through LoRA, by one process and several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from minigpt.memory.counts import count_lora
from minigpt.qlora.model import quantize_model
from minigpt.training.loop import train
from tests.minigpt.tiny.lora import everything
from tests.minigpt.tiny.qlora import to_train, train_qlora
from tests.minigpt.tiny.run import TinyData, run_two_processes, tiny_config, tiny_model


@pytest.fixture(scope="module")
def losses() -> list[float]:
    return train_qlora()


def test_training_is_that_of_the_same_weights_written_out(losses: list[float]) -> None:
    assert losses == pytest.approx(train_qlora(plain=True), abs=1e-6)
    assert losses[-1] < losses[0] - 0.05


def test_training_in_bf16_is_that_of_the_same_weights_written_out(losses: list[float]) -> None:
    found = train_qlora(dtype="bfloat16")
    assert found == pytest.approx(train_qlora(plain=True, dtype="bfloat16"), abs=1e-6)
    assert found != losses
    assert found == pytest.approx(losses, abs=0.05)


def test_training_changes_the_adapter_alone() -> None:
    model = to_train()
    before = everything(model)
    train(model, TinyData(), tiny_config())
    for name, (tensor, trained) in everything(model).items():
        assert trained == ("lora_" in name)
        assert torch.equal(tensor, before[name][0]) == (not trained), name


@pytest.mark.parametrize("micro_batch_size", [None, 1])
def test_gradient_checkpointing_and_micro_batches_change_no_loss(
    losses: list[float], micro_batch_size: int | None
) -> None:
    model = to_train()
    model.gradient_checkpointing = True
    config = tiny_config(micro_batch_size=micro_batch_size)
    assert train(model, TinyData(), config).losses == pytest.approx(losses, abs=1e-6)


def test_a_run_is_resumed_from_a_checkpoint_of_the_adapter(
    tmp_path: Path, losses: list[float]
) -> None:
    config = tiny_config(out_dir=tmp_path, checkpoint_every=5)

    def stop(step: int) -> None:
        if step == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(to_train(), TinyData(stop), config)
    tensors = next(tmp_path.glob("tensors-*.safetensors"))
    model = to_train()
    numbers = 3 * count_lora(model.config, 4, ("c_attn", "c_proj", "c_fc"))
    assert tensors.stat().st_size < 4 * numbers + 10_000  # the adapter and its two moments
    assert train(model, TinyData(), replace(config, resume=True)).losses == losses


def test_two_processes_train_what_one_does(losses: list[float]) -> None:
    found = run_two_processes("qlora")
    assert found == {mode: pytest.approx(losses, abs=1e-5) for mode in ("ddp", "fsdp")}


def test_without_adapters_there_is_nothing_to_train() -> None:
    with pytest.raises(ValueError, match="every parameter of this GPT is frozen"):
        train(quantize_model(tiny_model()), TinyData(), tiny_config())

"""The training benchmark counts multiply-adds as torch does, and shares out a step's time."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from minigpt.bench import training
from minigpt.config import GPTConfig
from minigpt.model import GPT

TINY = GPTConfig(vocab_size=97, block_size=16, n_layer=2, n_head=2, n_embd=8)
CPU = torch.device("cpu")


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(training, "SMALL", TINY)
    monkeypatch.setattr(training, "BATCH", 3)
    model = GPT(TINY)
    ids = torch.randint(97, (3, 17))
    batch = (ids[:, :-1], ids[:, 1:].contiguous())
    return training.training_step(
        lambda idx, y: model(idx, y, loss_only=True)[1], model, training.our_adamw(model), batch
    )


def test_multiply_adds_are_those_that_torch_counts(step: object) -> None:
    with FlopCounterMode(display=False) as alone:
        training.products_of_a_step(CPU)()
    with FlopCounterMode(display=False) as whole:
        step()
    in_layers, in_attention = training.multiply_adds()
    assert alone.get_total_flops() == 2 * in_layers
    counts = whole.get_flop_counts()["Global"]
    products = sum(n for kind, n in counts.items() if "attention" not in str(kind))
    assert products == 2 * in_layers
    # All pairs of 16 queries and keys are 256, of which 136 see each other: 2 + 4 products of each.
    assert in_attention == 6 * 3 * 2 * 8 * 136


def test_the_parts_of_a_step_add_up(step: object) -> None:
    parts = training.parts_of(step)
    assert list(parts) == [*training.PARTS, "the rest"]
    assert sum(parts.values()) == pytest.approx(1)
    assert all(share > 0 for share in parts.values())

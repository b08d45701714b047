"""minigpt.soft_prompts.search: tokens that are swapped where the loss promises to fall."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from minigpt.dataset import Batch
from minigpt.model import GPT
from minigpt.soft_prompts.search import promised_changes, search_prompt
from tests.minigpt.tiny.gpt2 import IDX, ours
from tests.minigpt.tiny.lora import everything, same

START = [7, 3, 50]
TARGETS = IDX.roll(-1, dims=1)


def loss_with_words(model: GPT, ids: list[int], step: int = 0) -> float:
    """Returns the loss where the words stand before the text like any others."""
    idx = torch.cat([torch.tensor(ids).expand(2, -1), IDX.roll(step, dims=1)], dim=1)
    with torch.no_grad():
        logits = model(idx)[0][:, len(ids) :]
    return F.cross_entropy(logits.flatten(0, 1), TARGETS.roll(step, dims=1).flatten()).item()


def batch_of(step: int) -> Batch:
    return Batch(IDX.roll(step, dims=1), TARGETS.roll(step, dims=1))


def test_what_is_promised_is_the_slope_of_the_loss_towards_each_token() -> None:
    generator = torch.Generator().manual_seed(0)
    table, weights = torch.randn(2, 9, 4, generator=generator, dtype=torch.float64)
    vectors = table[[2, 5]]

    def loss(vectors: torch.Tensor) -> torch.Tensor:
        return (vectors @ weights.T).square().sum()

    gradient = torch.func.grad(loss)(vectors)
    promised = promised_changes(table, vectors, gradient)
    assert promised.shape == (2, 9)
    for place in range(2):
        for token in range(9):
            nearer = vectors.clone()
            nearer[place] += 1e-7 * (table[token] - vectors[place])
            slope = (loss(nearer) - loss(vectors)).item() / 1e-7
            assert promised[place, token].item() == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_each_swap_lowers_the_loss_on_its_rows_as_it_says() -> None:
    model, ids = ours().eval(), list(START)
    found = search_prompt(model, batch_of, START, 9, n_candidates=20)
    assert [swap.place for swap in found.swaps] == [0, 1, 2] * 3
    for step, swap in enumerate(found.swaps):
        before = loss_with_words(model, ids, step)
        assert swap.loss == pytest.approx(before, abs=1e-5)
        assert ids[swap.place] == swap.old
        ids[swap.place] = swap.new
        assert swap.change == pytest.approx(loss_with_words(model, ids, step) - before, abs=1e-5)
        assert (swap.change < 0) == (swap.new != swap.old)
    assert found.ids == ids != START
    assert sum(swap.promised < 0 for swap in found.swaps) > 3


def test_with_every_token_tried_the_best_one_is_found() -> None:
    model = ours().eval()
    found = search_prompt(model, batch_of, [7], 1, n_candidates=100)
    losses = [loss_with_words(model, [token]) for token in range(100)]
    assert found.ids == [min(range(100), key=losses.__getitem__)]


def test_where_nothing_lowers_the_loss_the_prompt_stays() -> None:
    model = ours().eval()
    best = search_prompt(model, batch_of, [7], 1, n_candidates=100).ids
    again = search_prompt(model, batch_of, best, 1, n_candidates=100)
    assert again.ids == best
    assert again.swaps[0][:3] == (0, best[0], best[0])
    assert again.swaps[0].change == 0


def test_ids_that_are_never_to_be_used_are_not_and_the_model_stays_as_it_is() -> None:
    model = ours().train()
    model.set_dropout(0.5)
    before = everything(model)
    even = list(range(0, 100, 2))
    found = search_prompt(model, batch_of, [1, 3], 4, n_candidates=100, never=even)
    assert found.ids != [1, 3]
    assert not set(found.ids) & set(even)
    assert model.training
    assert same(everything(model), before)
    assert all(p.grad is None for p in model.parameters())
    assert found == search_prompt(model, batch_of, [1, 3], 4, n_candidates=100, never=even)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"n_candidates": 0}, "n_candidates must be at least 1, got 0"),
        ({"ids": []}, "the number of ids must be at least 1, got 0"),
        ({"ids": [100]}, "100"),
        ({"ids": [1] * 13}, "25 tokens, 13 of them before idx"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes: dict, sentence: str) -> None:
    settings = {"ids": START, "n_steps": 2, "n_candidates": 5} | changes
    with pytest.raises(ValueError, match=sentence):
        search_prompt(ours(), batch_of, **settings)

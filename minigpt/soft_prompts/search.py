"""A hard prompt that is found by a search: real tokens before every text, changed one at a time.

A soft prompt may be any vectors; a hard prompt must be tokens of the vocabulary, which can be read,
copied and given to a model that nobody can open. Tokens have no gradient, but their embeddings do:
if e is the embedding of a token of the prompt and g the gradient of the loss there, another token
with the embedding e' changes the loss by about

    (e' - e) · g

The step of AutoPrompt: take one place of the prompt, find the tokens for which this promises most,
compute the loss with each of them on a batch, and keep the best if the loss really falls.

    found = search_prompt(model, batch_of, encoding.encode("Translate to French:"), n_steps=40)
    apply_prompt_tuning(model, len(found.ids), found.ids)    # puts the tokens before every text

In the comments n is the number of tokens in the prompt, C the width, V the vocabulary.
Source: Shin et al. 2020, "AutoPrompt: Eliciting Knowledge from Language Models with Automatically
Generated Prompts" (arXiv 2010.15980, section 2.2; the estimate is that of HotFlip, Ebrahimi et al.
2018, arXiv 1712.06751).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from minigpt.config import check_ids
from minigpt.dataset import Batch
from minigpt.layers import evaluated
from minigpt.model import GPT
from minigpt.soft_prompts.layer import read_embeddings, token_embeddings


class Swap(NamedTuple):
    """One step of the search.

    Attributes:
        place: which token of the prompt was to be changed, from 0.
        old, new: its id before and after; the same if no candidate lowered the loss.
        loss: the loss on the step's batch with the old one.
        change: how much lower (below 0) it is with the new one.
        promised: what the gradient had promised of the new one.
    """

    place: int
    old: int
    new: int
    loss: float
    change: float
    promised: float


class Searched(NamedTuple):
    """The prompt that a search has ended with, and its steps."""

    ids: list[int]
    swaps: list[Swap]


def promised_changes(table: Tensor, vectors: Tensor, gradient: Tensor) -> Tensor:
    """Returns (e' - e) · g for every token in the place of each one of the prompt.

    Args:
        table: the embedding e' of every token, [V, C].
        vectors: the embeddings e of the prompt, [n, C].
        gradient: g, that of the loss by vectors, [n, C].

    Returns:
        [n, V]; where it is below 0, the loss should fall.
    """
    return gradient @ table.T - (gradient * vectors).sum(dim=-1, keepdim=True)


def search_prompt(
    model: GPT,
    batch_of: Callable[[int], Batch],
    ids: Sequence[int],
    n_steps: int,
    *,
    n_candidates: int = 10,
    never: Sequence[int] = (),
) -> Searched:
    """Searches tokens that lower a model's loss when they stand before every text.

    Step s looks at place s modulo n. The model itself is not changed.

    Args:
        batch_of: maps the number of a step to the rows that it computes the loss on.
        ids: the prompt that the search starts from; its length stays.
        n_candidates: how many tokens are tried in each step, the most promising ones.
        never: ids that are not to be used, such as those without a token and the end of text.

    Raises:
        ValueError: n_steps or n_candidates is below 1, ids is empty or holds something other than
            ids of the vocabulary, or the prompt leaves no room for the rows.
    """
    sizes = {"n_steps": n_steps, "n_candidates": n_candidates, "the number of ids": len(ids)}
    for name, number in sizes.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    table = token_embeddings(model).detach()  # [V, C]
    check_ids(torch.tensor(list(ids)), len(table))
    found, swaps = list(ids), []
    reader = evaluated(model)
    for step in range(n_steps):
        place, batch = step % len(found), batch_of(step).to(table.device)
        vectors = table[found].requires_grad_()  # [n, C]
        with torch.enable_grad():
            loss = loss_behind(reader, vectors, batch)
            (gradient,) = torch.autograd.grad(loss, vectors)  # [n, C]
        promised = promised_changes(table, vectors.detach(), gradient)[place]  # [V]
        promised[[found[place], *never]] = torch.inf
        best = Swap(place, found[place], found[place], loss.item(), 0.0, 0.0)
        candidates = promised.topk(min(n_candidates, len(table)), largest=False)
        for token in candidates.indices[candidates.values < torch.inf].tolist():
            tried = [*found[:place], token, *found[place + 1 :]]
            with torch.no_grad():
                change = loss_behind(reader, table[tried], batch).item() - loss.item()
            if change < best.change:
                best = best._replace(new=token, change=change, promised=promised[token].item())
        found[place] = best.new
        swaps.append(best)
    return Searched(found, swaps)


def loss_behind(model: GPT, vectors: Tensor, batch: Batch) -> Tensor:
    """Returns the loss on a batch whose texts all stand behind vectors [n, C]."""
    before = read_embeddings(model, vectors)
    _, loss = model(batch.idx, batch.targets, segments=batch.segments, cache=before, loss_only=True)
    return cast(Tensor, loss)

"""Soft prompts: trained vectors before the text tell a frozen model what to do.

    model, encoding = load_pretrained("base")
    apply_prompt_tuning(model, 20, encoding.encode("Translate to French:"), name="french")
    train(model, ...)                                # only the 20 vectors learn
    nearest_tokens(model, encoding)                  # which words they have come to resemble
    save_soft_prompt(model, "runs/french")           # a small folder, which peft reads too
    load_soft_prompt(model, "runs/summary", name="summary")
    set_soft_prompt(model, "french")                 # changes the task; None is the plain model

Prompt tuning trains n vectors that stand where the embeddings of n tokens would: n C numbers.
Prefix tuning trains the keys and values that every layer would make of such tokens: 2 L C n
numbers. Either way GPT.forward is given keys and values that stand before the text (Prefix), and
needs to know no more. With a gate they stand beside the text, and training starts at the base
model exactly. A soft prompt fits only the weights it was trained with, so none may be
active while LoRA is merged.

The modules are in layer.py, the files in files.py. In the comments n is the number of virtual
tokens, C the width n_embd, L the number of layers, V the vocabulary.
Sources: Lester et al. 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning" (arXiv
2104.08691); Li and Liang 2021, "Prefix-Tuning" (arXiv 2101.00190); Zhang et al. 2023,
"LLaMA-Adapter" (arXiv 2303.16199).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from minigpt.config import GPTConfig, check_ids, is_whole
from minigpt.layers import check_name, check_not_merged, evaluated
from minigpt.model import GPT
from minigpt.soft_prompts.files import PREFIX_TUNING, PROMPT_TUNING, read_vectors, write_vectors
from minigpt.soft_prompts.layer import (
    PrefixTuning,
    PromptTuning,
    Reparametrization,
    SoftPrompts,
    read_embeddings,
    token_embeddings,
)
from minigpt.tokenizer import unused_ids

if TYPE_CHECKING:
    import tiktoken


def apply_prompt_tuning(
    model: GPT, n_tokens: int = 20, init_ids: Sequence[int] | None = None, *, name: str = "default"
) -> GPT:
    """Puts n trained virtual tokens before every text, makes them active, and freezes the rest.

    Called again with another name, it adds a second soft prompt. On an error the model is
    unchanged.

    Args:
        n_tokens: n, from 1 to block_size - 1. They take room in the context.
        init_ids: tokens whose embeddings training starts from, repeated or cut to n; None draws
            normal numbers with the deviation of the model's embeddings.

    Returns:
        model, changed in place.

    Raises:
        ValueError: n_tokens is out of range, init_ids is empty or holds something other than ids of
            the vocabulary, the model has a soft prompt of this name, or a LoRA adapter is merged.
    """
    _check_new(model, n_tokens, name)
    if init_ids is None:
        vectors = _random_vectors(model, n_tokens, model.config.n_embd)
    else:
        vectors = _embeddings_of(model, init_ids, n_tokens)
    return _add(model, name, PromptTuning(vectors))


def apply_prefix_tuning(
    model: GPT,
    n_tokens: int = 20,
    init_ids: Sequence[int] | None = None,
    reparametrize: int | None = None,
    gate: bool = False,
    *,
    name: str = "default",
) -> GPT:
    """Gives every layer n trained keys and values before every text, and freezes everything else.

    Args:
        n_tokens, name: as for apply_prompt_tuning.
        init_ids: tokens whose keys and values training starts from (Li and Liang, section 7.4),
            repeated or cut to n; None draws normal numbers with the deviation of the embeddings.
        reparametrize: the hidden width of the network that, during training, makes the keys and
            values from n vectors of C numbers; None trains the keys and values directly. Vectors
            and network start at random, the vectors with a standard deviation of 1.
        gate: let every head look at them apart, and add what it finds there times tanh(g), where
            g is trained and starts at 0 (Zhang et al., section 3.2). The model starts as it is
            without them, and they take no room in the context.

    Raises:
        ValueError: as apply_prompt_tuning; or reparametrize is not a whole number of at least 1, or
            is given along with init_ids.
    """
    _check_new(model, n_tokens, name)
    config = model.config
    width = 2 * config.n_layer * config.n_embd
    gates = torch.zeros(config.n_layer, config.n_head) if gate else None  # [L, H]
    if reparametrize is not None:
        if not _is_count(reparametrize):
            raise ValueError(
                f"reparametrize must be a whole number of at least 1, got {reparametrize!r}"
            )
        if init_ids is not None:
            raise ValueError(
                "init_ids cannot be given along with reparametrize: the network makes the keys and "
                "values, so they cannot be set; leave one of the two out"
            )
        network = Reparametrization(config.n_embd, reparametrize, width)
        return _add(model, name, PrefixTuning(torch.randn(n_tokens, config.n_embd), network, gates))
    if init_ids is None:
        return _add(model, name, PrefixTuning(_random_vectors(model, n_tokens, width), gate=gates))
    embeddings = _embeddings_of(model, init_ids, n_tokens)
    with torch.no_grad():
        layers = read_embeddings(evaluated(model), embeddings).layers
        parts = torch.stack([part[0] for layer in layers for part in layer])  # [2 L, H, n, D]
    start = parts.permute(2, 0, 1, 3).reshape(n_tokens, width).float()  # [n, 2 L C]
    return _add(model, name, PrefixTuning(start, gate=gates))


def _is_count(number: object) -> bool:
    return is_whole(number) and number >= 1


def _check_new(model: GPT, n_tokens: int, name: str) -> None:
    check_name(name)
    check_n_tokens(n_tokens, model.config)
    if model.soft_prompts is not None and name in soft_prompts_of(model).prompts:
        raise ValueError(
            f"the model already has a soft prompt {name!r}; give the new one another name, or "
            "take all off with remove_soft_prompts(model)"
        )
    check_not_merged(model)


def check_n_tokens(n_tokens: int, config: GPTConfig) -> None:
    """Raises ValueError if a text of one token does not fit the context after n_tokens."""
    if not _is_count(n_tokens) or n_tokens >= config.block_size:
        raise ValueError(
            f"n_tokens must be a whole number from 1 to {config.block_size - 1}, so that the "
            f"context of block_size={config.block_size} has room for a text after the soft prompt, "
            f"got {n_tokens!r}"
        )


def _random_vectors(model: GPT, n_tokens: int, width: int) -> Tensor:
    """Draws normal numbers [n, width], on the CPU so that a seed gives the same on every device."""
    return torch.randn(n_tokens, width) * token_embeddings(model).float().std().item()


def _embeddings_of(model: GPT, init_ids: Sequence[int], n_tokens: int) -> Tensor:
    """Returns the embeddings of init_ids, repeated or cut to n: [n, C], fp32."""
    try:
        given = [index(token) for token in init_ids]
    except TypeError:
        raise ValueError(
            f"init_ids must be a list of token ids, as encoding.encode gives, got {init_ids!r:.80}"
        ) from None
    if not given:
        raise ValueError(
            "init_ids is empty; give at least one token id, or None for random vectors"
        )
    ids = torch.tensor(given).repeat(math.ceil(n_tokens / len(given)))[:n_tokens]  # [n]
    check_ids(ids, model.config.vocab_size)
    table = token_embeddings(model).detach()  # [V, C]
    return table[ids.to(table.device)].float()


def _add(model: GPT, name: str, prompt: PromptTuning | PrefixTuning) -> GPT:
    if model.soft_prompts is None:
        model.soft_prompts = SoftPrompts()
    soft_prompts_of(model).prompts[name] = prompt.to(token_embeddings(model).device)
    set_soft_prompt(model, name)
    return model


def soft_prompts_of(model: GPT) -> SoftPrompts:
    """Returns the model's soft prompts; raises ValueError if it has none."""
    if not isinstance(model.soft_prompts, SoftPrompts):
        raise ValueError(
            "the model has no soft prompts; apply_prompt_tuning, apply_prefix_tuning or "
            "load_soft_prompt gives it one"
        )
    return model.soft_prompts


def set_soft_prompt(model: GPT, name: str | None) -> None:
    """Puts this soft prompt before every text and trains it alone; None switches all of them off.

    Everything else is frozen. LoRA is too, but still computes. None freezes only the soft prompts.

    Raises:
        ValueError: the model has no soft prompt of this name, or a LoRA adapter is merged.
    """
    held = soft_prompts_of(model)
    if name is not None:
        _check_held(held, name)
        check_not_merged(model)
        model.requires_grad_(False)
    held.active = name
    for other, prompt in held.prompts.items():
        prompt.requires_grad_(other == name)


def _check_held(held: SoftPrompts, name: str | None) -> str:
    if name is None:
        raise ValueError(
            f"no soft prompt is active; the model has {', '.join(held.prompts)}: activate one with "
            "set_soft_prompt"
        )
    if name not in held.prompts:
        raise ValueError(f"the model has no soft prompt {name!r}; it has {', '.join(held.prompts)}")
    return name


def remove_soft_prompts(model: GPT) -> GPT:
    """Takes all soft prompts off; model.requires_grad_() unfreezes what remains.

    Raises:
        ValueError: the model has none.
    """
    soft_prompts_of(model)
    model.soft_prompts = None
    return model


def save_soft_prompt(model: GPT, folder: str | Path, name: str | None = None) -> None:
    """Writes one soft prompt into folder as peft does: adapter_config.json and its vectors.

    If a network makes the prefix, only the keys and values are saved: using it needs no more.

    Args:
        name: the soft prompt's name; None means the active one.

    Raises:
        ValueError: there is no such soft prompt.
        OSError: the disk is full or may not be written to; what was there is kept.
    """
    held = soft_prompts_of(model)
    prompt = held[_check_held(held, held.active if name is None else name)]
    with torch.no_grad():
        kind = PROMPT_TUNING if isinstance(prompt, PromptTuning) else PREFIX_TUNING
        gate = prompt.gate if isinstance(prompt, PrefixTuning) else None
        write_vectors(Path(folder), kind, prompt.vectors(), model.config, gate)


def load_soft_prompt(model: GPT, folder: str | Path, name: str = "default") -> GPT:
    """Puts the soft prompt that save_soft_prompt or peft wrote into folder before every text.

    It becomes the active one. On an error the model is unchanged.

    Raises:
        FileNotFoundError: folder holds no soft prompt.
        ValueError: a file is damaged, was made for another model, or is not a soft prompt; or
            as apply_prompt_tuning.
    """
    peft_type, vectors, gate = read_vectors(Path(folder), model.config)
    _check_new(model, len(vectors), name)
    if peft_type == PROMPT_TUNING:
        return _add(model, name, PromptTuning(vectors))
    return _add(model, name, PrefixTuning(vectors, gate=gate))


def nearest_tokens(
    model: GPT, encoding: tiktoken.Encoding, k: int = 5
) -> list[list[tuple[str, float]]]:
    """Finds the tokens that the active soft prompt resembles most (Lester et al., section 7).

    Returns:
        For each virtual token the k tokens whose embeddings have the largest cosine similarity to
        it, as (text, cosine), the most similar first.

    Raises:
        ValueError: no soft prompt is active, it comes from prefix tuning, which has no embeddings,
            or k is not a whole number of at least 1.
    """
    held = soft_prompts_of(model)
    name = _check_held(held, held.active)
    prompt = held[name]
    if not isinstance(prompt, PromptTuning):
        raise ValueError(
            f"the soft prompt {name!r} comes from prefix tuning: it holds keys and values, which "
            "cannot be compared with embeddings; use prompt tuning"
        )
    if not _is_count(k):
        raise ValueError(f"k must be a whole number of at least 1, got {k!r}")
    table = token_embeddings(model).detach().float()  # [V, C]
    vectors = F.normalize(prompt.embeddings.detach().float(), dim=-1)  # [n, C]
    cosines = vectors @ F.normalize(table, dim=-1).t()  # [n, V]
    unused = unused_ids(encoding, len(table))
    cosines[:, unused] = -math.inf
    cosines, ids = cosines.topk(min(k, len(table) - len(unused)))  # [n, k]
    return [
        [(encoding.decode([token]), cosine) for token, cosine in zip(*row, strict=True)]
        for row in zip(ids.tolist(), cosines.tolist(), strict=True)
    ]

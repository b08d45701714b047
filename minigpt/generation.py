"""Writing with a language model: choose a next token, append it, ask again.

A model gives a score (logit) for every token of the vocabulary; what we do with the scores decides
how the text reads. Taking the best one each time is greedy decoding; drawing one at random with
the model's probabilities is sampling; temperature, top-k and top-p reshape the probabilities first.
The KV cache makes it fast: the keys and values of tokens already read do not change, so each step
has to read only the newest token.

Nothing here knows how a model is built (see LanguageModel). In the comments B is the batch, T the
number of tokens, V the vocabulary.

Sources: Ackley, Hinton and Sejnowski 1985 (temperature); Fan et al. 2018, "Hierarchical Neural
Story Generation" (top-k); Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration"
(top-p).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from minigpt.cache import KVCache, Prefix
from minigpt.config import check_ids, is_number
from minigpt.fast.linear import choose_for_one_row
from minigpt.layers import evaluated


class LanguageModel(Protocol):
    """What this file needs to know of a model: its sizes, and that it turns ids into logits.

    A model may also have a method prefix(), which returns keys and values that stand before every
    text, or None; an attribute unused, ids that are never to be written; and a method
    for_writing(), which returns a function that computes the same as the model, sooner where a
    single token is new.
    """

    @property
    def config(self) -> Any:
        """Returns the sizes, with vocab_size, block_size and n_layer, as GPTConfig has them."""
        ...

    def __call__(
        self, idx: Tensor, *, cache: KVCache | None, last_only: bool, **packed: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Returns the logits [B, 1, V] of the token after idx [B, T], and no loss.

        For prompts of different lengths it is also given their segments.
        """
        ...


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Divides logits [B, V] by temperature: below 1 the best tokens gain, above 1 all grow alike.

    With p = softmax(logits), the new probabilities are proportional to p ** (1 / temperature). The
    largest logit is moved to 0 first, which changes no probability and cannot overflow.
    """
    shifted = logits - logits.amax(dim=-1, keepdim=True)  # [B, V], at most 0
    return shifted / max(temperature, 1e-30)  # fp32 would round a smaller one to 0


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Keeps the k largest logits of each row and makes the others -inf, probability 0 (Fan et al.).

    Exactly k survive, also where several are equal to the k-th. [B, V] -> [B, V]
    """
    if k >= logits.size(-1):
        return logits
    best, ids = logits.topk(k, dim=-1)  # [B, k]
    return torch.full_like(logits, float("-inf")).scatter(-1, ids, best)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keeps the nucleus, the fewest tokens whose probabilities reach p (Holtzman et al., eq. 2).

    With the tokens sorted by probability, the i-th stays if those before it sum to less than p:

        p_1 + ... + p_(i-1) < p

    So the first always stays, and of equally likely tokens the lower ids come first. The others
    become -inf. [B, V] -> [B, V]
    """
    if p >= 1.0:  # rounding in the sum must not drop the unlikely tail
        return logits
    sorted_logits, ids = logits.sort(dim=-1, descending=True, stable=True)  # [B, V]
    probabilities = F.softmax(sorted_logits, dim=-1)  # [B, V]
    before = probabilities.cumsum(dim=-1) - probabilities  # [B, V]; 0 for the first
    p = max(p, 1e-30)  # fp32 would round a smaller one to 0, which not even the first is below
    sorted_logits = sorted_logits.masked_fill(before >= p, float("-inf"))
    return torch.empty_like(logits).scatter(-1, ids, sorted_logits)


def draw(probabilities: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draws one id a row, each with its probability: [B, V] -> [B].

    Lay the probabilities end to end on a line of length 1, point at a random place u, and see whose
    stretch it is: the first i with p_1 + ... + p_i >= u. It does what torch.multinomial does; on a
    CPU, for one row of GPT-2's 50,257 tokens, it took 0.05 ms instead of 0.72 ms.

    Raises:
        ValueError: a row holds NaN, as a model's answer does whose weights have diverged.
    """
    # u is above 0 and at most 1, so a token of probability 0 has no chance of being met.
    device = probabilities.device if generator is None else generator.device
    u = 1.0 - torch.rand(len(probabilities), 1, generator=generator, device=device)  # [B, 1]
    exact = torch.float32 if probabilities.device.type == "mps" else torch.float64
    line = probabilities.to(exact).cumsum(dim=-1)  # [B, V]; its end is 1 but for rounding
    _check_numbers((line[:, -1] > 0).all())
    return torch.searchsorted(line, u.to(line) * line[:, -1:]).squeeze(-1)  # [B]


def _check_numbers(fine: Tensor | bool) -> None:
    if not fine:
        raise ValueError("the model's scores are not numbers (NaN); its weights are damaged")


def sample(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Chooses one token a row: logits [B, V] -> ids [B].

    Temperature is applied first, then top-k, then top-p. A temperature of 0 takes the largest
    logit (the first one, if several are equal) and draws no random number.

    Raises:
        ValueError: as draw.
    """
    if temperature == 0:
        largest, ids = logits.max(dim=-1)  # [B] each; NaN counts as the largest
        _check_numbers(not largest.isnan().any())
        return ids
    logits = apply_temperature(logits.float(), temperature)
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    return draw(F.softmax(logits, dim=-1), generator)


def next_logits(
    model: LanguageModel,
    idx: Tensor,
    cache: KVCache | None = None,
    prefix: KVCache | Prefix | None = None,
    segments: Tensor | None = None,
) -> Tensor:
    """Scores the token after idx: ids [B, T] of any length -> logits [B, V].

    With a cache only the tokens that it does not hold yet are read. When idx has outgrown the
    context, the model sees its last tokens, as many as fit. Every step then moves every token to
    another position, so nothing stored is of use and the whole window is read again. segments are
    those of idx, which must then fit.
    """
    before = 0 if prefix is None else prefix.length
    context = model.config.block_size - before
    if cache is not None and idx.size(1) <= context:
        unread = idx[:, cache.length - before :]  # [B, 1] once the prompt has been read
    else:
        unread = idx[:, -context:]
        cache = None if prefix is None else prefix.copy(len(idx), model.config.block_size)
    packed = {} if segments is None else {"segments": segments}
    return model(unread, cache=cache, last_only=True, **packed)[0][:, -1]


@torch.inference_mode()
def stream(
    model: LanguageModel,
    idx: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop_token: int | None = None,
    use_cache: bool = True,
    generator: torch.Generator | None = None,
    prefix: KVCache | Prefix | None = None,
    segments: Tensor | None = None,
    unused: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """Continues idx [B, T] and yields the new ids [B] of each step as soon as they are chosen.

    The model writes as in evaluation mode, without dropout, whatever mode it is in, and is not
    changed: several threads may share it. Arguments are checked when the first token is asked for.

    Args:
        model: maps ids [B, T] to logits; see GPT.forward.
        idx: the prompts, all of one length; see segments for others.
        max_new_tokens: how many tokens to write at most; 0 writes nothing.
        temperature: 0 is greedy, 1 is the model's own distribution, above 1 is wilder.
        top_k: draw only from the k most likely tokens; more than V means all.
        top_p: draw only from the nucleus of this probability, above 0 and at most 1.
        stop_token: the id that ends a row; the row is filled up with it until all rows have ended.
        use_cache: False reads the whole text again for every token: the same tokens, slower.
        generator: where random numbers come from; one seeded alike gives the same tokens again.
        prefix: keys and values that stand before every prompt, for one row or for B; None takes
            those of the model's soft prompt, if it has one. It takes room in the context and is not
            changed.
        segments: [B, T] for prompts of different lengths: fill them up on the left with any id, and
            give 0 for what was filled up and 1 for what is prompt. Each row gets the tokens it
            would get alone.
        unused: ids that are never chosen, since the tokenizer has no token for them (see
            tokenizer.unused_ids); None takes those that the model has in its attribute unused.

    Raises:
        ValueError: an argument is outside what is said above, or idx is empty or holds ids that
            are not in the vocabulary.
    """
    check_settings(max_new_tokens, temperature, top_k, top_p)
    check_prompt(idx, model.config.vocab_size)
    model = evaluated(model)
    if use_cache and idx.device.type == "cpu":
        choose_for_one_row(model)
    read = model.for_writing() if hasattr(model, "for_writing") else model
    if prefix is None and hasattr(model, "prefix"):
        prefix = model.prefix()
    before = 0 if prefix is None else prefix.length
    capacity = min(before + idx.size(1) + max_new_tokens, model.config.block_size)
    if before >= capacity:
        raise ValueError(f"a prefix of {before} tokens leaves no room in a context of {capacity}")
    if segments is not None:
        check_segments(idx, segments, before + max_new_tokens, model.config.block_size)
    cache = None
    if use_cache:
        empty = KVCache(model.config.n_layer, capacity)
        cache = empty if prefix is None else prefix.copy(len(idx), capacity)
    unused = getattr(model, "unused", ()) if unused is None else unused
    never = torch.tensor(unused, dtype=torch.long, device=idx.device)
    if len(never):
        check_ids(never, model.config.vocab_size)
    finished = torch.zeros(len(idx), dtype=torch.bool, device=idx.device)
    for _ in range(max_new_tokens):
        logits = next_logits(read, idx, cache, prefix, segments)  # [B, V]
        if len(never):
            logits = logits.index_fill(-1, never, float("-inf"))
        new = sample(logits, temperature, top_k, top_p, generator)  # [B]
        if stop_token is not None:
            new = new.masked_fill(finished, stop_token)
            finished |= new == stop_token
        yield new
        if stop_token is not None and finished.all():
            return
        idx = torch.cat([idx, new[:, None]], dim=1)  # [B, T + 1]
        if segments is not None:
            segments = torch.cat([segments, segments[:, -1:]], dim=1)


def generate(
    model: LanguageModel,
    idx: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop_token: int | None = None,
    use_cache: bool = True,
    generator: torch.Generator | None = None,
    prefix: KVCache | Prefix | None = None,
    segments: Tensor | None = None,
    unused: Sequence[int] | None = None,
) -> Tensor:
    """Returns the prompts idx [B, T] with their continuations, [B, T + n], n <= max_new_tokens.

    n is smaller only where stop_token has ended every row. Arguments and errors are stream's.
    """
    sampling = (temperature, top_k, top_p, stop_token, use_cache, generator)
    steps = stream(model, idx, max_new_tokens, *sampling, prefix, segments, unused)
    return torch.cat([idx, *(new[:, None] for new in steps)], dim=1)


def check_settings(
    max_new_tokens: int, temperature: float, top_k: int | None, top_p: float | None
) -> None:
    """Refuses settings that mean nothing; see stream for what is allowed.

    Raises:
        ValueError: naming the setting, what was given and what is allowed.
    """
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must be at least 0, got {max_new_tokens}")
    if not is_number(temperature) or temperature < 0:
        raise ValueError(f"temperature must be 0 (greedy) or above, got {temperature!r:.40}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}; leave it out to keep all tokens")
    if top_p is not None and not (is_number(top_p) and 0 < top_p <= 1):
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p!r:.40}")


def check_segments(idx: Tensor, segments: Tensor, others: int, block_size: int) -> None:
    """Refuses segments that are not those of idx, or prompts that would outgrow the context.

    Raises:
        ValueError: with what was given.
    """
    if segments.shape != idx.shape:
        raise ValueError(
            f"segments must have the prompts' shape {list(idx.shape)}, got {list(segments.shape)}"
        )
    needed = idx.size(1) + others
    if needed > block_size:
        raise ValueError(
            f"prompts of different lengths must fit the context with what is written: the longest "
            f"needs {needed} of {block_size} tokens; shorten the prompts or write less"
        )


def check_prompt(idx: Tensor, vocab_size: int) -> None:
    """Refuses a prompt that is empty, not [B, T], or not made of the vocabulary's ids.

    Raises:
        ValueError: with what was given.
    """
    if idx.dim() != 2 or idx.numel() == 0:
        raise ValueError(
            f"the prompt must hold at least one token in the shape [batch, tokens], got "
            f"{list(idx.shape)}; to start from nothing, give the end-of-text token"
        )
    check_ids(idx, vocab_size)

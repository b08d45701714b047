"""Draws the two figures of lesson 1: how long tokens are, and what a larger vocabulary buys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tiktoken

from minigpt import bpe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 15  # bytes; longer tokens are counted with these
COLORS = ("tab:blue", "tab:cyan", "tab:red", "tab:green")


def beginning(ranks: dict[bytes, int], size: int) -> tiktoken.Encoding:
    """Returns the vocabulary of the first `size` entries of ranks.

    Merges are learned in order, so this is what training with that size would have given.
    """
    first = {token: rank for token, rank in ranks.items() if rank < size}
    pattern = bpe.GPT2_PATTERN
    return tiktoken.Encoding("", pat_str=pattern, mergeable_ranks=first, special_tokens={})


def bytes_per_token(encoding: tiktoken.Encoding, text: str) -> float:
    """Returns the length of text in bytes of UTF-8, divided by its number of tokens."""
    return len(text.encode("utf-8")) / len(encoding.encode_ordinary(text))


def draw_lengths(kinds: Mapping[str, Sequence[int] | np.ndarray], n_vocab: int) -> Figure:
    """Draws a histogram of the lengths in bytes of each kind of token."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    lengths = [np.minimum(values, LONGEST) for values in kinds.values()]
    weights = [np.full(len(values), 100 / len(values)) for values in lengths]
    axes.hist(lengths, np.arange(0.5, LONGEST + 1).tolist(), weights=weights, label=list(kinds))
    axes.set(title=f"How long the tokens of a vocabulary of {n_vocab:,} entries are")
    axes.set(xlabel=f"length of the token (bytes; {LONGEST} means {LONGEST} or more)")
    axes.set(ylabel="share (%)", xticks=range(1, LONGEST + 1))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def draw_vocabulary_sizes(
    sizes: Sequence[int],
    texts: Mapping[str, str],
    ranks: dict[bytes, int],
    ranks_with_french: dict[bytes, int],
    measure: Callable[[tiktoken.Encoding, str], float],
    gpt2: tiktoken.Encoding | None,
) -> Figure:
    """Draws measure(vocabulary, text) for the vocabularies of these sizes, a curve a text.

    The text called "French sentences" gets a second, dashed curve for the vocabularies that were
    trained on French too; GPT-2's vocabulary, if it is there, gets a star a text.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5.2), layout="constrained")
    for (kind, text), color in zip(texts.items(), COLORS, strict=True):
        curve = [measure(beginning(ranks, size), text) for size in sizes]
        axes.plot(sizes, curve, "o-", color=color, label=kind)
        if kind == "French sentences":
            curve = [measure(beginning(ranks_with_french, size), text) for size in sizes]
            axes.plot(sizes, curve, "o--", color=color, label="French, if trained on French too")
        if gpt2 is not None:
            axes.plot(gpt2.n_vocab, measure(gpt2, text), "*", ms=11, color=color)
    if gpt2 is not None:
        axes.plot([], [], "*", ms=11, color="gray", label="GPT-2's vocabulary, same colors")
    axes.set_xscale("log", base=2)
    ticks = [*sizes, *([] if gpt2 is None else [gpt2.n_vocab])]
    axes.set_xticks(ticks, [f"{size:,}" for size in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.set(xlabel="vocabulary size (entries)", ylabel="bytes per token", ylim=(0, None))
    axes.set_title("Bytes per token against the size of the vocabulary, on text not trained on")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure

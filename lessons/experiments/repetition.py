"""How repetitive a text is, counted in its tokens; lesson 05 compares machines and people by it."""

from __future__ import annotations


def distinct(tokens: list[int], n: int) -> float:
    """Different runs of n tokens / all runs of n tokens (Li et al. 2016, "distinct-n").

    1 for a text in which no run of n tokens occurs twice.

    Raises:
        ValueError: there is no run of n tokens in so short a text.
    """
    runs = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    if not runs:
        raise ValueError(f"distinct-{n} needs at least {n} tokens, got {len(tokens)}")
    return len(set(runs)) / len(runs)


def ends_in_loop(tokens: list[int]) -> bool:
    """Whether a phrase of two tokens or more stands three times in a row at the end."""
    return any(
        tokens[-n:] == tokens[-2 * n : -n] == tokens[-3 * n : -2 * n]
        for n in range(2, len(tokens) // 3 + 1)
    )

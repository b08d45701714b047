"""Measures how repetitive a text is; lesson 05 compares machines and people by it."""

from __future__ import annotations


def distinct(tokens: list[int], n: int) -> float:
    """Returns the number of different runs of n tokens over that of all (Li et al., "distinct-n").

    It is 1 for a text in which no run of n tokens occurs twice. Source: Li et al. 2016.

    Raises:
        ValueError: the text has fewer than n tokens.
    """
    runs = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    if not runs:
        raise ValueError(f"distinct-{n} needs at least {n} tokens, got {len(tokens)}")
    return len(set(runs)) / len(runs)


def ends_in_loop(tokens: list[int]) -> bool:
    """Returns whether the text ends with a phrase of two or more tokens three times in a row."""
    return any(
        tokens[-n:] == tokens[-2 * n : -n] == tokens[-3 * n : -2 * n]
        for n in range(2, len(tokens) // 3 + 1)
    )

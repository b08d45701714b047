"""Measures how repetitive a text is; lesson 5 compares machines and people by it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lessons.verdicts import error_of_mean, error_of_share

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def distinct(tokens: list[int], n: int) -> float:
    """Returns the number of different runs of n tokens over that of all, "distinct-n".

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


@dataclass(frozen=True)
class Measured:
    """What was measured of some texts, one number a text, [N] each.

    Attributes:
        variety: distinct-2.
        loops: 1 if the text ends in a loop, else 0.
        losses: the mean loss per token, in nats.
    """

    variety: np.ndarray
    loops: np.ndarray
    losses: np.ndarray

    @property
    def perplexity(self) -> float:
        """Returns e to the mean loss."""
        return math.exp(self.losses.mean())

    @property
    def share(self) -> float:
        """Returns the share of the texts that end in a loop."""
        return float(self.loops.mean())

    @property
    def share_error(self) -> float:
        """Returns the standard error of the share."""
        return error_of_share(self.share, len(self.loops))

    def row(self) -> str:
        """Returns a line of lesson 5's table, with standard errors.

        That of the perplexity is the loss's times the perplexity, the slope of e to the loss.
        """
        spread = self.perplexity * error_of_mean(self.losses)
        return (
            f"{self.variety.mean():6.2f} ± {error_of_mean(self.variety):.2f}"
            f"{self.share:10.0%} ± {self.share_error:3.0%}{self.perplexity:11.1f} ± {spread:.1f}"
        )


def measure(written: Sequence[list[int]], losses: Sequence[float]) -> Measured:
    """Returns variety and loops of texts, beside their losses."""
    varieties = [distinct(tokens, 2) for tokens in written]
    loops = [float(ends_in_loop(tokens)) for tokens in written]
    return Measured(np.array(varieties), np.array(loops), np.array(losses))


def draw_temperatures(curve: Mapping[float, Measured], people: Measured) -> Figure:
    """Draws variety and perplexity over temperature, with two standard errors to each side.

    Args:
        curve: {temperature: what was measured}.
        people: the same of what people wrote.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    found = list(curve.values())
    means = np.array([m.variety.mean() for m in found])
    below = np.array([2 * error_of_mean(m.variety) for m in found])
    errors = [below, np.minimum(below, 1 - means)]  # no text is more varied than 1
    axes[0].errorbar(list(curve), means, errors, fmt="o-", capsize=3)
    axes[0].axhline(people.variety.mean(), ls="--", color="C1")
    factors = [math.exp(2 * error_of_mean(m.losses)) for m in found]
    heights = np.array([m.perplexity for m in found])
    bars = [heights - heights / factors, heights * factors - heights]
    label = "model, two standard errors to each side"
    axes[1].errorbar(list(curve), heights, bars, fmt="o-", capsize=3, label=label)
    axes[1].axhline(people.perplexity, ls="--", color="C1", label="people")
    axes[0].set(ylabel="distinct-2", title="How varied is the text?", ylim=(0, 1.05))
    axes[1].set(ylabel="perplexity", title="How surprising is it to the model itself?")
    axes[1].set_yscale("log")
    ticks = [1, 2, 5, 10, 20, 50, 100, 200, 500]
    axes[1].set_yticks(ticks, [str(tick) for tick in ticks], minor=False)
    axes[1].set_yticks([], minor=True)
    axes[1].set_ylim(bottom=1)
    for axis in axes:
        axis.set_xlabel("temperature (0 = greedy)")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure

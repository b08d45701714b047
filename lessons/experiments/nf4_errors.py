"""Foretells the error of NF4 on normal numbers, measures that of other formats, and draws both.

expected = expected_error_of_nf4()                       # 0.0728 standard deviations
errors = block_errors(x, rounded, block_size=64)         # absolute and squared, by block
figure = draw_levels(normalised, used)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kernels.nf4 import LEVELS, THRESHOLDS
from kernels.reference import block_absmax, normalise
from lessons.held_out import Change

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POSITIVE = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])  # of E2M1, which has 8 numbers and a sign
FP4 = torch.cat([-POSITIVE[1:].flip(0), POSITIVE]) / 6  # [15]: +0 and -0 are one
COLORS = {"int4": "tab:gray", "FP4": "tab:orange", "NF4": "tab:red"}


def round_to_fp4(x: Tensor, block_size: int) -> Tensor:
    """Returns the numbers of flat x, each scaled with its block and put on the nearest of FP4."""
    absmax = block_absmax(x, block_size)  # [blocks]
    middles = (FP4[:-1] + FP4[1:]) / 2  # [14]
    nearest = torch.bucketize(normalise(x, absmax, block_size), middles)  # [n]
    return FP4[nearest] * absmax.repeat_interleave(block_size)[: len(x)]


def expected_error_of_nf4(block_size: int = 64) -> float:
    """Returns NF4's mean absolute error of N(0, 1), by integration over the absmax of a block.

    P(absmax < m) = P(|x| < m)^block_size. The largest number itself comes back exactly. The others
    are normal numbers cut off at +-m, and the integral of |x - level| over a normal density between
    two thresholds has a closed form.
    """
    m = torch.linspace(0.2, 8, 4001, dtype=torch.float64)[:, None]
    levels = LEVELS.double() * m  # [4001, 16]
    middles = (levels[:, 1:] + levels[:, :-1]) / 2
    low, high = torch.cat([-m, middles], dim=1), torch.cat([middles, m], dim=1)

    def up_to(x: Tensor) -> Tensor:
        """Returns the integral of (level - t) times the density at t, for t up to x."""
        density = torch.exp(-x.square() / 2) / (2 * torch.pi) ** 0.5
        return levels * torch.special.ndtr(x) + density

    inside = torch.special.erf(m[:, 0] / 2**0.5)  # P(|x| < m)
    error = (2 * up_to(levels) - up_to(low) - up_to(high)).sum(dim=1) / inside
    of_largest = (inside**block_size).diff()
    others = (block_size - 1) / block_size
    return (others * of_largest * (error[1:] + error[:-1]) / 2).sum().item()


def block_errors(x: Tensor, rounded: Tensor, block_size: int) -> np.ndarray:
    """Returns mean absolute and mean squared error of each whole block, [2, blocks].

    Both are in standard deviations of x (the second in their squares).
    """
    error = ((rounded - x) / x.std())[: len(x) // block_size * block_size].view(-1, block_size)
    return torch.stack([error.abs().mean(dim=1), error.square().mean(dim=1)]).numpy()


def draw_buckets(cuts: Tensor) -> Figure:
    """Draws the normal curve, cut at these places into areas of alternating shades."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3.8))
    x = np.linspace(-3.2, 3.2, 641)
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    edges = [-3.2, *cuts.tolist(), 3.2]
    for k in range(len(edges) - 1):
        inside = (x >= edges[k]) & (x <= edges[k + 1])
        color = plt.cm.viridis(k / (len(edges) - 2))
        axes.fill_between(x[inside], density[inside], color=color, alpha=0.75)
    axes.vlines(cuts, 0, np.interp(cuts, x, density), color="white", linewidth=1)
    axes.plot(x, density, color="black")
    n = len(cuts) + 1
    axes.set(title=f"{n} buckets of equal area under the normal curve: {100 / n:.2f}% each")
    axes.set(xlabel="number (standard deviations)", ylabel="density", ylim=(0, 0.43))
    return figure


def draw_levels(normalised: Tensor, used: Mapping[str, Tensor], block_size: int) -> Figure:
    """Draws NF4's levels over a model's weights, and how often each level is used.

    Args:
        normalised: the weights divided by the absmax of their block.
        used: the share of numbers that goes to each level, [16], by the name of the numbers.
    """
    import matplotlib.pyplot as plt

    figure, (top, bottom) = plt.subplots(2, 1, figsize=(10, 6.8), sharex=True, layout="constrained")
    bins = {"bins": 161, "range": (-1.00625, 1.00625), "color": "tab:blue", "alpha": 0.6}
    top.hist(normalised.numpy(), **bins)
    for level in LEVELS.tolist():
        top.axvline(level, color="tab:red", linewidth=1)
    top.set(title="The base model's weights, and the 16 levels of NF4 (red)")
    top.set(ylabel="weights in a bin")
    edges = torch.tensor([-1.0, *THRESHOLDS.tolist(), 1.0])
    for (name, share), color in zip(used.items(), ("gray", "tab:blue", "tab:green"), strict=False):
        bottom.stairs(100 * share, edges, color=color, label=name, linewidth=2)
    bottom.axhline(100 / 16, color="black", linestyle=":", label="equally often")
    bottom.set(title="How often each level is used (a step: all that goes to one level)")
    bottom.set(ylabel="numbers (%)", ylim=(0, None))
    bottom.set(xlabel=f"weight / absmax of its block of {block_size}")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def draw_errors(
    rms: Mapping[str, Sequence[float]], samples: Sequence[str], changes: Mapping[str, Change]
) -> Figure:
    """Draws three formats' levels, their errors, and what they change in a model.

    Args:
        rms: RMS error in % of the standard deviation for each of the samples, by format.
        changes: bits per byte, minus fp32's, by format.
    """
    import matplotlib.pyplot as plt

    figure, (places, weights, models) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    levels = {"int4": torch.arange(-7, 8) / 7, "FP4": FP4, "NF4": LEVELS}
    colors = [COLORS[name] for name in levels]
    places.eventplot([each.tolist() for each in levels.values()], colors=colors,
                     linelengths=0.7, linewidths=2)  # fmt: skip
    places.set_yticks(range(3), list(levels))
    places.set(title="Where the levels are", xlabel="weight / absmax")
    for number, (name, heights) in enumerate(rms.items()):
        at = np.arange(len(samples)) + 0.27 * (number - 1)
        bars = weights.bar(at, heights, 0.25, color=COLORS[name], label=name)
        weights.bar_label(bars, fmt="%.1f")
    weights.set_xticks(range(len(samples)), samples)
    weights.set(xlabel="colors as on the left")
    weights.set(title="Error in blocks of 64", ylabel="RMS error (% of standard deviation)")
    weights.margins(y=0.1)
    heights = [change.bits_per_byte for change in changes.values()]
    errors = [2 * change.error for change in changes.values()]
    models.bar(list(changes), heights, yerr=errors, capsize=6, color=colors)
    models.axhline(0, color="black", linewidth=1)
    models.set(title="Base model: change in bits per byte", ylabel="bits per byte, minus fp32's")
    models.set(xlabel="below 0: better than fp32; lines: two standard errors")
    return figure

"""Draws the figures of lesson 2."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from lessons.experiments.encoder import Exam
from lessons.verdicts import error_of_share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {"decoder": "tab:blue", "cheater": "tab:red", "encoder": "tab:orange"}


def draw_mask(words: Sequence[str], scores: Tensor, masked: Tensor, weights: Tensor) -> Figure:
    """Draws scores, masked scores and weights, [T, T] each, as three panels with their numbers."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(10.5, 3.7), layout="constrained")
    titles = ("1. scores: q·k / √D", "2. the mask hides what comes later", "3. softmax of each row")
    for axes, title, numbers in zip(panels, titles, (scores, masked, weights), strict=True):
        top = 1.0 if numbers is weights else scores.max().item()
        axes.set_facecolor("0.35")
        axes.imshow(np.ma.masked_invalid(numbers), cmap="Blues", vmin=0, vmax=top)
        for row, column in np.ndindex(*numbers.shape):
            number = numbers[row, column].item()
            dark = math.isinf(number) or number > 0.6 * top
            text = "hidden" if math.isinf(number) else f"{number:.2f}"
            color = "white" if dark else "black"
            axes.text(column, row, text, ha="center", va="center", color=color)
        axes.set(xticks=range(len(words)), xticklabels=words)
        axes.set(yticks=range(len(words)), yticklabels=words)
        axes.set(title=title, xlabel="word that answers (key)", ylabel="word that asks (query)")
    figure.suptitle("Masked attention on four words")
    return figure


def draw_maps(maps: Tensor, tokens: Sequence[str]) -> Figure:
    """Draws every map of maps [n_layer, H, T, T], and the most decided one large.

    The most decided head is the one whose rows have the highest largest share on average.
    """
    import matplotlib.pyplot as plt

    n_head = maps.size(1)
    layer, head = divmod(int(maps[..., 2:, :].amax(-1).mean(-1).argmax()), n_head)
    figure = plt.figure(figsize=(14, 7), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False)[0]
    axes = left.subplots()
    picture = axes.imshow(100 * maps[layer, head], cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(tokens)), tokens, rotation=90)
    axes.set_yticks(range(len(tokens)), tokens)
    axes.set(xlabel="token that answers (key); · is a space", ylabel="token that asks (query)")
    axes.set_title(f"The most decided head of the base model: layer {layer}, head {head}")
    left.colorbar(picture, ax=axes, label="share of attention (%)", shrink=0.7)
    for (i, j), small in np.ndenumerate(right.subplots(*maps.shape[:2], squeeze=False)):
        small.imshow(maps[i, j], cmap="Blues", vmin=0, vmax=1)
        small.set(xticks=[], yticks=[], title=f"layer {i}, head {j}")
    right.suptitle("All heads on the same sentence")
    return figure


def draw_cost(lengths: Sequence[int], cost: Mapping[str, Sequence[float]]) -> Figure:
    """Draws the seconds of each layer against the length of the text, both axes logarithmic."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.8), layout="constrained")
    for name, times in cost.items():
        axes.loglog(lengths, [1e3 * t for t in times], "o-", label=name)
    longest = next(iter(cost.values()))[-1]  # of the first layer
    square = [1e3 * longest * (t / lengths[-1]) ** 2 for t in lengths]
    axes.loglog(lengths, square, ":", color="gray", label="proportional to T²")
    axes.set_xticks(lengths, map(str, lengths))
    axes.minorticks_off()
    title = "Time of attention (scores, softmax, mixing) and of an MLP, width 256\n"
    axes.set(title=title + "(a busy machine changes it)")
    axes.set(xlabel="length of the text T (tokens)", ylabel="time (ms)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def draw_exam(first: Sequence[float], losses: Mapping[str, Sequence[float]], exam: Exam) -> Figure:
    """Draws the losses of the three ways of training, and who finds how many hidden tokens."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    left.plot(first, color="gray", label="decoder, for a start (next token)")
    goals = {"decoder": "next", "cheater": "next", "encoder": "hidden"}
    for name, goal in goals.items():
        steps = range(len(first), len(first) + len(losses[name]))
        left.plot(steps, losses[name], color=COLORS[name], label=f"{name} ({goal} token)")
    left.set(title="Loss while training, each at its own task", ylim=(0, None))
    left.set(xlabel="step", ylabel="loss (nats per guessed token)")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    labels = ("decoder (left side)", "encoder (both sides)", "encoder (left side: text cut off)")
    shifts = (-0.12, 0.0, 0.12)  # so that the bars stand side by side
    for (name, answers), label, shift in zip(exam.found.items(), labels, shifts, strict=True):
        at = [answers[exam.place == n].double() for n in range(1, 9)]
        share = [100 * found.mean().item() for found in at]
        error = [200 * error_of_share(found.mean().item(), len(found)) for found in at]
        line = "o--" if "cut" in name else "o-"
        color = COLORS[name[:7]]
        at_x = np.arange(1, 9) + shift
        right.errorbar(at_x, share, error, fmt=line, color=color, label=label, capsize=3)
    right.set(title="Tokens found in new texts (bars: two standard errors)", ylim=(0, None))
    right.set(xlabel="place of the hidden token in its text", ylabel="first guess right (%)")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    return figure

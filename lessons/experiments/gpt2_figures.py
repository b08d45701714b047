"""Draws the figures of lesson 3, but for the one in model_sizes.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_gelu(line: Tensor, bent: Tensor) -> Figure:
    """Draws GELU beside ReLU: bent is GELU of the numbers in line."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
    axes.plot(line, line.clamp(min=0), color="gray", ls="--", label="ReLU: max(x, 0)")
    axes.plot(line, bent, color="tab:blue", label="GELU")
    axes.set_title("GELU beside ReLU: the same far from 0, smooth near it")
    axes.set(xlabel="a number x that goes in", ylabel="what comes out")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def draw_first_losses(vocabularies: Sequence[int], losses: Sequence[float]) -> Figure:
    """Draws the loss of new models against the size of their vocabularies, beside ln V."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    axes.plot(vocabularies, [math.log(v) for v in vocabularies], color="gray", label="ln V")
    axes.plot(vocabularies, losses, "o", color="tab:blue", label="loss of a new GPT")
    axes.set_xscale("log")
    axes.set_xticks(vocabularies, [f"{v:,}" for v in vocabularies])
    axes.minorticks_off()
    axes.set_title("The loss of untrained models, and that of guessing")
    axes.set(xlabel="vocabulary size V (entries)", ylabel="cross-entropy (nats per token)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def draw_streams(unscaled: Sequence[float], scaled: Sequence[float]) -> Figure:
    """Draws the spread of the residual stream after each block, with and without GPT-2's start."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    axes.plot(unscaled, label="all matrices start at 0.02", color="tab:orange")
    label = r"projections start at $0.02 / \sqrt{2L}$ (GPT-2)"
    axes.plot(scaled, label=label, color="tab:blue")
    axes.set_title(f"The residual stream of an untrained model of {len(scaled) - 1} blocks")
    axes.set(xlabel="blocks passed", ylabel="standard deviation of the stream", ylim=(0, None))
    figure.legend(loc="outside lower center", ncols=2)
    return figure

"""Draws scores of several models as bars, one panel for each quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lessons.experiments.task_scores import Scores


class Panel(NamedTuple):
    """One quantity: what it is, its title, and (value, standard error) of each bar by its name."""

    ylabel: str
    title: str
    bars: Mapping[str, tuple[float, float]]
    places: int = 2
    top: float | None = None  # of the axis


def bars_of(scores: Mapping[str, Scores], metric: str) -> dict[str, tuple[float, float]]:
    """Returns the value and the standard error of a metric for each bar, by its name."""
    return {name: (each.value(metric), each.error(metric)) for name, each in scores.items()}


def draw_panels(panels: Sequence[Panel], width: float = 4.2) -> Figure:
    """Draws the panels side by side; a bar's line reaches one standard error up and down."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(panels), figsize=(width * len(panels), 4.6), layout="constrained", squeeze=False
    )
    for number, (axis, panel) in enumerate(zip(axes[0], panels, strict=True)):
        values, errors = np.array(list(panel.bars.values())).T
        places = np.arange(len(values))
        axis.bar(places, values, 0.7, yerr=errors, capsize=3, color=f"C{number}", alpha=0.75)
        for place, value, error in zip(places, values, errors, strict=True):
            axis.text(place, value + error, f"{value:.{panel.places}f}", ha="center", va="bottom")
        axis.set_xticks(places, [fill(name, 13) for name in panel.bars], fontsize=9)
        axis.axhline(0, color="black", lw=0.8)
        top = 1.15 * (values + errors).max() or 1.0
        bottom = min(0.0, 1.15 * (values - errors).min())
        axis.set(ylabel=panel.ylabel, title=panel.title, ylim=(bottom, panel.top or top))
    figure.supxlabel("the line on a bar: one standard error up and down", fontsize=9)
    return figure

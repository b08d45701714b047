"""Describes a figure in words, for those who cannot see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 6  # that are described one by one


def alt_text(figure: Figure) -> str:
    """Returns what a figure shows: its title, and for each panel its title, axes and legend."""
    panels = [
        axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"
    ]
    texts = [describe(axes) for axes in panels]
    if len(panels) > MOST_PANELS:
        texts = [describe(panels[0]), f"and {len(panels) - 1} more panels of this kind"]
    elif len(panels) > 1:
        texts = [f"panel {i}: {text}" for i, text in enumerate(texts, start=1)]
    above = [figure, *figure.subfigs]
    parts = [*(plain(part.get_suptitle()) for part in above), *texts]
    return ". ".join(part.rstrip(".") for part in parts if part) + "."


def describe(axes: Axes) -> str:
    """Returns a panel's title, the names of its axes, and what its legend names."""
    title = plain(axes.get_title())
    parts = [f"“{title}”"] if title else []
    sides = [f"x is {plain(axes.get_xlabel())}"] if axes.get_xlabel() else []
    sides += [f"y is {plain(axes.get_ylabel())}"] if axes.get_ylabel() else []
    if sides:
        parts.append(" and ".join(sides))
    legend = axes.get_legend()
    if legend is not None:
        parts.append("with " + ", ".join(plain(text.get_text()) for text in legend.get_texts()))
    return "; ".join(parts)


def plain(text: str) -> str:
    """Returns text on one line, without the signs of its formulas."""
    return " ".join(text.replace("$", "").split())

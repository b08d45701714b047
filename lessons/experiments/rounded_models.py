"""Draws what lesson 9 shows: the bits of a number, the harm of an outlier, rounded models.

figure = draw_bits(0.1, {"fp32": FP32, "fp16": FP16})
figure = draw_outlier(block_sizes, errors)
figure = draw_rounded(widths, curves, levels, changes)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lessons.held_out import Change
from minigpt.float_formats import FloatFormat, float_bits, float_value
from minigpt.quantization import bits_per_parameter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {"sign": "tab:red", "exponent": "tab:green", "mantissa": "tab:blue"}


def draw_bits(number: float, formats: Mapping[str, FloatFormat]) -> Figure:
    """Draws the bits of a number as boxes, a row for each format, and the value they stand for."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch, Rectangle

    figure, axes = plt.subplots(figsize=(11, 3.6))
    for row, (name, format) in enumerate(formats.items()):
        bits = float_bits(number, format)
        widths = (1, format.exponent_bits, format.mantissa_bits)
        column = 0
        for part, width, value in zip(COLORS, widths, bits, strict=True):
            for digit in f"{value:0{width}b}":
                place = (column, -row)
                axes.add_patch(Rectangle(place, 0.92, 0.75, facecolor=COLORS[part], alpha=0.45))
                axes.text(column + 0.46, 0.37 - row, digit, ha="center", va="center")
                column += 1
        axes.text(-0.5, 0.37 - row, name, ha="right", va="center")
        stored = float_value(bits, format)
        text = f"= {stored:.7f}   off by {abs(stored - number):.0e}"
        axes.text(column + 0.5, 0.37 - row, text, va="center")
    patches = [Patch(color=color, alpha=0.45, label=part) for part, color in COLORS.items()]
    figure.legend(handles=patches, loc="lower center", ncols=3, frameon=False)
    axes.set(xlim=(-5, 45), ylim=(0.5 - len(formats), 1))
    axes.set(title=f"{number:g} in {len(formats)} formats: the bits, and the number they stand for")
    axes.axis("off")
    return figure


def draw_outlier(block_sizes: Sequence[int], errors: Mapping[str, np.ndarray]) -> Figure:
    """Draws how the error of all numbers but the outlier depends on the size of the blocks.

    Args:
        errors: by name ("8 bits, one outlier"), [draws, block sizes] in % of the deviation.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 4.8), layout="constrained")
    for name, curves in errors.items():
        color = "tab:blue" if name.startswith("8") else "tab:orange"
        style = "o--" if "one" in name else "o-"
        axes.loglog(block_sizes, curves.mean(axis=0), style, color=color, label=name)
    labels = [f"{size:,}\n{bits_per_parameter(4, size):.4g}" for size in block_sizes[::2]]
    axes.set_xticks(block_sizes[::2], labels)
    axes.minorticks_off()
    ticks = [0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    n = block_sizes[-1]
    axes.set(title=f"What an outlier of 60 does to the other {n - 1:,} normal numbers")
    axes.set_xlabel(
        "block size (numbers)\nbelow: bits a number with 4-bit codes and a c of 32 bits"
    )
    axes.set_ylabel("rounding error of the others\n(RMS, % of their standard deviation)")
    figure.legend(loc="outside right center", frameon=False)
    axes.grid(alpha=0.3)
    return figure


def draw_rounded(
    widths: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    levels: Mapping[str, float],
    changes: Mapping[str, Sequence[Change]],
) -> Figure:
    """Draws bits per byte of rounded models, and closer what rounding costs without the last width.

    Args:
        widths: bits a weight.
        curves: bits per byte at each width, by the way of rounding.
        levels: bits per byte of models that are not rounded.
        changes: what rounding costs at each width, against fp32 after the same steps.
    """
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(12, 5.2), layout="constrained")
    left, right = panels
    for (label, curve), style in zip(curves.items(), ("s:", "o-", "o--", "^-"), strict=False):
        left.plot(curve, style, label=label)
    for (label, level), style in zip(levels.items(), ("-", "--"), strict=False):
        left.axhline(level, color="black", lw=1, ls=style, label=label)
    left.set(title="The base model with rounded weights", ylabel="bits per byte (less is better)")
    few = len(widths) - 1
    for number, (label, costs) in enumerate(changes.items()):
        values = [change.bits_per_byte for change in costs[:few]]
        bars = [2 * change.error for change in costs[:few]]
        at = np.arange(few) + 0.06 * (number - 0.5)
        right.errorbar(at, values, bars, label=label, marker="o", capsize=5, color=f"C{number + 2}")
    right.axhline(0, color="black", lw=1)
    shown = ", ".join(str(width) for width in widths[:few])
    right.set(title=f"What rounding costs at {shown} bits")
    right.set(ylabel="bits per byte above fp32 after the same steps\n(bars: two standard errors)")
    for panel in panels:
        ticks = widths if panel is left else widths[:few]
        panel.set_xticks(range(len(ticks)), [str(width) for width in ticks])
        panel.set(xlabel="bits a weight, without the constants")
        panel.grid(alpha=0.3)
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    return figure

"""Draws what quantizing the scales of NF4 saves and costs, and where 8-bit formats have values.

figure = draw_bits_and_error(block_sizes, bits, mae)
figure = draw_scales({"as they are": y, "minus their mean": centred})
shared = values_in_common(DYNAMIC_MAP, fp8_values(torch.float8_e4m3fn))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kernels.nf4 import DYNAMIC_MAP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {"codes (4 bits: cut)": "lightgray", "scales": "tab:orange", "scales of scales": "tab:red"}


def fp8_values(dtype: torch.dtype) -> Tensor:
    """Returns the values of an 8-bit dtype in increasing order, divided by the largest.

    There are 253 in E4M3 and 247 in E5M2.
    """
    values = torch.arange(256, dtype=torch.uint8).view(dtype).float()
    values = values[values.isfinite()].unique()  # -0 and 0 are one value
    return values / values.max()


def values_in_common(a: Tensor, b: Tensor) -> int:
    """Counts the values of a that b has as well, but for rounding in fp32."""
    return int(((a[:, None] - b).abs() <= 1e-6 * a.abs()[:, None]).any(dim=1).sum())


def draw_bits_and_error(
    block_sizes: Sequence[int],
    bits: Mapping[bool, Sequence[float]],
    mae: Mapping[bool, Sequence[float]],
) -> Figure:
    """Draws where the bits of a weight go, and which error they buy.

    Args:
        bits, mae: bits a weight and mean absolute error for each block size, without and with
            double quantization.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5), layout="constrained")
    for i, size in enumerate(block_sizes):
        for place, *parts in ((i - 0.2, 4, 32 / size), (i + 0.2, 4, 8 / size, 32 / 256 / size)):
            for j, color in zip(range(len(parts)), COLORS.values(), strict=False):
                left.bar(place, parts[j], 0.36, sum(parts[:j]), color=color, edgecolor=color, lw=1)
            left.text(place, sum(parts) + 0.02, f"{sum(parts):.3f}", ha="center", fontsize=8)
    left.set_xticks(range(len(block_sizes)), [str(size) for size in block_sizes])
    left.set(xlabel="block size (weights)\nleft bar: scales of 32 bits, right bar: 8 bits")
    left.set(ylabel="bits a weight", ylim=(3.8, 5.2), title="What codes and scales take")
    left.legend(handles=[Patch(color=color, label=text) for text, color in COLORS.items()])
    for twice, label, shift in (
        (False, "scales of 32 bits", (6, 3)),
        (True, "double quantization", (-28, -9)),
    ):
        right.plot(bits[twice], mae[twice], "o-", color=f"C{1 - twice}", label=label)
        for size, *point in zip(block_sizes, bits[twice], mae[twice], strict=True):
            right.annotate(str(size), point, shift, textcoords="offset points")
    right.set(xlabel="bits a weight (at the points: block size)")
    right.set(
        ylabel="mean absolute error (standard deviations)",
        title="NF4's error on N(0, 1), by block size",
    )
    right.margins(0.1)
    right.legend()
    right.grid(alpha=0.3)
    return figure


def draw_scales(stretched: Mapping[str, Tensor]) -> Figure:
    """Draws where scales lie between -1 and 1, over the values that two formats offer there.

    Args:
        stretched: scales divided by the largest of their 256, by what was done to them before.
    """
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(
        2, len(stretched), figsize=(9, 5), height_ratios=(5, 1), sharex=True, sharey="row"
    )
    for axes, rug, (title, y) in zip(*panels, stretched.items(), strict=True):
        axes.hist(y.flatten().numpy(), bins=100, range=(-1, 1), color="tab:blue", alpha=0.7)
        axes.set_title(title)
        rug.vlines(DYNAMIC_MAP, 0.6, 1.4, color="tab:red", lw=0.5)
        rug.vlines(torch.arange(-127, 128) / 127, -0.4, 0.4, color="black", lw=0.5)
        rug.set_yticks([1, 0], ["dynamic map", "int8"])
        rug.set(xlabel="y: divided by the largest of 256", xlim=(-1.02, 1.02))
    panels[0, 0].set_ylabel("number of scales")
    figure.suptitle(
        "The base model's scales (above), and the values that 8 bits offer them (below)"
    )
    return figure

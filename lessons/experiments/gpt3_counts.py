"""The trained parameters that Hu et al. printed for GPT-3 175B, and how ours are judged by them.

The figures are those of their table 15, in millions. They give the formulas too: d is the model's
width, L the number of its layers, l_p and l_i are the numbers of virtual tokens before the text and
inside it.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685).
"""

from __future__ import annotations

from typing import NamedTuple

from lessons.verdicts import Judged, Kind, Verdict, same_figure
from minigpt.config import GPTConfig
from minigpt.memory.counts import count_bottlenecks

EMBED = {(32, 8): "0.4", (64, 8): "0.9", (128, 8): "1.7", (256, 8): "3.2", (512, 8): "6.4"}
LAYER = {(2, 2): "5.1", (8, 0): "10.1", (8, 8): "20.2", (32, 4): "44.1", (64, 0): "76.1"}
ADAPTER = {1: "7.1", 4: "21.2", 8: "40.1", 16: "77.9", 64: "304.4"}


def cut_or_rounded(printed: str, count: int) -> Verdict:
    """Judges a printed number of millions with one decimal against the exact count.

    It is reproduced if the count gives it when rounded to that decimal or when cut off after it,
    and the verdict says which, where only one does. Otherwise the printed figure is wrong.
    """

    def judge(count: int) -> Judged:
        rounded, cut_off = f"{count / 1e6:.1f}", f"{count // 10**5 / 10:.1f}"
        if rounded == printed:
            return Kind.REPRODUCED, "" if cut_off == printed else "rounded, not cut off"
        if cut_off == printed:
            return Kind.REPRODUCED, f"cut off after one decimal; rounded it is {rounded}"
        return Kind.WRONG, f"the count is {rounded} when rounded and {cut_off} when cut off"

    right = judge(count)[0] is Kind.REPRODUCED
    return Verdict(judge, (count,), (count + 10**6 if right else round(float(printed) * 1e6),))


class Count(NamedTuple):
    """A printed number of trained parameters in millions, and what the formula gives."""

    name: str
    printed: str
    trained: int

    def verdict(self) -> Verdict:
        """Judges the printed figure by the count."""
        millions = self.trained / 1e6
        if self.name.startswith("PrefixLayer"):
            otherwise = f"the paper's formula gives {millions:.1f}M"
            return same_figure(self.printed, millions, otherwise, kind=Kind.UNKNOWN)
        return cut_or_rounded(self.printed, self.trained)


def counts(gpt3: GPTConfig) -> list[Count]:
    """Returns the fifteen counts of the methods other than LoRA, whose counts are in lesson 8."""
    L, d = gpt3.n_layer, gpt3.n_embd
    return [
        *(Count(f"PrefixEmbed {ls}", m, d * sum(ls)) for ls, m in EMBED.items()),
        *(Count(f"PrefixLayer {ls}", m, L * d * sum(ls)) for ls, m in LAYER.items()),
        *(Count(f"Adapter^H r = {r}", m, count_bottlenecks(gpt3, r)) for r, m in ADAPTER.items()),
    ]

"""Counts what published model sizes give, and which sizes give a published count.

Lesson 3 uses it to find out how GPT-2's table can have come about.

Sources: Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training" (GPT-1,
section 4.1); Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2,
table 2); Brown et al. 2020, "Language Models are Few-Shot Learners" (GPT-3, tables 2.1 and D.1).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from minigpt import GPTConfig, count_parameters
from minigpt.config import PRESETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The parameters as the two papers print them; GPT-3's does so twice, in table D.1 in millions.
PRINTED = {
    "gpt2": "117M", "gpt2-medium": "345M", "gpt2-large": "762M", "gpt2-xl": "1,542M",
    "gpt3-small": "125M", "gpt3-medium": "350M", "gpt3-large": "760M", "gpt3-xl": "1.3B",
    "gpt3-2.7b": "2.7B", "gpt3-6.7b": "6.7B", "gpt3-13b": "13.0B",
    "gpt3-175b": "175.0B",
}  # fmt: skip
PRINTED_MILLIONS = {
    "gpt3-small": "125M", "gpt3-medium": "356M", "gpt3-large": "760M", "gpt3-xl": "1,320M",
    "gpt3-2.7b": "2,650M", "gpt3-6.7b": "6,660M", "gpt3-13b": "12,850M", "gpt3-175b": "174,600M",
}  # fmt: skip
GPT2 = [name for name in PRINTED if name.startswith("gpt2")]
GPT3 = [name for name in PRINTED if name.startswith("gpt3")]
PRINTED_HEADS = {  # width, heads, size of a head, as GPT-3's paper prints them
    "gpt3-small": (768, 12, 64), "gpt3-medium": (1024, 16, 64), "gpt3-large": (1536, 16, 96),
    "gpt3-xl": (2048, 24, 128), "gpt3-2.7b": (2560, 32, 80), "gpt3-6.7b": (4096, 32, 128),
    "gpt3-13b": (5140, 40, 128), "gpt3-175b": (12288, 96, 128),
}  # fmt: skip
GPT1_VOCABULARY = 40478


def printed_millions(name: str) -> float:
    """Returns the printed count in millions: 1542.0 for GPT-2 XL."""
    printed = PRINTED[name].replace(",", "")
    return float(printed[:-1]) * {"M": 1, "B": 1000}[printed[-1]]


def rounding(printed: str) -> float:
    """Returns how far a number may be from its printed form, in the unit that is printed.

    Whole numbers that end in 0 are taken to be rounded to tens: 5 for "350M", 0.5 for "125M",
    and 0.05 for "13.0B".
    """
    digits = printed[:-1]
    decimals = len(digits.partition(".")[2])
    return 5.0 if digits.endswith("0") and not decimals else 0.5 * 10.0**-decimals


def gpt2_counts(vocab_size: int, context: int) -> dict[str, float]:
    """Returns the parameters of the four GPT-2s, in millions, with this vocabulary and context."""
    shapes = {name: GPTConfig.preset(name) for name in GPT2}
    return {
        name: count_parameters(replace(shape, vocab_size=vocab_size, block_size=context)) / 1e6
        for name, shape in shapes.items()
    }


def widths_that_give(name: str, vocab_size: int, context: int) -> list[int]:
    """Returns the multiples of 64, up to 4096, with which the printed count of a GPT-2 comes out.

    The depth is the printed one, and a head has 64 numbers.
    """
    shape = replace(GPTConfig.preset(name), vocab_size=vocab_size, block_size=context)
    counts = {
        width: count_parameters(replace(shape, n_embd=width, n_head=width // 64)) / 1e6
        for width in range(64, 4097, 64)
    }
    return [width for width, count in counts.items() if round(count) == printed_millions(name)]


def gpt1_millions(
    n_layer: int = 12, context: int = 512, width: int = 768, hidden: int = 3072
) -> float:
    """Returns the parameters of GPT-1, in millions: norms after the layers, and so no final one."""
    attention = 4 * width**2 + 4 * width
    mlp = 2 * width * hidden + hidden + width
    norms = 4 * width
    return ((GPT1_VOCABULARY + context) * width + n_layer * (attention + mlp + norms)) / 1e6


def shares(name: str) -> dict[str, float]:
    """Returns the shares of a preset's parameters in embeddings, attention, MLPs and norms."""
    config = GPTConfig.preset(name)
    width, total = config.n_embd, count_parameters(config)
    counts = {
        "embeddings": (config.vocab_size + config.block_size) * width,
        "attention": config.n_layer * (4 * width**2 + 4 * width),
        "MLP": config.n_layer * (8 * width**2 + 5 * width),
        "norms": config.n_layer * 4 * width + 2 * width,
    }
    return {part: count / total for part, count in counts.items()}


def draw_shares() -> Figure:
    """Draws a bar for each preset, divided into embeddings, attention and MLPs.

    The norms are left out: they would be thinner than a line.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.2))
    left = [0.0] * len(PRESETS)
    colors = {"embeddings": "tab:gray", "attention": "tab:blue", "MLP": "tab:orange"}
    for part, color in colors.items():
        percent = [100 * shares(name)[part] for name in PRESETS]
        axes.barh(list(PRESETS), percent, left=left, label=part, color=color)
        left = [start + length for start, length in zip(left, percent, strict=True)]
    millions = [count_parameters(GPTConfig.preset(name)) / 1e6 for name in PRESETS]
    names = [f"{name}  {count:,.0f}M" for name, count in zip(PRESETS, millions, strict=True)]
    axes.set_yticks(range(len(PRESETS)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_title("Where the parameters of GPT-2 and GPT-3 sit")
    axes.set_xlabel("share of all parameters (%)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=3, frameon=False)
    return figure

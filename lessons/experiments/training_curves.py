"""Draws how a training run went, from its log, and what the eight GPT-3s were trained with.

Lesson 4 shows both.

Source: Brown et al. 2020, "Language Models are Few-Shot Learners" (GPT-3, table 2.1).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lessons.base_model import read_log
from lessons.experiments.read_and_unread import Mean
from minigpt import GPTConfig, count_parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# name: (tokens in a batch, learning rate), as the paper prints them.
PRINTED_TRAINING = {
    "gpt3-small": (0.5e6, 6.0e-4), "gpt3-medium": (0.5e6, 3.0e-4), "gpt3-large": (0.5e6, 2.5e-4),
    "gpt3-xl": (1e6, 2.0e-4), "gpt3-2.7b": (1e6, 1.6e-4), "gpt3-6.7b": (2e6, 1.2e-4),
    "gpt3-13b": (2e6, 1.0e-4), "gpt3-175b": (3.2e6, 0.6e-4),
}  # fmt: skip


class PowerLaw(NamedTuple):
    """y = factor x^exponent, a straight line where both axes are logarithmic.

    Attributes:
        farthest: by what factor the point farthest from it is above or below.
    """

    factor: float
    exponent: float
    farthest: float

    def at(self, x: float | np.ndarray) -> float | np.ndarray:
        """Returns y at x."""
        return self.factor * x**self.exponent


def fit_power_law(x: np.ndarray, y: np.ndarray) -> PowerLaw:
    """Returns the power law with the least squares of log y through the points (x, y)."""
    exponent, intercept = np.polyfit(np.log(x), np.log(y), 1)
    off = np.abs(np.log(y) - intercept - exponent * np.log(x)).max()
    return PowerLaw(float(np.exp(intercept)), float(exponent), float(np.exp(off)))


def gpt3_training() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns parameters (counted), tokens in a batch and learning rates of the eight, [8] each."""
    sizes = [float(count_parameters(GPTConfig.preset(name))) for name in PRINTED_TRAINING]
    batches, rates = zip(*PRINTED_TRAINING.values(), strict=True)
    return np.array(sizes), np.array(batches), np.array(rates)


def beside_fits(batch_law: PowerLaw, rate_law: PowerLaw) -> list[str]:
    """Returns a table of the eight models, each column beside its power law."""
    lines = [f"{'':<12} {'parameters':>15} {'batch':>10} {'fit':>10} {'rate':>9} {'fit':>9}"]
    for name, N, batch, rate in zip(PRINTED_TRAINING, *gpt3_training(), strict=True):
        lines.append(
            f"{name:<12} {N:>15,.0f} {batch:>10,.0f} {batch_law.at(N):>10,.0f} "
            f"{rate:>9.1e} {rate_law.at(N):>9.1e}"
        )
    return lines


def draw_gpt3_training(own: tuple[float, float, float]) -> Figure:
    """Draws batch and learning rate of the eight over their size, with the power laws.

    Args:
        own: parameters, tokens in a batch and learning rate of a model to show beside them.
    """
    import matplotlib.pyplot as plt

    sizes, batches, rates = gpt3_training()
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6))
    for axes, values, mine, name in (
        (panels[0], batches, own[1], "tokens in a batch"),
        (panels[1], rates, own[2], "learning rate"),
    ):
        law = fit_power_law(sizes, values)
        line = np.geomspace(own[0], sizes.max(), 50)
        axes.plot(line, law.at(line), color="gray", ls="--", label=f"~ N^{law.exponent:.2f}")
        axes.plot(sizes, values, "o", color="tab:blue", label="GPT-3")
        axes.plot(own[0], mine, "D", color="tab:orange", label="our base model")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("parameters N")
        axes.set_ylabel(name)
        axes.set_title(f"{name[0].upper()}{name[1:]} by model size")
        axes.legend(loc="best")
    figure.tight_layout()
    return figure


def draw_run(path: Path, title: str, trained_on: str, held_out: str) -> Figure:
    """Draws loss, learning rate and gradient norm of a run, one below the other.

    Args:
        path: the log.jsonl of the run.
        trained_on, held_out: which texts the two losses are measured on.
    """
    import matplotlib.pyplot as plt

    trained, validated = read_log(path)
    x = [record["step"] for record in trained]
    figure, axes = plt.subplots(3, 1, figsize=(7, 7), sharex=True, height_ratios=[3, 1, 1])
    losses = [record["loss"] for record in trained]
    axes[0].plot(x, losses, lw=0.8, alpha=0.6, label=trained_on)
    axes[0].plot(
        [record["step"] for record in validated],
        [record["validation_loss"] for record in validated],
        "o-", color="tab:red", ms=3, label=held_out,
    )  # fmt: skip
    axes[0].set_ylabel("loss (nats per token)")
    axes[0].set_title(title)
    axes[0].legend(loc="upper right")
    axes[1].plot(x, [record["lr"] for record in trained], color="tab:green")
    axes[1].set_ylabel("learning rate")
    axes[2].plot(x, [record["grad_norm"] for record in trained], lw=0.8, color="tab:purple")
    axes[2].axhline(1, color="gray", ls="--", lw=1)
    axes[2].set_ylabel("gradient norm\n(clipped at 1)")
    axes[2].set_yscale("log")
    axes[2].minorticks_off()
    axes[2].set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    axes[2].set_xlabel("step")
    return figure


def draw_read_and_unread(losses: dict[str, tuple[Mean, Mean]], model: str) -> Figure:
    """Draws for each kind of text two bars: the loss on texts a model has read, and on unread ones.

    The lines on the bars are two standard errors long on either side.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.4))
    place = np.arange(len(losses))
    for i, (name, color) in enumerate((("read", "tab:gray"), ("held out", "tab:red"))):
        pairs = [pair[i] for pair in losses.values()]
        axes.bar(
            place + 0.4 * i - 0.2, [loss.value for loss in pairs], 0.38, color=color, label=name,
            yerr=np.nan_to_num([2 * loss.error for loss in pairs]),
        )  # fmt: skip
    axes.set_xticks(place, list(losses))
    axes.set_ylim(0, 1.35 * max(loss.value for pair in losses.values() for loss in pair))
    axes.set_xlabel("kind of text (black lines: two standard errors up and down)")
    axes.set_ylabel("loss (nats per token)")
    axes.set_title(f"{model}: texts it was trained on, and others of the same kind")
    axes.legend(loc="upper right", ncol=2)
    return figure


def draw_bits(bits: dict[str, float]) -> Figure:
    """Draws what each compressor (gray) and each model (blue, the last two) needs for a byte."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    colors = ["tab:gray"] * (len(bits) - 2) + ["tab:blue"] * 2
    axes.bar_label(axes.barh(list(bits), list(bits.values()), color=colors), fmt="%.2f", padding=3)
    axes.invert_yaxis()
    axes.set_xlim(0, 9)
    axes.set_title("Held-out Python documentation: bits needed for each byte")
    axes.set_xlabel("bits per byte (less is better; blue: models)")
    return figure

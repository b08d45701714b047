"""The short training runs of lesson 8, the tables of Hu et al. beside them, and their figures.

model = add_lora(base, r=8, alpha=32, seed=1337)
teach(model, data, steps=45, batch_size=4, learning_rate=2e-3, seed=1337)
draw_scaling(axis, {8: 0.62}, {8: 0.61})
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from minigpt import GPT
from minigpt.dataset import Data
from minigpt.finetuning.settings import FinetuneSettings
from minigpt.lora.model import apply_lora
from minigpt.training.loop import train

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EVERY_LAYER = ("c_attn", "c_proj", "c_fc")
ATTENTION = ("attn.c_attn", "attn.c_proj")

# Hu et al. 2021, table 18: rank -> validation loss, BLEU and ROUGE-L of GPT-2 Medium on E2E
HU = {
    1: ("1.23", "68.72", "0.7052"), 2: ("1.21", "69.17", "0.7052"), 4: ("1.18", "70.38", "0.7186"),
    8: ("1.17", "69.57", "0.7196"), 16: ("1.16", "69.61", "0.7177"),
    32: ("1.16", "69.33", "0.7105"), 64: ("1.16", "69.24", "0.7180"),
    128: ("1.16", "68.73", "0.7127"),
    256: ("1.16", "68.92", "0.7128"), 512: ("1.16", "68.78", "0.7128"),
    1024: ("1.17", "69.37", "0.7149"),
}  # fmt: skip
# Hu et al. 2021, table 15: matrices with an adapter -> rank -> millions of trained parameters
GPT3_COUNTS = {
    ("q", "v"): {1: "4.7", 2: "9.4", 4: "18.8", 8: "37.7", 64: "301.9"},
    ("v",): {2: "4.7"},
    ("q", "k", "v", "o"): {1: "9.4", 2: "18.8", 4: "37.7", 64: "603.8"},
}


def add_lora(
    base: GPT,
    r: int,
    alpha: float,
    seed: int,
    target_modules: Sequence[str] = EVERY_LAYER,
    **settings: Any,
) -> GPT:
    """Returns a copy of base with a new adapter; the seed decides its A.

    Args:
        settings: more arguments of apply_lora, such as init or name.
    """
    torch.manual_seed(seed)
    return apply_lora(
        copy.deepcopy(base), r=r, alpha=alpha, target_modules=target_modules, **settings
    )


def teach(
    model: GPT, data: Data, steps: int, *, batch_size: int, learning_rate: float, seed: int
) -> GPT:
    """Trains whatever of a model is not frozen, and returns it.

    The settings are those of `minigpt finetune`, but for those given here; nothing is validated.
    """
    whole = all(parameter.requires_grad for parameter in model.parameters())
    settings = FinetuneSettings(
        "full" if whole else "lora",
        max_steps=steps,
        learning_rate=learning_rate,
        eval_every=0,
        early_stopping=0,
        seed=seed,
        device=str(next(model.parameters()).device),
    )
    train(model, data, settings.train_config(batch_size))
    return model


def draw_spectrum(axis: Axes, energy: Mapping[str, torch.Tensor]) -> None:
    """Draws what share of each weight's squared change the first singular values hold."""
    for name, shares in energy.items():
        axis.plot(range(1, len(shares) + 1), 100 * shares, label=name)
    rank_axis(axis, [2**i for i in range(9)])
    axis.set(ylim=(0, 105), xlabel="rank", ylabel="share of the squares that it keeps (%)")
    axis.set_title("What a rank keeps of the change by full fine-tuning (third block)")
    axis.legend(loc="upper left", fontsize="small")


def rank_axis(axis: Axes, ranks: Iterable[int]) -> None:
    """Gives an axis of ranks equal steps from each to its double, and plain numbers."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(list(ranks), [f"{r:,}" for r in ranks])


def draw_ranks(axis: Axes, here: Mapping[str, Mapping[int, float]]) -> None:
    """Draws validation losses by rank, ours and those of Hu et al., each above its own lowest.

    Args:
        here: what was trained -> rank -> loss; empty where nothing was trained.
    """
    theirs = {r: float(loss) for r, (loss, *_) in HU.items()}
    curves = {"GPT-2 Medium, E2E (Hu et al. 2021)": theirs, **here}
    for form, (label, losses) in zip(("o--", "s-", "^-"), curves.items(), strict=True):
        if losses:
            lowest = min(losses.values())
            axis.plot(list(losses), [loss - lowest for loss in losses.values()], form, label=label)
    rank_axis(axis, HU)
    axis.set(xlabel="rank r", ylabel="validation loss above the lowest (nats a token)")
    axis.set_title("Validation loss against the rank")
    axis.legend(loc="upper right", fontsize="small")


def draw_scaling(axis: Axes, divided: Mapping[int, float], fixed: Mapping[int, float]) -> None:
    """Draws validation losses by rank with the factor alpha / r and with a fixed one."""
    axis.plot(list(divided), list(divided.values()), "s-", label="factor alpha / r")
    axis.plot(list(fixed), list(fixed.values()), "^-", label="the same factor at every rank")
    rank_axis(axis, divided)
    axis.set(xlabel="rank r", ylabel="validation loss (nats a token)")
    axis.set_title("One learning rate, two ways to scale B A")
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize="small")

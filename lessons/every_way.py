"""Every way of fine-tuning the base model, to be compared on one task: what lesson 13 trains.

A way adds something to a model, freezes the rest, and can write what it trained into a folder. The
learning rates are those of a few that gave the lowest validation loss, or nearly, after 130 steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import tiktoken
import torch

from minigpt import GPT, save_pretrained
from minigpt.adapters import apply_adapters, save_adapters
from minigpt.lora import apply_lora, save_adapter
from minigpt.qlora import quantize_model
from minigpt.soft_prompts import apply_prefix_tuning, apply_prompt_tuning, save_soft_prompt
from minigpt.train_config import TrainConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EVERY_LAYER = ("c_attn", "c_proj", "c_fc")
N_TOKENS, HIDDEN, BOTTLENECK = 20, 64, 16


class Way(NamedTuple):
    """A method of fine-tuning and what it is trained with."""

    add: Callable[[GPT], object]
    save: Callable[[GPT, Path], None]
    learning_rate: float
    weight_decay: float = 0.0


def every_way(encoding: tiktoken.Encoding, words: str) -> dict[str, Way]:
    """The ways by name.

    Args:
        words: what the soft prompts start as, where they do not start at random.
    """
    ids = encoding.encode_ordinary(words)

    def lora(model: GPT) -> GPT:
        return apply_lora(model, r=12, alpha=192, target_modules=EVERY_LAYER)

    def qlora(model: GPT) -> GPT:
        return lora(quantize_model(model))

    def adapters(model: GPT) -> GPT:
        return apply_adapters(model, BOTTLENECK)

    def prefix(model: GPT) -> GPT:
        return apply_prefix_tuning(model, N_TOKENS, ids)

    def prefix_of_network(model: GPT) -> GPT:
        return apply_prefix_tuning(model, N_TOKENS, reparametrize=HIDDEN)

    def prompt(model: GPT) -> GPT:
        return apply_prompt_tuning(model, N_TOKENS, ids)

    def prompt_at_random(model: GPT) -> GPT:
        return apply_prompt_tuning(model, N_TOKENS)

    def save_full(model: GPT, folder: Path) -> None:
        save_pretrained(model, encoding, folder)

    return {
        "full": Way(lambda model: model.requires_grad_(True), save_full, 1e-3, weight_decay=0.1),
        "LoRA": Way(lora, save_adapter, 1e-3),
        "QLoRA": Way(qlora, save_adapter, 1e-3),
        "adapters": Way(adapters, save_adapters, 6e-3),
        "prefix": Way(prefix, save_soft_prompt, 1e-1),
        "prefix, network": Way(prefix_of_network, save_soft_prompt, 1e-2),
        "prompt": Way(prompt, save_soft_prompt, 1e-1),
        "prompt, random": Way(prompt_at_random, save_soft_prompt, 1e-1),
    }


def settings(way: Way, steps: int, seed: int, device: torch.device) -> TrainConfig:
    """How a way is trained: as in lessons 7 and 8, but for the learning rate."""
    return TrainConfig(
        max_steps=steps,
        batch_size=8,
        learning_rate=way.learning_rate,
        min_learning_rate=0.0,
        warmup_steps=steps // 20,
        weight_decay=way.weight_decay,
        betas=(0.9, 0.98),
        seed=seed,
        device=str(device),
    )


def as_table(results: Mapping[str, Mapping[str, Any]], total: int) -> str:
    """What came of each way, a line each.

    Args:
        results: by way, {"bleu", "trained" (parameters), "disk" (bytes), "ms" (of a step)}.
        total: parameters of the model.
    """
    header = f"{'':<16}{'BLEU':>6}{'trained':>12}{'of all':>9}{'file, bytes':>14}{'ms a step':>11}"
    lines = [
        f"{name:<16}{r['bleu']:>6.1f}{r['trained']:>12,}{r['trained'] / total:>9.2%}"
        f"{r['disk']:>14,}{r['ms']:>11.0f}"
        for name, r in results.items()
    ]
    return "\n".join([header, *lines])


def draw(axis: Axes, results: Mapping[str, Mapping[str, Any]]) -> None:
    """BLEU against trained parameters, a point for each way; results as for as_table."""
    lower, higher = sorted(("LoRA", "QLoRA"), key=lambda name: results[name]["bleu"])
    places = {higher: (-8, 9), lower: (9, -4), "adapters": (-92, -4), "prefix, network": (-8, -17)}
    for name, r in results.items():
        point = r["trained"], r["bleu"]
        axis.scatter(*point, s=60)
        label, place = f"{name} {r['bleu']:.1f}", places.get(name, (9, -4))
        axis.annotate(label, point, place, textcoords="offset points")
    axis.set(xscale="log", xlabel="trained parameters", ylabel="translation (BLEU)")
    axis.margins(x=0.25, y=0.15)

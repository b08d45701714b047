"""Every way of fine-tuning the base model, to be compared on one task: what lesson 13 trains.

A way adds something to a model, freezes the rest, and can write what it trained into a folder. The
learning rates are those of a few that gave the lowest validation loss, or nearly, after 130 steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import tiktoken
import torch

from minigpt import GPT, save_pretrained
from minigpt.bottlenecks.model import apply_adapters, save_adapters
from minigpt.lora.model import apply_lora, save_adapter
from minigpt.qlora.model import quantize_model
from minigpt.soft_prompts.model import apply_prefix_tuning, apply_prompt_tuning, save_soft_prompt
from minigpt.training.settings import TrainConfig

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

    def prefix_at_random(model: GPT) -> GPT:
        return apply_prefix_tuning(model, N_TOKENS)

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
        "prefix, random": Way(prefix_at_random, save_soft_prompt, 1e-1),
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


def is_better(gap: float, noise: float = 3.0) -> str:
    """The verdict on the claim that one way gets a higher BLEU than another.

    Args:
        gap: by how much it does; below zero if it gets a lower one.
        noise: a gap up to this may come from the seed and from the choice of test sentences.
    """
    words = "reproduced" if gap > noise else "differs" if gap < -noise else "not reproduced"
    near = "; near that limit: another seed may say otherwise"
    near *= abs(abs(gap) - noise) <= noise / 2
    return f"{words}: {gap:+.1f} BLEU, of which up to {noise:g} may be chance{near}"


def draw(axis: Axes, results: Mapping[str, Mapping[str, Any]]) -> None:
    """BLEU against trained parameters, a marker for each way; results as for as_table.

    The names stand in a legend outside the axes, the highest BLEU first: labels beside the points
    would cover each other where two ways come close.
    """
    ranked = sorted(results, key=lambda name: -results[name]["bleu"])
    for name, marker in zip(ranked, "os^vDP<X>p*h", strict=False):
        point = results[name]["trained"], results[name]["bleu"]
        axis.scatter(*point, s=60, marker=marker, alpha=0.8, label=f"{name} {point[1]:.1f}")
    axis.set(xscale="log", xlabel="trained parameters", ylabel="translation (BLEU, 0 to 100)")
    axis.margins(x=0.1, y=0.1)
    axis.figure.legend(loc="outside right upper", title="way, BLEU")


def draw_sizes(axis: Axes, blocks: Sequence[int], sizes: Mapping[int, Mapping[str, float]]) -> None:
    """BLEU of full fine-tuning and of prompt tuning against the size of the model.

    Args:
        blocks: how many each model has, the whole base model last.
        sizes: {"full", "prompt"} (BLEU) by the model's number of parameters.
    """
    millions = [n / 1e6 for n in sizes]
    for method, label, marker in (
        ("full", "full fine-tuning", "o-"),
        ("prompt", "prompt tuning", "s-"),
    ):
        axis.plot(millions, [scores[method] for scores in sizes.values()], marker, label=label)
    labels = [f"{n:.1f}\n{k} of {blocks[-1]} blocks" for n, k in zip(millions, blocks, strict=True)]
    axis.set_xticks(millions, labels)
    axis.set(xlabel="parameters of the model (millions)", ylabel="translation (BLEU, 0 to 100)")
    axis.set(ylim=(0, None))
    axis.margins(x=0.15)
    axis.legend()

"""The methods of fine-tuning the base model that lessons 12 and 13 compare on one task.

A recipe adds something to a model and freezes the rest. Its entry of
`minigpt.finetuning.settings.RECIPES` says how it is trained.

model = build("LoRA", base, seed=1337)
train(model, data, settings("LoRA", steps=130, seed=1337, device=device))
print(as_table({"LoRA": {"BLEU": 12.3}}, {"BLEU": ".1f"}))
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from lessons.experiments.lora_runs import EVERY_LAYER
from minigpt import GPT
from minigpt.bottlenecks.model import apply_bottlenecks
from minigpt.finetuning.settings import BIASES_RATE, FinetuneSettings
from minigpt.lora.model import apply_lora
from minigpt.qlora.model import quantize_model
from minigpt.selective.model import apply_selective
from minigpt.soft_prompts.model import apply_prefix_tuning, apply_prompt_tuning
from minigpt.training.settings import TrainConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The slides' three families, by the method of `minigpt finetune`
FAMILIES = {
    "full": "all weights",
    "selective": "selective",
    "lora": "reparameterization",
    "qlora": "reparameterization",
    "bottleneck": "additive",
    "prefix": "additive",
    "prompt": "additive",
}
R, ALPHA = 12, 128
N_TOKENS, HIDDEN, BOTTLENECK = 20, 64, 16


class Recipe(NamedTuple):
    """What a method adds to a model, and how that is trained.

    Attributes:
        add: called with the model and with the token ids that a soft prompt starts as; the other
            recipes ignore the ids.
        method: the method of `minigpt finetune` as which it is trained and saved.
        learning_rate: the highest learning rate, if it is not the method's.
    """

    add: Callable[[GPT, Sequence[int]], object]
    method: str
    learning_rate: float | None = None


def lora_everywhere(model: GPT) -> GPT:
    """Puts LoRA beside every linear layer of the blocks."""
    return apply_lora(model, r=R, alpha=ALPHA, target_modules=EVERY_LAYER)


# DQ is double quantization. A prefix that a network makes needs smaller steps than one that is
# trained directly.
RECIPES: dict[str, Recipe] = {
    "full": Recipe(lambda model, ids: None, "full"),
    "last block": Recipe(lambda model, ids: apply_selective(model, last_blocks=1), "selective"),
    "biases": Recipe(
        lambda model, ids: apply_selective(model, biases_only=True),
        "selective",
        learning_rate=BIASES_RATE,
    ),
    "LoRA": Recipe(lambda model, ids: lora_everywhere(model), "lora"),
    "QLoRA": Recipe(lambda model, ids: lora_everywhere(quantize_model(model)), "qlora"),
    "QLoRA, no DQ": Recipe(
        lambda model, ids: lora_everywhere(quantize_model(model, double_quant=False)), "qlora"
    ),
    "bottlenecks": Recipe(lambda model, ids: apply_bottlenecks(model, BOTTLENECK), "bottleneck"),
    "prefix": Recipe(lambda model, ids: apply_prefix_tuning(model, N_TOKENS), "prefix"),
    "prefix, network": Recipe(
        lambda model, ids: apply_prefix_tuning(model, N_TOKENS, reparametrize=HIDDEN),
        "prefix",
        learning_rate=1e-2,
    ),
    "prefix, gate": Recipe(
        lambda model, ids: apply_prefix_tuning(model, N_TOKENS, gate=True), "prefix"
    ),
    "prompt": Recipe(lambda model, ids: apply_prompt_tuning(model, N_TOKENS, ids), "prompt"),
    "prompt, random": Recipe(lambda model, ids: apply_prompt_tuning(model, N_TOKENS), "prompt"),
}


def build(name: str, base: GPT, seed: int, start_ids: Sequence[int] = ()) -> GPT:
    """Returns a copy of base that trains what RECIPES[name] adds, or every weight.

    Args:
        seed: the seed of what starts at random; all recipes with LoRA start with the same A.
        start_ids: the tokens that a soft prompt starts as, if it does not start at random.
    """
    model = copy.deepcopy(base).requires_grad_(True)
    torch.manual_seed(seed)
    RECIPES[name].add(model, start_ids)
    return model


def settings(
    name: str, steps: int, seed: int, device: torch.device, batch_size: int = 8
) -> TrainConfig:
    """Returns how RECIPES[name] is trained: as by `minigpt finetune`, but without validation."""
    recipe = RECIPES[name]
    return FinetuneSettings(
        recipe.method,
        max_steps=steps,
        learning_rate=recipe.learning_rate,
        eval_every=0,
        early_stopping=0,
        seed=seed,
        device=str(device),
    ).train_config(batch_size)


def as_table(
    rows: Mapping[str, Mapping[str, float]], columns: Mapping[str, str], corner: str = ""
) -> str:
    """Returns numbers as text, with a header and a line for each row.

    Args:
        rows: {row: {column: number}}; there may be more columns than are shown.
        columns: {column: the format of its numbers, such as ".1f"}.
        corner: the text above the names of the rows, such as their unit.
    """
    lines = [f"{corner:<16}" + "".join(f"{name:>14}" for name in columns)]
    for name, numbers in rows.items():
        cells = (format(numbers[column], form) for column, form in columns.items())
        lines.append(f"{name:<16}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)


def draw(axis: Axes, results: Mapping[str, Mapping[str, float]]) -> None:
    """Draws BLEU against trained parameters: a marker for each method, a color for each family.

    The names stand in a legend outside the axes, the highest BLEU first: labels beside the points
    would cover each other where two methods are close.

    Args:
        results: {method: {"BLEU", "trained" (parameters), and if there is one "error", the standard
            error of BLEU, for a bar}}; other entries are ignored.
    """
    palette = ("k", "tab:red", "tab:blue", "tab:green")
    colors = dict(zip(dict.fromkeys(FAMILIES.values()), palette, strict=True))
    ranked = sorted(results, key=lambda name: -results[name]["BLEU"])
    for name, marker in zip(ranked, "os^vDP<X>p*h", strict=False):
        x, y = results[name]["trained"], results[name]["BLEU"]
        family = FAMILIES[RECIPES[name].method]
        label = f"{name} {y:.1f}, {family}"
        if "error" in results[name]:
            spread = results[name]["error"]
            axis.errorbar(x, y, spread, color=colors[family], capsize=3, lw=1, zorder=0)
        axis.scatter(x, y, s=60, marker=marker, color=colors[family], alpha=0.8, label=label)
    axis.set(xscale="log", xlabel="trained parameters", ylabel="translation (BLEU, 0 to 100)")
    axis.margins(x=0.1, y=0.1)
    axis.figure.legend(loc="outside right upper", title="method, BLEU, family")

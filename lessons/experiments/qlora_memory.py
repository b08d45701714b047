"""Measures bytes and time of a training step with the four methods that lesson 12 compares.

finetuning_methods.py says how the methods train; FOUR and COLUMNS serve to predict their memory.
The formats are always named, those of frozen weights too.

model = build("QLoRA", base, seed=1337)
taken = one_step(model, batch, dtype)              # bytes
ms = median_ms({"QLoRA": model}, data, dtype, 20)
print(step_table({"QLoRA": taken}, ms))
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from lessons.experiments.finetuning_methods import R, as_table
from minigpt import GPT
from minigpt.dataset import Batch, Data
from minigpt.memory.measured import measure_memory
from minigpt.memory.predicted import Memory, predict_memory
from minigpt.memory.run import Shape
from minigpt.optim.adamw import make_optimizer
from minigpt.training.distributed import join_processes
from minigpt.training.loop import training_step
from minigpt.training.settings import TrainConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The methods' settings for predict_memory, by their names in RECIPES
FOUR: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "LoRA": {"method": "lora", "r": R},
    "QLoRA": {"method": "qlora", "r": R},
    "QLoRA, no DQ": {"method": "qlora", "r": R, "double_quant": False},
}
HALF = {"weights": "bfloat16", "compute": "bfloat16"}
COLUMNS: dict[str, dict[str, Any]] = {
    "full, fp32": {"method": "full", "weights": "float32", "compute": "float32"},
    "full, bf16": {"method": "full", **HALF},
    "LoRA, bf16": {**FOUR["LoRA"], **HALF},
    "QLoRA, bf16": {**FOUR["QLoRA"], **HALF},
    "and checkp.": {**FOUR["QLoRA"], "checkpointing": True, **HALF},
}
PARTS = ("weights", "gradients", "optimizer", "activations")


def one_step(model: GPT, batch: Batch, dtype: torch.dtype) -> Memory:
    """Returns the bytes of a training step with matrix products in dtype and nothing paged."""
    optimizer = make_optimizer(model, learning_rate=1e-3)
    return measure_memory(model, optimizer, batch, dtype)


def median_ms(
    models: Mapping[str, GPT], data: Data, dtype: torch.dtype, rounds: int, batch_size: int = 8
) -> dict[str, float]:
    """Returns the median milliseconds of a training step of each model.

    The models take turns, with a step each in a round; the first round does not count.
    """
    config = TrainConfig(max_steps=rounds + 1, batch_size=batch_size, learning_rate=1e-4)
    optimizers = {name: make_optimizer(model, 1e-4) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for step in range(rounds + 1):
        for name, model in models.items():
            model.train()
            process = join_processes("none", next(model.parameters()).device)
            started = time.perf_counter()
            training_step(model, optimizers[name], data, step, config, process, dtype)
            times[name].append(1e3 * (time.perf_counter() - started))
    return {name: median(each[1:]) for name, each in times.items()}


def step_table(memory: Mapping[str, Memory], ms: Mapping[str, float]) -> str:
    """Returns what a step takes, in MB of 10^6 bytes and in milliseconds, a line a method."""
    columns = (*PARTS, "total")
    rows = {
        name: {column: getattr(taken, column) / 1e6 for column in columns} | {"ms a step": ms[name]}
        for name, taken in memory.items()
    }
    return as_table(rows, dict.fromkeys(columns, ".2f") | {"ms a step": ".0f"}, corner="MB")


def predicted_gb(shapes: Mapping[str, Shape]) -> str:
    """Returns the GB (10^9 bytes) of a step with one row of 1,024 tokens, a line a model."""
    rows = {
        name: {
            column: predict_memory(shape, batch_size=1, context=1024, **options).total / 1e9
            for column, options in COLUMNS.items()
        }
        for name, shape in shapes.items()
    }
    return as_table(rows, dict.fromkeys(COLUMNS, ".1f"), corner="GB")


def as_good(behind: float, allowed: float, form: str = "{:.1f}") -> str:
    """Returns the verdict on the claim that one method is as good as another.

    Args:
        behind: how much worse it is; below zero if it is better.
        allowed: how much worse still counts as no difference.
        form: the format of both numbers.
    """
    words = "reproduced" if behind <= allowed else "differs"
    where = "ahead" if behind < 0 else "behind"
    near = "; near that limit: another seed may say otherwise"
    return (
        f"{words}: {form.format(abs(behind))} {where}, up to {form.format(allowed)} counts as equal"
        + near * (abs(behind - allowed) < allowed / 4)
    )


def draw(
    memory: Mapping[str, Memory],
    ms: Mapping[str, float],
    llama: Mapping[str, Memory],
    published: Mapping[str, float],
) -> Figure:
    """Draws stacked bars of memory beside bars of time, and the prediction for Llama 2 7B.

    Args:
        memory, llama: bytes of a step of the base model and of Llama 2 7B, by method.
        ms: milliseconds of a step of the base model.
        published: GB of the published run.
    """
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(14, 4.8), layout="constrained")
    for axes, taken, unit, form in (
        (panels[0], memory, 1e6, "{:.0f}"),
        (panels[2], llama, 1e9, "{:.1f}"),
    ):
        bottom = dict.fromkeys(taken, 0.0)
        for part in PARTS:
            heights = {name: getattr(taken[name], part) / unit for name in taken}
            axes.bar(list(taken), list(heights.values()), bottom=list(bottom.values()), label=part)
            bottom = {name: bottom[name] + heights[name] for name in taken}
        for x, top in enumerate(bottom.values()):
            axes.text(x, 0.985 * top, form.format(top), ha="center", va="top", color="white")
        axes.margins(y=0.1)
    panels[0].set(ylabel="memory of a step (MB)", title="Base model, 5 million in fp32: measured")
    bars = panels[1].bar(list(ms), list(ms.values()), color="tab:gray")
    panels[1].bar_label(bars, fmt="%.0f")
    panels[1].set(ylabel="time of a step (ms, median)", title="Base model, 5 million in fp32")
    for name, gigabytes in published.items():
        x = list(llama).index(name)
        panels[2].plot([x - 0.4, x + 0.4], [gigabytes] * 2, "k--", label="published, in all")
        panels[2].text(x + 0.42, gigabytes, f"{gigabytes}", va="center")
    panels[2].set(ylabel="memory of a step (GB)", title="Llama 2, 7 billion in bf16: predicted")
    for axes in (panels[0], panels[2]):
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles=dict(zip(labels, handles, strict=True)).values(), fontsize="small")
    for axes in panels:
        axes.set_xlabel("method of training (DQ: double quantization)")
    return figure

"""Measures bytes and time of a training step with the four methods that lesson 12 compares.

finetuning_methods.py says how the methods train; FOUR and COLUMNS are for predicting their memory.

model = build("QLoRA", base, seed=1337)
taken = one_step(model, batch, dtype)                # bytes
ms = step_times({"QLoRA": model}, data, dtype, 20)   # milliseconds of each round
print(step_table({"QLoRA": taken}, ms))
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import numpy as np
import torch

from kernels import ops
from lessons.experiments.finetuning_methods import R, as_table
from lessons.experiments.paired import in_turns
from minigpt import GPT
from minigpt.dataset import Batch, Data
from minigpt.memory.measured import measure_memory
from minigpt.memory.predicted import Memory, predict_memory
from minigpt.memory.run import Shape
from minigpt.optim.adamw import make_optimizer
from minigpt.training.distributed import join_processes
from minigpt.training.loop import training_step
from minigpt.training.loss import autocast
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


def step_times(
    models: Mapping[str, GPT], data: Data, dtype: torch.dtype, rounds: int, batch_size: int = 8
) -> dict[str, np.ndarray]:
    """Returns the milliseconds of a training step of each model in each round, [rounds].

    The models take turns, with a step each in a round; the first round does not count.
    """
    config = TrainConfig(max_steps=rounds + 1, batch_size=batch_size, learning_rate=1e-4)
    for model in models.values():
        model.train()

    def steps_of(model: GPT) -> Callable[[], object]:
        optimizer = make_optimizer(model, 1e-4)
        process = join_processes("none", next(model.parameters()).device)
        numbers = count()
        return lambda: training_step(model, optimizer, data, next(numbers), config, process, dtype)

    return in_turns({name: steps_of(model) for name, model in models.items()}, rounds)


def step_table(memory: Mapping[str, Memory], ms: Mapping[str, np.ndarray]) -> str:
    """Returns what a step takes, in MB of 10^6 bytes and in milliseconds, a line a method."""
    columns = (*PARTS, "total")
    rows = {
        name: {column: getattr(taken, column) / 1e6 for column in columns}
        | {"ms a step": float(np.median(ms[name]))}
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


class Count(NamedTuple):
    """How often weights were quantized and dequantized in the two halves of a training step."""

    forward: tuple[int, int]
    backward: tuple[int, int]


def count_conversions(model: GPT, batch: Batch, dtype: torch.dtype) -> Count:
    """Counts the calls of quantize and dequantize in a forward and a backward pass."""
    with (
        mock.patch.object(ops, "quantize", wraps=ops.quantize) as quantize,
        mock.patch.object(ops, "dequantize", wraps=ops.dequantize) as dequantize,
    ):
        with autocast(batch.idx.device, dtype):
            _, loss = model(batch.idx, batch.targets, segments=batch.segments)
        forward = quantize.call_count, dequantize.call_count
        loss.backward()
        backward = quantize.call_count - forward[0], dequantize.call_count - forward[1]
    model.zero_grad()
    return Count(forward, backward)


def longest_row(shape: Shape, gigabytes: float, paged: bool, **options: Any) -> int:
    """Returns how many tokens a row may have at most in a step that fits a memory, predicted.

    Args:
        gigabytes: the memory, in units of 10^9 bytes.
        paged: whether the optimizer's state may leave the GPU while activations are there.
        options: arguments of predict_memory.
    """

    def fits(context: int) -> bool:
        taken = predict_memory(shape, batch_size=1, context=context, **options)
        return taken.total - paged * taken.optimizer <= 1e9 * gigabytes

    return bisect_left(range(1, shape.block_size + 1), True, key=lambda context: not fits(context))


def draw_spike(
    lengths: Sequence[int], shape: Shape, gigabytes: float, **options: Any
) -> tuple[Figure, int]:
    """Draws the predicted memory of steps with rows of these lengths, and a GPU's memory.

    Returns:
        the figure, and in how many steps the memory is exceeded with the optimizer's state on it.
    """
    import matplotlib.pyplot as plt

    steps = [predict_memory(shape, batch_size=1, context=n, **options) for n in lengths]
    x = range(1, len(lengths) + 1)
    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    bottom = np.zeros(len(steps))
    for label, parts in (
        ("weights and gradients", ("weights", "gradients")),
        ("activations", ("activations",)),
        ("optimizer's state", ("optimizer",)),
    ):
        heights = np.array([sum(getattr(step, part) for part in parts) for step in steps]) / 1e9
        axes.bar(x, heights, bottom=bottom, label=label)
        bottom += heights
    axes.axhline(gigabytes, color="black", ls="--", label=f"memory of the GPU, {gigabytes:g} GB")
    over = int((bottom > gigabytes).sum())
    axes.set(xlabel="step", ylabel="memory (GB)", xticks=x, ylim=(0, 1.1 * max(*bottom, gigabytes)))
    axes.set_title(f"Steps with rows of {min(lengths)} to {max(lengths):,} tokens, predicted")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize="small")
    return figure, over


def draw(
    memory: Mapping[str, Memory],
    ms: Mapping[str, np.ndarray],
    llama: Mapping[str, Memory],
    published: Mapping[str, float],
) -> Figure:
    """Draws stacked bars of memory beside bars of time, and the prediction for Llama 2 7B.

    Args:
        memory, llama: bytes of a step of the base model and of Llama 2 7B, by method.
        ms: milliseconds of the steps of the base model, [rounds]; half of them lie in the error
            bars.
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
    panels[0].set(ylabel="memory of a step (MB)", title="Base model, 5 million weights: measured")
    low, middle, high = np.percentile(list(ms.values()), [25, 50, 75], axis=1)
    spread = [middle - low, high - middle]
    bars = panels[1].bar(list(ms), middle, yerr=spread, capsize=4, color="tab:gray")
    panels[1].bar_label(bars, fmt="%.0f", label_type="center", color="white")
    panels[1].set(
        ylabel="time of a step (ms)",
        title="Base model: median time of a step\n(black lines: the middle half of the steps)",
    )
    for name, gigabytes in published.items():
        x = list(llama).index(name)
        panels[2].plot([x - 0.4, x + 0.4], [gigabytes] * 2, "k--", label="published, in all")
        panels[2].text(x, gigabytes, f"{gigabytes}", ha="center", va="bottom")
    panels[2].set(ylabel="memory of a step (GB)", title="Llama 2 7B, the published run: predicted")
    for axes in (panels[0], panels[2]):
        handles, labels = axes.get_legend_handles_labels()
        axes.margins(y=0.35)  # room for the legend
        axes.legend(
            handles=dict(zip(labels, handles, strict=True)).values(), fontsize="small", ncols=2
        )
    for axes in panels:
        axes.set_xlabel("method of training (DQ: double quantization)")
    return figure

"""The four ways of training that lesson 12 compares, and what a step of each takes.

HALF and COLUMNS are for predicting it: the formats of a model that is in bf16, and the ways of the
table of models. Formats are always named, those of frozen weights too.

model = build("QLoRA", base, seed=1337)
taken = one_step(model, batch, dtype)              # bytes
ms = median_ms({"QLoRA": model}, batch, dtype, 20)
print(as_table({"QLoRA": taken}, ms))
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from minigpt import GPT
from minigpt.dataset import Batch
from minigpt.lora.model import apply_lora
from minigpt.memory.measured import measure_memory
from minigpt.memory.predicted import Memory, predict_memory
from minigpt.memory.run import Shape
from minigpt.optim.adamw import make_optimizer
from minigpt.qlora.model import quantize_model
from minigpt.training.loop import training_step
from minigpt.training.settings import TrainConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

R, ALPHA, EVERY_LAYER = 12, 192, ("c_attn", "c_proj", "c_fc")
# Each as predict_memory describes it. DQ is double quantization.
WAYS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "LoRA": {"method": "lora", "r": R},
    "QLoRA": {"method": "qlora", "r": R},
    "QLoRA, no DQ": {"method": "qlora", "r": R, "double_quant": False},
}
HALF = {"weights": "bfloat16", "compute": "bfloat16"}
COLUMNS: dict[str, dict[str, Any]] = {
    "full, fp32": {"method": "full", "weights": "float32", "compute": "float32"},
    "full, bf16": {"method": "full", **HALF},
    "LoRA, bf16": {**WAYS["LoRA"], **HALF},
    "QLoRA, bf16": {**WAYS["QLoRA"], **HALF},
    "and checkp.": {**WAYS["QLoRA"], "checkpointing": True, **HALF},
}
PARTS = ("weights", "gradients", "optimizer", "activations")


def build(way: str, base: GPT, seed: int) -> GPT:
    """A copy of base, ready to be trained; LoRA's A starts the same in all ways that have one."""
    model = copy.deepcopy(base).requires_grad_(True)
    if way == "full":
        return model
    if way != "LoRA":
        quantize_model(model, double_quant=way == "QLoRA")
    torch.manual_seed(seed)
    return apply_lora(model, r=R, alpha=ALPHA, target_modules=EVERY_LAYER)


def settings(way: str, steps: int, seed: int, device: torch.device) -> TrainConfig:
    """Few new numbers take larger steps than many old ones; QLoRA pages its optimizer on a GPU."""
    return TrainConfig(
        max_steps=steps,
        learning_rate=1e-3 if way == "full" else 1.5e-3,
        min_learning_rate=0.0,
        warmup_steps=steps // 20,
        weight_decay=0.1 if way == "full" else 0.0,
        betas=(0.9, 0.98),
        paged=way.startswith("QLoRA"),
        seed=seed,
        device=str(device),
    )


def one_step(model: GPT, batch: Batch, dtype: torch.dtype) -> Memory:
    """The bytes that a training step takes, with matrix products in dtype and nothing paged."""
    optimizer = make_optimizer(model, learning_rate=1e-3)
    return measure_memory(model, optimizer, batch, dtype)


def median_ms(
    models: Mapping[str, GPT], batch: Batch, dtype: torch.dtype, rounds: int
) -> dict[str, float]:
    """Milliseconds of a training step. The models take turns; the first round does not count."""
    config = TrainConfig(max_steps=1)
    optimizers = {way: make_optimizer(model, 1e-4) for way, model in models.items()}
    times: dict[str, list[float]] = {way: [] for way in models}
    for _ in range(rounds + 1):
        for way, model in models.items():
            model.train()
            started = time.perf_counter()
            training_step(model, optimizers[way], batch, config, dtype=dtype)
            times[way].append(1e3 * (time.perf_counter() - started))
    return {way: median(each[1:]) for way, each in times.items()}


def as_table(memory: Mapping[str, Memory], ms: Mapping[str, float]) -> str:
    """What a step of each way takes, in MB of 10^6 bytes and in milliseconds, a line each."""
    columns = (*PARTS, "total")
    lines = [f"{'MB':<14}" + "".join(f"{name:>13}" for name in (*columns, "ms a step"))]
    for way, taken in memory.items():
        sizes = "".join(f"{getattr(taken, name) / 1e6:>13.2f}" for name in columns)
        lines.append(f"{way:<14}{sizes}{ms[way]:>13.0f}")
    return "\n".join(lines)


def predicted_gb(shapes: Mapping[str, Shape]) -> str:
    """What a step with one row of 1,024 tokens takes in GB of 10^9 bytes, a line for each model."""
    lines = [f"{'GB':<11}" + "".join(f"{name:>13}" for name in COLUMNS)]
    for name, shape in shapes.items():
        sizes = [predict_memory(shape, batch_size=1, context=1024, **c) for c in COLUMNS.values()]
        lines.append(f"{name:<11}" + "".join(f"{size.total / 1e9:>13.1f}" for size in sizes))
    return "\n".join(lines)


def as_good(behind: float, allowed: float, form: str = "{:.1f}") -> str:
    """The verdict on the claim that one way is as good as another, and how near it is.

    Args:
        behind: by how much it is worse; below zero if it is better.
        allowed: so much counts as no difference.
        form: how both are written.
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
    """Stacked bars of memory beside those of time, and what is predicted for Llama 2 7B.

    Args:
        memory, llama: bytes of a step of the base model and of Llama 2 7B, by way.
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
            heights = {way: getattr(taken[way], part) / unit for way in taken}
            axes.bar(list(taken), list(heights.values()), bottom=list(bottom.values()), label=part)
            bottom = {way: bottom[way] + heights[way] for way in taken}
        for x, top in enumerate(bottom.values()):
            axes.text(x, 0.985 * top, form.format(top), ha="center", va="top", color="white")
        axes.margins(y=0.1)
    panels[0].set(ylabel="memory of a step (MB)", title="Base model, 5 million in fp32: measured")
    bars = panels[1].bar(list(ms), list(ms.values()), color="tab:gray")
    panels[1].bar_label(bars, fmt="%.0f")
    panels[1].set(ylabel="time of a step (ms, median)", title="Base model, 5 million in fp32")
    for way, gigabytes in published.items():
        x = list(llama).index(way)
        panels[2].plot([x - 0.4, x + 0.4], [gigabytes] * 2, "k--", label="published, in all")
        panels[2].text(x + 0.42, gigabytes, f"{gigabytes}", va="center")
    panels[2].set(ylabel="memory of a step (GB)", title="Llama 2, 7 billion in bf16: predicted")
    for axes in (panels[0], panels[2]):
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles=dict(zip(labels, handles, strict=True)).values(), fontsize="small")
    for axes in panels:
        axes.set_xlabel("way of training (DQ: double quantization)")
    return figure

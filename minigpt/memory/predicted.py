"""Predicts how much memory training takes, before anything is built.

    predict_memory(GPTConfig.preset("gpt2-xl"), "qlora", batch_size=1, context=1024)

Four things are in memory while a model is trained:

    weights      every parameter, in the format it is stored in: 4 bytes in fp32, 2 in bf16, 4.127
                 bits in NF4 with double quantization; and what the method adds, in fp32
    gradients    one number for each trained parameter
    optimizer    two for each trained parameter, AdamW's running means of g and g^2, and a step
                 counter of 4 bytes for each tensor
    activations  what the forward pass leaves for the backward pass: activations.py

The first three do not depend on the batch, the last is proportional to it. The total is their sum.
It leaves out what exists only for a moment: the result that a kernel is just writing, gradients of
activations in the backward pass, a 4-bit weight expanded for a product (on a CPU that piece of
memory is kept for the next weight). measured.py counts a step that really runs; on a CPU all four
agree with it to the byte (in a model that is bf16 throughout, activations agree to 1%: there a
CPU's layer norms keep bf16 where a GPU's keep fp32).

The figures published for a 7B model are 21.33 GB for LoRA in bf16 and 14.18 GB for QLoRA (Raschka
2023). Lesson 12 predicts that run with its own settings. With r = 8 at every linear layer, for
Llama 2 7B and batch 1, the command

    minigpt memory --preset llama2-7b --weights bfloat16 --r 8 --context N

prints

    context     LoRA     QLoRA
    512      16.42 GB    6.81 GB
    1024     19.01 GB    9.40 GB

No batch and context give both published figures: in the prediction the two methods differ only in
their weights, by 9.61 GB, and the published figures differ by 7.15 GB. What else that run held at
its peak is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from minigpt.config import PRESETS, GPTConfig
from minigpt.memory.activations import activation_bytes
from minigpt.memory.counts import count_trained, parameters
from minigpt.memory.llama import LLAMA_2
from minigpt.memory.run import FORMATS, Shape, TrainingRun, block_layers, check_run


@dataclass(frozen=True)
class Memory:
    """The bytes that a training step takes.

    Attributes:
        peak: the most that was allocated on a GPU, if it was measured.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    peak: int | None = None

    @property
    def total(self) -> int:
        """Returns the sum of the four."""
        return self.weights + self.gradients + self.optimizer + self.activations


def predict_memory(
    shape: Shape, method: str, batch_size: int, context: int, **settings: Any
) -> Memory:
    """Predicts what training a model of this shape takes; nothing is built.

    Args:
        shape: a GPTConfig, or a LlamaShape, to which the methods are applied as to a GPT.
        method, batch_size, context, settings: the attributes of TrainingRun, by name.

    Raises:
        ValueError: a setting is out of range, or does not fit the shape.
    """
    return memory_of(shape, TrainingRun(method, batch_size, context, **settings))


def memory_of(shape: Shape, run: TrainingRun) -> Memory:
    """Returns what the described step takes; raises ValueError if it does not fit the shape."""
    check_run(shape, run)
    numbers, tensors = count_trained(shape, run)
    size = FORMATS[run.weights] if run.adds_nothing else 4
    return Memory(
        weights=weight_bytes(shape, run),
        gradients=size * numbers,
        optimizer=2 * size * numbers + 4 * tensors,
        activations=activation_bytes(shape, run),
    )


def weight_bytes(shape: Shape, run: TrainingRun) -> int:
    """Returns the bytes of all parameters, with the scales of those in NF4."""
    size, total = FORMATS[run.weights], parameters(shape)
    if run.adds_nothing:
        return size * total
    added = 4 * count_trained(shape, run)[0]
    if run.method != "qlora":
        return size * total + added
    matrices = [layer.n_in * layer.n_out for layer in block_layers(shape)]
    in_nf4 = shape.n_layer * sum(nf4_bytes(n, run) for n in matrices)
    return size * (total - shape.n_layer * sum(matrices)) + in_nf4 + added


def nf4_bytes(n: int, run: TrainingRun) -> int:
    """Returns the bytes of n numbers in 4 bits, with a scale for every block; see kernels/nf4.py.

    Without double quantization a scale is fp32. With it a scale is a byte, 256 scales share an fp32
    scale, and there is one fp32 offset for all: 4 + 8/64 + 32/(64 x 256) = 4.127 bits a number.
    """
    scales = ceil(n / run.nf4_block_size)
    if not run.double_quant:
        return ceil(n / 2) + 4 * scales
    return ceil(n / 2) + scales + 4 * ceil(scales / 256) + 4


def named_shape(name: str) -> Shape:
    """Returns the shape of a GPT-2, GPT-3 or Llama 2 by its name.

    Raises:
        ValueError: there is no such preset; the error lists the ones there are.
    """
    shapes: dict[str, Shape] = {preset: GPTConfig.preset(preset) for preset in PRESETS}
    shapes |= {size.lower(): shape for size, shape in LLAMA_2.items()}
    if name not in shapes:
        raise ValueError(f"no preset is called {name!r}; there are {', '.join(shapes)}")
    return shapes[name]

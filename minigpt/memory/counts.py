"""How many parameters each way of fine-tuning trains, in closed form; no model is built.

With width C, L blocks and n virtual tokens:

    LoRA             r (in + out) for every matrix it stands beside
    prompt tuning    n C
    prefix tuning    n 2 L C, keys and values of every block; made by a network of hidden width h,
                     n C + (C + 1) h + (h + 1) 2 L C, of which n 2 L C numbers are saved; a gate
                     for each of the H heads of every block is L H more
    bottlenecks      2 L (2 C r + r + C), two matrices and two biases behind every sublayer
    last N blocks    N (12 C^2 + 13 C) + 2 C, with the final norm
    biases           11 L C + C, in four linear layers and two norms a block and the final norm

Sources: Hu et al. 2021 (arXiv 2106.09685), section 4.2 and table 4; Houlsby et al. 2019 (arXiv
1902.00751), section 2.1; Li and Liang 2021 (arXiv 2101.00190), section 4; Ben Zaken et al. 2022
(arXiv 2106.10199), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

from minigpt.bottlenecks.layer import check_bottleneck
from minigpt.config import GPTConfig, count_parameters
from minigpt.lora.layer import check_settings
from minigpt.memory.run import (
    LinearLayer,
    Shape,
    TrainingRun,
    block_layers,
    chosen_layers,
    kv_width,
    live_blocks,
    lora_layers,
    width,
)


def count_lora(config: GPTConfig, r: int, target_modules: Sequence[str] = ("c_attn",)) -> int:
    """Counts the parameters that LoRA trains.

    Args:
        target_modules: as for apply_lora. GPT-2 keeps the matrices of queries, keys and values in
            one, c_attn [3 C, C]; where they are apart, as in Hu et al., they are "q", "k" and "v"
            [C, C], and the output projection is "o".

    Raises:
        ValueError: r is out of range for one of the matrices, or a name is not known.
    """
    check_settings(r, alpha=1, dropout=0)
    apart = [LinearLayer(f"attn.{letter}", config.n_embd, config.n_embd) for letter in "qkvo"]
    return low_rank_numbers(r, chosen_layers(config, r, target_modules, apart))


def low_rank_numbers(r: int, layers: Sequence[LinearLayer]) -> int:
    """Counts the numbers in A [r, in] and B [out, r] of all these layers."""
    return sum(r * (layer.n_in + layer.n_out) for layer in layers)


def count_prompt_tuning(shape: Shape, n_tokens: int) -> int:
    """Counts the parameters that prompt tuning trains."""
    return n_tokens * width(shape)


def count_prefix_tuning(
    shape: Shape, n_tokens: int, reparametrize: int | None = None, gate: bool = False
) -> int:
    """Counts the parameters that prefix tuning trains; reparametrize is the network's width h."""
    C, out = width(shape), 2 * shape.n_layer * kv_width(shape)
    gates = shape.n_layer * shape.n_head if gate else 0
    if reparametrize is None:
        return n_tokens * out + gates
    return n_tokens * C + (C + 1) * reparametrize + (reparametrize + 1) * out + gates


def count_bottlenecks(shape: Shape, r: int) -> int:
    """Counts the parameters of bottlenecks of width r.

    For GPT-3 with r = 1, 4, 8, 16, 64 these are the 7.1, 21.2, 40.1, 77.9 and 304.4 million of Hu
    et al., table 4, rounded.

    Raises:
        ValueError: r is out of range.
    """
    check_bottleneck(r)
    C = width(shape)
    return 2 * shape.n_layer * (2 * C * r + r + C)


def count_selective(shape: Shape, last_blocks: int | None = None, biases_only: bool = False) -> int:
    """Counts the parameters of the last blocks with the final norm, or of their biases alone.

    Raises:
        ValueError: the shape has fewer blocks, or no biases.
    """
    run = TrainingRun("selective", 1, 1, last_blocks=last_blocks, biases_only=biases_only)
    return _selective(shape, run)[0]


def _selective(shape: Shape, run: TrainingRun) -> tuple[int, int]:
    """Counts the numbers that selective fine-tuning trains, and the tensors that they are in."""
    n_blocks, C = live_blocks(shape, run), width(shape)
    layers = block_layers(shape)
    weights = sum(layer.n_in * layer.n_out for layer in layers) + 2 * C  # and the gains of norms
    has_bias = isinstance(shape, GPTConfig) and shape.bias
    biases = sum(layer.n_out for layer in layers) + 2 * C if has_bias else 0
    kinds = ([] if run.biases_only else [(weights, C)]) + ([(biases, C)] if has_bias else [])
    numbers = sum(n_blocks * block + last for block, last in kinds)
    return numbers, len(kinds) * (n_blocks * (len(layers) + 2) + 1)


def count_trained(shape: Shape, run: TrainingRun) -> tuple[int, int]:
    """Counts the numbers that a described step trains, and the tensors that they are in."""
    if run.method == "full":
        return parameters(shape), parameter_tensors(shape)
    if run.adds_lora:
        layers = lora_layers(shape, run)
        return low_rank_numbers(run.r, layers), 2 * len(layers)
    if run.method == "prompt":
        return count_prompt_tuning(shape, run.n_tokens), 1
    if run.method == "selective":
        return _selective(shape, run)
    if run.method == "bottleneck":
        return count_bottlenecks(shape, run.bottleneck), 8 * shape.n_layer
    tensors = (1 if run.reparametrize is None else 5) + run.gate
    return count_prefix_tuning(shape, run.n_tokens, run.reparametrize, run.gate), tensors


def parameters(shape: Shape) -> int:
    """Counts the parameters of the pretrained model."""
    if isinstance(shape, GPTConfig):
        return count_parameters(shape)
    return shape.linear_parameters + shape.other_parameters


def parameter_tensors(shape: Shape) -> int:
    """Counts the tensors that the parameters of the pretrained model are in."""
    if not isinstance(shape, GPTConfig):
        return 3 + shape.n_layer * (7 + 2)  # embedding, head, last norm; matrices and norms
    each = 2 if shape.bias else 1  # a weight, a bias
    return 2 + each + shape.n_layer * 6 * each  # embeddings, last norm; matrices and norms

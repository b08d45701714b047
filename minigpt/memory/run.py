"""Describes a training step by what decides how much memory it takes, and lists its linear layers.

activations.py and predicted.py compute the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from minigpt.config import GPTConfig, is_whole
from minigpt.finetuning.settings import IN_PLACE, RECIPES
from minigpt.layers import choose
from minigpt.lora.layer import check_rank, check_settings
from minigpt.memory.llama import LlamaShape
from minigpt.selective.part import trained_blocks

HEAD = "lm_head"
FORMATS = {"float32": 4, "bfloat16": 2}  # bytes a number
Shape = GPTConfig | LlamaShape


@dataclass(frozen=True)
class TrainingRun:
    """The settings of a training step that decide how much memory it takes.

    Attributes:
        method: one of finetuning.settings.RECIPES.
        batch_size, context: B rows of T tokens, not counting those of a soft prompt.
        packed: a row holds several texts, so every row has a mask of its own (`segments`).
        n_targets: number of positions that count for the loss; all B T if None.
        r, target_modules: LoRA's settings; None means every linear layer of a block.
        double_quant, nf4_block_size: QLoRA's settings.
        n_tokens: number of virtual tokens of prompt and prefix tuning.
        reparametrize: hidden width of the network that makes the prefix; None if there is none.
        gate: whether a prefix stands beside the text, with a gate for each head.
        bottleneck: width of a bottleneck.
        last_blocks, biases_only: what selective fine-tuning trains (selective/part.py).
        weights: number format of the pretrained weights. With "full" and "selective" these are
            trained, and their gradients and moments are in the same format; what other methods add
            is float32.
        compute: number format of matrix products; float32 weights are rounded on use (autocast).
        checkpointing: only the blocks' inputs are kept, and the backward pass computes them again.
        stored_attention: attention is written out and keeps its weights [T, T], as on a CPU in
            bfloat16 up to 512 tokens (fast/attention.py); if False, a fused kernel computes it.

    Raises:
        ValueError: a setting is out of range.
    """

    method: str
    batch_size: int
    context: int
    packed: bool = False
    n_targets: int | None = None
    r: int = 8
    target_modules: Sequence[str] | None = None
    double_quant: bool = True
    nf4_block_size: int = 64
    n_tokens: int = 20
    reparametrize: int | None = None
    gate: bool = False
    bottleneck: int = 16
    last_blocks: int | None = None
    biases_only: bool = False
    weights: str = "float32"
    compute: str = "float32"
    checkpointing: bool = False
    stored_attention: bool = False

    def __post_init__(self) -> None:
        if self.method not in RECIPES:
            raise ValueError(f"method must be one of {', '.join(RECIPES)}, got {self.method!r}")
        or_none = ("n_targets", "reparametrize", "last_blocks")
        for name in ("batch_size", "context", "n_tokens", "bottleneck", *or_none):
            value = getattr(self, name)
            if value is None and name in or_none:
                continue
            if not is_whole(value) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.n_targets is not None and self.n_targets > self.batch_size * self.context:
            raise ValueError(
                f"n_targets must be at most batch_size x context = "
                f"{self.batch_size * self.context}, got {self.n_targets}"
            )
        check_settings(self.r, alpha=1, dropout=0)
        if self.nf4_block_size not in [2**i for i in range(5, 13)]:
            raise ValueError(
                f"nf4_block_size must be a power of two from 32 to 4096, got {self.nf4_block_size}"
            )
        for name in ("weights", "compute"):
            if getattr(self, name) not in FORMATS:
                raise ValueError(f"{name} must be float32 or bfloat16, got {getattr(self, name)!r}")
        if self.weights == "bfloat16" and self.compute == "float32":
            raise ValueError(
                "weights in bfloat16 cannot be multiplied in float32; set compute to bfloat16, or "
                "weights to float32"
            )

    @property
    def past(self) -> int:
        """Returns how many keys and values stand before every text."""
        return self.n_tokens if self.method in ("prompt", "prefix") and not self.gated else 0

    @property
    def gated(self) -> bool:
        """Returns whether a prefix stands beside the text."""
        return self.method == "prefix" and self.gate

    @property
    def adds_lora(self) -> bool:
        """Returns whether LoRA stands beside linear layers."""
        return self.method in ("lora", "qlora")

    @property
    def adds_nothing(self) -> bool:
        """Returns whether the model's own parameters are trained."""
        return self.method in IN_PLACE

    @property
    def trains_weights(self) -> bool:
        """Returns whether matrices and gains of the model itself learn, with their biases."""
        return self.adds_nothing and not self.trains_biases_only

    @property
    def trains_biases_only(self) -> bool:
        """Returns whether the biases of the model itself learn, and nothing else."""
        return self.method == "selective" and self.biases_only


class LinearLayer(NamedTuple):
    """A linear layer: its name in the block and its sizes."""

    name: str
    n_in: int
    n_out: int


def block_layers(shape: Shape) -> list[LinearLayer]:
    """Returns the linear layers of a block in the order in which they compute."""
    if isinstance(shape, GPTConfig):
        C = shape.n_embd
        return [
            LinearLayer("attn.c_attn", C, 3 * C),
            LinearLayer("attn.c_proj", C, C),
            LinearLayer("mlp.c_fc", C, 4 * C),
            LinearLayer("mlp.c_proj", 4 * C, C),
        ]
    C, F = shape.dim, shape.ffn
    return [
        LinearLayer("self_attn.q_proj", C, C),
        LinearLayer("self_attn.k_proj", C, shape.kv_dim),
        LinearLayer("self_attn.v_proj", C, shape.kv_dim),
        LinearLayer("self_attn.o_proj", C, C),
        LinearLayer("mlp.gate_proj", C, F),
        LinearLayer("mlp.up_proj", C, F),
        LinearLayer("mlp.down_proj", F, C),
    ]


def head_layer(shape: Shape) -> LinearLayer:
    """Returns the LM head, which QLoRA leaves as it is."""
    return LinearLayer(HEAD, width(shape), shape.vocab_size)


def chosen_layers(
    shape: Shape, r: int, target_modules: Sequence[str], others: Sequence[LinearLayer] = ()
) -> list[LinearLayer]:
    """Returns the layers that LoRA of rank r stands beside; each block also has the others.

    Raises:
        ValueError: a name matches no layer, or r is greater than a layer's rank can be.
    """
    blocks = "transformer.h" if isinstance(shape, GPTConfig) else "model.layers"
    layers = {
        f"{blocks}.{i}.{layer.name}": layer
        for i in range(shape.n_layer)
        for layer in [*block_layers(shape), *others]
    } | {HEAD: head_layer(shape)}
    names = choose(layers, target_modules)
    for name in names:
        check_rank(r, layers[name].n_in, layers[name].n_out, name)
    return [layers[name] for name in names]


def lora_layers(shape: Shape, run: TrainingRun) -> list[LinearLayer]:
    """Returns the layers of the whole model that get a LoRA adapter; none with other methods.

    Raises:
        ValueError: as chosen_layers.
    """
    if not run.adds_lora:
        return []
    targets = run.target_modules
    if targets is None:
        targets = [layer.name for layer in block_layers(shape)]
    return chosen_layers(shape, run.r, targets)


def live_blocks(shape: Shape, run: TrainingRun) -> int:
    """Returns through how many blocks, counted from the head, gradients go.

    Raises:
        ValueError: the shape has fewer blocks than are to be trained, or no biases.
    """
    if run.method != "selective":
        return shape.n_layer
    bias = isinstance(shape, GPTConfig) and shape.bias
    return trained_blocks(shape.n_layer, bias, run.last_blocks, run.biases_only)


def width(shape: Shape) -> int:
    """Returns C, how many numbers the residual stream has for a token."""
    return shape.n_embd if isinstance(shape, GPTConfig) else shape.dim


def kv_width(shape: Shape) -> int:
    """Returns how many numbers the keys of a token have."""
    return shape.n_embd if isinstance(shape, GPTConfig) else shape.kv_dim


def check_run(shape: Shape, run: TrainingRun) -> None:
    """Checks that a model of this shape can be trained with these settings.

    Raises:
        ValueError: the tokens do not fit the context, LoRA's settings do not fit the layers, or the
            part to train is not there.
    """
    lora_layers(shape, run)
    live_blocks(shape, run)
    if run.past + run.context > shape.block_size:
        virtual = f" and {run.past} of the soft prompt" if run.past else ""
        raise ValueError(
            f"context must be at most {shape.block_size - run.past}, since the model's block_size "
            f"is {shape.block_size}, got {run.context} tokens{virtual}"
        )

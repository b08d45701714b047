"""QLoRA: a model whose linear layers are frozen in 4 bits, trained through LoRA beside them.

    model = quantize_model(load_pretrained("base")[0])    # linear layers take an eighth of fp32
    apply_lora(model, r=8, target_modules=("c_attn", "c_proj", "c_fc"))
    train(model, ...)                                     # only the adapter learns
    save_lora(model, "runs/french")                       # fits every copy of the 4-bit model

    plain = dequantize_model(copy.deepcopy(model))        # LoRA cannot be merged into 4 bits
    merge_lora(plain)

A layer expands its weight for the time of one matrix product, forward or backward, and otherwise
keeps 4.127 bits of each number. (On a CPU the memory of an expanded large weight is kept for the
next one; see kernels/cpu/memory.py.) The layer is in layer.py, the files are in files.py.
Source: Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs" (arXiv 2305.14314,
section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import nn

from kernels.checks import check_block_size
from minigpt.layers import linear_layers, matches, within_block
from minigpt.qlora.layer import NF4Linear

SKIP = ("lm_head",)

Model = TypeVar("Model", bound=nn.Module)


def quantize_model(
    model: Model,
    block_size: int = 64,
    double_quant: bool = True,
    skip: Sequence[str] = SKIP,
) -> Model:
    """Puts an NF4Linear in the place of every linear layer and freezes the whole model.

    Embeddings are not linear layers and stay as they are. So does GPT's LM head, whose weight is
    the token embedding; with skip=() a copy of it is quantized, and the two are no longer tied. On
    an error the model is unchanged.

    Models other than GPT must call their linear layers: nn.TransformerEncoderLayer, which reads
    their weights instead, fails in its forward pass.

    Args:
        block_size, double_quant: see kernels.quantize_nf4.
        skip: layers to leave as they are, by their names or the ends of them: "lm_head",
            "mlp.c_proj".

    Returns:
        model, changed in place.

    Raises:
        ValueError: the model is quantized already or has adapters or soft prompts, a name in skip
            (other than lm_head) matches no layer, nothing is left to quantize, block_size is not
            allowed, or a weight has a NaN or Inf; the error names the layer.
        TypeError: a weight is not fp32, fp16 or bf16.
    """
    if is_quantized(model):
        raise ValueError(
            "the model is quantized already: its linear layers are in 4 bits; "
            "dequantize_model(model) makes numbers of them again"
        )
    linear = dict(linear_layers(model))
    for path, layer in linear.items():
        if not isinstance(layer, nn.Linear):
            raise ValueError(
                f"{path} is a {type(layer).__name__}; quantize the plain model first, then put "
                "adapters on it (apply_lora, load_lora)"
            )
    if getattr(model, "soft_prompts", None) is not None:
        raise ValueError(
            "the model has soft prompts; quantize the plain model first, then put them before it "
            "(apply_prompt_tuning, apply_prefix_tuning, load_soft_prompt)"
        )
    check_block_size("block_size", block_size)
    skip = [skip] if isinstance(skip, str) else list(skip)
    short = ", ".join(dict.fromkeys(map(within_block, linear))) or "none"
    for target in skip:
        if target not in SKIP and not any(matches(path, target) for path in linear):
            raise ValueError(f"skip: no linear layer is called {target!r}; there are {short}")
    chosen = [path for path in linear if not any(matches(path, target) for target in skip)]
    if not chosen:
        raise ValueError(
            f"no linear layer is left to quantize: there are {short}, and skip is {skip}"
        )

    quantized = {}
    for path in chosen:
        try:
            quantized[path] = NF4Linear(linear[path], block_size, double_quant)  # type: ignore[arg-type]
        except (ValueError, TypeError) as error:
            raise type(error)(f"{path}: {error}") from None
    for path, replacement in quantized.items():
        model.set_submodule(path, replacement)
    return model.requires_grad_(False)


def dequantize_model(model: Model) -> Model:
    """Replaces every NF4Linear by a plain linear layer with the numbers that the codes stand for.

    The model computes what it computed before, but for rounding; LoRA adapters stay beside their
    layers and can now be merged. Nothing is unfrozen, and an LM head that was quantized stays
    separate from the token embedding, so that save_pretrained refuses the model.

    Returns:
        model, changed in place.

    Raises:
        ValueError: it has no NF4Linear.
    """
    for path, layer in _layers_or_error(model).items():
        model.set_submodule(path, layer.dequantize())
    return model


def quantized_layers(model: nn.Module) -> dict[str, NF4Linear]:
    """Returns the layers in 4 bits by name, which ends in ".base" inside LoRA or a bottleneck."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, NF4Linear)}


def is_quantized(model: nn.Module) -> bool:
    """Returns whether any layer of the model is in 4 bits."""
    return any(isinstance(layer, NF4Linear) for layer in model.modules())


def _layers_or_error(model: nn.Module) -> dict[str, NF4Linear]:
    layers = quantized_layers(model)
    if not layers:
        raise ValueError("the model has no layer in 4 bits; quantize_model puts them there")
    return layers


def frozen_bits(model: nn.Module) -> float:
    """Returns the bits that each weight of the layers in 4 bits takes in memory, scales included.

        4 + 8/64 + 32/(64 * 256) = 4.127     double quantization, blocks of 64 and 256
        4 + 32/64                = 4.5       without

    Raises:
        ValueError: no layer is in 4 bits.
    """
    weights = [layer.quantized for layer in _layers_or_error(model).values()]
    return 8 * sum(q.nbytes for q in weights) / sum(q.numel for q in weights)

"""Which parameters learn when only a part of a model does: the last blocks, or their biases.

A part is said by two settings, and counted from the LM head, where gradients come from:

    last_blocks=2                      the last two blocks and the final norm
    biases_only=True                   the biases of all blocks and of the final norm
    last_blocks=2, biases_only=True    those of the last two

Names only: nothing here needs a model.
"""

from __future__ import annotations

from minigpt.config import GPTConfig, is_whole

LAYERS = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")  # of a block


def trained_blocks(n_layer: int, bias: bool, last_blocks: int | None, biases_only: bool) -> int:
    """Returns in how many blocks something learns, of a model with n_layer blocks.

    Args:
        bias: whether the model has biases.
        last_blocks: None is 1, or all of them with biases_only.

    Raises:
        ValueError: the model has fewer blocks, or no biases.
    """
    if biases_only and not bias:
        raise ValueError(
            "biases_only has nothing to train: this model has no biases; take last_blocks"
        )
    if last_blocks is None:
        return n_layer if biases_only else 1
    if not is_whole(last_blocks) or not 1 <= last_blocks <= n_layer:
        raise ValueError(
            f"last_blocks must be from 1 to {n_layer}, the blocks of this model, got "
            f"{last_blocks!r}"
        )
    return last_blocks


def plain_names(config: GPTConfig) -> list[str]:
    """Returns the names of the parameters of all blocks and of the final norm, first to last."""
    kinds = ("weight", "bias") if config.bias else ("weight",)
    layers = [f"transformer.h.{i}.{layer}" for i in range(config.n_layer) for layer in LAYERS]
    return [f"{layer}.{kind}" for layer in [*layers, "transformer.ln_f"] for kind in kinds]


def part_names(config: GPTConfig, last_blocks: int, biases_only: bool) -> list[str]:
    """Returns the names of the parameters that learn, those of the final norm at the end."""
    of_a_block = len(LAYERS) * (2 if config.bias else 1)
    names = plain_names(config)[of_a_block * (config.n_layer - last_blocks) :]
    return [name for name in names if name.endswith(".bias") or not biases_only]

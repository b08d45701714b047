"""How many parameters LoRA trains, in closed form.

Source: Hu et al. 2021 (arXiv 2106.09685), section 4.2 and table 4.
"""

from __future__ import annotations

from collections.abc import Sequence

from minigpt.config import GPTConfig
from minigpt.layers import choose
from minigpt.lora.layer import check_rank, check_settings


def count_lora(config: GPTConfig, r: int, target_modules: Sequence[str] = ("c_attn",)) -> int:
    """Counts the parameters that LoRA trains, r (in + out) for every matrix; no model is built.

    Args:
        target_modules: as for apply_lora. GPT-2 keeps the matrices of queries, keys and values in
            one, c_attn [3 C, C]; where they are apart, as in Hu et al., they are "q", "k" and "v"
            [C, C], and the output projection is "o".

    Raises:
        ValueError: r is out of range for one of the matrices, or a name is not known.
    """
    check_settings(r, alpha=1, dropout=0)
    C = config.n_embd
    block = {
        "attn.c_attn": (C, 3 * C),
        "attn.c_proj": (C, C),
        "mlp.c_fc": (C, 4 * C),
        "mlp.c_proj": (4 * C, C),
    } | {f"attn.{letter}": (C, C) for letter in "qkvo"}
    sizes = {
        f"transformer.h.{layer}.{name}": size
        for layer in range(config.n_layer)
        for name, size in block.items()
    } | {"lm_head": (C, config.vocab_size)}
    chosen = choose(sizes, target_modules)
    for name in chosen:
        check_rank(r, *sizes[name], name)
    return sum(r * sum(sizes[name]) for name in chosen)

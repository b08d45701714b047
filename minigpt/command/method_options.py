"""The options of fine-tuning methods that decide how much is trained."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from minigpt.command import values
from minigpt.command.parser import refuse_idle
from minigpt.finetuning.settings import NF4_BLOCK_SIZE, FinetuneSettings

# The methods that look at an option; with others it would do nothing.
METHODS_WITH = {
    **dict.fromkeys(("--r", "--alpha", "--lora-dropout", "--target-modules"), ("lora", "qlora")),
    **dict.fromkeys(("--nf4-block-size", "--no-double-quant"), ("qlora",)),
    **dict.fromkeys(("--n-tokens", "--init-text"), ("prompt", "prefix")),
    **dict.fromkeys(("--reparametrize", "--gate"), ("prefix",)),
    "--bottleneck": ("bottleneck",),
    **dict.fromkeys(("--last-blocks", "--biases-only"), ("selective",)),
}


def add_size_options(parser: ArgumentParser) -> None:
    """Adds the sizes of what each method trains, and the format of frozen weights in 4 bits.

    One that is left out is None or False.
    """
    add, default = parser.add_argument, FinetuneSettings
    add("--r", type=values.whole(1), help=f"lora, qlora: rank (default {default.r})")
    add(
        "--target-modules", type=values.names, metavar="LIST",
        help="lora, qlora: layers that get an adapter, such as c_attn,c_proj (default: all linear "
        "ones of a block)",
    )  # fmt: skip
    add(
        "--nf4-block-size", type=values.whole(32, 4096), choices=[2**i for i in range(5, 13)],
        metavar="N",
        help=f"qlora: weights a scale, 32 to 4096 (default {NF4_BLOCK_SIZE}, or those of a model "
        "in 4 bits)",
    )  # fmt: skip
    add("--no-double-quant", action="store_true", help="qlora: scales in fp32, not in 8 bits")
    add(
        "--n-tokens", type=values.whole(1),
        help=f"prompt, prefix: virtual tokens (default {default.n_tokens})",
    )  # fmt: skip
    add(
        "--reparametrize", type=values.whole(0), metavar="WIDTH",
        help="prefix: train a network of this hidden width that makes it; needs a learning rate "
        "near 0.01 (default 0: none)",
    )  # fmt: skip
    add(
        "--gate", action="store_true",
        help="prefix: stand beside the text, with a gate for each head that starts shut",
    )  # fmt: skip
    add(
        "--bottleneck", type=values.whole(1),
        help=f"bottleneck: its width (default {default.bottleneck})",
    )  # fmt: skip
    add(
        "--last-blocks", type=values.whole(1), metavar="N",
        help="selective: how many of the last blocks learn, with the final norm (default 1, or all "
        "with --biases-only)",
    )  # fmt: skip
    add("--biases-only", action="store_true", help="selective: only their biases learn (BitFit)")


def refuse_options_of_others(arguments: Namespace, method: str) -> None:
    """Raises ValueError if an option was typed that does nothing with this method."""
    for option, methods in METHODS_WITH.items():
        if method not in methods:
            why = f"with --method {method}, only with {' and '.join(methods)}"
            refuse_idle(arguments, [option], why)


def given_sizes(arguments: Namespace) -> dict[str, Any]:
    """Returns the options of add_size_options that were typed, as FinetuneSettings names them."""
    names = (
        *("r", "target_modules", "nf4_block_size", "n_tokens", "reparametrize", "gate"),
        *("bottleneck", "last_blocks", "biases_only"),
    )
    sizes = {name: value for name in names if (value := getattr(arguments, name))}
    return {**sizes, "double_quant": False} if arguments.no_double_quant else sizes

"""The options of fine-tuning methods that decide how much is trained."""

from __future__ import annotations

from argparse import ArgumentParser

from minigpt.finetuning.settings import NF4_BLOCK_SIZE, FinetuneSettings


def add_size_options(parser: ArgumentParser) -> None:
    """Adds the sizes of what each method trains, and the format of frozen weights in 4 bits."""
    add, default = parser.add_argument, FinetuneSettings
    add("--r", type=int, default=default.r, help=f"lora, qlora: rank (default {default.r})")
    add(
        "--nf4-block-size", type=int,
        help=f"qlora: weights a scale (default {NF4_BLOCK_SIZE}, or those of a model in 4 bits)",
    )  # fmt: skip
    add(
        "--no-double-quant", dest="double_quant", action="store_const", const=False,
        help="qlora: scales in fp32, not in 8 bits",
    )  # fmt: skip
    add(
        "--n-tokens", type=int, default=default.n_tokens,
        help=f"prompt, prefix: virtual tokens (default {default.n_tokens})",
    )  # fmt: skip
    add(
        "--reparametrize", type=int, default=0, metavar="WIDTH",
        help="prefix: train a network of this hidden width that makes it; needs a learning rate "
        "near 0.01 (default 0: none)",
    )  # fmt: skip
    add(
        "--bottleneck", type=int, default=default.bottleneck,
        help=f"bottleneck: its width (default {default.bottleneck})",
    )  # fmt: skip


def names_in(text: str) -> tuple[str, ...]:
    """Returns the names in a comma-separated list."""
    return tuple(name.strip() for name in text.split(","))

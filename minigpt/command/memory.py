"""`minigpt memory`: prints the memory that training takes, which memory/predicted.py predicts.

The defaults are those of `minigpt finetune`: pretrained weights in fp32, products in bf16, and the
sizes of FinetuneSettings.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from typing import TYPE_CHECKING

from minigpt.command import values
from minigpt.command.method_options import (
    add_size_options,
    given_sizes,
    refuse_options_of_others,
)
from minigpt.command.parser import refuse_idle
from minigpt.finetuning.settings import RECIPES, FinetuneSettings

if TYPE_CHECKING:
    from minigpt.memory.run import TrainingRun

PARTS = ("weights", "gradients", "optimizer", "activations", "total")


def add_options(parser: ArgumentParser) -> None:
    """Adds the model, the method, and the settings that decide how much memory a step takes."""
    add, formats = parser.add_argument, ["float32", "bfloat16"]
    add("--preset", default="gpt2-xl", help="gpt2 to gpt3-175b, llama2-7b, -13b or -70b")
    add("--method", choices=list(RECIPES), help="default: a row for each")
    add("--batch", type=values.whole(1), default=1, help="rows a step (default 1)")
    add(
        "--context", type=values.whole(1), default=1024,
        help="tokens a row, those of a soft prompt among them (default 1024)",
    )  # fmt: skip
    add("--dtype", default="bfloat16", choices=formats, help="of products (default bfloat16)")
    add(
        "--weights", default="float32", choices=formats,
        help="pretrained weights that are not in 4 bits (default float32)",
    )  # fmt: skip
    add_size_options(parser)
    add("--gradient-checkpointing", action="store_true", help="compute each block twice, keep less")
    add("--stored-attention", action="store_true", help="no fused kernel: keep attention weights")
    add("--json", action="store_true", help="print JSON, in bytes, instead of a table in GB")


def run(arguments: Namespace) -> int:
    """Prints the memory that each method takes, or the one that is named."""
    if arguments.method:
        refuse_options_of_others(arguments, arguments.method)
    else:
        why = "without --method qlora: the table has a row for either"
        refuse_idle(arguments, ["--no-double-quant"], why)
    from minigpt.memory.counts import count_trained, parameters
    from minigpt.memory.predicted import memory_of, named_shape

    shape = named_shape(arguments.preset)
    if arguments.context > shape.block_size:
        raise ValueError(
            f"--context must be from 1 to {shape.block_size}, the block_size of "
            f"{arguments.preset}, got {arguments.context}"
        )
    rows: dict[str, TrainingRun] = {}
    for method in [arguments.method] if arguments.method else RECIPES:
        rows[method] = training_run(arguments, method, not arguments.no_double_quant)
        if method == "qlora" and not arguments.method:
            rows["qlora, fp32 scales"] = training_run(arguments, method, double_quant=False)
    table = {name: memory_of(shape, row) for name, row in rows.items()}
    trained = {name: count_trained(shape, row)[0] for name, row in rows.items()}
    if arguments.json:
        result = {
            name: {"settings": vars(rows[name]), "trained": trained[name]}
            | {part: getattr(memory, part) for part in PARTS}
            for name, memory in table.items()
        }
        print(json.dumps({"preset": arguments.preset, "methods": result}, indent=1))
        return 0
    in_nf4 = " or NF4" if "qlora" in rows else ""
    print(
        f"{arguments.preset}: {parameters(shape) / 1e6:,.1f} million parameters; batch "
        f"{arguments.batch}, context {arguments.context}, weights in "
        f"{arguments.weights}{in_nf4}, products in {arguments.dtype}\n"
    )
    print(f"{'GB of 10^9 bytes':<19}" + "".join(f"{part:>12}" for part in PARTS) + "     trained")
    for name, memory in table.items():
        numbers = "".join(f"{getattr(memory, part) / 1e9:>12.3f}" for part in PARTS)
        print(f"{name:<19}{numbers}{trained[name] / 1e6:>11.2f}M")
    before = [name for name, row in rows.items() if row.past]
    if before:
        n, whose = rows[before[0]].past, " and ".join(before)
        print(f"\n{n} of the {arguments.context} tokens are the soft prompt of {whose}.")
    return 0


def training_run(arguments: Namespace, method: str, double_quant: bool) -> TrainingRun:
    """Returns the training run that the options describe.

    Raises:
        ValueError: as TrainingRun; or the soft prompt leaves no room for a text.
    """
    from minigpt.memory.run import TrainingRun

    names = ("r", "n_tokens", "bottleneck")
    sizes = {name: getattr(FinetuneSettings, name) for name in names} | given_sizes(arguments)
    sizes["double_quant"] = double_quant
    run = TrainingRun(
        method=method,
        batch_size=arguments.batch,
        context=arguments.context,
        **sizes,
        weights=arguments.weights,
        compute=arguments.dtype,
        checkpointing=arguments.gradient_checkpointing,
        stored_attention=arguments.stored_attention,
    )
    if run.past >= run.context:
        raise ValueError(
            f"--n-tokens must be less than --context, so that there is room for a text, got "
            f"{run.past} and {run.context}"
        )
    return replace(run, context=run.context - run.past)

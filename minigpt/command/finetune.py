"""`minigpt finetune`: its options and what it prints; finetuning/run.py does the work."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.command import values
from minigpt.command.machine_options import add_device, add_seed, seed_of
from minigpt.command.method_options import (
    add_size_options,
    given_sizes,
    refuse_options_of_others,
)
from minigpt.command.parser import refuse_idle
from minigpt.command.task_options import add_task_options, chosen_tasks
from minigpt.finetuning.settings import BIASES_RATE, RECIPES, FinetuneSettings

if TYPE_CHECKING:
    from minigpt.config import GPTConfig
    from minigpt.finetuning.run import FinetuneResult

DEFAULT_SHARE = 0.05  # of a user's records, to validate on and to test
SMALLER = "take --gradient-checkpointing, or a smaller --micro-batch-size or --row-length"


def add_options(parser: ArgumentParser) -> None:
    """Adds the options; one that is left out, and None, has its default in FinetuneSettings."""
    add, default = parser.add_argument, FinetuneSettings
    add_device(parser)
    add_seed(parser)
    add("--method", default=default.method, choices=list(RECIPES), help=f"default {default.method}")
    add(
        "--alpha", type=values.number(above=0),
        help=f"lora, qlora: alpha (default {default.alpha:g})",
    )  # fmt: skip
    share = values.number(0, below=1)
    add("--lora-dropout", type=share, help="lora, qlora: dropout (default 0)")
    add(
        "--init-text", type=values.text, metavar="TEXT",
        help="prompt, prefix: start as this text (default: random)",
    )  # fmt: skip
    add_size_options(parser)
    add_task_options(parser, several=True)
    part = f"share or number of the prompts in --data (default {DEFAULT_SHARE}), or files"
    for option in ("--validation", "--test"):
        add(option, type=values.number_or_file, nargs="+", metavar="PART", help=part)
    add(
        "--model", type=values.name_or_path, default="base",
        help="base (shipped, default), a folder, or gpt2 to gpt2-xl",
    )  # fmt: skip
    add(
        "--out", dest="out_dir", metavar="OUT", type=values.folder_to_write,
        default=Path("runs/finetune"), help="default runs/finetune",
    )  # fmt: skip
    add("--resume", action="store_true", help="go on where --out stopped")
    add(
        "--steps", dest="max_steps", metavar="STEPS", type=values.whole(1),
        help=f"optimizer steps at most (default {default.max_steps})",
    )  # fmt: skip
    add(
        "--early-stopping", type=values.whole(0), metavar="N",
        help="stop after N validations without a lower loss; 0: never "
        f"(default {default.early_stopping})",
    )  # fmt: skip
    count = values.whole(1)
    add(
        "--eval-every", type=values.whole(0),
        help="steps between validations (default: an eighth of --steps; 0, with --early-stopping "
        "0: none)",
    )  # fmt: skip
    add("--row-length", type=count, help="tokens of a row of examples (default: by their length)")
    add(
        "--batch-size", type=count,
        help="rows a step (default: about 1,024 tokens, at least 4 rows)",
    )  # fmt: skip
    add("--micro-batch-size", type=count, help="rows at once; fewer need less memory")
    rates = ", ".join(f"{name} {recipe.learning_rate}" for name, recipe in RECIPES.items())
    rates += f", biases {BIASES_RATE}"
    add("--learning-rate", type=values.learning_rate, help=f"default: {rates}")
    add("--dropout", type=share, help="of the model (default 0)")
    add("--all-wordings", action="store_true", help="train with every wording of the prompts")
    add(
        "--rehearse", type=share, metavar="SHARE",
        help="share of rows that are text as in pretraining, against forgetting (default 0)",
    )  # fmt: skip
    add(
        "--gradient-checkpointing", action="store_true",
        help="compute each block twice and keep less: less memory, the same steps",
    )  # fmt: skip
    formats, modes = ["auto", "float32", "bfloat16"], ["auto", "none", "ddp", "fsdp"]
    add("--dtype", default=default.dtype, choices=formats, help="of products (default auto)")
    add(
        "--parallel", default=default.parallel, choices=modes,
        help="under torchrun (default auto: ddp)",
    )  # fmt: skip


def settings_of(arguments: Namespace) -> FinetuneSettings:
    """Returns the settings that the options describe; raises ValueError as FinetuneSettings."""
    given = {
        field.name: value
        for field in fields(FinetuneSettings)
        if (value := getattr(arguments, field.name, None)) is not None
    }
    sizes = {"reparametrize": None} | given_sizes(arguments)
    return FinetuneSettings(**{**given, **sizes, "seed": seed_of(arguments)})


def run(arguments: Namespace) -> int:
    """Fine-tunes a model and prints the result."""
    refuse_options_of_others(arguments, arguments.method)
    if arguments.data is None:
        refuse_idle(arguments, ("--validation", "--test"), "without --data")
    chosen = chosen_tasks(arguments)
    if arguments.template is not None:
        refuse_idle(arguments, ["--all-wordings"], "with --template, which is the only wording")
    held_out = [size_or_files(arguments, part) for part in ("validation", "test")]
    settings = settings_of(arguments)
    from minigpt.device import pick_device
    from minigpt.finetuning.run import finetune
    from minigpt.pretrained.folders import load_pretrained
    from minigpt.tasks.data import task_data
    from minigpt.training.run_folder import check_free

    check_free(settings.out_dir, settings.resume)
    pick_device(arguments.device)  # refuses one that is not here before the records are read
    tasks = [task_data(task, arguments.data, *held_out) for task in chosen]
    model, encoding = load_pretrained(arguments.model)
    check_memory(model.config, settings)
    result = finetune(model, encoding, tasks, settings)
    if result.after:  # empty on the other processes under torchrun
        print_result(result)
        print(f"try: {evaluate_command(arguments)}")
    return 0


def check_memory(shape: GPTConfig, settings: FinetuneSettings) -> None:
    """Makes sure that there is memory for a step, with the shortest rows there can be.

    Raises:
        ValueError: there is too little.
    """
    from minigpt.memory.room import check_step_fits, rows_at_once
    from minigpt.memory.run import TrainingRun

    config = settings.train_config(settings.batch_size or 4)
    n_tokens = min(settings.n_tokens, shape.block_size - 1)  # finetune() refuses more
    step = TrainingRun(
        settings.method,
        rows_at_once(config),
        min(settings.row_length or 128, shape.block_size),
        r=settings.r,
        target_modules=settings.target_modules,
        n_tokens=max(1, n_tokens),
        reparametrize=settings.reparametrize,
        gate=settings.gate,
        bottleneck=settings.bottleneck,
        last_blocks=settings.last_blocks,
        biases_only=settings.biases_only,
        checkpointing=settings.gradient_checkpointing,
    )
    step = replace(step, context=min(step.context, shape.block_size - step.past))
    smaller = SMALLER
    if settings.method == "bottleneck" or settings.reparametrize:
        smaller = "take a smaller --bottleneck, --reparametrize or --micro-batch-size"
    check_step_fits(shape, step, config, smaller)


def size_or_files(arguments: Namespace, part: str) -> float | list[Path]:
    """Returns the number that --validation or --test gives, or else the files.

    Raises:
        ValueError: it gives a number beside something else.
    """
    given = getattr(arguments, part)
    if given is None:
        return DEFAULT_SHARE
    if len(given) == 1 and isinstance(given[0], float):
        return given[0]
    if any(isinstance(value, float) for value in given):
        raise ValueError(f"--{part} takes one number or else files, got {list(map(str, given))}")
    return given


def print_result(result: FinetuneResult) -> None:
    """Prints the scores before and after, and what the model writes."""
    for sample in result.samples:
        print(f"\n{sample['prompt']}")
        for name in ("right", "before", "after"):
            print(f"  {name:<7} {sample[name]}")
    print()
    for task, after in result.after.items():
        for name, value in after.metrics.items():
            earlier = result.before[task].metrics[name]
            print(f"{task:<14} {name:<9} before {earlier:>7.3f}   after {value:>7.3f}")
    training = result.report()["training"]
    early = ", stopped early" if training["stopped_early"] else ""
    best = f"the weights are those of step {training['weights_of_step']}"
    print(f"\n{training['steps']} steps in {training['seconds']:.0f} s{early}; {best}")


def evaluate_command(arguments: Namespace) -> str:
    """Returns the command that judges the saved model on the same records."""
    command = ["minigpt", "evaluate", "--model", str(arguments.out_dir)]
    if arguments.task and not arguments.template:
        command += ["--task", arguments.task[0]]
    command += ["--data", str(arguments.out_dir / "test.jsonl")] if arguments.data else []
    return shlex.join(command)

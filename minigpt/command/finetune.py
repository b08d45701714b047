"""`minigpt finetune`: its options and what it prints; finetuning/run.py does the work."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.bpe import valid_unicode
from minigpt.command.machine_options import add_device, add_seed
from minigpt.command.method_options import add_size_options, names_in
from minigpt.command.task_options import add_task_options, chosen_tasks
from minigpt.finetuning.settings import RECIPES, FinetuneSettings

if TYPE_CHECKING:
    from minigpt.finetuning.run import FinetuneResult


def add_options(parser: ArgumentParser) -> None:
    """Adds the options; one that is left out has its default in FinetuneSettings."""
    add, default = parser.add_argument, FinetuneSettings
    add_device(parser)
    add_seed(parser)
    add("--method", default=default.method, choices=list(RECIPES), help=f"default {default.method}")
    add(
        "--alpha", type=float, default=default.alpha,
        help=f"lora, qlora: alpha (default {default.alpha:g})",
    )  # fmt: skip
    add(
        "--lora-dropout", type=float, default=default.lora_dropout,
        help="lora, qlora: dropout (default 0)",
    )  # fmt: skip
    layers = ",".join(default.target_modules)
    add(
        "--target-modules", default=layers, metavar="LIST",
        help=f"lora, qlora: layers that get an adapter (default {layers}: all of a block)",
    )  # fmt: skip
    add(
        "--init-text", type=valid_unicode, default="", metavar="TEXT",
        help="prompt, prefix: start as this text",
    )  # fmt: skip
    add_size_options(parser)
    add_task_options(parser, several=True)
    part = "share or number of the prompts in --data (default 0.05), or files of their own"
    add("--validation", nargs="+", default=["0.05"], metavar="PART", help=part)
    add("--test", nargs="+", default=["0.05"], metavar="PART", help=part)
    add("--model", default="base", help="base (shipped, default), a folder, or gpt2 to gpt2-xl")
    add(
        "--out", dest="out_dir", metavar="OUT", type=Path, default=Path("runs/finetune"),
        help="default runs/finetune",
    )  # fmt: skip
    add("--resume", action="store_true", help="go on where --out stopped")
    add(
        "--steps", dest="max_steps", metavar="STEPS", type=int, default=default.max_steps,
        help=f"optimizer steps at most (default {default.max_steps})",
    )  # fmt: skip
    add(
        "--early-stopping", type=int, default=default.early_stopping, metavar="N",
        help="stop after N validations without a lower loss; 0: never "
        f"(default {default.early_stopping})",
    )  # fmt: skip
    add("--eval-every", type=int, help="steps between validations (default: an eighth of --steps)")
    add("--row-length", type=int, help="tokens of a row of examples (default: by their length)")
    add("--batch-size", type=int, help="rows a step (default: about 1,024 tokens, at least 4 rows)")
    add("--micro-batch-size", type=int, help="rows at once; fewer need less memory")
    rates = ", ".join(f"{name} {recipe.learning_rate}" for name, recipe in RECIPES.items())
    add("--learning-rate", type=float, help=f"default: {rates}")
    add("--dropout", type=float, default=default.dropout, help="of the model (default 0)")
    add("--all-wordings", action="store_true", help="train with every wording of the prompts")
    add(
        "--rehearse", type=float, default=default.rehearse, metavar="SHARE",
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
    given = vars(arguments)
    named = {f.name: given[f.name] for f in fields(FinetuneSettings) if f.name in given}
    named["target_modules"] = names_in(arguments.target_modules)
    named["reparametrize"] = arguments.reparametrize or None
    return FinetuneSettings(**named)


def run(arguments: Namespace) -> int:
    """Fine-tunes a model and prints the result."""
    settings = settings_of(arguments)
    from minigpt.finetuning.run import finetune
    from minigpt.pretrained.folders import load_pretrained
    from minigpt.tasks.data import task_data

    held_out = size_or_files(arguments.validation), size_or_files(arguments.test)
    tasks = [task_data(task, arguments.data, *held_out) for task in chosen_tasks(arguments)]
    model, encoding = load_pretrained(arguments.model)
    result = finetune(model, encoding, tasks, settings)
    if result.after:  # empty on the other processes under torchrun
        print_result(result)
        print(f"try: {evaluate_command(arguments)}")
    return 0


def size_or_files(given: list[str]) -> float | list[Path]:
    """Returns the number that an option gives, or else the files."""
    if len(given) == 1:
        try:
            return float(given[0])
        except ValueError:
            pass
    return [Path(name) for name in given]


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

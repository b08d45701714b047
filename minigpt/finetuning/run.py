"""`minigpt finetune`: from a pretrained model and a task's records to a model that does the task.

The folder of a run:

    results.json                 settings, scores before and after, sample answers
    settings.json                the options as given, which --resume must repeat
    test.jsonl                   with --data: the records that it was judged by
    log.jsonl, checkpoint.json   the run itself, see run_folder.py: --resume goes on from there
    config.json, model.safetensors, tokenizer.json             what method "full" trained, or
    adapter_config.json, adapter_model.safetensors             what another method trained
"""

from __future__ import annotations

import json
import math
import os
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tiktoken
import torch

from minigpt.config import count_parameters
from minigpt.device import pick_device
from minigpt.finetuning.folder import SETTINGS, check_folder, settings_of, write_lines
from minigpt.finetuning.methods import (
    METHODS,
    RESULTS,
    Method,
    add_method_arguments,
    settle_nf4_options,
)
from minigpt.model import GPT
from minigpt.pretrained.folders import load_pretrained
from minigpt.tasks.answers import TaskResult, evaluate_task
from minigpt.tasks.data import (
    TaskData,
    add_task_arguments,
    chosen_tasks,
    instruction_data,
    task_data,
)
from minigpt.training.loop import TrainingDivergedError, TrainResult, identity_of, train
from minigpt.training.run_folder import RunFolder
from minigpt.training.settings import TrainConfig

TEST = "test.jsonl"


def main(arguments: Namespace) -> int:
    """Fine-tune, judge before and after, and write everything into --out.

    Whatever is wrong with the options is found before anything is written.
    """
    check_folder(arguments)
    parts = [
        task_data(task, arguments.data, arguments.validation, arguments.test)
        for task in chosen_tasks(arguments)
    ]
    method, device = METHODS[arguments.method], pick_device(arguments.device)
    model, encoding = load_pretrained(arguments.model)
    torch.manual_seed(arguments.seed)
    model.set_dropout(arguments.dropout)
    model.gradient_checkpointing = arguments.gradient_checkpointing
    given = settings_of(arguments)
    settle_nf4_options(model, arguments)
    method.prepare(model, encoding, arguments)
    room = room_for_texts(model, parts)
    data = instruction_data(
        parts, encoding, room, arguments.row_length,
        None if arguments.all_wordings else 0, arguments.rehearse, arguments.seed,
    )  # fmt: skip
    T, n_rows = data.validation.row_length, sum(map(len, data.sources))
    batch_size = arguments.batch_size
    if batch_size is None:
        batch_size = min(max(4, 1024 // T), n_rows)
    config = train_config(arguments, method, batch_size)
    RunFolder(config.out_dir, identity_of(model, data, config), config.resume)  # all in order?
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    added = 0 if arguments.method == "full" else trained
    every = count_parameters(model.config) + added  # those in 4 bits included
    model.to(device)
    if int(os.environ.get("RANK", "0")):
        train(model, data, config)  # the first process does the rest
        return 0

    for part in parts:
        sizes = f"{len(part.train):,} to train, {len(part.validation)} to validate"
        print(f"{part.task.name}: {sizes}, {len(part.test)} to test")
    print(f"{n_rows:,} rows of {T} tokens, {batch_size} a step; writing to {arguments.out}/")
    print(
        f"{arguments.method}: {trained:,} of {every:,} parameters learn ({trained / every:.1%})\n"
    )
    method.switch(model, None)
    before = judge(model, encoding, parts)
    method.switch(model, "default")
    write_lines(arguments.out / SETTINGS, [json.dumps(given, indent=1)])
    result = train(model, data, config)
    check_converged(result, config)
    after = judge(model, encoding, parts)
    method.save(model, encoding, arguments.out)
    if arguments.data:
        records = [json.dumps(record, ensure_ascii=False) for record in parts[0].test]
        write_lines(arguments.out / TEST, records)
    results = report(arguments, parts, before, after, result, config, (trained, every))
    text = json.dumps(results, ensure_ascii=False, allow_nan=False, indent=1)
    write_lines(arguments.out / RESULTS, [text])
    print_report(results)
    print(f"try: {evaluate_command(arguments, parts[0].task.name)}")
    return 0


def room_for_texts(model: GPT, parts: Sequence[TaskData]) -> int:
    """How many tokens of the context the soft prompt leaves.

    Raises:
        ValueError: none for a prompt before the longest answer.
    """
    context, prefix = model.config.block_size, model.prefix()
    if prefix is None:
        return context
    answer = max(part.task.max_new_tokens for part in parts)
    most = context - answer - 1
    if 1 <= most < prefix.length:
        raise ValueError(
            f"--n-tokens must be at most {most}, so that the context of {context} tokens has room "
            f"for a prompt and an answer of {answer}, got {prefix.length}; take fewer --n-tokens"
        )
    return context - prefix.length


def check_converged(result: TrainResult, config: TrainConfig) -> None:
    """Raises TrainingDivergedError if the model came out of its last step broken."""
    step, loss = result.validation[-1] if result.validation else (0, 0.0)
    if not config.early_stopping and not math.isfinite(loss):
        raise TrainingDivergedError(
            f"after {step} steps the validation loss is {loss}: the run has diverged; start it "
            f"again in another folder with a lower learning rate than {config.learning_rate}, or "
            "with --early-stopping, which keeps the best weights"
        )


def evaluate_command(arguments: Namespace, task: str) -> str:
    """The command that judges the saved model by the same records."""
    command = ["minigpt", "evaluate", "--model", str(arguments.out)]
    if arguments.template:
        command += ["--template", arguments.template, "--answer", arguments.answer]
        command += ["--metric", arguments.metric]
        command += ["--max-new-tokens", str(arguments.max_new_tokens)]
    else:
        command += ["--task", task]
    command += ["--data", str(arguments.out / TEST)] if arguments.data else []
    return shlex.join(command)


def train_config(arguments: Namespace, method: Method, batch_size: int) -> TrainConfig:
    """The settings of the run; ValueError as TrainConfig."""
    steps, rate, every = arguments.steps, arguments.learning_rate, arguments.eval_every
    every = max(1, steps // 8) if every is None else every
    return TrainConfig(
        max_steps=steps,
        batch_size=batch_size,
        micro_batch_size=arguments.micro_batch_size,
        learning_rate=method.learning_rate if rate is None else rate,
        min_learning_rate=0.0,
        warmup_steps=steps // 20,
        weight_decay=method.weight_decay,
        paged=method.paged and arguments.parallel != "fsdp",  # whose slices are shared out already
        betas=(0.9, 0.98),
        eval_every=every,
        checkpoint_every=every,
        early_stopping=arguments.early_stopping,
        seed=arguments.seed,
        device=arguments.device,
        dtype=arguments.dtype,
        parallel=arguments.parallel,
        out_dir=arguments.out,
        resume=arguments.resume,
    )


def judge(
    model: GPT, encoding: tiktoken.Encoding, parts: Sequence[TaskData]
) -> dict[str, TaskResult]:
    """Every task's scores on its test records."""
    return {
        part.task.name: evaluate_task(model, encoding, part.task, part.test, progress=True)
        for part in parts
    }


def report(
    arguments: Namespace,
    parts: Sequence[TaskData],
    before: dict[str, TaskResult],
    after: dict[str, TaskResult],
    result: TrainResult,
    config: TrainConfig,
    sizes: tuple[int, int],
) -> dict[str, Any]:
    """What results.json says."""
    samples = [
        {
            "task": part.task.name,
            "prompt": part.task.prompt(part.test[i]),
            "right": part.task.target(part.test[i]),
            "before": before[part.task.name].answers[i],
            "after": after[part.task.name].answers[i],
        }
        for part in parts
        for i in range(min(3, len(part.test)))
    ]
    best = result.best_step if config.early_stopping else result.steps
    return {
        "model": str(arguments.model),
        "method": arguments.method,
        "parameters": {"trained": sizes[0], "all": sizes[1]},
        "before": {name: result.metrics for name, result in before.items()},
        "after": {name: result.metrics for name, result in after.items()},
        "signatures": {name: result.signature for name, result in after.items()},
        "training": {
            "steps": result.steps,
            "stopped_early": result.steps < config.max_steps,
            "best_step": result.best_step,
            "weights_of_step": best,
            "batch_size": config.batch_size,
            "learning_rate": config.learning_rate,
            "seconds": round(result.seconds, 1),
            "tokens": result.tokens,
            "validation": [
                [step, loss if math.isfinite(loss) else None] for step, loss in result.validation
            ],
        },
        "samples": samples,
        "settings": settings_of(arguments),
    }


def print_report(results: dict[str, Any]) -> None:
    """Scores before and after, and what the model writes."""
    for sample in results["samples"]:
        print(f"\n{sample['prompt']}")
        for name in ("right", "before", "after"):
            print(f"  {name:<7} {sample[name]}")
    print()
    for task, after in results["after"].items():
        for name, value in after.items():
            earlier = results["before"][task][name]
            print(f"{task:<14} {name:<9} before {earlier:>7.3f}   after {value:>7.3f}")
    training = results["training"]
    early = ", stopped early" if training["stopped_early"] else ""
    best = f"the weights are those of step {training['weights_of_step']}"
    print(f"\n{training['steps']} steps in {training['seconds']:.0f} s{early}; {best}")


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `minigpt finetune`."""
    add = parser.add_argument
    add_method_arguments(parser)
    add_task_arguments(parser, several=True)
    add("--validation", type=float, default=0.05, help="share or number of --data (default 0.05)")
    add("--test", type=float, default=0.05, help="share or number of --data (default 0.05)")
    add("--model", default="base", help="base (shipped, default), a folder, or gpt2 to gpt2-xl")
    add("--out", type=Path, default=Path("runs/finetune"), help="default runs/finetune")
    add("--resume", action="store_true", help="go on where --out stopped")
    add("--steps", type=int, default=500, help="optimizer steps at most (default 500)")
    add(
        "--early-stopping", type=int, default=3, metavar="N",
        help="stop after N validations without a lower loss; 0: never (default 3)",
    )  # fmt: skip
    add("--eval-every", type=int, help="steps between validations (default: an eighth of --steps)")
    add("--row-length", type=int, help="tokens of a row of examples (default: by their length)")
    add("--batch-size", type=int, help="rows a step (default: about 1,024 tokens, at least 4 rows)")
    add("--micro-batch-size", type=int, help="rows at once; fewer need less memory")
    rates = ", ".join(f"{name} {method.learning_rate}" for name, method in METHODS.items())
    add("--learning-rate", type=float, help=f"default: {rates}")
    add("--dropout", type=float, default=0.0, help="of the model (default 0)")
    add("--all-wordings", action="store_true", help="train with every wording of the prompts")
    add(
        "--rehearse", type=float, default=0.0, metavar="SHARE",
        help="share of rows that are text as in pretraining, against forgetting (default 0)",
    )  # fmt: skip
    add(
        "--gradient-checkpointing", action="store_true",
        help="compute each block twice and keep less: less memory, the same steps",
    )  # fmt: skip
    formats, ways = ["auto", "float32", "bfloat16"], ["auto", "none", "ddp", "fsdp"]
    add("--dtype", default="auto", choices=formats, help="of matrix products (default auto)")
    add("--parallel", default="auto", choices=ways, help="under torchrun (default auto: ddp)")

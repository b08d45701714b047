"""Fine-tuning: takes a pretrained model and the records of tasks, and teaches the tasks.

The folder of a run:

    results.json                 settings, scores before and after, sample answers
    test.jsonl                   the test records, if they do not ship with minigpt
    log.jsonl, checkpoint.json   what resume continues from, see training/run_folder.py
    config.json, model.safetensors, tokenizer.json             what method "full" trained, or
    adapter_config.json, adapter_model.safetensors             what another method trained
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tiktoken
import torch

from minigpt.bpe import valid_unicode
from minigpt.config import count_parameters
from minigpt.device import pick_device, rank_and_count
from minigpt.files.atomic import write_text
from minigpt.files.model_files import TESTS, matching
from minigpt.finetuning.methods import METHODS, RESULTS_FILE, settle_nf4
from minigpt.finetuning.saved_tasks import records_file
from minigpt.finetuning.settings import IN_PLACE, FinetuneSettings
from minigpt.model import GPT
from minigpt.tasks.answers import TaskResult, evaluate_task
from minigpt.tasks.data import SHIPPED, TaskData, instruction_data, task_data
from minigpt.tasks.task import named_task
from minigpt.training.checkpoint import has_checkpoint
from minigpt.training.loop import TrainingDivergedError, train
from minigpt.training.result import TrainResult
from minigpt.training.run_folder import RunFolder, check_free, claimed, identity_of
from minigpt.training.settings import TrainConfig


@dataclass
class FinetuneResult:
    """What a run of fine-tuning did and how well the model answers.

    Attributes:
        settings: the settings of the run, with the 4-bit format filled in.
        config: the settings of its training loop.
        training: losses, steps and seconds.
        tasks: the tasks with their records.
        trained, parameters: how many parameters were trained, and how many there are in all.
        before, after: answers to the test records and their scores, by task, before and after
            training. Empty on all processes but the first.
    """

    settings: FinetuneSettings
    config: TrainConfig
    training: TrainResult
    tasks: Sequence[TaskData]
    trained: int
    parameters: int
    before: dict[str, TaskResult] = field(default_factory=dict)
    after: dict[str, TaskResult] = field(default_factory=dict)

    @property
    def samples(self) -> list[dict[str, str]]:
        """Returns the first three test records of each task, with what the model answered."""
        return [
            {
                "task": part.task.name,
                "prompt": part.task.prompt(part.test[i]),
                "right": part.task.target(part.test[i]),
                "before": self.before[part.task.name].answers[i],
                "after": self.after[part.task.name].answers[i],
            }
            for part in self.tasks
            for i in range(min(3, len(part.test)))
        ]

    def report(self) -> dict[str, Any]:
        """Returns the contents of results.json."""
        run = self.training
        best = run.best_step if self.config.early_stopping else run.steps
        return {
            "model": self.settings.model,
            "method": self.settings.method,
            "tasks": {
                part.task.name: {
                    "source": part.source,
                    "prompt": part.task.templates[0],
                    "answer": part.task.answer,
                    "metric": part.task.metric,
                    "max_new_tokens": part.task.max_new_tokens,
                    **{side: len(getattr(part, side)) for side in ("train", "validation", "test")},
                }
                for part in self.tasks
            },
            "parameters": {"trained": self.trained, "all": self.parameters},
            "before": {name: result.metrics for name, result in self.before.items()},
            "after": {name: result.metrics for name, result in self.after.items()},
            "signatures": {name: result.signature for name, result in self.after.items()},
            "training": {
                "steps": run.steps,
                "stopped_early": run.steps < self.config.max_steps,
                "best_step": run.best_step,
                "weights_of_step": best,
                "batch_size": self.config.batch_size,
                "learning_rate": self.config.learning_rate,
                "seconds": round(run.seconds, 1),
                "tokens": run.tokens,
                "validation": [
                    [step, loss if math.isfinite(loss) else None] for step, loss in run.validation
                ],
            },
            "samples": self.samples,
            "settings": self.settings.as_json(),
        }


def finetune(
    model: GPT,
    encoding: tiktoken.Encoding,
    tasks: Sequence[TaskData | str],
    settings: FinetuneSettings,
) -> FinetuneResult:
    """Teaches model the tasks, in place, and judges it on their test records before and after.

    Wrong settings are found before anything is written. Torch's generators are seeded.

    Args:
        tasks: what `task_data` returns, or names of tasks that ship, such as "translation".
        settings: with out_dir None nothing is written.

    Raises:
        ValueError: the settings do not fit each other, the model, the tasks or the run in out_dir;
            out_dir holds a model that is not of this run; or another run is writing there.
        OSError, TrainingDivergedError, TrainingInterrupted: as train.
    """
    with claimed(settings.out_dir):
        check_free(settings.out_dir, settings.resume)
        if settings.out_dir is not None:
            check_tests(Path(settings.out_dir))
        return _finetune(model, encoding, tasks, settings)


def _finetune(
    model: GPT,
    encoding: tiktoken.Encoding,
    tasks: Sequence[TaskData | str],
    settings: FinetuneSettings,
) -> FinetuneResult:
    folder = None if settings.out_dir is None else Path(settings.out_dir)
    if isinstance(tasks, str):
        raise ValueError(f"tasks must be a list, got {tasks!r}; write [{tasks!r}]")
    parts = [task_data(named_task(t)) if isinstance(t, str) else t for t in tasks]
    names = [part.task.name for part in parts]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"tasks must be at least one, each with a name of its own, got {names}")
    torch.manual_seed(settings.seed)
    model.set_dropout(settings.dropout)
    model.gradient_checkpointing = settings.gradient_checkpointing
    settings = settle_nf4(model, settings)
    method = METHODS[settings.method]
    method.prepare(model, encoding, settings)
    data = instruction_data(
        parts, encoding, room_for_texts(model, parts), settings.row_length,
        None if settings.all_wordings else 0, settings.rehearse, settings.seed,
    )  # fmt: skip
    T, n_rows = data.validation.row_length, sum(map(len, data.sources))
    batch_size = settings.batch_size
    if batch_size is None:
        batch_size = min(max(4, 1024 // T), n_rows)
    config = settings.train_config(batch_size)
    identity = {**settings.decisive(), **records_of(parts)}
    RunFolder(config.out_dir, identity_of(model, data, config, identity), config.resume)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    every = count_parameters(model.config)  # includes those in 4 bits
    every += 0 if settings.method in IN_PLACE else trained
    model.to(pick_device(config.device))
    if rank_and_count()[0]:  # the first process does the rest
        training = train(model, data, config, identity)
        return FinetuneResult(settings, config, training, parts, trained, every)

    if settings.progress:
        for part in parts:
            sizes = f"{len(part.train):,} to train, {len(part.validation):,} to validate"
            print(f"{part.task.name}: {sizes}, {len(part.test):,} to test")
            for purpose, records in (("validate", part.validation), ("test", part.test)):
                if learnt := part.learnt(records):
                    print(f"among the prompts to train are {learnt:,} of those to {purpose}")
        writing = "" if folder is None else f"; writing to {folder}/"
        print(f"{n_rows:,} rows of {T} tokens, {batch_size} a step{writing}")
        share = f"{trained / every:.1%}"
        print(f"{settings.method}: {trained:,} of {every:,} parameters learn ({share})\n")
    method.switch(model, None)
    before = judge(model, encoding, parts, settings.progress)
    method.switch(model, "default")
    training = train(model, data, config, identity)
    check_converged(training, config)
    after = judge(model, encoding, parts, settings.progress)
    result = FinetuneResult(settings, config, training, parts, trained, every, before, after)
    if folder is not None:
        method.save(model, encoding, folder)
        write_test_records(folder, parts)
        text = json.dumps(result.report(), ensure_ascii=False, allow_nan=False, indent=1)
        write_text(folder / RESULTS_FILE, valid_unicode(text) + "\n")
    return result


def records_of(parts: Sequence[TaskData]) -> dict[str, Any]:
    """Returns the wordings and records of the tasks, in which a resumed run must not differ."""
    wordings, records = {}, {}
    for part in parts:
        sides = (part.train, part.validation, part.test)
        sizes = "{} to train, {} to validate, {} to test".format(*map(len, sides))
        text = json.dumps(sides, ensure_ascii=False, default=str)
        checksum = zlib.crc32(text.encode("utf-8", "surrogatepass"))
        wordings[part.task.name] = part.task.templates[0] + part.task.answer
        records[part.task.name] = f"{sizes}, checksum {checksum:08x}"
    return {"tasks": wordings, "records": records}


def room_for_texts(model: GPT, parts: Sequence[TaskData]) -> int:
    """Returns how many tokens of the context the soft prompt leaves.

    Raises:
        ValueError: the longest answer would leave none for a prompt.
    """
    context, prefix = model.config.block_size, model.prefix()
    if prefix is None:
        return context
    answer = max(part.task.max_new_tokens for part in parts)
    most = context - answer - 1
    if 1 <= most < prefix.length:
        raise ValueError(
            f"n_tokens must be at most {most}, so that the context of {context} tokens has room "
            f"for a prompt and an answer of {answer}, got {prefix.length}; take fewer n_tokens"
        )
    return context - prefix.length


def check_converged(result: TrainResult, config: TrainConfig) -> None:
    """Raises TrainingDivergedError if the last step left numbers that are not finite."""
    step, loss = result.validation[-1] if result.validation else (0, 0.0)
    if not config.early_stopping and not math.isfinite(loss):
        raise TrainingDivergedError(
            f"after {step} steps the validation loss is {loss}: the run has diverged; start it "
            f"again in another folder with a lower learning rate than {config.learning_rate}, or "
            "with early_stopping, which keeps the best weights"
        )


def judge(
    model: GPT, encoding: tiktoken.Encoding, parts: Sequence[TaskData], progress: bool
) -> dict[str, TaskResult]:
    """Returns every task's answers to its test records, and their scores."""
    return {
        part.task.name: evaluate_task(model, encoding, part.task, part.test, progress=progress)
        for part in parts
    }


def check_tests(folder: Path) -> None:
    """Raises ValueError if folder holds test records that are not of a run: they would be lost."""
    if not has_checkpoint(folder) and (names := matching(folder, TESTS)):
        raise ValueError(
            f"{folder} holds {names[0]}, in whose place this run's test records would be; choose "
            "another folder for this run"
        )


def write_test_records(folder: Path, parts: Sequence[TaskData]) -> None:
    """Writes the test records that do not ship: test.jsonl, or test-NAME.jsonl of several tasks."""
    for part in parts:
        if part.source != SHIPPED:
            path = records_file(folder, part.task.name, len(parts))
            # What JSON does not have, a date for one, is written as a template would show it.
            lines = [json.dumps(r, ensure_ascii=False, default=str) + "\n" for r in part.test]
            write_text(path, valid_unicode("".join(lines)))

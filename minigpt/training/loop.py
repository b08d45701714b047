"""Training: one step, and the loop around it, for pretraining and every way of fine-tuning.

In plain PyTorch a step of training is

    for group in optimizer.param_groups:
        group["lr"] = learning_rate_at(step, config)                     # learning rate
    idx, targets, _ = data.train_batch(step, config.batch_size)          # batch
    _, loss = model(idx, targets)                                        # forward
    loss.backward()                                                      # backward
    nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)       # clip
    optimizer.step()                                                     # update
    optimizer.zero_grad()

training_step is that, also for a batch that is too large for memory or shared by several processes.
train repeats it, with validation, a log, a checkpoint that survives a power cut, and a Ctrl-C that
loses nothing.

A step depends on nothing but the weights, the seed and its number: the batch is a function of the
step (dataset.py), and so are the dropout masks, drawn from generators seeded anew for every step.
Hence a run that was stopped and resumed repeats one that was not, bit for bit (on a CPU, with the
same number of threads; a GPU may add in another order each time).

Source: Pascanu et al. 2013, "On the difficulty of training recurrent neural networks" (clipping).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn

from minigpt.dataset import Data
from minigpt.device import DTYPES, pick_device
from minigpt.fast.linear import multiply_by
from minigpt.fast.malloc import keep_freed_memory
from minigpt.files.tensors import NotFiniteError
from minigpt.layers import in_training
from minigpt.optim.adamw import make_optimizer
from minigpt.text.bars import progress_bar
from minigpt.training.distributed import Processes, gather_full, gradient_exchange, join_processes
from minigpt.training.interrupt import StopRequest, TrainingInterrupted
from minigpt.training.loss import autocast, count_targets, evaluate_loss, part_of_loss
from minigpt.training.result import BestWeights, StepResult, TrainResult
from minigpt.training.run_folder import RunFolder, claimed, identity_of
from minigpt.training.settings import TrainConfig, learning_rate_at
from minigpt.training.ways import choose_ways


def training_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Data,
    step: int,
    config: TrainConfig,
    processes: Processes,
    dtype: torch.dtype = torch.float32,
) -> StepResult:
    """Updates the weights once; on several processes each computes its rows of the batch.

    Args:
        model: called as model(idx [B, T], targets [B, T]) -> (logits, loss).
        step: updates before this one; decides the learning rate, the batch and the dropout masks.
        dtype: of matrix products; with bfloat16 the weights stay float32 and are rounded on use.

    Returns:
        loss and gradient norm as they were before clipping and update. If either is not a finite
        number, the weights are left as they are.

    Raises:
        ValueError: the batch has no target to learn from.
    """
    # Learning rate: up in a straight line, then down half a cosine. AdamW reads it in its update.
    learning_rate = learning_rate_at(step, config)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate

    # Batch: the one of this step; its dropout masks, too, are those of this step.
    batch = data.train_batch(step, config.batch_size)
    n_targets = count_targets(batch)
    seed_step(config.seed, step, processes.rank)

    # Forward and backward, as many rows at a time as fit into memory. backward() adds to .grad, so
    # that in the end the gradient of the whole batch's mean loss stands there.
    loss = 0.0
    micro_batches = processes.share(batch).split(config.micro_batch_size or len(batch.idx))
    for rows in micro_batches:
        with gradient_exchange(model, wanted=rows is micro_batches[-1]):
            with autocast(processes.device, dtype):
                part = part_of_loss(model, rows.to(processes.device), n_targets)  # forward
            (part * processes.count).backward()  # times count: the processes average gradients
        loss += part.item()
    loss = processes.sum(loss)

    # Clip: a gradient with a norm above max_norm keeps its direction and gets that norm.
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    max_norm = config.grad_clip or math.inf
    norm = nn.utils.clip_grad_norm_(parameters, max_norm)
    grad_norm = gather_full(norm).item()  # under FSDP each process has a part of it

    # Update: AdamW moves the weights, and the gradients make room for those of the next step.
    if math.isfinite(loss) and math.isfinite(grad_norm):
        optimizer.step()
    optimizer.zero_grad()
    return StepResult(loss, learning_rate, grad_norm, batch.idx.numel())


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seeds torch's generators for one step, so that a checkpoint need not store their state.

    SeedSequence mixes the three numbers well: neighbouring steps get unrelated dropout masks.
    """
    torch.manual_seed(int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0]))


def train(
    model: nn.Module,
    data: Data,
    config: TrainConfig,
    identity: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Trains the parameters of model that have requires_grad, in place.

    Afterwards torch's random state and the mode of every module are what they were before. On a CPU
    under Linux the process does not return freed memory to the system (fast/malloc.py).

    Args:
        model: called as model(idx [B, T], targets [B, T]) -> (logits, loss), with segments=... if
            the data has some. It is moved to the device, and holds the trained weights afterwards,
            whole, on every process: those of the last step, or with early_stopping those of the
            lowest validation loss.
        data: train_batch(step, batch_size) returns a Batch (idx [B, T], targets [B, T], segments
            or None), always the same for the same step; validation_batches(batch_size) yields such
            batches, always the same ones.
        identity: by name, what else makes this run this run, as JSON can hold it. It is stored in
            the checkpoint, and a run that is resumed must have the same.

    Raises:
        ValueError: the settings do not fit each other, the data, or the run in out_dir; out_dir
            holds a model that is not of a run; or another run is writing there.
        OSError: the disk is full; the checkpoint before is whole.
        TrainingDivergedError: the loss or the gradient became NaN or infinite; nothing was saved
            since.
        TrainingInterrupted: Ctrl-C or SIGTERM came; the step was finished and saved.
    """
    processes = join_processes(config.parallel, pick_device(config.device))
    with claimed(config.out_dir):
        return _train(processes, model, data, config, identity)


def _train(
    processes: Processes,
    model: nn.Module,
    data: Data,
    config: TrainConfig,
    identity: Mapping[str, Any] | None,
) -> TrainResult:
    device = processes.device
    n_tokens = check_batches(data, config, processes)
    folder = RunFolder(config.out_dir, identity_of(model, data, config, identity), config.resume)
    ways = choose_ways(model, config, processes, folder.ways, n_tokens)
    dtype = DTYPES[ways["dtype"]]
    n_threads = torch.get_num_threads()
    if device.type == "cpu":
        keep_freed_memory()  # or every step asks the system for it anew

    # raw_model has the parameters, wrapped_model is called in training: DDP around it, or compiled.
    raw_model, wrapped_model = processes.spread(model, config.compile)
    optimizer = make_optimizer(
        raw_model, config.learning_rate, config.weight_decay, config.betas, config.eps, config.paged
    )
    progress = folder.load(raw_model, optimizer)  # weights and moments; {} if the run is new
    result = TrainResult(**{**progress, "ways": ways}, out_dir=folder.path)
    best = BestWeights(config.early_stopping, folder.load_best(raw_model))

    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        in_training(raw_model),
        multiply_by(ways["products"]),
        StopRequest() as interrupt,
        folder.opened(result.steps, result.last_validated),
        progress_bar(
            config.max_steps,
            "step",
            f"{n_threads} thread{'s' * (n_threads > 1)}" if device.type == "cpu" else "",
            done=result.steps,
            show=config.progress and processes.rank == 0,
        ) as advance,
    ):
        for step in range(result.steps, config.max_steps + 1):
            # Validate before the step; a resumed run may have done so already.
            last = step == config.max_steps
            validation_due = config.eval_every and (step % config.eval_every == 0 or last)
            if validation_due and step != result.last_validated:
                batches = islice(data.validation_batches(config.batch_size), config.eval_batches)
                validation_loss = evaluate_loss(raw_model, batches, processes, dtype)
                result.validation.append((step, validation_loss))
                best.update(raw_model, result.validation)
                folder.log({"step": step, "validation_loss": validation_loss})
            if last or best.should_stop(result.validation):
                break

            # Train.
            started = time.perf_counter()
            done = training_step(wrapped_model, optimizer, data, step, config, processes, dtype)
            check_finite(step, done, folder)
            seconds = time.perf_counter() - started
            result.add(done, seconds)

            # Log.
            speed = done.tokens / seconds
            record = {"loss": done.loss, "lr": done.learning_rate, "grad_norm": done.grad_norm}
            folder.log({"step": step, **record, "tokens_per_second": round(speed, 1)})
            advance(note=f"loss {done.loss:.3f}, {speed:,.0f} tokens/s")

            # Save now and then, at the end, and when Ctrl-C has reached one of the processes.
            interrupted = processes.sum(interrupt.requested) > 0
            checkpoint_due = config.checkpoint_every and result.steps % config.checkpoint_every == 0
            if checkpoint_due or interrupted or result.steps == config.max_steps:
                save_or_stop(folder, raw_model, optimizer, result, best, config)
            if interrupted and result.steps < config.max_steps:
                processes.gather(raw_model, model)
                made = f"{result.steps} of {config.max_steps} steps"
                message = f"stopped after {made} ({folder.describe()})"
                raise TrainingInterrupted(result.steps, message)
        if config.early_stopping:  # the last validation decides whether a resumed run would go on
            save_or_stop(folder, raw_model, optimizer, result, best, config)
    best.restore(raw_model)
    processes.gather(raw_model, model)
    return result


def check_batches(data: Data, config: TrainConfig, processes: Processes) -> int:
    """Makes sure that the batches are of the size asked for and can be shared by the processes.

    Returns:
        the tokens in a forward pass of one process.

    Raises:
        ValueError: they are not, or cannot.
    """
    if config.batch_size % processes.count:
        raise ValueError(
            f"batch_size must be divisible by the number of processes, {processes.count}, "
            f"got {config.batch_size}"
        )
    idx, targets, _ = data.train_batch(0, config.batch_size)
    if idx.shape != targets.shape or len(idx) != config.batch_size:
        raise ValueError(
            f"train_batch must give idx and targets of one shape [{config.batch_size}, T], got "
            f"{list(idx.shape)} and {list(targets.shape)}"
        )
    share = config.batch_size // processes.count
    return min(config.micro_batch_size or share, share) * idx.size(1)


class TrainingDivergedError(RuntimeError):
    """The loss or the gradient is no longer a finite number; the last checkpoint is still good."""


def save_or_stop(
    folder: RunFolder,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    result: TrainResult,
    best: BestWeights,
    config: TrainConfig,
) -> None:
    """Writes a checkpoint, or ends a run whose weights are no longer numbers, as check_finite.

    After the last step no checkpoint is written then, and the last validation loss tells.
    """
    try:
        folder.save(model, optimizer, result.progress(), best.weights)
    except NotFiniteError as error:
        last = best.should_stop(result.validation) or result.steps == config.max_steps
        if not last:
            raise TrainingDivergedError(
                f"at step {result.steps - 1} the run has diverged ({error}); start it again with a "
                f"lower learning rate or a longer warm-up ({folder.describe()})"
            ) from None


def check_finite(step: int, done: StepResult, folder: RunFolder) -> None:
    """Ends the run if the loss or the gradient is NaN or infinite: no later step can mend it."""
    if not (math.isfinite(done.loss) and math.isfinite(done.grad_norm)):
        raise TrainingDivergedError(
            f"at step {step} the loss is {done.loss:.4g} and the gradient norm "
            f"{done.grad_norm:.4g}: the run has diverged; start it again with a lower learning "
            f"rate or a longer warm-up ({folder.describe()})"
        )

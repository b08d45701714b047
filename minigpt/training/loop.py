"""The training loop: one for pretraining and for every way of fine-tuning.

Each step: pick the learning rate, add up the gradients of the step's batch, clip them, let AdamW
change the weights. The rest is what makes that loop fit for use: validation, a log, a checkpoint
that survives a power cut, a Ctrl-C that loses nothing, several processes (distributed.py).

A step depends on nothing but the weights, the seed and its number: the batch is a function of the
step (dataset.py), and so are the dropout masks, drawn from generators seeded anew for every step.
Hence a run that was stopped and resumed repeats one that was not, bit for bit (on a CPU, with the
same number of threads; a GPU may add in another order each time).

Source: Pascanu et al. 2013, "On the difficulty of training recurrent neural networks" (clipping).
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from minigpt.device import autocast_dtype, pick_device
from minigpt.fast.malloc import keep_freed_memory
from minigpt.optim.adamw import make_optimizer
from minigpt.training.distributed import SINGLE, Processes, gather_full, join_processes
from minigpt.training.interrupt import StopRequest, TrainingInterrupted
from minigpt.training.loss import accumulate_gradients, evaluate_loss, part_of_loss
from minigpt.training.result import BestWeights, TrainResult
from minigpt.training.run_folder import RunFolder
from minigpt.training.settings import TrainConfig, decisive_settings, learning_rate_at

if TYPE_CHECKING:
    from minigpt.dataset import Batch, Data

__all__ = [
    "TrainConfig",
    "TrainResult",
    "TrainingDivergedError",
    "TrainingInterrupted",
    "accumulate_gradients",
    "evaluate_loss",
    "learning_rate_at",
    "part_of_loss",
    "train",
    "training_step",
]


class TrainingDivergedError(RuntimeError):
    """The loss or the gradient is no longer a finite number; the last checkpoint is still good."""


def training_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    config: TrainConfig,
    processes: Processes = SINGLE,
    dtype: torch.dtype = torch.float32,
) -> tuple[float, float]:
    """One update of the weights: gradients, clipping, AdamW. Arguments: see accumulate_gradients.

    Returns:
        the batch's loss before the update, in nats a token, and the length of its gradient before
        clipping. If either is not finite, the weights are left as they are.
    """
    loss = accumulate_gradients(model, batch, config.micro_batch_size, processes, dtype)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    longest = config.grad_clip or math.inf
    grad_norm = gather_full(nn.utils.clip_grad_norm_(parameters, longest)).item()
    if math.isfinite(loss) and math.isfinite(grad_norm):
        optimizer.step()
    optimizer.zero_grad()
    return loss, grad_norm


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed torch's generators for one step of one process, so that nothing need be remembered.

    SeedSequence mixes the three numbers well: neighbouring steps get unrelated dropout masks.
    """
    torch.manual_seed(int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0]))


def train(
    model: nn.Module,
    data: Data,
    config: TrainConfig,
    identity: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train the parameters of model that have requires_grad, in place.

    Args:
        model: called as model(idx [B, T], targets [B, T]) -> (logits, loss), with segments=... if
            the data has some. It is moved to the device, and holds the trained weights afterwards,
            whole, on every process: those of the last step, or with early_stopping those of the
            lowest validation loss.
        data: its train_batch(step, batch_size) is the batch of that step.
        identity: by name, what else makes this run this run, as JSON can hold it. It is stored in
            the checkpoint, and a run that is resumed must have the same.

    Torch's random state is the caller's again afterwards. On a CPU under Linux the process keeps
    the memory it once needed (fast/malloc.py).

    Raises:
        ValueError: the settings do not fit each other, the data, or the run in out_dir.
        OSError: the disk is full; the checkpoint before is whole.
        TrainingDivergedError: the loss or the gradient became NaN or infinite; nothing was saved
            since.
        TrainingInterrupted: Ctrl-C or SIGTERM; the step was finished and saved.
    """
    processes = join_processes(config.parallel, pick_device(config.device))
    dtype = autocast_dtype(processes.device, config.dtype)
    if config.batch_size % processes.count:
        raise ValueError(
            f"batch_size must be divisible by the number of processes, {processes.count}, "
            f"got {config.batch_size}"
        )
    folder = RunFolder(config.out_dir, identity_of(model, data, config, identity), config.resume)
    owner, trainee = processes.spread(model, config.compile)
    optimizer = make_optimizer(
        owner, config.learning_rate, config.weight_decay, config.betas, config.eps, config.paged
    )
    if processes.device.type == "cpu":
        keep_freed_memory()
    result = TrainResult(**folder.load(owner, optimizer))
    result.out_dir = folder.path
    best = BestWeights(config.early_stopping, folder.load_best(owner))

    def validate(step: int) -> None:
        if step == result.last_validated:  # done already, perhaps before the run was resumed
            return
        batches = data.validation_batches(config.batch_size)
        loss = evaluate_loss(owner, islice(batches, config.eval_batches), processes, dtype)
        result.validation.append((step, loss))
        best.update(owner, result.validation)
        folder.log({"step": step, "validation_loss": loss})

    with (
        restored_random_state(processes.device),
        training_mode(owner),
        StopRequest() as stop,
        folder.opened(result.steps, result.last_validated),
        progress_bar(config, result.steps, processes) as bar,
    ):
        for step in range(result.steps, config.max_steps):
            if config.eval_every and step % config.eval_every == 0:
                validate(step)
            if best.should_stop(result.validation):
                break

            started = time.perf_counter()
            learning_rate = learning_rate_at(step, config)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            batch = data.train_batch(step, config.batch_size)
            seed_step(config.seed, step, processes.rank)
            loss, grad_norm = training_step(trainee, optimizer, batch, config, processes, dtype)
            check_finite(step, loss, grad_norm, folder)
            seconds = time.perf_counter() - started
            result.add(loss, batch.idx.numel(), seconds)

            speed = batch.idx.numel() / seconds
            record = {"loss": loss, "lr": learning_rate, "grad_norm": grad_norm}
            folder.log({"step": step, **record, "tokens_per_second": round(speed, 1)})
            bar.update()
            bar.set_postfix_str(f"loss {loss:.3f}, {speed:,.0f} tokens/s")

            stopping = processes.sum(stop.requested) > 0
            due = config.checkpoint_every and result.steps % config.checkpoint_every == 0
            if due or stopping or result.steps == config.max_steps:
                folder.save(owner, optimizer, result.progress(), best.weights)
            if stopping and result.steps < config.max_steps:
                processes.gather(owner, model)
                done = f"{result.steps} of {config.max_steps} steps"
                raise TrainingInterrupted(
                    result.steps, f"stopped after {done} ({folder.describe()})"
                )
        if config.eval_every:
            validate(result.steps)
        if config.early_stopping:  # with the last validation, so that the run stays finished
            folder.save(owner, optimizer, result.progress(), best.weights)
    best.restore(owner)
    processes.gather(owner, model)
    return result


def check_finite(step: int, loss: float, grad_norm: float, folder: RunFolder) -> None:
    """Stop the run if the loss or the gradient is NaN or infinite: no later step can mend it."""
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise TrainingDivergedError(
            f"at step {step} the loss is {loss:.4g} and the gradient's length {grad_norm:.4g}: "
            "the run has diverged; start it again with a lower learning rate or a longer warm-up "
            f"({folder.describe()})"
        )


def identity_of(
    model: nn.Module,
    data: Data,
    config: TrainConfig,
    identity: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Returns what a resumed run must have in common with the run it goes on from, as JSON.

    What the caller gave comes first: if several things differ, the error names the caller's own.

    Raises:
        ValueError: the first batch is not of the size asked for.
    """
    shape = getattr(model, "config", None)
    batch = data.train_batch(0, config.batch_size)
    idx, targets, _ = batch
    if idx.shape != targets.shape or len(idx) != config.batch_size:
        raise ValueError(
            f"train_batch must give idx and targets of one shape [{config.batch_size}, T], got "
            f"{list(idx.shape)} and {list(targets.shape)}"
        )
    checksum = zlib.crc32(
        torch.stack([part for part in batch if part is not None]).numpy().tobytes()
    )
    return {
        "run": dict(identity or {}),
        "setting": decisive_settings(config),
        "model": vars(shape) if is_dataclass(shape) else {},
        "data": {"checksum of the first batch": checksum},
    }


@contextmanager
def training_mode(model: nn.Module) -> Iterator[None]:
    """Dropout on in the with-block, afterwards as before."""
    was_training = model.training
    model.train()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def restored_random_state(device: torch.device) -> Iterator[None]:
    """Give torch's global generators the state back that they had before the with-block."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def progress_bar(config: TrainConfig, step: int, processes: Processes) -> tqdm[Any]:
    """Steps done and left, with the time both take; hidden except on rank 0."""
    hidden = not config.progress or processes.rank > 0
    return tqdm(total=config.max_steps, initial=step, unit="step", disable=hidden)

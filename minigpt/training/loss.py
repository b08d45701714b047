"""The loss of a batch and its gradient, a few rows at a time.

A batch that does not fit into memory is split into micro-batches, and over several processes. The
loss of a training step is the mean over all targets of the whole batch, so that what is learnt does
not depend on how it was split.

Source: Micikevicius et al. 2018, "Mixed Precision Training" (float32 weights, short products).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from minigpt.config import IGNORE
from minigpt.dataset import Batch
from minigpt.model import GPT
from minigpt.training.distributed import SINGLE, Processes, gradient_exchange


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Matrix products in dtype, sums and softmaxes in float32; with float32 nothing changes."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def part_of_loss(model: nn.Module, part: Batch, total_targets: int) -> Tensor:
    """What a part of a batch adds to the mean loss of the whole, which has total_targets targets.

    The model gives the mean over the targets of these rows; times their number and divided by that
    of the whole batch, the parts of a batch add up to exactly its mean.

    Returns:
        scalar, in nats a token; 0 (with gradients 0) if no target counts.
    """
    n_targets, targets = part.n_targets, part.targets
    if n_targets == 0:  # a mean over nothing is 0/0; any target will do at weight zero
        targets = torch.zeros_like(targets)
    options: dict[str, Any] = {} if part.segments is None else {"segments": part.segments}
    if isinstance(getattr(model, "module", model), GPT):  # DDP has the model as its module
        options["loss_only"] = True
    _, loss = model(part.idx, targets, **options)
    return loss * (n_targets / total_targets)


def accumulate_gradients(
    model: nn.Module,
    batch: Batch,
    micro_batch_size: int | None = None,
    processes: Processes = SINGLE,
    dtype: torch.dtype = torch.float32,
) -> float:
    """Add the gradient of a batch's mean loss to .grad, a few rows at a time.

    Every micro-batch counts by its number of targets. Averaging the micro-batches' means instead, a
    mistake that several training libraries shipped for years, weighs a token in a short answer more
    than one in a long answer, and makes the result depend on micro_batch_size. The same holds
    between processes, which average their gradients: each therefore gets its part of the loss of
    the whole batch, times the number of processes.

    Args:
        batch: the same on every process.
        dtype: of matrix products; with bfloat16 the weights stay float32 and are rounded on use.

    Returns:
        the mean loss over the batch's targets, over all processes, in nats.

    Raises:
        ValueError: no target counts.
    """
    total_targets = batch.n_targets
    if total_targets == 0:
        raise ValueError(
            f"the batch has no target to learn from: all {batch.targets.numel()} are {IGNORE}; "
            "check how the data masks its prompts"
        )
    parts = processes.share(batch).split(micro_batch_size or len(batch.idx))
    batch_loss = 0.0
    for i, part in enumerate(parts):
        with gradient_exchange(model, wanted=i == len(parts) - 1):
            with autocast(processes.device, dtype):
                loss = part_of_loss(model, part.to(processes.device), total_targets)
            (loss * processes.count).backward()  # in the formats that forward used
        batch_loss += loss.item()
    return processes.sum(batch_loss)


@torch.no_grad()
def evaluate_loss(
    model: nn.Module,
    batches: Iterable[Batch],
    processes: Processes = SINGLE,
    dtype: torch.dtype = torch.float32,
) -> float:
    """The mean loss over all targets of all batches, in nats a token, without dropout.

    Raises:
        ValueError: there are no targets.
    """
    was_training = model.training
    model.eval()
    loss_sum, total_targets = 0.0, 0
    for batch in batches:
        total_targets += batch.n_targets
        part = processes.share(batch).to(processes.device)
        with autocast(processes.device, dtype):
            loss_sum += part_of_loss(model, part, total_targets=1).item()
    model.train(was_training)
    if total_targets == 0:
        raise ValueError("there is no validation data; give some, or set eval_every=0")
    return processes.sum(loss_sum) / total_targets

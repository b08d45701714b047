"""The loss of a batch of which only a few rows are computed at a time.

A batch that does not fit into memory is split into micro-batches, and over several processes. The
loss of a training step is the mean over all targets of the whole batch, so that what is learnt does
not depend on how it was split: every micro-batch counts by its number of targets. Averaging the
micro-batches' means instead, a mistake that several training libraries shipped for years, weighs a
token in a short answer more than one in a long answer.

Source: Micikevicius et al. 2018, "Mixed Precision Training" (float32 weights, short products).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from minigpt.config import IGNORE
from minigpt.dataset import Batch
from minigpt.layers import evaluated
from minigpt.model import GPT
from minigpt.training.distributed import SINGLE, Processes


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Computes matrix products in dtype, sums and softmaxes in float32; float32 changes nothing."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def part_of_loss(model: nn.Module, part: Batch, total_targets: int) -> Tensor:
    """Returns what a part of a batch adds to the mean loss of the whole with its total_targets.

    The model gives the mean over the targets of these rows; times their number and divided by that
    of the whole batch, the parts of a batch add up to exactly its mean.

    Returns:
        a scalar, in nats a token; 0 (with gradients 0) if no target counts.
    """
    n_targets, targets = part.n_targets, part.targets
    if n_targets == 0:  # a mean over nothing is 0/0; any target will do at weight zero
        targets = torch.zeros_like(targets)
    options: dict[str, Any] = {} if part.segments is None else {"segments": part.segments}
    if isinstance(getattr(model, "module", model), GPT):  # DDP has the model as its module
        options["loss_only"] = True
    _, loss = model(part.idx, targets, **options)
    return loss * (n_targets / total_targets)


def count_targets(batch: Batch) -> int:
    """Returns the number of targets that count in a batch to learn from.

    Raises:
        ValueError: no target counts.
    """
    if batch.n_targets == 0:
        raise ValueError(
            f"the batch has no target to learn from: all {batch.targets.numel()} are {IGNORE}; "
            "check how the data masks its prompts"
        )
    return batch.n_targets


@torch.no_grad()
def evaluate_loss(
    model: nn.Module,
    batches: Iterable[Batch],
    processes: Processes = SINGLE,
    dtype: torch.dtype = torch.float32,
) -> float:
    """Returns the mean loss over all targets of all batches, in nats a token, without dropout.

    Raises:
        ValueError: there are no targets.
    """
    loss_sum, total_targets = 0.0, 0
    model = evaluated(model)
    for batch in batches:
        total_targets += batch.n_targets
        part = processes.share(batch).to(processes.device)
        with autocast(processes.device, dtype):
            loss_sum += part_of_loss(model, part, total_targets=1).item()
    if total_targets == 0:
        raise ValueError("there is no validation data; give some, or set eval_every=0")
    return processes.sum(loss_sum) / total_targets

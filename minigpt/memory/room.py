"""Refuses a training step for which this machine has no memory, before anything is built.

predicted.py says what it takes at least: kernels need more for a moment. The alternative is a run
that the system kills without a word, when the text has been read and the model built.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from minigpt.device import check_room, pick_device, rank_and_count
from minigpt.memory.counts import count_trained, parameters
from minigpt.memory.predicted import memory_of
from minigpt.memory.run import Shape, TrainingRun

if TYPE_CHECKING:
    from minigpt.training.settings import TrainConfig


def rows_at_once(config: TrainConfig) -> int:
    """Returns how many rows are in a process's forward pass."""
    share = ceil(config.batch_size / rank_and_count()[1])
    return min(config.micro_batch_size or share, share)


def check_step_fits(shape: Shape, run: TrainingRun, config: TrainConfig, smaller: str) -> None:
    """Makes sure that there is memory for the described step.

    Args:
        config: the settings of the loop around it: the batch, of which run is a part, the device,
            and what changes how much memory a step takes.
        smaller: what the user can make smaller, for the error.

    Raises:
        ValueError: there is too little, or run does not fit shape.
    """
    memory = memory_of(shape, run)
    ids = 8 * config.batch_size * (run.context + 1)  # int64, on the CPU
    check_room(ids, f"a batch of {config.batch_size:,} rows of {run.context:,} tokens", smaller)
    if config.parallel == "fsdp":
        return  # the processes share what is counted here
    n_bytes = memory.total - (memory.activations if config.compile else 0)  # which it recomputes
    trained = count_trained(shape, run)[0]
    what = (
        f"training {trained:,} parameters with a model of {parameters(shape):,}, on "
        f"{run.batch_size:,} rows of {run.context:,} tokens at once,"
    )
    check_room(n_bytes, what, smaller, pick_device(config.device))

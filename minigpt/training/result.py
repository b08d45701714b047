"""What came of a training run: its losses, and the weights from when it was best.

A small set of examples is soon learnt by heart: the training loss goes on falling while the loss on
held-out examples turns and rises. The weights worth keeping are those of the turning point, which
is only known some validations later; so they are copied at each new lowest loss. Every checkpoint
holds the losses and that copy, in the same files as the weights the run goes on from, so they can
never be of different moments, whenever a run is killed.

Source: Prechelt 1998, "Early Stopping - But When?" (the class of criteria UP).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class StepResult(NamedTuple):
    """What came of one step.

    Attributes:
        loss: the mean loss of the step's batch before the update, in nats a token.
        learning_rate: that of the update.
        grad_norm: the norm of the gradient before it was clipped.
        tokens: positions trained on, padding included.
    """

    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int


@dataclass
class TrainResult:
    """What came of a run, over all its resumed parts.

    Attributes:
        losses: the mean loss in nats a token of each step's batch, before that step's update.
        validation: (step, mean loss over the validation targets after so many updates).
        steps: updates made.
        tokens: positions trained on, padding included.
        seconds: spent in training steps.
        ways: how it computed, see ways.py; {} before it began.
        out_dir: where log and checkpoint are; None if nothing was written.
    """

    losses: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    ways: dict[str, str] = field(default_factory=dict)
    out_dir: Path | None = None

    def __post_init__(self) -> None:
        self.validation = [(step, loss) for step, loss in self.validation]  # JSON makes them lists

    def add(self, done: StepResult, seconds: float) -> None:
        """Counts one more step."""
        self.steps += 1
        self.losses.append(done.loss)
        self.tokens += done.tokens
        self.seconds += seconds

    def progress(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps: TrainResult(**result.progress()) is the same result."""
        return {name: value for name, value in vars(self).items() if name != "out_dir"}

    @property
    def last_validated(self) -> int:
        """Returns the step of the last validation, or -1 before the first."""
        return self.validation[-1][0] if self.validation else -1

    @property
    def best_validation(self) -> float | None:
        """Returns the lowest validation loss, or None without validation."""
        best = lowest(self.validation)
        return None if best is None else best[1]

    @property
    def best_step(self) -> int | None:
        """Returns the updates made when the validation loss was lowest; None without validation.

        With early_stopping the model holds the weights of this step after the run.
        """
        best = lowest(self.validation)
        return None if best is None else best[0]


def lowest(validation: Sequence[tuple[int, float]]) -> tuple[int, float] | None:
    """Returns the first (step, loss) whose loss is the lowest number; None if there is none."""
    numbers = [(step, loss) for step, loss in validation if not math.isnan(loss)]
    return min(numbers, key=lambda pair: pair[1], default=None)


class BestWeights:
    """Keeps the trainable weights of the lowest validation loss, and says when to stop waiting.

    The copy lies beside the weights: 4 bytes for each trainable parameter, where training takes 16
    (weight, gradient, two moments). Under FSDP each process copies its own slices.

    Args:
        patience: validations in a row without a new lowest loss that end the run; with 0 the run
            never ends early and nothing is copied.
        weights: the copy of a run that is resumed, by parameter name; {} at the beginning.
    """

    def __init__(self, patience: int, weights: dict[str, Tensor]) -> None:
        self.patience = patience
        self.weights = weights

    def update(self, model: nn.Module, validation: Sequence[tuple[int, float]]) -> None:
        """Copies the weights if the last of the validations, which is theirs, is a new lowest."""
        if self.patience and validation[-1] == lowest(validation):
            parameters = own_parameters(model)
            self.weights = {
                name: parameter.detach().clone()
                for name, parameter in parameters.items()
                if parameter.requires_grad
            }

    def should_stop(self, validation: Sequence[tuple[int, float]]) -> bool:
        """Returns whether the last `patience` of these (step, loss) brought no new lowest loss."""
        best = lowest(validation)
        since = [step for step, _ in validation if best is None or step > best[0]]
        return 0 < self.patience <= len(since)

    def restore(self, model: nn.Module) -> None:
        """Puts the copied weights back into model; without a copy it stays as it is."""
        parameters = own_parameters(model)
        with torch.no_grad():
            for name, weight in self.weights.items():
                parameters[name].copy_(weight)


def own_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the parameters by name; under FSDP the slices that this process owns.

    FSDP2 leaves the outermost module's weights whole after a forward pass, for the backward pass to
    come; after a validation none comes.
    """
    reshard = getattr(model, "reshard", None)  # fully_shard adds it
    if reshard is not None:
        reshard()
    return dict(model.named_parameters())

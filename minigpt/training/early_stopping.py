"""Early stopping: when a run is no longer getting better, and the weights from when it was best.

A small set of examples is soon learnt by heart: the training loss goes on falling while the loss on
held-out examples turns and rises. The weights worth keeping are those of the turning point, which
is only known some validations later; so they are copied at each new lowest loss.

Every checkpoint holds that copy too (checkpoint.py), in the same file as the weights the run goes
on from. The two can therefore never be of different moments, whenever a run is killed.

Source: Prechelt 1998, "Early Stopping - But When?" (the class of criteria UP).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def lowest(validation: Sequence[tuple[int, float]]) -> tuple[int, float] | None:
    """The first (step, loss) with the lowest loss that is a number; None if there is none."""
    numbers = [(step, loss) for step, loss in validation if not math.isnan(loss)]
    return min(numbers, key=lambda pair: pair[1], default=None)


class EarlyStopping:
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

    def note(self, model: nn.Module, validation: Sequence[tuple[int, float]]) -> None:
        """Copy the weights if the last of the validations, which is theirs, is a new lowest."""
        if self.patience and validation[-1] == lowest(validation):
            parameters = own_parameters(model)
            self.weights = {
                name: parameter.detach().clone()
                for name, parameter in parameters.items()
                if parameter.requires_grad
            }

    def over(self, validation: Sequence[tuple[int, float]]) -> bool:
        """Whether the last patience validations, (step, loss) each, brought no new lowest loss."""
        best = lowest(validation)
        since = [step for step, _ in validation if best is None or step > best[0]]
        return 0 < self.patience <= len(since)

    def restore(self, model: nn.Module) -> None:
        """Put the copied weights back into model; without a copy it stays as it is."""
        parameters = own_parameters(model)
        with torch.no_grad():
            for name, weight in self.weights.items():
                parameters[name].copy_(weight)


def own_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters by name; under FSDP the slices that this process owns.

    FSDP2 leaves the outermost module's weights whole after a forward pass, for the backward pass to
    come; after a validation none comes.
    """
    reshard = getattr(model, "reshard", None)  # fully_shard adds it
    if reshard is not None:
        reshard()
    return dict(model.named_parameters())

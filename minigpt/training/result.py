"""What came of a training run: the numbers that its checkpoints carry from one part to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minigpt.training.early_stopping import lowest


@dataclass
class TrainResult:
    """What came of a run, over all its resumed parts.

    Attributes:
        losses: the mean loss in nats a token of each step's batch, before that step's update.
        validation: (step, mean loss over the validation targets after so many updates).
        steps: updates made.
        tokens: positions trained on, padding included.
        seconds: spent in training steps.
        out_dir: where log and checkpoint are; None if nothing was written.
    """

    losses: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    out_dir: Path | None = None

    def __post_init__(self) -> None:
        self.validation = [(step, loss) for step, loss in self.validation]  # JSON makes them lists

    def add(self, loss: float, tokens: int, seconds: float) -> None:
        """Count one more step."""
        self.steps += 1
        self.losses.append(loss)
        self.tokens += tokens
        self.seconds += seconds

    def progress(self) -> dict[str, Any]:
        """What a checkpoint keeps of it: TrainResult(**result.progress()) is the same result."""
        return {name: value for name, value in vars(self).items() if name != "out_dir"}

    @property
    def last_validated(self) -> int:
        """The step of the last validation, or -1 before the first."""
        return self.validation[-1][0] if self.validation else -1

    @property
    def best_validation(self) -> float | None:
        """The lowest validation loss, or None without validation."""
        best = lowest(self.validation)
        return None if best is None else best[1]

    @property
    def best_step(self) -> int | None:
        """Updates made when the validation loss was lowest, or None without validation.

        With early_stopping the model holds the weights of this step after the run.
        """
        best = lowest(self.validation)
        return None if best is None else best[0]

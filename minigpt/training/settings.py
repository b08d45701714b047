"""How to train: the settings of a run, checked, and the learning rate they give each step.

Sources: Brown et al. 2020 (GPT-3, appendix B: warm-up, cosine to a tenth, clipping at 1.0);
Loshchilov and Hutter 2017, "SGDR" (cosine, equation 5).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minigpt.config import is_number, is_whole

MOST = 10**9  # of steps, sequences or validations
LARGEST_SEED = 2**63 - 1  # torch's and numpy's generators take no larger one


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Every number of a sequence, step or token is a count.

    Attributes:
        max_steps: updates of the weights, over all resumed parts of the run.
        batch_size: sequences a step, over all processes.
        micro_batch_size: sequences in one forward pass of one process; None is all at once. Smaller
            needs less memory and gives the same step (loss.py).
        learning_rate: the highest; reached after warmup_steps.
        min_learning_rate: where the cosine ends; None is a tenth of learning_rate, as in GPT-3.
        weight_decay: pull of matrices towards zero, see optim/adamw.py.
        betas, eps: AdamW's.
        paged: keep AdamW's moments of weights on a GPU in the host's memory: 8 bytes less on the
            GPU for each trained number, and a slower step (optim/paged_adamw.py).
        grad_clip: a gradient longer than this is shortened to it; 0 for no clipping.
        eval_every: steps between validations, one more at the end; 0 for none.
        eval_batches: validate on so many batches only; None for all.
        early_stopping: end the run after so many validations in a row without a new lowest loss,
            and, however it ends, leave in the model the weights of the lowest (result.py);
            0 for neither.
        checkpoint_every: steps between checkpoints; 0 for one at the end (or on Ctrl-C).
        seed: of the dropout masks. The data and the initial weights have their own.
        device: "cpu", "cuda", "mps", or None for the fastest there is.
        dtype: of matrix products; "auto" is bfloat16 where that is fast. Weights stay in float32.
        compile: let torch.compile fuse the model's operations: slow to start, then faster.
        out_dir: folder for log and checkpoints, on a disk that all processes see; None writes
            nothing.
        resume: go on from the checkpoint in out_dir, if there is one.
        parallel: "none", "ddp", "fsdp", or "auto": "ddp" if torchrun started several processes.
        progress: show a progress bar.

    Raises:
        ValueError: a value is out of range; one sentence says which and what is allowed.
    """

    max_steps: int
    batch_size: int = 8
    micro_batch_size: int | None = None
    learning_rate: float = 1e-3
    min_learning_rate: float | None = None
    warmup_steps: int = 0
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    paged: bool = False
    grad_clip: float = 1.0
    eval_every: int = 0
    eval_batches: int | None = None
    early_stopping: int = 0
    checkpoint_every: int = 0
    seed: int = 0
    device: str | None = None
    dtype: str = "auto"
    compile: bool = False
    out_dir: str | Path | None = None
    resume: bool = False
    parallel: str = "auto"
    progress: bool = True

    def __post_init__(self) -> None:
        lowest = {"max_steps": 1, "batch_size": 1, "micro_batch_size": 1, "eval_batches": 1}
        zero = ("warmup_steps", "eval_every", "early_stopping", "checkpoint_every", "seed")
        for name, least in {**lowest, **dict.fromkeys(zero, 0)}.items():
            value = getattr(self, name)
            if value is None and name in ("micro_batch_size", "eval_batches"):
                continue
            if not is_whole(value) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value}")
            most = LARGEST_SEED if name == "seed" else MOST
            if value > most:
                raise ValueError(f"{name} must be at most {most:,}, got a larger number")
        for name in ("learning_rate", "min_learning_rate", "weight_decay", "eps", "grad_clip"):
            value = getattr(self, name)
            if value is None and name == "min_learning_rate":
                value = self.learning_rate / 10
                object.__setattr__(self, name, value)
            if not is_number(value) or value < 0:
                raise ValueError(f"{name} must be at least 0, got {value!r:.40}")
        if self.min_learning_rate > self.learning_rate:  # type: ignore[operator]
            raise ValueError(
                f"min_learning_rate must be at most learning_rate={self.learning_rate}, "
                f"got {self.min_learning_rate}"
            )
        if self.warmup_steps > self.max_steps:
            raise ValueError(
                f"warmup_steps must be at most max_steps={self.max_steps}, got {self.warmup_steps}"
            )
        if self.early_stopping and not self.eval_every:
            raise ValueError(
                f"early_stopping={self.early_stopping} needs validations; set eval_every to at "
                "least 1, got 0"
            )
        if len(self.betas) != 2 or not all(
            is_number(beta) and 0 <= beta < 1 for beta in self.betas
        ):
            raise ValueError(f"betas must be two numbers from 0 to below 1, got {self.betas}")


# The settings that decide what is computed. A resumed run must have the same; the others (where it
# runs, what it shows, how often it saves) may change.
DECISIVE = (
    *("max_steps", "batch_size", "learning_rate", "min_learning_rate", "warmup_steps"),
    *("weight_decay", "betas", "eps", "grad_clip", "seed", "dtype"),
)
DECISIVE_WHEN_STOPPING_EARLY = ("early_stopping", "eval_every", "eval_batches")


def decisive_settings(config: TrainConfig) -> dict[str, Any]:
    """Returns the settings that decide what is computed, by name.

    How often and on how much to validate is among them only if that can end the run; else None.
    """
    settings = asdict(config)
    stopping = {
        name: settings[name] if config.early_stopping else None
        for name in DECISIVE_WHEN_STOPPING_EARLY
    }
    return {**{name: settings[name] for name in DECISIVE}, **stopping}


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """Returns the learning rate of a step (the first is 0): a climb, then half a cosine down.

        step < warmup:   top (step + 1) / warmup
        afterwards:      bottom + (top - bottom) (1 + cos(pi p)) / 2,
                         p = (step - warmup) / (max_steps - warmup)

    AdamW's first steps rest on moments of one or two gradients, so they have to be small; the last
    ones should no longer jump around the minimum.
    """
    top, bottom = config.learning_rate, config.min_learning_rate or 0.0
    if step < config.warmup_steps:
        return top * (step + 1) / config.warmup_steps
    rest = max(1, config.max_steps - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / rest)
    return bottom + (top - bottom) * (1.0 + math.cos(math.pi * progress)) / 2.0

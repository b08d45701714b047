"""Checks what a checkpoint says about how far its run is, before the run is taken up.

A file that was edited, or mixed from two runs, must not be trained on for hours first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minigpt.files.schema import Anything, ListOf, MapOf, Number, Object, Row, Whole, check
from minigpt.training.ways import FIELDS as WAYS

FIELDS = Object(  # TrainResult.progress(), and the identity that RunFolder adds
    {
        "losses": ListOf(Number(0)),
        "validation": ListOf(Row(Whole(), Number(0))),
        "steps": Whole(),
        "tokens": Whole(),
        "seconds": Number(0),
        "identity": Object(dict.fromkeys(("run", "setting", "model", "data"), MapOf(Anything()))),
    },
    optional={"ways": WAYS},
    closed=True,
)


def check_progress(path: Path, progress: dict[str, Any]) -> None:
    """Makes sure that the progress in a checkpoint is that of a run, and agrees with itself.

    Raises:
        ValueError: it does not; the error names the file and the first field that is wrong.
    """
    checked = progress
    if broke_at_last(progress.get("validation"), progress.get("steps")):
        checked = {**progress, "validation": progress["validation"][:-1]}
    check({"progress": checked}, Object({"progress": FIELDS}), path)
    for problem in contradictions(progress):
        raise ValueError(f"{path}: progress.{problem}; restore the run from a copy, or start anew")


def broke_at_last(validation: Any, steps: Any) -> bool:
    """Returns whether the validation after the last update is not a finite number.

    An update can break the weights. Only the next step would notice, and the last has none.
    """
    match validation:
        case [*_, [step, float(loss)]]:
            return type(loss) is float and not math.isfinite(loss) and step == steps
    return False


def contradictions(progress: dict[str, Any]) -> Iterator[str]:
    """Yields what cannot be true together."""
    steps, losses, tokens = progress["steps"], progress["losses"], progress["tokens"]
    if len(losses) != steps:
        yield f"steps is {steps:,}, but progress.losses has {len(losses):,} entries"
    if tokens < steps:
        yield f"tokens must be at least {steps:,}, one a step, got {tokens:,}"
    least = 0
    for i, (step, _) in enumerate(progress["validation"]):
        if not least <= step <= steps:
            yield f"validation[{i}][0] must be a step from {least:,} to {steps:,}, got {step:,}"
        least = step + 1

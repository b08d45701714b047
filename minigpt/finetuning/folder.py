"""The folder of a fine-tuning run: whose it is, and text files that are whole or not there."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigpt.files.adapter_folder import WEIGHTS_FILE as ADAPTER_FILE
from minigpt.files.atomic import write_atomically
from minigpt.finetuning.methods import METHOD_OPTIONS, RESULTS
from minigpt.pretrained.layout import WEIGHTS_FILE
from minigpt.training.checkpoint import has_checkpoint

SETTINGS = "settings.json"

# What decides the outcome, besides what train() compares by itself.
DECISIVE = (
    *("model", "method", "task", "data", "template", "answer", "validation", "test"),
    *("all_wordings", "rehearse", *METHOD_OPTIONS),
)


def check_folder(arguments: Namespace) -> None:
    """Make sure that nothing in --out would be overwritten that is not of the same run.

    Raises:
        ValueError: there is a run and --resume is not given; it had other settings; or there is a
            model and no run.
    """
    out = arguments.out
    if not has_checkpoint(out):
        if any((out / name).exists() for name in (WEIGHTS_FILE, ADAPTER_FILE, RESULTS)):
            raise ValueError(f"{out} holds a model; choose another folder with --out")
        return
    if not arguments.resume:
        raise ValueError(
            f"{out} already holds a training run; go on with it by --resume, or choose another "
            "folder with --out"
        )
    try:
        before = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
        saved = {name: before[name] for name in DECISIVE}
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"{out} cannot be resumed: its {SETTINGS} is missing or damaged, or the run there was "
            "not started by `minigpt finetune`"
        ) from None
    ours = settings_of(arguments)
    for name, value in saved.items():
        if value != ours[name]:
            raise ValueError(
                f"the run in {out} has {name}={value!r}, this one {name}={ours[name]!r}; resume "
                "with the same settings, or choose another folder with --out"
            )


def settings_of(arguments: Namespace) -> dict[str, Any]:
    """The options of the run, as JSON can hold them."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(arguments).items()
        if name not in ("function", "command", "resume")
    }


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """A text file that is whole or not there."""
    text = "".join(line + "\n" for line in lines)

    def write(new: Path) -> None:
        new.write_text(text, encoding="utf-8", newline="\n")

    write_atomically(path, write)

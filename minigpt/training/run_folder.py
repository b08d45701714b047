"""What a training run leaves in its folder: a log to plot, and a checkpoint to go on from.

    log.jsonl           one JSON object a line: {"step": 0, "loss": ..., "lr": ...,
                        "grad_norm": ..., "tokens_per_second": ...} for each step, and
                        {"step": 0, "validation_loss": ...}
    checkpoint.json     and the tensor file it names: see checkpoint.py

"step" counts the updates made before, so a loss and a validation loss of the same step are those of
the same weights. The log may run ahead of the checkpoint when a run is killed; on resume the lines
past the checkpoint are dropped and written again, so that each step is there exactly once.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn

from minigpt.dataset import Data
from minigpt.device import rank_and_count
from minigpt.files.atomic import reason_of, write_text
from minigpt.files.json_objects import parse_json_object
from minigpt.files.lock import held
from minigpt.files.model_files import ADAPTER, MODEL, OTHER_WEIGHTS, RESULTS, TOKENIZER, matching
from minigpt.files.regular_file import open_regular
from minigpt.files.together import NEW
from minigpt.training.checkpoint import (
    COMMIT_RECORD,
    has_checkpoint,
    load_best,
    load_checkpoint,
    read_commit_record,
    save_checkpoint,
)
from minigpt.training.distributed import is_first_process
from minigpt.training.progress import check_progress
from minigpt.training.settings import TrainConfig, decisive_settings

LOG, LOG_STARTS = "log.jsonl", b'{"step": '


class RunFolder:
    """The folder of one run; with path=None every method does nothing.

    Args:
        path: where the run writes.
        identity: what makes this run this run (configurations, a mark of the data); a checkpoint
            with another identity is not taken up.
        resume: go on from the checkpoint in path, if there is one.

    Raises:
        ValueError: the folder is not free for this run (check_free), or the run there has another
            identity; the message names the first difference.
    """

    def __init__(
        self, path: str | Path | None, identity: dict[str, dict[str, Any]], resume: bool
    ) -> None:
        self.path = None if path is None else Path(path)
        self.identity = json.loads(json.dumps(identity))  # tuples become lists, as in the file
        self.log_file: TextIO | None = None
        self.found: dict[str, Any] | None = None  # the progress of the checkpoint there
        check_free(self.path, resume)
        if self.path is None or not has_checkpoint(self.path):
            return
        self.found = read_commit_record(self.path)["progress"]
        check_progress(self.path / COMMIT_RECORD, self.found)
        check_identity(self.path, self.found["identity"], self.identity)

    @property
    def ways(self) -> dict[str, str]:
        """Returns how the run there computes, see ways.py; {} for a new run."""
        found: dict[str, str] = (self.found or {}).get("ways", {})
        return found

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Fills model and optimizer, and returns the checkpoint's progress; {} for a new run."""
        if self.path is None or self.found is None:
            return {}
        progress = load_checkpoint(self.path, model, optimizer)
        return {name: value for name, value in progress.items() if name != "identity"}

    def load_best(self, model: nn.Module) -> dict[str, Tensor]:
        """Returns the best weights so far, by parameter name; {} if the checkpoint keeps none."""
        if self.path is None or self.found is None:
            return {}
        return load_best(self.path, model)

    @contextmanager
    def opened(self, step: int, validated: int) -> Iterator[None]:
        """Keeps the log open for a with-block (on rank 0; other processes write nothing).

        Args:
            step: the training step to be logged next.
            validated: the step of the last validation that need not be repeated, or -1.
        """
        if self.path is None or not is_first_process():
            yield
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            cut_log(self.path / LOG, step, validated)
            self.log_file = open(self.path / LOG, "a", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise OSError(f"cannot write the run to {self.path}: {reason_of(error)}") from error
        try:
            yield
        finally:
            with suppress(OSError):  # each line is out already, or its error has been raised
                self.log_file.close()
            self.log_file = None

    def log(self, record: dict[str, Any]) -> None:
        """Adds one line to log.jsonl."""
        if self.log_file is not None:
            try:
                self.log_file.write(json.dumps(record) + "\n")
                self.log_file.flush()
            except OSError as error:
                raise OSError(
                    f"could not write {self.log_file.name}: {reason_of(error)}"
                ) from error

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        progress: dict[str, Any],
        best: dict[str, Tensor],
    ) -> None:
        """Writes a checkpoint; the log reaches the disk before it, so it is never behind.

        Args:
            best: the trainable weights of the lowest validation loss, {} if they are not kept.
        """
        progress = json.loads(json.dumps({**progress, "identity": self.identity}))
        if self.path is None or progress == self.found:  # it is there already
            return
        if self.log_file is not None:
            os.fsync(self.log_file.fileno())
        frozen = any(not parameter.requires_grad for parameter in model.parameters())
        save_checkpoint(self.path, model, optimizer, progress, trainable_only=frozen, best=best)
        self.found = progress

    def describe(self) -> str:
        """Says where the last checkpoint is, for a message."""
        if self.path is None:
            return "nothing was saved, since out_dir is None"
        if not has_checkpoint(self.path):
            return f"no checkpoint was saved in {self.path} yet"
        step = read_commit_record(self.path)["progress"]["steps"]
        return f"the checkpoint in {self.path} is of step {step}"


@contextmanager
def claimed(path: str | Path | None) -> Iterator[None]:
    """Keeps every other run out of path for a with-block; of several processes, rank 0 does so.

    Raises:
        ValueError: another run is writing to path.
        OSError: path cannot be written to.
    """
    first = rank_and_count()[0] == 0
    with nullcontext() if path is None or not first else held(Path(path)):
        yield


WRITTEN = (
    "log.jsonl", "config.json", "model.safetensors", "tokenizer.json", "adapter_config.json",
    "adapter_model.safetensors", "results.json",
)  # fmt: skip


def check_free(path: str | Path | None, resume: bool) -> None:
    """Makes sure that a run may write to path, where nothing may get lost.

    Raises:
        ValueError: it holds a run and resume is False, or a model or a log that is not of a run,
            which nothing could bring back; or a folder or a pipe has the name of a file to be
            written.
    """
    if path is None:
        return
    if has_checkpoint(path) and not resume:
        raise ValueError(
            f"{path} already holds a training run; go on with it (resume=True, or --resume on the "
            "command line), or choose another folder"
        )
    for name in WRITTEN:
        there = Path(path) / name
        if os.path.lexists(there) and not there.is_file():
            raise ValueError(f"{there} is not a file, and the run has to write one; move it away")
    if not has_checkpoint(path):
        kinds = (MODEL, OTHER_WEIGHTS, TOKENIZER, ADAPTER, RESULTS)
        if (Path(path) / NEW).exists() or matching(Path(path), *kinds):
            raise ValueError(f"{path} holds a model; choose another folder for this run")
        check_log(Path(path) / LOG)


def check_log(path: Path) -> None:
    """Raises ValueError if a log is not of a run: it would be lost."""
    if path.exists():
        with open_regular(path) as file:
            start = file.read(len(LOG_STARTS))
        if not LOG_STARTS.startswith(start):
            raise ValueError(f"{path} is not the log of a run; choose another folder for this run")


def cut_log(path: Path, step: int, validated: int) -> None:
    """Keeps the whole lines of the training steps before step, and of validations to validated."""
    if not path.exists():
        return
    kept = []
    with open_regular(path) as file:
        lines = file.read().decode(errors="replace").split("\n")
    for line in lines:
        try:
            record = parse_json_object(line, path)
            earlier = record["step"] < (validated + 1 if "validation_loss" in record else step)
        except (ValueError, KeyError, TypeError):  # the line that was being written
            continue
        if earlier:
            kept.append(line + "\n")
    write_text(path, "".join(kept))


def identity_of(
    model: nn.Module,
    data: Data,
    config: TrainConfig,
    identity: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Returns what a resumed run must share with the run it goes on from, as JSON can hold it.

    That is the caller's identity, the decisive settings, the model's shape and a checksum of the
    first batch. If several of them differ, the error names the caller's own, which stand first.
    """
    shape = getattr(model, "config", None)
    parts = [part for part in data.train_batch(0, config.batch_size) if part is not None]
    return {
        "run": dict(identity or {}),
        "setting": decisive_settings(config),
        "model": vars(shape) if is_dataclass(shape) else {},
        "data": {"checksum of the first batch": zlib.crc32(torch.stack(parts).numpy().tobytes())},
    }


def check_identity(
    folder: Path, saved: dict[str, dict[str, Any]], ours: dict[str, dict[str, Any]]
) -> None:
    """Makes sure that the run in folder is the one to be resumed.

    Raises:
        ValueError: it is not; names the first setting that differs.
    """
    for part in ours:
        kind = "setting" if part == "run" else part  # "run" holds the caller's own settings
        for name in {**ours[part], **saved.get(part, {})}:
            before, value = saved.get(part, {}).get(name), ours[part].get(name)
            if before != value:
                raise ValueError(
                    f"the run in {folder}, by its {COMMIT_RECORD}, has {kind} "
                    f"{name}={before!r:.300}, this one {name}={value!r:.300}; "
                    "resume with the same settings, or choose another folder"
                )

"""A model and data that train in a second, and runs of them in processes of their own.

    python -m tests.minigpt.tiny.run kill FOLDER    train while being killed again and again
    python -m tests.minigpt.tiny.run stop FOLDER    stop early, killed before each disk operation
    torchrun ... -m tests.minigpt.tiny.run spread FOLDER    train with DDP and FSDP2

All print one line of JSON with what came out; the tests beside this file read it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tqdm import tqdm

from minigpt.config import GPTConfig
from minigpt.dataset import Batch
from minigpt.model import GPT
from minigpt.training import checkpoint
from minigpt.training.distributed import SINGLE
from minigpt.training.interrupt import TrainingInterrupted
from minigpt.training.loop import train, training_step
from minigpt.training.settings import TrainConfig
from tests.minigpt.tiny import forked

# tqdm's own lock is shared with forked processes: one that is killed with it would block them all.
tqdm.set_lock(threading.RLock())
tqdm.monitor_interval = 0  # nor may a thread hold it while another process is forked off

VOCAB_SIZE, BLOCK_SIZE = 32, 16
SPREAD_STEPS = 12  # what FSDP does for one takes a while
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


class TinyData:
    """Rising sequences of ids; a part of the targets does not count, as in fine-tuning.

    Args:
        before_batch: called with the step before its batch is made, to cause trouble.
        salt: the data differ for different numbers.
    """

    def __init__(self, before_batch: Callable[[int], None] | None = None, salt: int = 0) -> None:
        self.before_batch, self.salt = before_batch, salt

    def train_batch(self, step: int, batch_size: int) -> Batch:
        if self.before_batch:
            self.before_batch(step)
        generator = torch.Generator().manual_seed(1000 * self.salt + step)
        ids = torch.randint(VOCAB_SIZE, (batch_size, BLOCK_SIZE + 1), generator=generator)
        ids = ids.sort(dim=1).values  # [B, T + 1]
        targets = ids[:, 1:].clone()  # [B, T]
        for row in range(batch_size):  # rows with few and rows with many targets
            targets[row, : (5 * row) % BLOCK_SIZE] = -100
        return Batch(ids[:, :-1].contiguous(), targets)

    def validation_batches(self, batch_size: int) -> Iterator[Batch]:
        quiet = TinyData(salt=self.salt)
        yield quiet.train_batch(10_000, batch_size)
        yield quiet.train_batch(10_001, batch_size).rows(slice(1))


class TurningData(TinyData):
    """TinyData with wrong targets from step 8 on, so that the validation loss rises from there."""

    def train_batch(self, step: int, batch_size: int) -> Batch:
        idx, targets, _ = super().train_batch(step, batch_size)
        return Batch(idx, targets.where(targets == -100, 0) if step >= 8 else targets)


class OneBatch:
    """The same batch at every step."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def train_batch(self, step: int, batch_size: int) -> Batch:
        return self.batch

    def validation_batches(self, batch_size: int) -> Iterator[Batch]:
        yield self.batch


class StoppedError(Exception):
    """Ends a run from inside its data, as a crash would."""


def crash_at(wanted: int) -> TinyData:
    def crash(step: int) -> None:
        if step == wanted:
            raise StoppedError

    return TinyData(crash)


def tiny_model(dropout: float = 0.1, **sizes: int) -> GPT:
    torch.manual_seed(0)
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 16, **sizes}
    return GPT(GPTConfig(VOCAB_SIZE, BLOCK_SIZE, dropout=dropout, **shape))


def tiny_config(**changes: Any) -> TrainConfig:
    config = TrainConfig(
        max_steps=24,
        batch_size=4,
        learning_rate=1e-2,
        warmup_steps=4,
        eval_every=8,
        checkpoint_every=5,
        device="cpu",
        dtype="float32",
        progress=False,
    )
    return replace(config, **changes)


def loss_and_gradients(
    model: torch.nn.Module, batch: Batch, micro_batch_size: int | None = None
) -> tuple[float, list[torch.Tensor]]:
    """Returns a training step's loss, and the gradients that the optimizer gets, not clipped."""
    gradients: list[torch.Tensor] = []
    optimizer = torch.optim.SGD(model.parameters())
    optimizer.register_step_pre_hook(
        lambda *_: gradients.extend(p.grad.clone() for p in model.parameters())
    )
    still = {"learning_rate": 0.0, "min_learning_rate": 0.0, "grad_clip": 0.0}
    config = tiny_config(micro_batch_size=micro_batch_size, **still)
    done = training_step(model, optimizer, OneBatch(batch), 0, config, SINGLE)
    return done.loss, gradients


def run_python(*arguments: str | Path) -> str:
    """Starts Python with these arguments in a new process, and returns what it prints.

    It has one thread and finds the modules that this one finds. If it fails, the test fails too and
    shows its output.
    """
    run = subprocess.run(
        [sys.executable, *arguments],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def run_module(script: str, *arguments: str | Path, processes: int = 1) -> Any:
    """Runs a module beside this one, and returns the JSON that it prints last.

    On Linux it runs in forks of this process, which takes a fraction of the time; two processes are
    started by torchrun elsewhere, as a user would.
    """
    name, texts = f"tests.minigpt.tiny.{script}", [str(argument) for argument in arguments]
    if forked.POSSIBLE:
        with tempfile.TemporaryDirectory() as folder:
            printed = forked.module(name, texts, Path(folder), processes)
    else:
        start = TORCHRUN if processes > 1 else []
        printed = run_python(*start, "-m", name, *texts)
    return json.loads(printed.splitlines()[-1])


def run_two_processes(script: str, *arguments: str | Path) -> Any:
    """Runs a module beside this one in two processes, and returns the JSON that it prints last."""
    skip_without_gloo()
    return run_module(script, *arguments, processes=2)


def skip_without_gloo() -> None:
    """Skips a test where two processes could not talk to each other."""
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo")


def train_while_killed(folder: Path) -> dict[str, Any]:
    """Starts a run again and again, killing it with SIGKILL each time at another place.

    First before the 1st, 2nd, 3rd ... operation on the disk since the start, some of them after
    half of the bytes of a file; then at random times. At last it may finish.
    """
    config = tiny_config(max_steps=120, checkpoint_every=3, out_dir=folder, resume=True)
    randomness = random.Random(7)
    at_operations = list(range(1, 40))
    at_times = [randomness.uniform(0.02, 0.4) for _ in range(8)]
    kills, steps = 0, [0]
    train(tiny_model(), TinyData(), tiny_config(max_steps=4))  # what torch loads late is loaded now
    for plan in [*at_operations, *at_times, None]:
        child = os.fork()
        if child == 0:
            if isinstance(plan, int):
                kill_before_operation(plan)
            result = train(tiny_model(), TinyData(), config)
            (folder / "result.json").write_text(json.dumps(result.losses))
            os._exit(0)
        if isinstance(plan, float):
            time.sleep(plan)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
            raise RuntimeError(f"the run failed after the kill at {plan}")
        if checkpoint.has_checkpoint(folder):
            steps.append(checkpoint.read_commit_record(folder)["progress"]["steps"])
    return {"kills": kills, "steps": steps, "files": sorted(p.name for p in folder.iterdir())}


def stop_early(config: TrainConfig, dropout: float = 0.1) -> dict[str, Any]:
    """Trains on TurningData, and returns all about the outcome but the time it took."""
    model = tiny_model(dropout)
    result = train(model, TurningData(), config)
    return {
        **{name: value for name, value in result.progress().items() if name != "seconds"},
        "best_step": result.best_step,
        "weights": {name: p.tolist() for name, p in model.named_parameters()},
    }


def stop_early_killed_once(folder: Path) -> dict[str, Any]:
    """Runs that stop early, each killed before another operation on the disk and then resumed.

    The first is killed before its 1st operation, the next before its 4th, until one is through.
    """
    config = tiny_config(eval_every=4, checkpoint_every=7, early_stopping=2)
    outcomes: list[dict[str, Any]] = []
    steps = []
    stop_early(config)  # what torch loads late is loaded now
    while True:
        where = folder / str(len(steps))
        if (child := os.fork()) == 0:
            kill_before_operation(3 * len(steps) + 1)
            stop_early(replace(config, out_dir=where))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        there = checkpoint.has_checkpoint(where)
        progress = checkpoint.read_commit_record(where)["progress"] if there else {"steps": 0}
        steps.append(progress["steps"])
        outcome = stop_early(replace(config, out_dir=where, resume=True))
        if outcome not in outcomes:
            outcomes.append(outcome)
    return {"exit": os.WEXITSTATUS(status), "steps": steps, "outcomes": outcomes}


def kill_before_operation(n: int, writer: ModuleType = checkpoint) -> None:
    """Makes this process kill itself before its n-th change to the disk.

    Args:
        writer: the module whose save_file counts as one change, which the kill interrupts.
    """
    done = 0

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            nonlocal done
            done += 1
            if done == n:
                if operation.__name__ == "save_file":  # half of the file is there
                    operation(*arguments)
                    os.truncate(arguments[1], os.path.getsize(arguments[1]) // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*arguments, **named)

        return wrapper

    for module, name in (
        *((os, name) for name in ("replace", "fsync", "chmod", "unlink", "mkdir")),
        (shutil, "rmtree"),
        (writer, "save_file"),
    ):
        setattr(module, name, counted(getattr(module, name)))


def train_spread(folder: Path) -> dict[str, Any]:
    """Trains under torchrun in every way the tests compare with a single process."""
    rank = int(os.environ["RANK"])
    found: dict[str, Any] = {}
    for mode in ("ddp", "fsdp"):
        config = tiny_config(parallel=mode, max_steps=SPREAD_STEPS)
        for micro_batch_size in (None, 1):
            model = tiny_model(dropout=0.0)
            result = train(model, TinyData(), replace(config, micro_batch_size=micro_batch_size))
            found[f"{mode} {micro_batch_size}"] = {
                "losses": result.losses,
                "validation": result.validation,
                "weights": {name: p.tolist() for name, p in model.named_parameters()},
                "tied": model.lm_head.weight is model.transformer["wte"].weight,
                "class": type(model).__name__,
            }
        frozen = tiny_model(dropout=0.0)
        frozen.transformer["h"].requires_grad_(False)
        found[f"{mode} frozen"] = train(frozen, TinyData(), config).losses

        def interrupt(step: int) -> None:  # only one of the processes gets the signal
            if rank == 1 and step == 7:
                signal.raise_signal(signal.SIGINT)

        stopping = tiny_config(parallel=mode, eval_every=4, early_stopping=2)
        found[f"{mode} early"] = stop_early(stopping, dropout=0.0)
        kept = replace(stopping, out_dir=folder / f"{mode} early", resume=True)
        found[f"{mode} early and resumed"] = [stop_early(kept, 0.0) for _ in range(2)]

        config = replace(config, out_dir=folder / mode, resume=True)
        model = tiny_model()
        found[f"{mode} with dropout"] = train(
            model, TinyData(), replace(config, out_dir=None)
        ).losses
        try:
            train(tiny_model(), TinyData(interrupt), config)
        except TrainingInterrupted as stop:
            found[f"{mode} interrupted"] = stop.step
        found[f"{mode} resumed"] = train(tiny_model(), TinyData(), config).losses
    return found if rank == 0 else {}


if __name__ == "__main__":
    torch.set_num_threads(1)
    what, where = sys.argv[1], Path(sys.argv[2])
    where.mkdir(parents=True, exist_ok=True)
    kinds = {
        "kill": train_while_killed,
        "stop": stop_early_killed_once,
        "spread": train_spread,
    }
    outcome = kinds[what](where)
    if outcome:
        print(json.dumps(outcome))

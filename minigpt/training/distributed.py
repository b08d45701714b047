"""One training run on several processes, started by torchrun: DDP and FSDP2, both torch's own.

    torchrun --nproc-per-node 2 -m minigpt train ...

Every process runs the same program on its own rows of the same batch. They talk at two points:

- DDP ("ddp"): each process holds the whole model; after backward the gradients are averaged, so
  that all take the same step (Li et al. 2020, "PyTorch Distributed").
- FSDP2 ("fsdp"): each process holds a slice of every weight, its gradient and its optimizer state,
  and borrows the rest block by block during forward and backward (Zhao et al. 2023, "PyTorch FSDP";
  the same idea as ZeRO stage 3, Rajbhandari et al. 2020).

Without torchrun there is one process and every function here does nothing.
"""

from __future__ import annotations

import atexit
import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from minigpt.config import IGNORE
from minigpt.dataset import Batch
from minigpt.device import rank_and_count
from minigpt.model import Block

T = TypeVar("T")

MODES = ("auto", "none", "ddp", "fsdp")


@dataclass(frozen=True)
class Processes:
    """The processes of this run, seen from one of them.

    Attributes:
        mode: "none", "ddp" or "fsdp".
        rank: which process this is, 0 to count - 1. Rank 0 writes the files and the progress bar.
        count: how many processes there are.
        device: where this one computes.
    """

    mode: str
    rank: int
    count: int
    device: torch.device

    def share(self, batch: Batch) -> Batch:
        """Returns this process's rows of a batch: rank, rank + count, rank + 2 count ...

        If there are fewer rows than processes, some get a row whose targets do not count: they
        still have to take part, because the others wait for them.
        """
        if self.rank < len(batch.idx):
            return batch.rows(slice(self.rank, None, self.count))
        row = batch.rows(slice(1))
        return row._replace(targets=torch.full_like(row.targets, IGNORE))

    def sum(self, value: float) -> float:
        """Returns value added up over the processes; every process gets the same sum."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return float(total)

    def that_of_the_first(self, value: T) -> T:
        """Returns the value that rank 0 has, on every process."""
        values = [value]
        if self.count > 1:
            dist.broadcast_object_list(values, src=0, device=self.device)
        return values[0]

    def spread(self, model: nn.Module, compiled: bool = False) -> tuple[nn.Module, nn.Module]:
        """Returns raw_model, which has the parameters to train, and wrapped_model, to be called.

        Without processes to share with, both are the model, moved to the device. DDP keeps the
        model's parameters and wraps the call. FSDP2 replaces parameters by slices, for which it
        takes a copy: the caller's model stays whole, and gets the trained weights from gather().
        """
        raw_model = self._sharded(model) if self.mode == "fsdp" else model.to(self.device)
        wrapped_model = raw_model
        if compiled:
            wrapped_model = torch.compile(raw_model)  # type: ignore[assignment]
        if self.mode == "ddp":
            device_ids = [self.device.index] if self.device.type == "cuda" else None
            wrapped_model = DistributedDataParallel(
                wrapped_model, device_ids, gradient_as_bucket_view=True
            )
            # The only buffers are frozen 4-bit weights: made alike once, not before every pass.
            wrapped_model.broadcast_buffers = False
        return raw_model, wrapped_model

    def _sharded(self, model: nn.Module) -> nn.Module:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        for parameter in model.parameters():  # as DDP does: start from the weights of rank 0
            dist.broadcast(parameter.detach(), src=0)
        mesh = init_device_mesh(self.device.type, (self.count,))
        raw_model = copy.deepcopy(model)  # keeps the LM head tied to the embedding
        for module in list(raw_model.modules()):
            if isinstance(module, Block):
                fully_shard(module, mesh=mesh)
        fully_shard(raw_model, mesh=mesh)  # what is left: embeddings and LM head, as one unit
        return raw_model

    def gather(self, raw_model: nn.Module, model: nn.Module) -> None:
        """Copies the trained weights of raw_model into the caller's model, on every process."""
        if raw_model is model:
            return
        trained = dict(raw_model.named_parameters())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(gather_full(trained[name]))


SINGLE = Processes("none", 0, 1, torch.device("cpu"))


def join_processes(mode: str, device: torch.device) -> Processes:
    """Connects this process to the others that torchrun started, until the program ends.

    Args:
        mode: "none", "ddp", "fsdp" or "auto", which is "ddp" under torchrun with several processes.
        device: "cuda" becomes this process's own GPU.

    Raises:
        ValueError: there is no such mode, or it does not fit how the program was started.
    """
    if mode not in MODES:
        raise ValueError(f"parallel must be one of {', '.join(MODES)}, got {mode!r}")
    count = rank_and_count()[1]
    if mode == "auto":
        mode = "ddp" if count > 1 else "none"
    if mode == "none":
        if count > 1:
            raise ValueError(
                f"parallel='none' would train the same model {count} times: torchrun started "
                f"{count} processes; use parallel='ddp' or 'fsdp', or start without torchrun"
            )
        return Processes("none", 0, 1, device)
    if not {"RANK", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        raise ValueError(
            f"parallel={mode!r} needs several processes; start the program with "
            "torchrun --nproc-per-node N"
        )
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend)
        atexit.register(dist.destroy_process_group)
    return Processes(mode, dist.get_rank(), dist.get_world_size(), device)


@contextmanager
def gradient_exchange(module: nn.Module, wanted: bool) -> Iterator[None]:
    """Lets the processes average gradients in the backward passes of a with-block if wanted.

    With several micro-batches a step, only the last one needs it: gradients add up locally first.
    """
    if isinstance(module, DistributedDataParallel):
        if wanted:
            yield
        else:
            with module.no_sync():
                yield
        return
    switch = getattr(module, "set_requires_gradient_sync", None)  # fully_shard adds it
    if switch is not None:
        switch(wanted)
    yield


def is_first_process() -> bool:
    """Returns whether this process writes the files: rank 0 does, or the only one there is."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def gather_full(tensor: Any) -> Tensor:
    """Returns tensor, put together from all processes if each holds a slice.

    For a slice this is a conversation: every process must call it, in the same order.
    """
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def shard_like(tensor: Any, full: Tensor) -> Tensor:
    """Returns full cut into slices over the processes as tensor is; undoes gather_full."""
    if not hasattr(tensor, "full_tensor"):
        return full
    from torch.distributed.tensor import distribute_tensor

    full = full.to(tensor.device)
    return distribute_tensor(full, tensor.device_mesh, tensor.placements)

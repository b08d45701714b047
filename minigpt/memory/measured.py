"""Counts the memory of a training step while it runs, to compare with what predicted.py says.

Torch keeps no account of a CPU's memory, so the tensors are counted: parameters, their gradients,
the optimizer's state, and what autograd keeps. A storage counts once, however many tensors view it.
On a GPU torch also knows the most that was ever allocated.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from minigpt.dataset import Batch
from minigpt.layers import in_training
from minigpt.memory.predicted import Memory
from minigpt.model import GPT
from minigpt.training.loss import autocast, count_targets, part_of_loss


def storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Returns the bytes of every storage that the tensors view, by its address."""
    held = (tensor.untyped_storage() for tensor in tensors)
    return {storage.data_ptr(): storage.nbytes() for storage in held}


class _Held:
    """Holds a tensor that autograd keeps; it dies with the node of the graph that needs it."""

    def __init__(self, tensor: Tensor) -> None:
        # A node may keep its own result, which refers to the node: the two would never die.
        self.tensor = tensor.detach()


class KeptTensors:
    """Records every tensor that autograd keeps for a backward pass, inside `with kept.hooks`.

    Single numbers, such as the scaling of LoRA, are left out: they are a few bytes each.
    """

    def __init__(self) -> None:
        self.held: weakref.WeakSet[_Held] = weakref.WeakSet()
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda held: held.tensor)

    def _pack(self, tensor: Tensor) -> _Held:
        held = _Held(tensor)
        if tensor.dim() > 0:
            self.held.add(held)
        return held

    def storages(self) -> dict[int, int]:
        """Returns the bytes of what is still kept, by address."""
        return storages(held.tensor for held in self.held)


def measure_memory(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    dtype: torch.dtype = torch.float32,
) -> Memory:
    """Counts the bytes that one training step takes. It is a real step: it trains the model.

    Afterwards every module is in the mode it was in.

    Args:
        model: a GPT, or another module that returns (logits, loss) for (idx, targets).
        batch: the step's batch, on the model's device.
        dtype: number format of matrix products, as for training_step.

    Returns:
        weights: parameters and buffers. gradients: after the backward pass. optimizer: its state
        after the step, with a step counter of 4 bytes for each trained tensor, as far as it is on
        the model's device. activations: what autograd keeps at the end of the forward pass, without
        the model's own weights, but with copies of them that autocast rounded; with gradient
        checkpointing, if that is more, what it keeps once the last block has been computed again.
        peak: on a GPU, the most that was allocated at any time of the step.

    Raises:
        ValueError: as count_targets.
    """
    count_targets(batch)
    with in_training(model):
        return _measure(model, optimizer, batch, dtype)


def _measure(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, dtype: torch.dtype
) -> Memory:
    optimizer.zero_grad(set_to_none=True)
    device = batch.idx.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    own = storages([*model.parameters(), *model.buffers()])

    kept = KeptTensors()
    inputs: dict[int, int] = {}  # the blocks' inputs, which checkpointing keeps
    before_last: dict[int, int] = {}
    last_inputs: tuple[Any, ...] = ()
    blocks = list(model.blocks()) if isinstance(model, GPT) and model.gradient_checkpointing else []

    def leave(block: nn.Module, args: tuple[Any, ...], result: Tensor) -> None:
        nonlocal last_inputs, before_last
        if result.requires_grad:  # otherwise no gradient will need the block again
            inputs.update(storages(tensors_in(args)))
            last_inputs, before_last = args, kept.storages()

    hooks = [block.register_forward_hook(leave) for block in blocks]
    try:
        with kept.hooks, autocast(device, dtype):
            loss = part_of_loss(model, batch, batch.n_targets)
    finally:
        for hook in hooks:
            hook.remove()
    activations = size_without(own, kept.storages() | inputs)
    loss.backward()
    gradients = storages(p.grad for p in model.parameters() if p.grad is not None)
    optimizer.step()
    state = [value for held in optimizer.state.values() for value in held.values()]
    tensors = [value for value in state if isinstance(value, Tensor)]
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    if last_inputs:
        inside = KeptTensors()
        with inside.hooks, autocast(device, dtype):
            _result = blocks[-1](*last_inputs)
        counted = own | storages(tensors_in(last_inputs))
        again = size_without(counted, inside.storages())
        activations = max(activations, size_without(own, before_last | inputs) + again)
    return Memory(
        weights=sum(own.values()),
        gradients=sum(gradients.values()),
        optimizer=sum(storages(t for t in tensors if t.device == device).values()),
        activations=activations,
        peak=peak,
    )


def tensors_in(inputs: tuple[Any, ...]) -> Iterator[Tensor]:
    """Yields the tensors among a block's inputs, and those in tuples of them, such as `Visible`."""
    for value in inputs:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple):
            yield from tensors_in(value)


def size_without(own: dict[int, int], kept: dict[int, int]) -> int:
    """Adds up the bytes of the storages in kept that are not the model's own."""
    return sum(n_bytes for address, n_bytes in kept.items() if address not in own)


def bytes_alive(work: Callable[[], object], device: torch.device) -> tuple[int, int]:
    """Returns how many more bytes torch's allocator holds than before: at most, and after work.

    What work returns stays alive until both are counted.
    """
    gc.collect()  # unreachable tensors must not be freed while work is counted
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        result = work()
        torch.cuda.synchronize(device)
        most, end = torch.cuda.max_memory_allocated(device), torch.cuda.memory_allocated(device)
        del result
        torch.cuda.empty_cache()  # leaves the memory to the other contender
        return most - before, end - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        result = work()
    events = seen.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    del result
    over_time = list(accumulate((n_bytes for _, n_bytes in changes), initial=0))
    return max(over_time), over_time[-1]

"""Moves moments from the host's memory through the GPU in buckets, for PagedAdamW.

Parameters are cut into flat pieces, pieces are packed into buckets, and every bucket takes three
steps: its moments are copied in, weights and moments are updated, the moments are copied out. A GPU
can do one of each at the same time, if it is told what has to wait for what:

    copies in     | in 0 | in 1 |        in 2 |        in 3 |
    updates              | up 0 | up 1        | up 2        | up 3
    copies out                  | out 0       | out 1       | out 2  ...

    update i     waits for copy in i
    copy out i   waits for update i
    copy in i    waits for copy out i - 2, as the buckets take turns in two buffers

Source: CUDA C++ Programming Guide, "Asynchronous Concurrent Execution" (streams and events).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Piece(NamedTuple):
    """A parameter or a part of it, with its parts of gradient and moments, all of one shape.

    step, of shape [], counts the parameter's updates; updating the piece adds 1 to it.
    """

    weights: Tensor
    gradient: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor
    step: Tensor


class Bucket(NamedTuple):
    """Pieces that travel together, as lists; group holds their learning rate and other settings."""

    group: dict[str, Any]
    weights: list[Tensor]
    gradients: list[Tensor]
    exp_avgs: list[Tensor]
    exp_avg_sqs: list[Tensor]
    steps: list[Tensor]

    @classmethod
    def of(cls, group: dict[str, Any], pieces: Iterable[Piece]) -> Bucket:
        return cls(group, *map(list, zip(*pieces, strict=True)))

    @property
    def sizes(self) -> list[int]:
        return [len(weights) for weights in self.weights]


def cut(parameter: Tensor, state: dict[str, Tensor], size: int) -> list[Piece]:
    """Cuts a parameter into flat pieces [n] of at most size numbers, in the order of its memory.

    Weights and moments of the pieces are views, so that updating a piece updates the parameter.
    """
    order = sorted(range(parameter.dim()), key=parameter.stride, reverse=True)
    weights, exp_avg, exp_avg_sq = (
        tensor.permute(order).view(-1).split(size)
        for tensor in (parameter, state["exp_avg"], state["exp_avg_sq"])
    )
    assert parameter.grad is not None
    # If the gradient's memory has another order than the parameter's, this is a copy.
    gradient = parameter.grad.permute(order).reshape(-1).split(size)
    # Each update adds 1 to the step it is given, so only the last piece gets the parameter's own.
    steps = [*(state["step"].clone() for _ in weights[1:]), state["step"]]
    return list(map(Piece, weights, gradient, exp_avg, exp_avg_sq, steps))


def into_buckets(group: dict[str, Any], pieces: Iterable[Piece], size: int) -> list[Bucket]:
    """Packs pieces of one group into buckets of at most size numbers, in the order given."""
    contents: list[list[Piece]] = []
    room = -1
    for piece in pieces:
        if not contents or len(piece.weights) > room:
            contents.append([])
            room = size
        contents[-1].append(piece)
        room -= len(piece.weights)
    return [Bucket.of(group, pieces) for pieces in contents]


class Queue:
    """Work that a GPU does in order, beside the work of other queues; a CPU does it at once."""

    def __init__(self, stream: torch.cuda.Stream | None = None) -> None:
        self.stream = stream

    def run(self, work: Callable[[], None], after: Any = None) -> Any:
        """Puts work into the queue; it begins once `after`, which an earlier run returned, is over.

        Returns:
            The end of this work, for run(..., after=...) of another queue; None on a CPU.
        """
        if self.stream is None:
            return work()
        if after is not None:
            self.stream.wait_event(after)
        with torch.cuda.stream(self.stream):
            work()
        return self.stream.record_event()

    def finish(self) -> None:
        """Waits until everything in the queue is done."""
        if self.stream is not None:
            self.stream.synchronize()


class Queues(NamedTuple):
    """The queues whose work can happen at the same time."""

    copy_in: Queue
    update: Queue
    copy_out: Queue


def open_queues(device: torch.device) -> Queues:
    """Opens a stream for each direction of copies; updates use the backward pass's own stream."""
    if device.type != "cuda":
        return Queues(Queue(), Queue(), Queue())
    update = Queue(torch.cuda.current_stream(device))
    return Queues(Queue(torch.cuda.Stream(device)), update, Queue(torch.cuda.Stream(device)))


def stream_through(
    buckets: Sequence[Bucket], queues: Queues, update: Callable[[Bucket], None]
) -> None:
    """Brings each bucket's moments to the device of its weights, updates them, and takes them back.

    On a GPU only the last line waits: the loop just says what comes after what, and has ended
    before much has moved.

    Args:
        buckets: at least one, with all weights on one device and of one number format.
        update: changes weights, moments and steps of a bucket whose tensors are all on the device.
    """
    width = max(sum(bucket.sizes) for bucket in buckets)
    buffers = [buckets[0].weights[0].new_empty(2, width) for _ in buckets[:2]]
    # The buffers' memory may have held another tensor that earlier work has yet to use.
    end_of_earlier_work = queues.update.run(lambda: None)
    emptied = [end_of_earlier_work, end_of_earlier_work]
    for i, bucket in enumerate(buckets):
        k, sizes = i % 2, bucket.sizes
        exp_avgs, exp_avg_sqs = (row[: sum(sizes)].split(sizes) for row in buffers[k])
        here = bucket._replace(exp_avgs=list(exp_avgs), exp_avg_sqs=list(exp_avg_sqs))
        arrived = queues.copy_in.run(partial(copy_moments, bucket, here), after=emptied[k])
        updated = queues.update.run(partial(update, here), after=arrived)
        emptied[k] = queues.copy_out.run(partial(copy_moments, here, bucket), after=updated)
    # Now the host may read the moments, and the buffers' memory may be used again.
    queues.copy_out.finish()


def copy_moments(source: Bucket, target: Bucket) -> None:
    """Copies the moments; with pinned memory the host does not wait for it (non_blocking)."""
    targets = target.exp_avgs + target.exp_avg_sqs
    for tensor, copy in zip(source.exp_avgs + source.exp_avg_sqs, targets, strict=True):
        copy.copy_(tensor, non_blocking=True)

"""Buckets and buffers: no order in which a GPU may do the work changes a bit of the outcome."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from minigpt.optim import paged_adamw, paging
from minigpt.optim.paging import Queue, Queues, stream_through
from tests.minigpt.tiny.paged import (
    assert_same_state,
    paged,
    parameters_of,
    some_parameters,
    take_steps,
)


def test_cutting_and_packing_keep_to_the_size_of_a_bucket() -> None:
    parameters = some_parameters()
    for size in (1, 7, 64, 1000):
        pieces = []
        for p in parameters:
            p.grad = torch.randn_like(p)
            with torch.no_grad():
                pieces += paging.cut(p, paged_adamw.new_state(p), size)
        buckets = paging.into_buckets({}, pieces, size)
        assert all(sum(bucket.sizes) <= size for bucket in buckets)
        assert sum(sum(bucket.sizes) for bucket in buckets) == sum(p.numel() for p in parameters)
        neighbours = pairwise(buckets)
        assert all(sum(a.sizes) + b.sizes[0] > size for a, b in neighbours)  # no room was left


class SimulatedDevice:
    """Does the work in its queues as late as it may, and in any order that is allowed.

    Work is due when it is the first in its queue and what it waits for is over; choose picks the
    next of the queues with due work. So work that no wait puts in order happens in another order
    sooner or later, which changes the result.
    """

    def __init__(self, choose: Callable[[list[SimulatedQueue]], SimulatedQueue]) -> None:
        self.choose = choose
        self.queues: list[SimulatedQueue] = []
        self.log: list[tuple[str, int]] = []  # (queue, how many it had done before)

    def open(self, device: torch.device) -> Queues:
        self.queues = [SimulatedQueue(name, self) for name in Queues._fields]
        return Queues(*self.queues)

    def do_next(self) -> None:
        queue = self.choose([queue for queue in self.queues if queue.is_due()])
        work, _, end = queue.waiting.popleft()
        work()
        end["over"] = True
        self.log.append((queue.name, queue.done))
        queue.done += 1


class SimulatedQueue(Queue):
    def __init__(self, name: str, device: SimulatedDevice) -> None:
        super().__init__()
        self.name, self.device, self.done = name, device, 0
        self.waiting: deque[tuple[Callable[[], None], dict[str, bool], dict[str, bool]]] = deque()

    def run(self, work: Callable[[], None], after: Any = None) -> Any:
        end = {"over": False}
        self.waiting.append((work, after or {"over": True}, end))
        return end

    def is_due(self) -> bool:
        return bool(self.waiting) and self.waiting[0][1]["over"]

    def finish(self) -> None:
        while self.waiting:
            self.device.do_next()


def favour(*names: str) -> Callable[[list[SimulatedQueue]], SimulatedQueue]:
    """Returns a function that chooses the queue that is named first."""
    return lambda due: min(due, key=lambda queue: names.index(queue.name))


ORDERS: list[Callable[[list[SimulatedQueue]], SimulatedQueue]] = [
    favour("copy_in", "update", "copy_out"),
    favour("copy_in", "copy_out", "update"),
    favour("update", "copy_in", "copy_out"),
    favour("copy_out", "update", "copy_in"),
    *(random.Random(seed).choice for seed in range(4)),
]


@pytest.mark.usefixtures("cut_on_a_cpu")
@pytest.mark.parametrize("choose", ORDERS)
def test_every_order_that_the_waits_allow_gives_the_same_bits(
    choose: Callable[[list[SimulatedQueue]], SimulatedQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = paged(some_parameters(), 16)
    for _ in take_steps([expected], last=20):
        pass
    device = SimulatedDevice(choose)
    monkeypatch.setattr(paged_adamw, "open_queues", device.open)
    optimizer = paged(some_parameters(), 16)
    for _ in take_steps([optimizer], last=20):
        assert not any(queue.waiting for queue in device.queues)  # step() left nothing undone
    assert len(device.log) > 20 * 3 * 10  # there were many buckets
    pairs = zip(parameters_of(optimizer), parameters_of(expected), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert_same_state(optimizer.state_dict(), expected.state_dict())


def buckets_of(n: int) -> list[paging.Bucket]:
    """Returns n buckets of 3 numbers each."""
    parameter = nn.Parameter(torch.randn(3 * n))
    parameter.grad = torch.randn(3 * n)
    with torch.no_grad():
        pieces = paging.cut(parameter, paged_adamw.new_state(parameter), 3)
    return paging.into_buckets({}, pieces, 3)


def order_of(
    choose: Callable[[list[SimulatedQueue]], SimulatedQueue], n: int
) -> list[tuple[str, int]]:
    """Returns what a device does with n buckets, in order, without the end of earlier updates."""
    device = SimulatedDevice(choose)
    stream_through(buckets_of(n), device.open(torch.device("cpu")), lambda bucket: None)
    turns = [(name, i - (name == "update")) for name, i in device.log]
    return [turn for turn in turns if turn != ("update", -1)]


@pytest.mark.parametrize("choose", ORDERS)
def test_a_buffer_is_not_filled_again_before_it_was_emptied(
    choose: Callable[[list[SimulatedQueue]], SimulatedQueue],
) -> None:
    when = {turn: time for time, turn in enumerate(order_of(choose, 9))}
    assert len(when) == 27
    for i in range(9):
        assert when["copy_in", i] < when["update", i] < when["copy_out", i]
    for i in range(7):
        assert when["copy_out", i] < when["copy_in", i + 2]


def test_copies_both_ways_and_updates_need_not_wait_for_each_other() -> None:
    order = order_of(favour("copy_in", "update", "copy_out"), 4)
    # The next bucket can come in before this one is updated, and this one be updated before the one
    # before it is out.
    assert order[:3] == [("copy_in", 0), ("copy_in", 1), ("update", 0)]
    assert order.index(("update", 1)) < order.index(("copy_out", 0))
    order = order_of(favour("copy_out", "copy_in", "update"), 4)
    assert order.index(("copy_in", 2)) < order.index(("update", 1))


def test_buffers_are_not_filled_before_earlier_work_on_the_device_is_over() -> None:
    device = SimulatedDevice(favour("copy_in", "copy_out", "update"))
    queues = device.open(torch.device("cpu"))
    queues.update.run(lambda: None)  # the backward pass, which may use the buffers' memory
    stream_through(buckets_of(3), queues, lambda bucket: None)
    assert device.log[0] == ("update", 0)


@pytest.mark.usefixtures("cut_on_a_cpu")
def test_sixteen_bytes_a_number_and_step_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = 0
    copy_moments = paging.copy_moments

    def count(source: paging.Bucket, target: paging.Bucket) -> None:
        nonlocal copied
        copied += sum(tensor.nbytes for tensor in source.exp_avgs + source.exp_avg_sqs)
        copy_moments(source, target)

    monkeypatch.setattr(paging, "copy_moments", count)
    parameters = some_parameters()
    optimizer = paged(parameters, 64)
    for p in parameters:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert copied == 16 * sum(p.numel() for p in parameters)


def test_work_for_a_stream_waits_runs_in_it_and_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class Stream:
        def wait_event(self, event: str) -> None:
            calls.append(("wait", event))

        def record_event(self) -> str:
            calls.append("record")
            return "end"

        def synchronize(self) -> None:
            calls.append("synchronize")

        def __enter__(self) -> None:
            calls.append("enter")

        def __exit__(self, *_: Any) -> None:
            calls.append("exit")

    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    queue = Queue(Stream())  # type: ignore[arg-type]
    assert queue.run(lambda: calls.append("work"), after="start") == "end"
    queue.finish()
    assert calls == [("wait", "start"), "enter", "work", "exit", "record", "synchronize"]

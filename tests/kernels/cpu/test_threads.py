"""Each of the chunks that are shared among threads is done once, and nothing else changes."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator

import pytest
import torch

from kernels import dequantize_nf4, quantize_nf4
from kernels.cpu.lookup_tables import CHUNK
from kernels.cpu.threads import share

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_every_chunk_is_done_once(n: int) -> None:
    done: list[int] = []
    share(done.extend, range(0, 10 * n, 10), CPU)
    assert sorted(done) == list(range(0, 10 * n, 10))


def test_two_threads_work_at_the_same_time_and_torch_starts_no_more() -> None:
    both_there = threading.Barrier(2)
    seen = []

    def work(starts: range) -> None:
        both_there.wait(timeout=20)
        seen.append(torch.get_num_threads())

    share(work, range(2), CPU)
    assert seen == [1, 1]
    assert torch.get_num_threads() == 2
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2]


def test_an_exception_in_a_thread_is_raised() -> None:
    weight = torch.zeros(3, CHUNK)
    weight[1, 5] = torch.inf
    with pytest.raises(ValueError, match=r"weight\[1, 5\] is inf"):
        quantize_nf4(weight)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_result_does_not_depend_on_threads_or_mode(mode: type) -> None:
    weight = torch.randn(2 * CHUNK + 77)
    torch.set_num_threads(1)
    alone = quantize_nf4(weight)
    torch.set_num_threads(2)
    with mode():
        shared = quantize_nf4(weight.clone().requires_grad_())
        back = dequantize_nf4(shared)
    for name, part in alone.parts.items():
        assert torch.equal(part, shared.parts[name]), name
    assert torch.equal(back, dequantize_nf4(alone))
    assert not back.requires_grad


def count_in_child(answers: multiprocessing.Queue) -> None:
    done: list[int] = []
    share(done.extend, range(4), CPU)
    answers.put(sorted(done))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_works_in_a_process_that_was_forked_off() -> None:
    share(lambda starts: None, range(4), CPU)  # this process has its threads
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=count_in_child, args=(answers,))
    child.start()
    assert answers.get(timeout=30) == [0, 1, 2, 3]
    child.join()

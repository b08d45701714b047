"""Shares a loop over chunks of a tensor among threads.

torch shares every single operation among its threads. On chunks that fit in the cache an operation
takes tens of microseconds, as long as waking a second thread does, and torch does not share a
look-up in a table (torch.index_select) at all. Here each thread takes whole chunks through all
operations instead, and the threads meet once, at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier

import torch


def share(work: Callable[[range], None], starts: range, device: torch.device) -> None:
    """Calls work with parts of `starts`, on a CPU in as many threads as torch would use.

    An exception in a thread is raised here.
    """
    if not starts:
        return
    n_threads = torch.get_num_threads()
    if device.type != "cpu" or n_threads == 1 or len(starts) == 1:
        work(starts)
        return
    inference = torch.is_inference_mode_enabled()  # each thread has its own setting

    def work_as_here(part: range) -> None:
        with torch.inference_mode(inference), torch.no_grad():
            work(part)

    parts = [starts[i::n_threads] for i in range(min(n_threads, len(starts)))]
    list(single_threads(n_threads, os.getpid()).map(work_as_here, parts))


@cache
def single_threads(n: int, process: int) -> ThreadPoolExecutor:
    """Returns a pool of n threads in each of which torch uses a single thread.

    `process` is the number of this process, for the cache: a forked process inherits the cached
    pool but not its threads.
    """

    def stay_alone() -> None:
        torch.get_num_threads()  # a thread takes the process's setting when it first asks for it
        torch.set_num_threads(1)

    executor = ThreadPoolExecutor(n, "nf4", initializer=stay_alone)
    all_there = Barrier(n + 1)
    for _ in range(n):
        executor.submit(all_there.wait)
    all_there.wait()
    # Each thread has its own setting, but later threads start with the last one that was set.
    torch.set_num_threads(n)
    return executor

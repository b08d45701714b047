"""Loops over chunks of a tensor, shared among threads.

torch shares every single operation among its threads. On chunks that fit in the cache, operations
take tens of microseconds, as long as waking a second thread does; and a look-up in a table
(torch.index_select) it does not share at all. Here each thread takes whole chunks through all
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
    """Call work with parts of `starts`, on a CPU in as many threads as torch would use.

    An exception in a thread is raised here.
    """
    if not starts:
        return
    n_threads = torch.get_num_threads()
    if device.type != "cpu" or n_threads == 1 or len(starts) == 1:
        work(starts)
        return
    inference = torch.is_inference_mode_enabled()  # a setting of this thread only

    def work_as_here(part: range) -> None:
        with torch.inference_mode(inference), torch.no_grad():
            work(part)

    parts = [starts[i::n_threads] for i in range(min(n_threads, len(starts)))]
    list(single_threads(n_threads, os.getpid()).map(work_as_here, parts))


@cache
def single_threads(n: int, process: int) -> ThreadPoolExecutor:
    """n threads in which torch uses no further ones.

    `process` is the own one's number: a process that was forked off has the memory of the one it
    comes from, and so its threads' names, but not the threads.
    """

    def stay_alone() -> None:
        torch.get_num_threads()  # a thread takes over the process's setting when it first asks
        torch.set_num_threads(1)

    executor = ThreadPoolExecutor(n, "nf4", initializer=stay_alone)
    all_there = Barrier(n + 1)
    for _ in range(n):
        executor.submit(all_there.wait)
    all_there.wait()
    # A thread's setting is its own, but what one sets is also what later threads start with.
    torch.set_num_threads(n)
    return executor

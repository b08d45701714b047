"""A process that compiles kernels, for tests in a process that interprets them.

Loading torch and triton takes seconds, so the tests of a run share this one, and on Linux it is a
fork, which has torch already.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from kernels.machine_code import measure
from tests.minigpt.tiny import forked


@cache
def compiler() -> ProcessPoolExecutor:
    """Returns the process, which is started by its first task."""
    context = multiprocessing.get_context("fork" if forked.POSSIBLE else "spawn")
    return ProcessPoolExecutor(1, context, initializer=compile_here)


def compile_here() -> None:
    """Lets this process compile kernels; all that has defined some to interpret is loaded again."""
    measure.compile_here()
    ours = ("triton", "kernels", "minigpt", "lessons", "tests")
    for name in list(sys.modules):
        if name.split(".")[0] in ours and not name.startswith("triton._C"):
            del sys.modules[name]


def listings(jobs: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], str]:
    """Returns {job: its PTX}; a job is launch_configuration's arguments, then an arch."""
    return dict(zip(jobs, compiler().submit(ptx, jobs).result(), strict=True))


def ptx(jobs: Sequence[tuple[Any, ...]]) -> list[str]:
    from kernels.machine_code.variants import launch_configuration

    return [measure.compile_for(launch_configuration(*j), arch).asm["ptx"] for *j, arch in jobs]


def spilled(jobs: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], int]:
    """Returns {job: the bytes of registers that did not fit}, of those that spill any."""
    return compiler().submit(spills, jobs).result()


def spills(jobs: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], int]:
    from kernels.machine_code.variants import launch_configuration

    found = {}
    for job in jobs:
        *constants, arch = job
        made = measure.compile_for(launch_configuration(*constants), arch)
        found[job] = measure.resources(made)["spill_bytes"]
    return {job: spill for job, spill in found.items() if spill}


def printed_by(module: str) -> str:
    """Returns what a module prints that is run in a fork of the process."""
    return compiler().submit(printed_in_a_fork, module).result()


def printed_in_a_fork(module: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return forked.module(module, [], Path(folder))

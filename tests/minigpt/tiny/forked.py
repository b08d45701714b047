"""Runs scripts in forks of this process, in which torch is loaded already.

That is for Linux, and a torch for processors only. A Python of its own takes seconds to load torch,
and torchrun loads it three times.
"""

from __future__ import annotations

import os
import runpy
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

# A torch that is built for GPUs starts threads for its first gradients, and forks do without them.
POSSIBLE = sys.platform == "linux" and torch.version.cuda is torch.version.hip is None


def start(work: Callable[[], int | None], printed: Path, limit: int = 600) -> int:
    """Starts work() in a fork that writes all it prints to a file; returns the fork's number.

    Args:
        work: returns the exit status; None stands for 0.
        limit: seconds after which the fork is killed.
    """
    if child := os.fork():
        return child
    status = 1
    try:  # a fork must never go on as a second test process
        signal.alarm(limit)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stdout = sys.stderr = printed.open("w", encoding="utf-8")
        status = work() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def wait_for(children: dict[int, Path]) -> dict[Path, int]:
    """Waits for forks by number; returns {its file: exit status}. The first failure ends them."""
    statuses = {}
    while children:
        child, status = os.wait()
        statuses[children.pop(child)] = os.waitstatus_to_exitcode(status)
        if status:
            for other in children:
                os.kill(other, signal.SIGKILL)
    return statuses


def script(
    path: Path,
    arguments: list[str],
    folder: Path,
    without: Iterable[str] = (),
    before: Callable[[], None] = lambda: None,
) -> tuple[int, str]:
    """Runs a script in a folder; returns its exit status and all that it printed.

    Args:
        without: names that are taken out of its environment.
        before: is called in the fork before the script.
    """

    def work() -> None:
        before()
        for name in without:
            os.environ.pop(name, None)
        os.chdir(folder)
        sys.argv = [str(path), *arguments]
        runpy.run_path(str(path), run_name="__main__")

    printed = folder / "printed"
    statuses = wait_for({start(work, printed): printed})
    return statuses[printed], printed.read_text(encoding="utf-8")


def module(name: str, arguments: list[str], folder: Path, processes: int = 1) -> str:
    """Runs a module; several processes get the environment that torchrun gives them.

    Args:
        folder: gets a file with what each process printed.

    Returns:
        what process 0 printed; AssertionError with what they printed if one failed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def work_of(rank: int) -> Callable[[], None]:
        def work() -> None:
            sys.argv = [name, *arguments]
            if processes > 1:
                os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            runpy.run_module(name, run_name="__main__", alter_sys=True)

        return work

    files = [folder / f"printed by {rank}" for rank in range(processes)]
    statuses = wait_for(
        {start(work_of(rank), files[rank]): files[rank] for rank in range(processes)}
    )
    texts = [file.read_text(encoding="utf-8") for file in files]
    assert not any(statuses.values()), "\n".join(texts)
    return texts[0]

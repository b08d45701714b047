"""Runs a module in two forked processes, so that torch is loaded once; torchrun loads it thrice.

python -m tests.minigpt.tiny.two_processes MODULE ARGUMENTS...
"""

from __future__ import annotations

import os
import runpy
import signal
import socket
import sys
import traceback

import torch._dynamo
import torch.distributed.fsdp  # noqa: F401 (each process would load them on its own, late)


def run_as(rank: int, port: int, module: str) -> None:
    """Runs module with the environment that torchrun gives the process of this rank."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)


def main() -> int:
    """Returns 0 if both processes end well; the first failure ends the other."""
    module, *sys.argv[1:] = sys.argv[1:]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = set()
    for rank in range(2):
        if (child := os.fork()) == 0:
            run_as(rank, port, module)
        children.add(child)
    while children:
        ended, status = os.wait()
        children.remove(ended)
        if status:
            for other in children:
                os.kill(other, signal.SIGKILL)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

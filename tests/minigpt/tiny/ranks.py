"""Processes that find each other and add up their ranks.

torchrun --nproc-per-node 2 -m tests.minigpt.tiny.ranks   prints what the first one knows as JSON
"""

from __future__ import annotations

import json

import torch

from minigpt.training.distributed import join_processes

if __name__ == "__main__":
    processes = join_processes("auto", torch.device("cpu"))
    total = processes.sum(processes.rank + 1)
    first = processes.sum(processes.that_of_the_first(processes.rank + 5))
    if processes.rank == 0:
        print(
            json.dumps(
                {"mode": processes.mode, "count": processes.count, "sum": total, "first": first}
            )
        )

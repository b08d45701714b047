"""Sets how many threads torch starts on a CPU, and how long they wait for each other.

A matrix product is shared among threads, which wait until the last has done its part. That is
quickest as long as every thread has a core of its own, so there must be no more threads than cores
that this process may use. torch counts the machine's cores (those of the process's affinity, on
Linux); but a container may have a quota of time, as `docker run --cpus 2` gives it on a machine
with 64 cores. With 64 threads the quota is used up by waiting, and all of them stand still for the
rest of each tenth of a second.

While it waits, a thread of GNU's OpenMP, which torch uses on Linux, checks again and again, 300,000
times by default. If another program takes one of the cores, the waiting threads use up the time
that the delayed one needs. With 10,000 checks three trainings at once on two cores take half the
time each, and one alone takes no longer (`GOMP_SPINCOUNT=300000 minigpt train` runs with the
default, `OMP_NUM_THREADS=1 minigpt train` with one thread, which is best where the other cores are
busy).

Sources: cpu.max in the kernel's documentation of cgroup v2, cpu.cfs_quota_us in that of v1.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def share_cores() -> None:
    """Sets both in the environment, unless it says otherwise. Call it before torch is loaded."""
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def usable_cores(root: Path = ROOT) -> int:
    """Returns how many cores this process may keep busy: by its affinity and its quota, at least 1.

    Processors that share a core (hyperthreads) count as one: a matrix product leaves the other
    nothing to do.

    Args:
        root: where the system's files are; for tests.
    """
    if hasattr(os, "sched_getaffinity"):
        processors = os.sched_getaffinity(0)
    else:
        processors = set(range(os.cpu_count() or 1))
    topology = root / "sys/devices/system/cpu"
    siblings = {n: topology / f"cpu{n}/topology/thread_siblings_list" for n in processors}
    cores = {system_text(path) or str(n) for n, path in siblings.items()}
    return max(1, int(min([len(cores), *quotas(root)])))


def quotas(root: Path) -> Iterator[float]:
    """Yields the quotas of this process's control groups and of those around them, in cores.

    A group of cgroup v2 keeps "quota period" in cpu.max, one of v1 in two files; without a limit
    the quota is "max" or -1. In a container the groups may be mounted without the outer part of
    their path.
    """
    mounted = root / "sys/fs/cgroup"
    groups = system_text(root / "proc/self/cgroup")  # lines as 0::/a/b or 4:cpu,cpuacct:/a/b
    for line in groups.splitlines():
        kinds, _, path = line.partition(":")[2].partition(":")
        if kinds and "cpu" not in kinds.split(","):
            continue
        folder = PurePosixPath(path.lstrip("/"))
        for group in (folder, *folder.parents):
            limits = [system_text(mounted / group / "cpu.max")] if not kinds else []
            for place in (mounted / kinds, mounted / "cpu") if kinds else ():
                parts = (place / group / f"cpu.cfs_{part}_us" for part in ("quota", "period"))
                limits.append(" ".join(map(system_text, parts)))
            for limit in limits:
                found = re.fullmatch(r"([0-9]+) ([1-9][0-9]*)", limit)
                if found:
                    yield int(found[1]) / int(found[2])


def system_text(path: Path) -> str:
    """Returns what a file of the system says, "" if there is none or it may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""

"""minigpt.fast.threads: a thread for each core that may be used, and each waits briefly."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minigpt.fast.threads import usable_cores
from tests.minigpt.tiny.run import run_python

WHEN_TORCH_IS_LOOKED_FOR = """
import os, sys
if "GOMP_SPINCOUNT" not in os.environ:
    del os.environ["OMP_NUM_THREADS"]
class Watch:
    def find_spec(self, name, *_):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_NUM_THREADS"))
            sys.exit()
sys.meta_path.insert(0, Watch())
from minigpt.__main__ import main
main()
"""


@pytest.mark.parametrize("before", [None, "77"])
def test_both_are_set_before_torch_is_loaded_unless_they_were_set_already(
    monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    if before is not None:
        monkeypatch.setenv("GOMP_SPINCOUNT", before)
    found = run_python("-c", WHEN_TORCH_IS_LOOKED_FOR, "memory").split()[:2]
    assert found == ([before, "1"] if before else ["10000", str(usable_cores())])


GROUPS, V1 = "proc/self/cgroup", "sys/fs/cgroup/cpu"
SIBLINGS = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def container(limit: str) -> dict[str, str]:
    return {GROUPS: "0::/", "sys/fs/cgroup/cpu.max": limit}


def version_1(groups: str, folder: str, quota: int, period: int) -> dict[str, str]:
    parts = {"quota": quota, "period": period}
    return {GROUPS: groups} | {f"{folder}/cpu.cfs_{k}_us": f"{v}\n" for k, v in parts.items()}


MACHINES: dict[str, tuple[int, dict[str, str]]] = {
    "nothing is known": (8, {}),
    "damaged": (8, container("100000 0") | {GROUPS: "0::/\n7\n:\n\0"}),
    "no limit": (8, container("max 100000")),
    "three cores": (3, container("300000 100000")),
    "a core and a half": (1, container("150000 100000\n")),
    "a tenth of a core": (1, container("10000 100000")),
    "more than there is": (8, container("9900 100")),
    "a service, limited by the slice around it": (
        2,
        {
            GROUPS: "1:name=systemd:/x\n0::/a.slice/b.service",
            "sys/fs/cgroup/a.slice/b.service/cpu.max": "500000 100000",
            "sys/fs/cgroup/a.slice/cpu.max": "200000 100000\n",
        },
    ),
    "version 1": (
        4,
        version_1("9:cpuset:/a\n4:cpu,cpuacct:/a", f"{V1},cpuacct/a", 400_000, 100_000),
    ),
    "version 1, where the outer path is hidden": (5, version_1("1:cpu:/docker/1f", V1, 50, 9)),
    "version 1, no limit": (8, version_1("1:cpu:/", V1, -1, 100_000)),
    "hyperthreads": (4, {SIBLINGS.format(n): f"{n % 4},{n % 4 + 4}\n" for n in range(8)}),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_there_is_a_thread_for_each_core_that_may_be_used(
    machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    expected, files = MACHINES[machine]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores(tmp_path) == expected


def test_an_affinity_is_kept_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 9}, raising=False)
    assert usable_cores(tmp_path) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(tmp_path) == 1

"""minigpt.fast.malloc: memory that is kept, freed and taken again costs no page faults."""

from __future__ import annotations

import platform

import pytest

from minigpt.fast.malloc import keep_freed_memory
from tests.minigpt.tiny.run import run_python

GLIBC = platform.libc_ver()[0] == "glibc"

COUNT_FAULTS = """
import resource, sys, torch
from minigpt.fast.malloc import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    torch.ones(16, 2**20)  # 64 MiB = 16,384 pages of 4 KiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):  # malloc finds its steady state
    first = faults()
print(faults() - first)
"""


def page_faults(advice: str) -> int:
    return int(run_python("-c", COUNT_FAULTS, advice))


@pytest.mark.skipif(not GLIBC, reason="only glibc needs the advice")
def test_kept_memory_is_used_again_without_page_faults() -> None:
    assert page_faults("keep") < 100


@pytest.mark.skipif(GLIBC, reason="glibc takes the advice")
def test_elsewhere_nothing_is_done() -> None:
    assert keep_freed_memory() is False

"""Shared set-up: every test starts from the same seed, off the network, on few threads."""

from __future__ import annotations

import gc
import os
import random
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from lessons.grading.worker import Sandbox

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Tiny tensors gain nothing from a second thread, and on a busy machine two threads wait for each
# other; child processes inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(1337)
    np.random.seed(1337)
    # torch.manual_seed also notes where it was called, for a GPU that may still be found: 1 ms.
    seed = torch.manual_seed if torch.cuda.is_initialized() else torch.default_generator.manual_seed
    seed(1337)


@pytest.fixture
def shared_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provides real data sets and tiktoken's vocabulary from beside the checkout, or skips."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data: this test uses real data that is not in the repository")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(SHARED / "tiktoken_cache"))
    return SHARED


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Opens one sandbox for all tests of the exercises: its first process takes seconds."""
    from lessons.grading.worker import Sandbox

    with Sandbox() as opened:
        yield opened


@pytest.fixture
def one_sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Lets all that checks in this process use the one sandbox, which stays open."""
    from lessons.grading import check, many, notebook, watch

    for module in (check, watch):
        monkeypatch.setattr(module, "open_sandbox", lambda tasks: nullcontext(sandbox))
    for module in (many, notebook):
        monkeypatch.setattr(module, "sandbox_for", lambda lesson: sandbox)
    return sandbox


@pytest.fixture
def small_course(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes lesson 99, of three small exercises, the only one."""
    from lessons.grading import registry
    from tests.lessons.grading.small_course import tasks

    monkeypatch.setitem(sys.modules, "lessons.exercises.lesson_99", tasks)
    known = registry.lessons()
    whole = dict(known)
    known.clear()
    known[99] = registry.Lesson(99, "Sums", "99_sums")
    yield
    known.clear()
    known.update(whole)  # in their order


def pytest_collection_finish() -> None:
    """Takes everything that is imported by now out of Python's garbage collection.

    None of it is ever freed, and each full collection would look at all of it: millions of objects.
    """
    gc.collect()
    gc.freeze()

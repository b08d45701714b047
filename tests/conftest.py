"""Shared set-up: every test starts from the same seed, off the network, on few threads."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

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
    torch.manual_seed(1337)


@pytest.fixture
def shared_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provides real data sets and tiktoken's vocabulary from beside the checkout, or skips."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data: this test uses real data that is not in the repository")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(SHARED / "tiktoken_cache"))
    return SHARED

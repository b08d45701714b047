"""Where and when kernels are launched: on GPUs that exist on paper (tests/kernels/paper_gpu/)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.paper_gpu.launches import CASES


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    """What is wrong with each case, from a process that does not interpret kernels."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.paper_gpu.launches"],
        env=environment, cwd=Path(__file__).parents[3], text=True, check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_launches(case: str, found: dict[str, str]) -> None:
    assert found[case] == ""

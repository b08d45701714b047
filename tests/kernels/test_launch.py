"""Where and when kernels are launched: on GPUs that exist on paper (paper_gpu.py, launches.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from launches import CASES


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    """What is wrong with each case, from a process that does not interpret kernels."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    file = Path(__file__).with_name("launches.py")
    done = subprocess.run(
        [sys.executable, file], env=environment, text=True, check=True, stdout=subprocess.PIPE
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_launches(case: str, found: dict[str, str]) -> None:
    assert found[case] == ""

"""Where and when kernels are launched: on GPUs that exist on paper (tests/kernels/paper_gpu/)."""

from __future__ import annotations

import json

import pytest

from tests.kernels.compiling import printed_by
from tests.kernels.paper_gpu.launches import CASES


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    """Returns what is wrong with each case, from a process that does not interpret kernels."""
    return json.loads(printed_by("tests.kernels.paper_gpu.launches"))


@pytest.mark.parametrize("case", CASES)
def test_launches(case: str, found: dict[str, str]) -> None:
    assert found[case] == ""

"""torch and numpy share arrays, or a finding says that they do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from minigpt.doctor.about_torch import build_of, facts, judge_numpy, numpy_trouble
from minigpt.doctor.finding import OK, PROBLEM

CPU_BUILD = {"cuda": "", "hip": "", "mps": False}


def test_what_torch_says_is_what_the_checks_use() -> None:
    found = facts()
    assert found["threads"] == torch.get_num_threads()
    assert found["version"] == torch.__version__
    assert found["numpy"] == ""
    assert build_of(found)


def test_a_numpy_of_another_kind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(array: object) -> None:
        raise RuntimeError("Numpy is not available")

    monkeypatch.setattr(torch, "from_numpy", fail)
    assert numpy_trouble() == "RuntimeError: Numpy is not available"
    monkeypatch.setattr(torch, "from_numpy", lambda array: torch.zeros(2))  # of its own memory
    assert "differently" in numpy_trouble()
    monkeypatch.undo()
    monkeypatch.setattr(np, "ones", fail)
    assert "Numpy" in numpy_trouble()


def test_each_verdict() -> None:
    assert [f.state for f in judge_numpy("")] == [OK]
    (found,) = judge_numpy("Numpy is not available")
    assert found.state == PROBLEM
    assert found.remedy.endswith("numpy")


def test_builds() -> None:
    assert build_of(CPU_BUILD) == "processors only"
    assert build_of({**CPU_BUILD, "cuda": "12.8"}) == "CUDA 12.8"
    assert build_of({**CPU_BUILD, "hip": "6.4"}) == "ROCm 6.4"
    assert build_of({**CPU_BUILD, "mps": True}) == "Apple's GPUs"

"""The device chooses the backend; one that cannot be used is refused, or warned of once."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch

from kernels import backend, dequantize_nf4, quantize_nf4


@pytest.fixture
def without_triton(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "triton", None)
    caches: list[Callable[[], None]]
    caches = [backend.has_triton.cache_clear, backend.warn_without_triton.cache_clear]
    for clear in caches:
        clear()
    yield
    for clear in caches:
        clear()


@pytest.mark.usefixtures("without_triton")
def test_without_triton_a_gpu_is_used_through_torch_and_said_so_once() -> None:
    gpu = torch.device("cuda")
    with pytest.warns(UserWarning, match="triton is not installed"):
        assert not backend.use_triton(None, gpu)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not backend.use_triton(None, gpu)
        assert not backend.use_triton("torch", gpu)
    with pytest.raises(ValueError, match='backend="triton" needs triton, which is not installed'):
        quantize_nf4(torch.zeros(4), backend="triton")


def test_the_device_chooses_the_backend() -> None:
    assert backend.use_triton(None, torch.device("cuda"))
    assert not backend.use_triton("torch", torch.device("cuda"))
    assert not backend.use_triton(None, torch.device("cpu"))
    assert backend.use_triton("triton", torch.device("cpu"))  # in the interpreter


def test_triton_without_a_gpu_or_the_interpreter_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(ValueError, match='backend="triton" needs a GPU, and the tensor is on cpu'):
        quantize_nf4(torch.zeros(4), backend="triton")


def test_unknown_backends_are_refused() -> None:
    for f in (quantize_nf4, lambda w, backend: dequantize_nf4(quantize_nf4(w), backend=backend)):
        with pytest.raises(ValueError, match='"triton", "torch" or None, got \'cuda\''):
            f(torch.zeros(4), backend="cuda")


def test_package_works_where_triton_is_not_installed() -> None:
    code = """
import sys
sys.modules["triton"] = None
import torch
import kernels
q = kernels.quantize_nf4(torch.ones(4, 64))
print(kernels.nf4_linear(torch.ones(1, 64), q).tolist(), "minigpt" in sys.modules)
"""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "[[64.0, 64.0, 64.0, 64.0]] False"

"""A kernel that is wrong, or leaves a number of its result as it was, is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import kernels
from kernels.reference import dequantize_plainly, quantize_plainly
from minigpt.doctor import kernels_here
from minigpt.doctor.finding import NOTE, OK, PROBLEM
from minigpt.doctor.kernels_here import (
    check_kernels,
    differences,
    judge_kernels,
    judge_machine_code,
    judge_without_triton,
)


@pytest.fixture
def _plain_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts the specification in the kernels' place; they then need no GPU and no triton."""
    monkeypatch.setattr(
        kernels, "quantize_nf4", lambda weight, backend: quantize_plainly(weight, 64, 256)
    )
    monkeypatch.setattr(
        kernels, "dequantize_nf4", lambda q, backend: dequantize_plainly(q, q.dtype)
    )
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("_plain_kernels")
def test_the_specification_differs_in_nothing_from_itself() -> None:
    assert differences("cpu") == []


@pytest.mark.usefixtures("_plain_kernels")
def test_a_number_that_nobody_writes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_but_one(q: Any, backend: str) -> torch.Tensor:
        right = dequantize_plainly(q, q.dtype).flatten()
        out = torch.empty_like(right)
        out[:-1] = right[:-1]
        return out.view(q.shape)

    monkeypatch.setattr(kernels, "dequantize_nf4", all_but_one)
    assert [said.split(" in ")[0] for said in differences("cpu")] == [
        "1 of 9100 dequantized numbers"
    ] * 2


@pytest.mark.usefixtures("_plain_kernels")
def test_a_code_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_wrong(weight: torch.Tensor, backend: str) -> Any:
        q = quantize_plainly(weight, 64, 256)
        q.codes[7] ^= 1
        return q

    monkeypatch.setattr(kernels, "quantize_nf4", one_wrong)
    assert "1 of 4550 codes in torch.float32" in differences("cpu")


def test_each_verdict() -> None:
    assert judge_kernels("on cuda:0", [], "").state == OK
    wrong = judge_kernels("on cuda:0", ["1 of 9 codes"], "")
    assert wrong.state == PROBLEM
    assert "1 of 9 codes" in wrong.said
    assert judge_kernels("on cuda:0", None, "crashed (SIGSEGV)").state == PROBLEM
    assert "triton" in judge_kernels("on cuda:0", None, "crashed (SIGSEGV)").remedy
    without_c = judge_kernels("on cuda:0", None, "RuntimeError: Failed to find C compiler.")
    assert "triton" not in without_c.remedy
    failed = "subprocess.CalledProcessError: Command ['gcc'] returned non-zero exit status 1"
    assert "headers" in judge_kernels("on cuda:0", None, failed).remedy
    assert judge_machine_code(9000, "").state == OK
    assert judge_machine_code(None, "ptxas fatal").state == PROBLEM
    assert judge_without_triton(False, "Linux").state == NOTE
    assert judge_without_triton(True, "Linux").state == PROBLEM


def test_where_no_triton_is_published_none_is_to_be_installed() -> None:
    found = judge_without_triton(True, "Windows")
    assert (found.state, found.remedy) == (NOTE, "")
    assert "Linux only" in found.said


@pytest.mark.parametrize("has_triton", [True, False])
def test_a_gpu_is_tried_and_nothing_in_its_place(
    has_triton: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(function: Any, *arguments: str, environment: dict[str, str]) -> tuple[Any, str]:
        asked.append((function.__name__, *arguments, environment["TRITON_INTERPRET"]))
        return ([], "") if function is differences else (9000, "")

    monkeypatch.setattr(kernels_here, "answer", answer)
    version = "3.9" if has_triton else None
    monkeypatch.setattr(kernels_here, "version_of", lambda name: version)
    monkeypatch.setattr(kernels_here.platform, "system", lambda: "Linux")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    on_gpu = [finding.state for finding in check_kernels(["cuda:0"])]
    without = [finding.state for finding in check_kernels([])]
    if has_triton:
        assert (on_gpu, without) == ([OK], [OK, OK])
        assert asked == [
            ("differences", "cuda:0", None),
            ("differences", "cpu", "1"),
            ("compiled_bytes", "sm_90", None),
        ]
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        assert list(check_kernels(["cuda:0"]))[-1].state == NOTE
    else:
        assert (on_gpu, without, asked) == ([PROBLEM], [NOTE], [])

"""To have no GPU is no problem; to have one that cannot be used is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minigpt.doctor import gpu
from minigpt.doctor.child import ChildError
from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding
from minigpt.doctor.gpu import check_gpus, gpus_in_machine, judge_device, judge_gpus, runs_on

CPU_BUILD = {"cuda": "", "hip": "", "mps": False}
CUDA_BUILD = {**CPU_BUILD, "cuda": "12.8"}
H100 = "NVIDIA H100, driver 570.86"
DEVICE = {"name": "NVIDIA H100", "device": "cuda:0", "arch": "sm_90", "free": 8e10, "total": 8.5e10}
NONE: dict[str, Any] = {"trouble": "", "devices": [], "archs": []}


def judged(
    present: list[str],
    torch: dict[str, Any] | None,
    seen: dict[str, Any] | None = None,
    hidden: tuple[str, ...] = (),
) -> Finding:
    (found,) = judge_gpus(present, torch, {**NONE, **(seen or {})}, hidden)
    return found


def test_without_a_gpu_all_is_fine() -> None:
    assert judged([], CPU_BUILD).state == OK
    assert judged([], CUDA_BUILD, {"trouble": "Found no NVIDIA driver"}).state == OK
    assert judged([], {**CPU_BUILD, "mps": True}).state == OK


def test_a_gpu_that_torch_can_use_is_described() -> None:
    found = judged([H100], CUDA_BUILD, {"devices": [DEVICE], "archs": ["sm_80", "sm_90"]})
    assert found.state == OK
    said = "NVIDIA H100, sm_90, 80.0 of 85.0 GB free, CUDA 12.8, driver 570.86"
    assert found.said == said


def test_a_gpu_beside_a_torch_for_processors_is_a_note_that_says_what_to_install() -> None:
    found = judged([H100], CPU_BUILD)
    assert found.state == NOTE
    assert "processors only, and lessons run on the processor" in found.said
    assert "pytorch.org" in found.remedy


def test_a_gpu_that_torch_has_no_code_for_is_a_problem() -> None:
    seen = {"devices": [DEVICE], "archs": ["sm_100"]}
    assert judged([H100], CUDA_BUILD, seen).state == PROBLEM


def test_a_driver_that_is_too_old_is_a_problem() -> None:
    trouble = "The NVIDIA driver on your system is too old (found version 11040)."
    found = judged([H100], CUDA_BUILD, {"trouble": trouble})
    assert found.state == PROBLEM
    assert trouble in found.said
    assert "driver" in found.remedy
    assert judged([H100], CUDA_BUILD).said.endswith("cannot use it, and does not say why")


def test_a_gpu_that_is_hidden_is_a_note() -> None:
    assert judged([H100], CUDA_BUILD, hidden=("CUDA_VISIBLE_DEVICES=",)).state == NOTE


def test_only_a_variable_that_hides_all_of_them_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "gpus_in_machine", lambda: [H100])
    monkeypatch.setattr(gpu, "ask", lambda facts: {**NONE, "trouble": "no driver"})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert check_gpus(CUDA_BUILD)[0][0].state == PROBLEM
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert check_gpus(CUDA_BUILD)[0][0].state == NOTE


def test_where_torch_cannot_be_asked_that_is_a_note() -> None:
    assert judged([H100], None).state == NOTE


def test_a_gpu_whose_memory_is_taken_is_a_note() -> None:
    assert judge_device({**DEVICE, "free": 1e9}, ["sm_90"], "CUDA 12.8").state == NOTE


def test_apple_s_gpu_needs_no_list() -> None:
    apple = {"name": "Apple's GPU", "device": "mps"}
    assert judge_device(apple, [], "Apple's GPUs").state == OK


@pytest.mark.parametrize(
    ("code", "arch", "runs"),
    [
        ("sm_80", "sm_80", True),
        ("sm_80", "sm_86", True),
        ("sm_86", "sm_80", False),
        ("sm_80", "sm_90", False),
        ("sm_90", "sm_100", False),
        ("sm_100", "sm_90", False),
        ("sm_90a", "sm_90", True),
        ("compute_80", "sm_120", True),
        ("compute_120", "sm_90", False),
        ("gfx942", "gfx942", True),
        ("gfx942", "gfx1100", False),
    ],
)
def test_code_runs_on_its_own_generation_and_half_compiled_code_on_later_ones(
    code: str, arch: str, runs: bool
) -> None:
    assert runs_on(code, arch) is runs


def test_a_gpu_is_known_by_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        gpu, "run", lambda command, seconds: "NVIDIA H100, 570.86\nNVIDIA T4, 1.2\n"
    )
    assert gpus_in_machine() == [H100, "NVIDIA T4, driver 1.2"]

    def fail(command: list[str], seconds: float) -> str:
        raise ChildError("NVIDIA-SMI has failed")

    monkeypatch.setattr(gpu, "run", fail)
    nodes = [Path("/dev/nvidia0")]
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(nodes))
    assert gpus_in_machine() == ["an NVIDIA GPU whose driver does not answer"]


def test_only_gpus_without_a_problem_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "gpus_in_machine", lambda: [H100])
    monkeypatch.setattr(gpu, "ask", lambda facts: {**NONE, "devices": [DEVICE], "archs": []})
    assert check_gpus(CUDA_BUILD)[1] == ["cuda:0"]
    answer = {**NONE, "devices": [DEVICE], "archs": ["sm_75"]}
    monkeypatch.setattr(gpu, "ask", lambda facts: answer)
    assert check_gpus(CUDA_BUILD)[1] == []

    def hang(facts: object) -> None:
        raise ChildError("took longer than 60 seconds")

    monkeypatch.setattr(gpu, "ask", hang)
    (found,), usable = check_gpus(CUDA_BUILD)
    assert usable == []
    assert "took longer than 60 seconds" in found.said
    assert check_gpus(CPU_BUILD)[0][0].state == NOTE  # and nobody is asked

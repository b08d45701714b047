"""The processor's name and features are read from what Linux and macOS print."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from minigpt.doctor import processor
from minigpt.doctor.child import ChildError
from minigpt.doctor.finding import NOTE, OK
from minigpt.doctor.processor import (
    FEATURES,
    judge_processor,
    read_cpuinfo,
    read_sysctl,
    this_processor,
)

X86 = """processor\t: 0
model name\t: AMD EPYC 9B14
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16

processor\t: 1
model name\t: AMD EPYC 9B14
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16
"""
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd sve bf16\nCPU part\t: 0xd4f\n"
APPLE = """machdep.cpu.brand_string: Apple M3
hw.optional.AdvSIMD: 1
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm.FEAT_SME: 0
"""


def known(features: set[str]) -> list[str]:
    return [said for key, said in FEATURES.items() if key in features]


def test_linux_on_x86() -> None:
    name, features = read_cpuinfo(X86)
    assert name == "AMD EPYC 9B14"
    assert known(features) == ["AVX2", "AVX-512", "bf16 in AVX-512"]


def test_linux_on_arm_has_no_name() -> None:
    name, features = read_cpuinfo(ARM)
    assert name == ""
    assert known(features) == ["NEON", "SVE", "bf16"]


def test_macos() -> None:
    name, features = read_sysctl(APPLE)
    assert name == "Apple M3"
    assert known(features) == ["NEON", "bf16"]


def test_without_a_name_it_is_named_by_its_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "CPUINFO", info)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    info.write_text(X86, encoding="utf-8")
    assert this_processor()[0] == "AMD EPYC 9B14"
    info.write_text(ARM, encoding="utf-8")
    assert this_processor()[0] == "aarch64"


def test_a_mac_is_asked_and_need_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([APPLE])

    def run(command: list[str], seconds: float) -> str:
        assert command[0] == "sysctl"
        for answer in answers:
            return answer
        raise ChildError("cannot be started: no such file")

    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "none")
    monkeypatch.setattr(processor, "run", run)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert this_processor() == ("Apple M3", ["NEON", "bf16"])
    assert this_processor() == ("arm", [])


@pytest.mark.parametrize(
    ("features", "capability", "asked", "state"),
    [
        (["AVX2"], "AVX2", "", OK),
        (["NEON"], "DEFAULT", "", OK),
        ([], "", "", OK),
        ([], "DEFAULT", "", NOTE),
        (["AVX2"], "DEFAULT", "default", NOTE),
    ],
)
def test_each_verdict(features: list[str], capability: str, asked: str, state: str) -> None:
    assert judge_processor("Some CPU", features, capability, asked).state == state

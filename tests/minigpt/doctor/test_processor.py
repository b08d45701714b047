"""The processor's name and features are read from what Linux and macOS print."""

from __future__ import annotations

import pytest

from minigpt.doctor.finding import NOTE, OK
from minigpt.doctor.processor import FEATURES, judge_processor, read_cpuinfo, read_sysctl

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

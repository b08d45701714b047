"""The processor: its name, and which of the instructions it has that make products fast."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from minigpt.doctor.child import ChildError, run
from minigpt.doctor.finding import NOTE, OK, Finding, unsetting

CPUINFO = Path("/proc/cpuinfo")
# What /proc/cpuinfo and macOS's sysctl call the instructions, and what people call them.
FEATURES = {
    "avx2": "AVX2", "avx2_0": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "bf16 in AVX-512",
    "amx_bf16": "AMX", "asimd": "NEON", "advsimd": "NEON", "sve": "SVE", "bf16": "bf16",
    "feat_bf16": "bf16", "feat_sme": "SME",
}  # fmt: skip


def read_cpuinfo(text: str) -> tuple[str, set[str]]:
    """Returns the processor's name and features as /proc/cpuinfo lists them."""
    fields = dict(re.findall(r"^([^:\n]+?)\s*:\s*(.*)$", text, re.MULTILINE))
    features = fields.get("flags", "") or fields.get("Features", "")  # x86, ARM
    return fields.get("model name", ""), set(features.lower().split())


def read_sysctl(text: str) -> tuple[str, set[str]]:
    """Returns the same from what `sysctl machdep.cpu hw.optional` prints on macOS."""
    fields = dict(re.findall(r"^([\w.]+): (.*)$", text, re.MULTILINE))
    present = {name.rpartition(".")[2].lower() for name, value in fields.items() if value == "1"}
    return fields.get("machdep.cpu.brand_string", ""), present


def this_processor() -> tuple[str, list[str]]:
    """Returns the processor's name and what people call its features, as far as anything says."""
    name, features = "", set[str]()
    if CPUINFO.is_file():
        name, features = read_cpuinfo(CPUINFO.read_text(encoding="utf-8", errors="replace"))
    elif platform.system() == "Darwin":
        with suppress(ChildError):
            name, features = read_sysctl(run(["sysctl", "machdep.cpu", "hw.optional"], 5))
    name = name or platform.processor() or platform.machine()
    return name, list(dict.fromkeys(said for key, said in FEATURES.items() if key in features))


def check_processor(torch: Mapping[str, Any] | None) -> Finding:
    """Returns what is to be said of this processor.

    Args:
        torch: what torch says (about_torch.py); None if it cannot be imported.
    """
    name, features = this_processor()
    capability = torch["capability"] if torch else ""
    return judge_processor(name, features, capability, os.environ.get("ATEN_CPU_CAPABILITY", ""))


def judge_processor(name: str, features: Iterable[str], capability: str, asked: str) -> Finding:
    """Returns what is to be said of a processor.

    Args:
        capability: which of its kinds of loops torch has chosen, such as AVX512; "" if unknown.
        asked: what ATEN_CPU_CAPABILITY asks it to choose.
    """
    said = ", ".join([name, *features])
    if capability:
        said += f"; torch uses {capability}"
    if asked:
        said += f", as ATEN_CPU_CAPABILITY={asked} asks"
        return Finding("processor", NOTE, said, unsetting("ATEN_CPU_CAPABILITY"))
    if capability == "DEFAULT" and "NEON" not in features:
        said += ", its slowest loops: lessons take several times as long as they say"
        return Finding("processor", NOTE, said)
    return Finding("processor", OK, said)

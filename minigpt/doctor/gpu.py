"""GPUs: which there are, and whether torch can use them.

To have none is no problem, nor is a torch that was built for none: everything runs on the
processor. A GPU that a torch for GPUs cannot use is a problem.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from minigpt.doctor.about_torch import build_of
from minigpt.doctor.child import ChildError, ask, run
from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding

OTHER_BUILD = "install the build of torch that https://pytorch.org/get-started names for your GPU"
NEW_DRIVER = "install a newer NVIDIA driver and restart, or a build of torch for an older CUDA"
NONE = ("", "-1")  # with these values they hide every GPU
HIDING = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def facts() -> dict[str, Any]:
    """Returns what torch says of the GPUs; to be called in a child process.

    "trouble" is why there are none to use, "" if there are; "devices" describes each.
    """
    import torch

    if torch.backends.mps.is_available():
        return {"trouble": "", "devices": [{"name": "Apple's GPU", "device": "mps"}], "archs": []}
    trouble, devices = "", []
    try:
        torch.cuda.init()
        for number in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(number)
            free, total = torch.cuda.mem_get_info(number)
            arch = getattr(found, "gcnArchName", "") if torch.version.hip else ""
            devices.append(
                {
                    "name": found.name,
                    "device": f"cuda:{number}",
                    "arch": arch.partition(":")[0] or f"sm_{found.major}{found.minor}",
                    "free": free,
                    "total": total,
                }
            )
    except Exception as error:
        trouble = str(error).splitlines()[0]
    return {"trouble": trouble, "devices": devices, "archs": torch.cuda.get_arch_list()}


def gpus_in_machine() -> list[str]:
    """Returns the GPUs that the system knows, whatever torch can do: NVIDIA's and AMD's."""
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        try:
            found = run(query, 20).strip().splitlines()
            return [f"{name}, driver {driver}" for name, driver in (f.split(", ") for f in found)]
        except (ChildError, ValueError):
            pass  # the program is there, but no driver answers it
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return ["an NVIDIA GPU whose driver does not answer"]
    return ["an AMD GPU"] if Path("/dev/kfd").exists() else []


def check_gpus(torch: Mapping[str, Any] | None) -> tuple[list[Finding], list[str]]:
    """Returns what is to be said of the GPUs, and the devices that can be used.

    Args:
        torch: what torch says of itself; None if it cannot be imported.
    """
    present = gpus_in_machine()
    seen: Mapping[str, Any] = {"trouble": "", "devices": [], "archs": []}
    if torch is not None and build_of(torch) != "processors only":
        try:
            seen = ask(facts)
        except ChildError as error:
            seen = {**seen, "trouble": f"could not be asked: {error}"}
    hidden = [f"{name}={os.environ[name]}" for name in HIDING if os.environ.get(name) in NONE]
    findings = list(judge_gpus(present, torch, seen, hidden))
    broken = any(finding.state == PROBLEM for finding in findings)
    return findings, [] if broken else [found["device"] for found in seen["devices"]]


def judge_gpus(
    present: list[str],
    torch: Mapping[str, Any] | None,
    seen: Mapping[str, Any],
    hidden: Iterable[str],
) -> Iterator[Finding]:
    """Yields what is to be said of GPUs.

    Args:
        present: those that the system knows.
        torch: what torch says of itself; None if it cannot be imported.
        seen: what torch says of them.
        hidden: variables of the environment that hide them from torch.
    """
    machine = "; ".join(present)
    if torch is None:
        said = f"{machine or 'none that the system knows'}; torch could not be asked"
        yield Finding("gpu", NOTE, said)
        return
    for found in seen["devices"]:
        yield judge_device(found, seen["archs"], build_of(torch), machine)
    if seen["devices"]:
        return
    if not present:
        yield Finding("gpu", OK, f"none, and none is needed; torch is built for {build_of(torch)}")
    elif hidden:
        yield Finding("gpu", NOTE, f"{machine}, hidden from torch by {', '.join(hidden)}")
    elif not (torch["cuda"] or torch["hip"]):
        build = f"this torch is built for {build_of(torch)}"
        said = f"{machine}; {build}, and lessons run on the processor"
        yield Finding("gpu", NOTE, said, OTHER_BUILD)
    else:
        why = f": {seen['trouble']}" if seen["trouble"] else ", and does not say why"
        said = f"{machine}; torch ({build_of(torch)}) cannot use it{why}"
        yield Finding("gpu", PROBLEM, said, OTHER_BUILD if torch["hip"] else NEW_DRIVER)


def judge_device(
    found: Mapping[str, Any], archs: list[str], build: str, machine: str = ""
) -> Finding:
    """Returns what is to be said of one GPU.

    Args:
        found: its description in `facts`.
        archs: the kinds that torch was compiled for, such as sm_90 or compute_90; [] if unknown.
        build: what torch was built for.
        machine: what the system knows of its GPUs, such as the driver.
    """
    name = f"gpu {found['device']}"
    if found["device"] == "mps":
        return Finding(name, OK, f"{found['name']}, with torch for {build}")
    driver = re.search(r"driver [\d.]+", machine)
    said = (
        f"{found['name']}, {found['arch']}, {found['free'] / 1e9:.1f} of {found['total'] / 1e9:.1f}"
        f" GB free, {build}{f', {driver[0]}' if driver else ''}"
    )
    if archs and not any(runs_on(arch, found["arch"]) for arch in archs):
        said += f"; this torch has code only for {', '.join(archs)}"
        return Finding(name, PROBLEM, said, OTHER_BUILD)
    if found["free"] < 2e9:
        return Finding(name, NOTE, f"{said}: other programs hold its memory")
    return Finding(name, OK, said)


def runs_on(code: str, arch: str) -> bool:
    """Returns whether code for one kind of GPU runs on another.

    NVIDIA's machine code (sm_80) runs on GPUs of the same generation that are not older, and what
    is only half compiled (compute_80) on every later one: CUDA C++ Programming Guide, "Application
    Compatibility". AMD's runs on its own kind.
    """
    if code == arch:
        return True
    versions = (
        re.fullmatch(r"(sm|compute)_(\d+)(\d)[af]?", code),
        re.fullmatch(r"sm_(\d+)(\d)", arch),
    )
    if not versions[0] or not versions[1]:
        return False
    kind, *built = versions[0].groups()
    older, same = built <= [*versions[1].groups()], built[0] == versions[1][1]
    return (same and older) if kind == "sm" else int("".join(built)) <= int(arch[3:])

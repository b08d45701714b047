"""Says on what machine a lesson runs, for its page in the book.

describe(torch.device("cpu"))     # {"processor": "...", "cores": "...", "system": "..."}
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import torch

from minigpt.fast.threads import usable_cores

CPU_INFO = Path("/proc/cpuinfo")


def describe(device: torch.device) -> dict[str, str]:
    """Returns the parts of this machine by name, without those that the system does not tell.

    Args:
        device: what the lesson computes on; a GPU is named only if it is used.
    """
    found = {
        "processor": processor(),
        "cores": str(usable_cores()),
        "torch's threads": str(torch.get_num_threads()),
        "memory": memory(),
        "GPU": torch.cuda.get_device_name(device) if device.type == "cuda" else "",
        "system": system(),
    }
    return {name: text for name, text in found.items() if text}


def processor() -> str:
    """Returns the processor's name as its maker gives it, or else its architecture."""
    name = ""
    if CPU_INFO.is_file():
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2] for line in lines if line.startswith("model name")), "")
    elif platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return " ".join((name or platform.processor() or platform.machine()).split())


def memory() -> str:
    """Returns the size of the main memory; "" where the system has no sysconf, as on Windows."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return ""
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{size / 2**30:.1f} GiB"


def system() -> str:
    """Returns the operating system's name and version."""
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"

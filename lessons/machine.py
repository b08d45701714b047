"""Says on what machine a lesson runs, for its page in the book.

describe(torch.device("cpu"))     # {"processor": "...", "cores": "...", "system": "..."}
"""

from __future__ import annotations

import platform

import torch

from minigpt.doctor.memory import total_memory
from minigpt.doctor.processor import this_processor
from minigpt.fast.threads import usable_cores


def describe(device: torch.device) -> dict[str, str]:
    """Returns the parts of this machine by name, without those that the system does not tell.

    Args:
        device: what the lesson computes on; a GPU is named only if it is used.
    """
    found = {
        "processor": " ".join(this_processor()[0].split()),
        "cores": str(usable_cores()),
        "torch's threads": str(torch.get_num_threads()),
        "memory": memory(),
        "GPU": torch.cuda.get_device_name(device) if device.type == "cuda" else "",
        "system": system(),
    }
    return {name: text for name, text in found.items() if text}


def memory() -> str:
    """Returns the size of the main memory; "" where the system does not tell, as on Windows."""
    size = total_memory()
    return "" if size is None else f"{size / 2**30:.1f} GiB"


def system() -> str:
    """Returns the operating system's name and version."""
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"

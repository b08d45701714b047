"""Files of tensors by name, read without running anything that they may contain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

DAMAGED = (SafetensorError, UnpicklingError, OSError, EOFError, RuntimeError, ValueError,
           KeyError, AttributeError)  # what the readers raise for a damaged file  # fmt: skip


def read_tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    """Yields the names and tensors in a .safetensors file, or in a pickle called .bin.

    Raises:
        ValueError: the file is missing, cut short or damaged.
    """
    try:
        if file.suffix == ".bin":
            yield from torch.load(file, map_location="cpu", weights_only=True).items()
            return
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (it is no dictionary)
                yield name, tensors.get_tensor(name)
    except DAMAGED as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"{file} is cut short or damaged ({reason})") from None

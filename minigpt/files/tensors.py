"""Files of tensors: safetensors, and torch's older pickles, which are read without being run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

DAMAGED = (SafetensorError, UnpicklingError, OSError, EOFError, RuntimeError, ValueError,
           KeyError, AttributeError)  # what the readers raise for a damaged file  # fmt: skip


class Stored(NamedTuple):
    """A tensor and the file that it was read from."""

    tensor: Tensor
    file: Path


def read_tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    """Yields the names and tensors in a file.

    Raises:
        ValueError: the file is cut short or damaged, or its pickle asks for more than tensors.
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

"""Files of tensors: safetensors, and torch's older pickles, which are read without being run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from minigpt.files.atomic import check_utf8, reason_of
from minigpt.files.regular_file import open_regular

LFS = b"version https://git-lfs.github.com/"
DAMAGED = (SafetensorError, UnpicklingError, OSError, EOFError, RuntimeError, ValueError,
           KeyError, AttributeError)  # what the readers raise for a damaged file  # fmt: skip


class Stored(NamedTuple):
    """A tensor and the file that it was read from."""

    tensor: Tensor
    file: Path


def read_tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    """Yields the names and tensors in a file.

    Raises:
        ValueError: the file is cut short or damaged, or its pickle asks for more than tensors; or
            its name is not in UTF-8.
    """
    check_utf8(file)
    try:
        if file.suffix == ".bin":
            found = torch.load(file, map_location="cpu", weights_only=True)
            if not isinstance(found, dict):
                raise ValueError(f"it holds a {type(found).__name__} and no tensors by name")
            for name, tensor in found.items():
                _check_dense(name, tensor)
                yield name, tensor
            return
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (not a dictionary)
                yield name, tensors.get_tensor(name)
        return
    except DAMAGED as error:
        if "memory" in str(error):  # there is too little of it
            raise
        reason = _why(file, error)
    raise ValueError(f"{file} is cut short or damaged ({reason})")


def _why(file: Path, error: Exception) -> str:
    """Returns what is wrong with a file that raised error; torch advises to let a pickle run."""
    with suppress(OSError), open_regular(file) as opened:
        if opened.read(len(LFS)) == LFS:
            return "it is a pointer of Git LFS, and not what that points to; run `git lfs pull`"
    said = str(error).split("\n")[0]
    if "TorchScript" in said:
        return "it holds a program in TorchScript and no tensors by name"
    if isinstance(error, UnpicklingError):
        if "Unsupported" in str(error) or "not allowed" in str(error):
            return "its pickle asks for more than tensors, which could be a program to run"
        return "it is not a pickle of tensors"
    if isinstance(error, OSError):
        said = reason_of(error)
    return said or "it ends too soon"


def _check_dense(name: object, tensor: object) -> None:
    """Raises ValueError unless a pickle's entry is a tensor each of whose numbers is stored.

    A tensor that repeats one number a billion times takes no room in the file.
    """
    if not isinstance(name, str) or not isinstance(tensor, Tensor):
        raise ValueError(f"{name!r:.60} is not the name of a tensor")
    dense = tensor.layout is torch.strided and tensor.device.type == "cpu"
    if not dense or tensor.untyped_storage().nbytes() < tensor.numel() * tensor.itemsize:
        raise ValueError(f"{name[:60]} is not a plain tensor")


class NotFiniteError(ValueError):
    """A tensor holds NaN or an infinity."""


def check_finite(tensors: Mapping[str, Tensor], problem: str) -> None:
    """Makes sure that tensors hold numbers only: neither NaN nor an infinity.

    Args:
        problem: begins the sentence of the error.

    Raises:
        NotFiniteError: one does not; the error names it.
    """
    for name, tensor in tensors.items():
        if not is_finite(tensor.detach()):
            raise NotFiniteError(f"{problem}: {name} is not made of finite numbers")


def is_finite(tensor: Tensor) -> bool:
    """Returns whether a tensor holds neither NaN nor an infinity, in one pass without a copy."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.element_size() == 1:  # torch finds no extremes of numbers in 8 bits
        tensor = tensor.float()
    return all(bool(bound.isfinite()) for bound in tensor.aminmax())

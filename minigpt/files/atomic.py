"""Files that are either complete or absent: they are written under another name, then renamed.

A renaming is a single step for every reader (POSIX rename), so neither a killed process nor a full
disk can leave half a file under the real name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Makes the file path, complete or not at all, by calling write(another path).

    The bytes go to a temporary folder beside it, are forced to the disk, and get the real name
    last. If anything goes wrong on the way, the folder is removed and path is what it was before.

    Raises:
        OSError: the disk is full or may not be written to, or path is a folder, a pipe or a device;
            the error names the file.
    """
    if path.exists() and not path.is_file():  # a file would take the place of /dev/null
        what = "a folder" if path.is_dir() else "a pipe or a device"
        raise OSError(f"could not write {path}: it is {what}, and not a file")
    workshop = path.with_name(path.name + ".tmp")
    try:
        shutil.rmtree(workshop, ignore_errors=True)  # left by a process that was killed here
        workshop.mkdir(parents=True)
        new = workshop / path.name
        write(new)
        os.chmod(new, workshop.stat().st_mode & 0o666)  # safetensors makes its files private
        to_disk(new)
        os.replace(new, path)
        to_disk(path.parent)  # the folder records the new name
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"could not write {path}: {reason_of(error)}; what was there before is kept"
        ) from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Makes the file path hold text in UTF-8; if that fails, path is what it was before.

    Raises:
        OSError: as write_atomically.
    """
    write_atomically(path, lambda new: new.write_bytes(text.encode()))


def check_utf8(path: Path) -> None:
    """Makes sure that safetensors can open a path, which it can only if its bytes are UTF-8.

    Raises:
        ValueError: they are not.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"the name {path} is not in UTF-8, and no tensors can be read from there; choose or "
            "give it another name"
        ) from None


def to_disk(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk (Windows does the latter)."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason_of(error: Exception) -> str:
    """Returns the cause of an error in words, without Python's error number."""
    return getattr(error, "strerror", None) or str(error)

"""Opens files that are files: a pipe or a device in the place of one is refused, not waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from minigpt.files.atomic import reason_of


def open_regular(path: str | Path) -> BinaryIO:
    """Opens a file to read its bytes.

    Opening a named pipe would wait for a writer, for ever if there is none; with O_NONBLOCK it
    returns at once, and the kind of the file is looked at then, when it can no longer change.

    Raises:
        FileNotFoundError: there is nothing of this name.
        OSError: it may not be read, or is a folder, a pipe or a device.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        if os.path.isdir(path):  # Windows does not open folders
            raise IsADirectoryError(f"{path} is a folder, and not a file") from None
        raise OSError(f"{path} cannot be read: {reason_of(error)}") from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path} is a folder, and not a file")
    raise OSError(f"{path} is a pipe or a device, and not a file")


def read_bytes(path: str | Path, largest: int) -> bytes:
    """Returns the bytes of a file.

    Raises:
        FileNotFoundError, OSError: as open_regular.
        ValueError: it has more than `largest` bytes.
    """
    with open_regular(path) as file:
        try:
            content = file.read(largest + 1)
        except OSError as error:
            raise OSError(f"{path} cannot be read: {reason_of(error)}") from None
    if len(content) > largest:
        raise ValueError(f"{path} has more than {largest >> 20} MiB, the most that is read of it")
    return content

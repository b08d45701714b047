"""A save that is killed before one of its changes to the disk, without a process to kill."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, and no change to the disk comes after it."""


def killed_before(n: int, writer: ModuleType, work: Callable[[], object]) -> bool:
    """Runs work up to its n-th change to the disk, and tells whether there was one.

    Every later change fails in the same way, so that no cleaning up is done on the way out.

    Args:
        writer: the module whose save_file counts as one change, of which half is done.
    """
    done, fsync = 0, os.fsync

    def counted(operation: Callable) -> Callable:
        def wrapper(*arguments: object, **named: object) -> object:
            nonlocal done
            done += 1
            if done < n:  # fsync, which changes nothing here, would take most of the time
                return None if operation is fsync else operation(*arguments, **named)
            if done == n and operation.__name__ == "save_file":
                Path(str(arguments[1])).write_bytes(b"half")
            raise Killed

        return wrapper

    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "fsync", "chmod", "unlink", "mkdir", "rmdir", "link"):
            patch.setattr(os, name, counted(getattr(os, name)))
        patch.setattr(shutil, "rmtree", counted(shutil.rmtree))
        patch.setattr(writer, "save_file", counted(writer.save_file))
        try:
            work()
        except Killed:
            return True
    return False

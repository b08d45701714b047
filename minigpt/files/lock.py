"""One writer in a folder at a time: a lock that the operating system holds and lets go of.

    with held(Path("runs/french")):     # a second process that asks for it gets one sentence
        ...

The lock is on an empty file in the folder, minigpt.lock, which is removed at the end. If the
process is killed, the file stays and the lock does not: nothing has to be cleaned up by hand.

Source: flock(2); on Windows, LockFile by way of msvcrt.locking.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minigpt.files.atomic import check_utf8, reason_of

LOCK = "minigpt.lock"

_owners: dict[str, tuple[int, int]] = {}  # lock file: process and thread that hold it here


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps every other writer out of folder for a with-block.

    The thread that holds it may ask again. A folder that is not there is made; if it is empty at
    the end, it goes again.

    Raises:
        ValueError: another process, or another thread of this one, is writing to folder; or its
            name is not in UTF-8.
        OSError: the folder cannot be made or written to.
    """
    check_utf8(folder)
    new = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.path.join(os.path.realpath(folder), LOCK)
            mine = (os.getpid(), threading.get_ident())
            owner = _owners.get(lock)
            again = owner == mine
            descriptor = None if again or (owner and owner[0] == mine[0]) else _locked(lock)
        except OSError as error:
            raise OSError(f"cannot write to {folder}: {reason_of(error)}") from error
        if again:
            yield
            return
        if descriptor is None:
            raise ValueError(
                f"another run is writing to {folder}; wait until it has ended, or choose another "
                "folder"
            )
        _owners[lock] = mine
        try:
            yield
        finally:
            if mine[0] == os.getpid():  # not in a fork, which holds nothing
                del _owners[lock]
                _let_go(lock, descriptor)
    finally:
        for path in new:
            with suppress(OSError):  # it holds something now
                path.rmdir()


def _locked(lock: str) -> int | None:
    """Returns the descriptor of a lock file that is now locked, or None if it was already."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        if not _lock(descriptor):
            os.close(descriptor)
            return None
        try:
            if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)  # the one who held it has removed the file meanwhile


def _let_go(lock: str, descriptor: int) -> None:
    """Removes a lock file and closes it; in the other order where an open file cannot be removed.

    That is Windows, where the file of another process, which may have it by then, stays as well.
    """
    removed = False
    try:
        with suppress(OSError):
            os.unlink(lock)
            removed = True
    finally:
        os.close(descriptor)
    if not removed:
        with suppress(OSError):
            os.unlink(lock)


def _lock(descriptor: int) -> bool:
    """Locks an open file without waiting, and tells whether that was possible.

    Where the file system knows no locks, every process gets one.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True

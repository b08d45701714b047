"""Runs another program for a limited time, and leaves nothing of it behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence


def run_program(
    command: Sequence[str],
    seconds: float,
    given: str = "",
    environment: Mapping[str, str] | None = None,
) -> str:
    """Returns what a program writes, which gets `given` to read.

    A compiler starts programs of its own. When the time is up, or Ctrl-C comes, they end with it:
    all are in one process group, where the system has such. And they write into files, not pipes,
    since a pipe would be waited for until the last of them has closed it.

    Args:
        environment: the program's environment variables; None gives it ours.

    Raises:
        OSError: the program cannot be started.
        subprocess.TimeoutExpired: it took longer than `seconds`.
        subprocess.CalledProcessError: it failed; the error holds what it wrote.
    """
    with (
        tempfile.TemporaryFile() as stdin,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        stdin.write(given.encode())
        stdin.seek(0)
        process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr,
            env=None if environment is None else dict(environment), start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(seconds)
        except BaseException:
            end(process)
            raise
        stdout.seek(0)
        stderr.seek(0)
        said, complained = (file.read().decode(errors="replace") for file in (stdout, stderr))
    if status:
        raise subprocess.CalledProcessError(status, list(command), said, complained)
    return said


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program that still runs, with its whole process group."""
    if os.name == "nt":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()

"""The grader's side of child.py: starts the processes that submissions run in, and ends them.

On Linux a `Zygote` forks one for each submission; elsewhere each is a new Python (`Fresh`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

CHILD = Path(__file__).with_name("child.py")
PATIENCE = 120  # seconds in which torch must have been imported
FORKS = sys.platform == "linux"  # elsewhere torch's threads do not live through a fork


class Process(Protocol):
    """A process that runs a submission."""

    def seconds(self) -> float:
        """Returns the processor time that it has used."""

    def end(self) -> int:
        """Ends it, waits, and returns how it ended: its exit status, or -signal."""


def site_folders() -> list[str]:
    """Returns the folders that torch, numpy and Triton are installed in."""
    found: dict[str, None] = {}
    for name in ("torch", "numpy", "triton"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            found[str(Path(spec.origin).parent.parent)] = None
    return list(found)


def environment(triton: bool, folder: str) -> dict[str, str]:
    """Returns the environment of the child: nothing of ours but where libraries are."""
    kept: tuple[str, ...] = (
        "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
        "SYSTEMROOT",
        "WINDIR",
        "TEMP",
        "TMP",
    )
    kept += ("PATH",) if os.name == "nt" else ()
    ours = {name: os.environ[name] for name in kept if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    torchs = {"TORCHINDUCTOR_CACHE_DIR": folder}  # it makes one if it is not there
    return {**ours, **threads, **torchs, **({"TRITON_INTERPRET": "1"} if triton else {})}


def start_python(settings: dict[str, Any], folder: str, **options: Any) -> subprocess.Popen:
    """Starts child.py in a folder, apart from this process's terminal, environment and packages."""
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(CHILD)]
    if os.name != "nt":
        options["start_new_session"] = True
    return subprocess.Popen(
        [*command, json.dumps({"site": site_folders(), **settings})],
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options},
        cwd=folder, env=environment(settings["triton"], folder),
    )  # fmt: skip


class Zygote:
    """A Python with torch imported that forks a process for each submission; Linux.

    Several threads may use one.

    Raises:
        RuntimeError: it does not start.
    """

    def __init__(self, triton: bool, folder: str) -> None:
        self.control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.lock = threading.Lock()
        with tempfile.TemporaryFile() as said, far:
            settings = {"triton": triton, "control": far.fileno()}
            self.process = start_python(settings, folder, pass_fds=[far.fileno()], stderr=said)
            far.close()
            self.control.settimeout(PATIENCE)
            if self.control.recv(64) != b'"ready"':
                said.seek(0)
                text = said.read().decode(errors="replace")[-2000:]
                raise RuntimeError(f"the process that runs submissions did not start:\n{text}")

    def ask(self, request: list, sockets: Sequence[socket.socket] = ()) -> int:
        """Sends a request of child.py's and returns the answer; OSError if the zygote is gone."""
        numbers = [end.fileno() for end in sockets]
        with self.lock:
            try:
                socket.send_fds(self.control, [json.dumps(request).encode()], numbers)
                if answer := self.control.recv(64):
                    return json.loads(answer)
            except OSError:
                self.close()  # an answer that comes late would be taken for the next one
                raise
        raise ConnectionResetError("the process that forks has ended")

    def ended(self) -> bool:
        """Returns whether it is gone, and with it all that it has forked."""
        return self.process.poll() is not None

    def close(self) -> None:
        """Ends it, and with it every process that it has forked."""
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_RDWR)  # a copy of ours may be open elsewhere
        self.control.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Early:
    """A zygote that starts while this process is still importing torch itself."""

    def __init__(self, triton: bool) -> None:
        self.triton, self.folder = triton, tempfile.TemporaryDirectory(prefix="minigpt-")
        self.found: Zygote | Exception | None = None
        self.thread = threading.Thread(target=self.start, daemon=True)
        self.thread.start()

    def start(self) -> None:
        """Starts it and waits until it is ready."""
        try:
            self.found = Zygote(self.triton, self.folder.name)
        except Exception as error:  # told to whoever wants the zygote
            self.found = error

    def zygote(self) -> Zygote:
        """Returns it as soon as it is ready; RuntimeError or OSError if it does not start."""
        self.thread.join()
        if isinstance(self.found, Exception):
            raise self.found
        assert self.found is not None
        return self.found


early: list[Early] = []  # at most one, for the next sandbox


def start_early(triton: bool) -> None:
    """Starts what the next sandbox needs, if this system forks; the sandbox need not take it."""
    if FORKS and not early:
        early.append(Early(triton))


class Forked:
    """A process that a zygote forked, for which these shortcuts are forbidden."""

    def __init__(
        self, zygote: Zygote, sockets: Sequence[socket.socket], forbidden: Sequence[str]
    ) -> None:
        self.zygote = zygote
        self.number = zygote.ask(["fork", list(forbidden)], sockets)

    def seconds(self) -> float:
        """Returns the processor time that it has used."""
        try:  # Linux's clock of a process: the complement of its number, and 2 for "all of it"
            return time.clock_gettime(~self.number << 3 | 2)
        except OSError:
            return 0.0

    def end(self) -> int:
        """Ends it, waits, and returns how it ended; OSError if the zygote is gone."""
        if not self.zygote.ended():
            # It keeps its number until the zygote has reaped it: no other process can be meant.
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError):
                    kill(self.number, signal.SIGKILL)
        return self.zygote.ask(["reap", self.number])


class Fresh:
    """A new Python for one submission, where there is no fork."""

    def __init__(self, triton: bool, folder: str, sockets: Sequence[socket.socket]) -> None:
        options: dict[str, Any] = {"stderr": subprocess.DEVNULL}
        numbers = None if os.name == "nt" else [end.fileno() for end in sockets]
        if numbers is None:
            options |= {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        else:
            options["pass_fds"] = numbers
        self.process = start_python({"triton": triton, "sockets": numbers}, folder, **options)
        if numbers is None:  # Windows
            to_child, from_child = self.process.stdin, self.process.stdout
            assert to_child is not None
            assert from_child is not None
            # The python.exe of a virtual environment only starts another process, which is meant.
            number = int(from_child.readline())
            for end in sockets:
                shared = end.share(number)  # type: ignore[attr-defined]
                to_child.write(shared.hex().encode() + b"\n")
            to_child.flush()
            from_child.readline()  # it has them
        self.started = time.monotonic()

    def seconds(self) -> float:
        """Returns the time since it was started: an upper bound of the processor's."""
        return time.monotonic() - self.started

    def end(self) -> int:
        """Ends it, waits, and returns how it ended."""
        if os.name != "nt":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        return self.process.returncode

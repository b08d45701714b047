"""The process that a submission runs in: how it starts, and what it lets go of before.

Started as `python -I -S -B child.py '{"site": [...], ...}'` in one of two ways:

- on Linux it becomes a **zygote**, as Android calls the process that every app is a copy of: it
  imports torch once, and then forks a child for each submission, which takes milliseconds;
- elsewhere it serves one submission and ends.

What a child does then is in serve.py. It says nothing about right and wrong: what comes out of it
is data, and the grader compares.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import socket
import sys
import tempfile
import traceback
import types
from collections.abc import Callable
from typing import NoReturn

FOLDER = os.path.dirname(os.path.abspath(__file__))
# What a submission may import, and what telling of an error needs: no child has to read it again.
PRELOADED = (
    "bisect", "collections.abc", "dataclasses", "functools", "heapq", "itertools", "linecache",
    "math", "operator", "random", "re", "statistics", "string", "struct", "traceback", "typing",
    "numpy", "torch", "torch.nn.functional",
)  # fmt: skip
OWN = (
    "values", "objects", "drivers", "kept_weights", "kernel_drivers", "refusals", "shortcuts",
    "isolation", "seccomp", "audit", "serve",
)  # fmt: skip


class Settings:
    """What the grader says on the command line.

    Attributes:
        site: the folders that torch, numpy and Triton are in.
        triton: whether this process is for kernels.
        control: the number of the zygote's socket; None where one submission is served.
        sockets: the numbers of its two sockets then; None where they come on standard input.
    """

    def __init__(self, text: str) -> None:
        found = json.loads(text)
        self.site: list[str] = found["site"]
        self.triton: bool = found["triton"]
        self.control: int | None = found.get("control")
        self.sockets: list[int] | None = found.get("sockets")


def import_all(settings: Settings) -> None:
    """Imports torch and what lies beside this file, and nothing else of the project."""
    sys.path += settings.site
    kernels = ("triton", "triton.language") if settings.triton else ()
    missing = importlib.util.find_spec("triton") is None
    for name in (*PRELOADED, *kernels):
        if missing and name in kernels:
            sys.modules[name] = stand_in(name)
        else:
            importlib.import_module(name)
    for name, path in (("lessons", os.path.dirname(FOLDER)), ("lessons.grading", FOLDER)):
        package = types.ModuleType(name)
        package.__path__ = [path]
        sys.modules[name] = package
    for name in OWN:
        importlib.import_module(f"lessons.grading.{name}")
    sys.modules["torch"].set_num_threads(1)  # a process that has threads must not fork
    tempfile.tempdir = os.getcwd()  # some modules ask for it, which else tries to write


def stand_in(name: str) -> types.ModuleType:
    """Returns a module, every name of which is a function that takes anything and returns itself.

    It stands for Triton where there is none, so that a file with kernels in it can be run. They
    are not kernels then, and the grader does not ask for them, but for the file's other functions.
    """

    def anything(*args: object, **kwargs: object) -> Callable:
        return anything

    def look_up(asked: str) -> Callable:
        if asked.startswith("__"):
            raise AttributeError(asked)
        return anything

    module = types.ModuleType(name)
    module.__getattr__ = look_up  # type: ignore[method-assign]
    parent, _, own = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], own, module)
    return module


def zygote(settings: Settings, control: socket.socket) -> None:
    """Forks a child for each request until the grader closes its end.

    A request is JSON. ["fork", shortcuts] comes with two sockets, and the answer is the child's
    number; ["reap", number] is answered by how that child ended.
    """
    from lessons.grading import audit, isolation, shortcuts

    isolation.enter_namespaces()
    rules = isolation.library_rules(settings.site)
    hook = audit.hook(settings.site)
    own = os.getpid()
    gc.collect()
    gc.freeze()  # what is here stays: no child has to look at it, nor to copy its pages
    control.send(b'"ready"')
    while True:
        request, sockets, _, _ = socket.recv_fds(control, 1 << 16, 2)
        if not request:
            os._exit(0)
        what, argument = json.loads(request)
        if what == "fork":
            for name in argument:
                shortcuts.prepare(name)
            if (child := os.fork()) == 0:
                control.detach()
                try:
                    os.setsid()
                    serve_in_walls(settings, sockets, hook, rules, own)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(1)
            for number in sockets:
                os.close(number)
            control.send(json.dumps(child).encode())
        else:
            _, status = os.waitpid(argument, 0)
            control.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())


def serve_in_walls(
    settings: Settings, sockets: list[int], hook: Callable, rules: int | None, parent: int
) -> NoReturn:
    """Serves a submission with everything closed but its two sockets; Linux.

    Args:
        settings: the command line's.
        sockets: the grader's, and the one for what is printed.
        hook: audit.py's.
        rules: Landlock's, as a file descriptor.
        parent: the process whose end ends this one.
    """
    from lessons.grading import isolation, seccomp, serve

    keep_open([os.open(os.devnull, os.O_RDONLY), sockets[1], sockets[1], sockets[0], rules])
    calls = seccomp.program()

    def lock() -> None:
        isolation.lock(None if rules is None else 4, parent, calls)

    data = socket.socket(fileno=3)
    printed = open(1, "w", **serve.PRINTING)  # noqa: SIM115
    serve.serve(data, printed, hook, settings.site, settings.triton, lock)


def keep_open(descriptors: list[int | None]) -> None:
    """Numbers these open files 0, 1, 2, ... and closes all others."""
    import fcntl

    high = [
        None if number is None else fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 64)
        for number in descriptors
    ]
    for i, number in enumerate(high):
        if number is not None:
            os.dup2(number, i, inheritable=False)
    os.closerange(sum(number is not None for number in high), 1 << 20)


def alone(settings: Settings, numbers: list[int] | None, ends: list[socket.socket]) -> None:
    """Serves one submission where there is no fork: on macOS and Windows.

    Args:
        settings: the command line's.
        numbers: the two sockets' as file descriptors, where they are such.
        ends: the two sockets.
    """
    from lessons.grading import audit, isolation, serve

    hook = audit.hook(settings.site)
    if isolation.LINUX and numbers is not None:
        isolation.enter_namespaces()
        rules = isolation.library_rules(settings.site)
        serve_in_walls(settings, numbers, hook, rules, os.getppid())
    printed = ends[1].makefile("w", encoding="utf-8", errors="backslashreplace", buffering=1)
    serve.serve(ends[0], printed, hook, settings.site, settings.triton, lambda: None)


def shared_sockets() -> list[socket.socket]:
    """Returns the two sockets that the grader shares with this process over its pipes; Windows."""
    print(os.getpid(), flush=True)
    shared = [bytes.fromhex(sys.stdin.readline()) for _ in range(2)]
    ends = [socket.fromshare(text) for text in shared]  # type: ignore[attr-defined]
    print(flush=True)  # the grader may close its copies
    return ends


def main(text: str) -> None:
    """Starts as the command line says."""
    settings = Settings(text)
    ends = []
    if settings.control is None:
        ends = (
            shared_sockets()
            if settings.sockets is None
            else [socket.socket(fileno=number) for number in settings.sockets]
        )
    import_all(settings)
    if settings.control is None:
        alone(settings, settings.sockets, ends)
    else:
        zygote(settings, socket.socket(fileno=settings.control))


if __name__ == "__main__":
    main(sys.argv[1])

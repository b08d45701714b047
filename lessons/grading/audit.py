"""What Python itself refuses to a submission: files, processes, sockets, and most imports.

This holds on every system and gives a learner a sentence with the line. It is not the wall that
keeps a stranger's code in: with numpy, code can write anywhere in its own memory, and so undo
whatever Python guards. On Linux isolation.py is that wall.

The file is loaded by itself in the child, where the rest of the project cannot be imported.
"""

from __future__ import annotations

import builtins
import os
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

from lessons.grading.isolation import HIDDEN, PACKAGES
from lessons.grading.refusals import (
    ForbiddenError,
    ForbiddenImportError,
    ForbiddenSystemError,
    fixed,
    refused,
)

IMPORTS = (
    "bisect", "collections", "dataclasses", "functools", "heapq", "itertools", "math", "operator",
    "random", "re", "statistics", "string", "struct", "typing", "numpy", "torch",
)  # fmt: skip

# Audit events (docs.python.org/3/library/audit_events.html) that computing does not need.
REFUSED_PREFIXES = (
    "os.", "shutil.", "tempfile.", "subprocess.", "pty.", "socket.", "ctypes.", "mmap.", "fcntl.",
    "resource.", "signal.", "syslog.", "webbrowser.", "urllib.", "http.", "ftplib.", "smtplib.",
    "poplib.", "imaplib.", "telnetlib.", "nntplib.", "sqlite3.", "winreg.", "_winapi.", "msvcrt.",
    "gc.get_", "sys._current_", "sys.remote_exec", "cpython.",
)  # fmt: skip
# What importing and torch itself need of those.
NEEDED = frozenset(
    {"os.listdir", "os.scandir", "os.putenv", "os.unsetenv", "os.walk", "os.getxattr"}
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def folders(site_folders: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns how paths begin that may be opened, in lower case: of packages, of Python itself."""
    packages = [os.path.join(folder, name) for folder in site_folders for name in PACKAGES]
    own = [os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib")]
    return tuple(path.lower() for path in packages), tuple(path.lower() for path in own)


def hook(site_folders: Sequence[str]) -> Callable[[str, tuple], None]:
    """Returns what `install` adds: made from its source, which a submission's process cannot read.

    Args:
        site_folders: where torch, numpy and Triton were found.
    """
    package_folders, own_folders = folders(site_folders)
    hidden_modules = tuple(f"{name}." for name in HIDDEN)
    no_import = "minigpt, kernels and lessons hold the solution; write it without them."
    no_writing, no_reading = "Files cannot be written here.", "Files cannot be read here."
    no_system = "Files, processes and the network are out of reach here."
    no_code = "A function's code cannot be replaced here."

    def refuse(event: str, args: tuple) -> None:
        if event == "open":
            path, _, flags = args
            if type(path) is int:
                return
            if type(flags) is int and flags & WRITING:
                refused.append(no_writing)
                raise ForbiddenSystemError(no_writing)
            if type(path) is str:
                small = str.lower(path)
                # Inside the standard library's folder lie the packages of other people.
                own = str.startswith(small, own_folders) and "-packages" not in small
                if ".." not in small and (own or str.startswith(small, package_folders)):
                    return
            refused.append(no_reading)
            raise ForbiddenSystemError(no_reading)
        if event == "import":
            if str.startswith(args[0], hidden_modules) or args[0] in HIDDEN:
                refused.append(no_import)
                raise ForbiddenImportError(no_import)
        elif str.startswith(event, REFUSED_PREFIXES) and event not in NEEDED:
            refused.append(no_system)
            raise ForbiddenSystemError(no_system)
        elif event == "object.__setattr__" and args[1] == "__code__":
            refused.append(no_code)
            raise ForbiddenError(no_code)

    return types.FunctionType(fixed(refuse), {})


def install(hook: Callable[[str, tuple], None], site_folders: Sequence[str]) -> None:
    """Adds the audit hook to this process, for good, and takes the way to other packages."""
    sys.path[:] = [path for path in sys.path if path not in site_folders]
    sys.meta_path.insert(0, OnlyLibraries(site_folders))
    sys.addaudithook(hook)


class OnlyLibraries:
    """Finds what torch, numpy and Triton need among the packages, and nothing else.

    Some of their modules try whether another package is there; it cannot be read, so it is not.
    """

    def __init__(self, site_folders: Sequence[str]) -> None:
        self.site_folders = list(site_folders)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns where a package is; None leaves a module to the finders behind this one."""
        root = name.partition(".")[0]
        if root in HIDDEN:
            raise ForbiddenImportError(why_not(root, False))
        if root in PACKAGES and path is None:
            return PathFinder.find_spec(name, self.site_folders)
        return None


def why_not(root: str, triton: bool) -> str:
    """Returns why a package may not be imported."""
    if root in HIDDEN:
        return f"{root} holds the solution; write it without it."
    if root == "triton":
        return "triton may be imported in lessons 10 and 11 only."
    return f"{root} may not be imported here. Allowed are {importable(triton)}."


def importable(triton: bool) -> str:
    """Returns the names of the packages that may be imported, in a line."""
    return ", ".join([*IMPORTS, "triton"] if triton else IMPORTS)


def guarded_builtins(triton: bool) -> dict[str, Any]:
    """Returns Python's builtins for a submission, whose own imports are limited to the allowed.

    Args:
        triton: whether triton is allowed.
    """
    allowed = {*IMPORTS, "__future__"} | ({"triton"} if triton else set())
    original: Callable[..., types.ModuleType] = builtins.__import__

    def guarded_import(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        root = str(name).partition(".")[0]
        if level > 0 or root not in allowed:
            refused.append(why_not(root, triton))
            raise ForbiddenImportError(why_not(root, triton))
        return original(name, globals, locals, fromlist, level)

    return {**vars(builtins), "__import__": guarded_import}

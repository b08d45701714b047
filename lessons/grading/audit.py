"""What Python itself refuses to a submission: files, processes, sockets, and most imports.

This holds on every system and gives a learner a sentence with the line. It is not the wall that
keeps a stranger's code in: code that may use numpy can write anywhere in its own memory, and so undo
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
from typing import Any

from lessons.grading.isolation import HIDDEN, PACKAGES
from lessons.grading.refusals import Forbidden, ForbiddenFile, ForbiddenImport, fixed, refused

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


def _hook(event: str, args: tuple) -> None:
    """Raises Forbidden for what a submission may not do.

    Every name that it reads is built in as a constant by `hook`.
    """
    if event == "open":
        path, _, flags = args
        if type_of(path) is whole:
            return
        if type_of(flags) is whole and flags & writing:
            note("Files cannot be written here.")
            raise forbidden_file("Files cannot be written here.")
        if type_of(path) is text:
            small = lower(path)
            # Inside the standard library's folder lie the packages of other people.
            own = starts(small, own_folders) and "-packages" not in small
            if ".." not in small and (own or starts(small, package_folders)):
                return
        note("Files cannot be read here.")
        raise forbidden_file("Files cannot be read here.")
    if event == "import":
        if starts(args[0], hidden_modules) or args[0] in hidden:
            note("minigpt, kernels and lessons hold the solution: write it without them.")
            raise forbidden_import(
                "minigpt, kernels and lessons hold the solution: write it without them."
            )
    elif starts(event, refused_prefixes) and event not in needed:
        note("Files, processes and the network are out of reach here.")
        raise forbidden("Files, processes and the network are out of reach here.")
    elif (event == "object.__setattr__" or event == "object.__delattr__") and args[1] == "__code__":
        note("A function's code cannot be replaced here.")
        raise forbidden("A function's code cannot be replaced here.")


def hook(site_folders: Sequence[str]) -> Callable[[str, tuple], None]:
    """Returns what `install` adds: made from its source, which a submission's process cannot read.

    Args:
        site_folders: where torch, numpy and Triton were found.
    """
    package_folders, own_folders = folders(site_folders)
    constants: dict[str, Any] = {
        "type_of": type,
        "whole": int,
        "text": str,
        "lower": str.lower,
        "starts": str.startswith,
        "note": refused.append,
        "forbidden": Forbidden,
        "forbidden_file": ForbiddenFile,
        "forbidden_import": ForbiddenImport,
        "writing": WRITING,
        "package_folders": package_folders,
        "own_folders": own_folders,
        "hidden": frozenset(HIDDEN),
        "hidden_modules": tuple(f"{name}." for name in HIDDEN),
        "refused_prefixes": REFUSED_PREFIXES,
        "needed": NEEDED,
    }
    return types.FunctionType(fixed(_hook, constants), {})


def install(hook: Callable[[str, tuple], None]) -> None:
    """Adds the audit hook to this process, for good, and takes the way to other packages."""
    sys.meta_path.insert(0, OnlyLibraries())
    sys.addaudithook(hook)


class OnlyLibraries:
    """Finds nothing outside of the standard library and what torch, numpy and Triton need.

    Some of their modules try whether another package is there; it cannot be read, so it is not.
    """

    known = frozenset(sys.stdlib_module_names | set(PACKAGES) | set(sys.builtin_module_names))

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Raises ImportError for other packages, and leaves the rest to the finders behind."""
        root = name.partition(".")[0]
        if root in HIDDEN:
            raise ForbiddenImport(why_not(root, False))
        if root not in self.known:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def why_not(root: str, triton: bool) -> str:
    """Returns why a package may not be imported."""
    if root in HIDDEN:
        return f"{root} holds the solution: write it without it."
    if root == "triton":
        return "triton may be imported in lessons 10 and 11 only."
    names = ", ".join([*IMPORTS, "triton"] if triton else IMPORTS)
    return f"{root} may not be imported here. Allowed are {names}."


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
            raise ForbiddenImport(why_not(root, triton))
        return original(name, globals, locals, fromlist, level)

    return {**vars(builtins), "__import__": guarded_import}

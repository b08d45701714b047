"""What Linux's kernel refuses to a submission, whatever Python code it runs.

Five walls, each of which holds if another is missing:

- **namespaces**: a user, network and IPC namespace of its own: no network, no shared memory;
- **Landlock**: it reads Python's, torch's, numpy's and Triton's files and nothing else, writes
  none, and neither signals nor traces a process outside;
- **seccomp**: only the system calls of seccomp.py: no new process, program or socket;
- **limits** on memory, processor time, file size and open files;
- **no privileges**: none held, none to be gained, and it dies with the process that started it.

`weaker` says which of them this machine lacks. The file is loaded by itself in the child, where
the rest of the project cannot be imported; the C library is called by ctypes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from lessons.grading.seccomp import ARCHITECTURES

# What torch, numpy and Triton import, some of it on first use.
PACKAGES = (
    "torch", "torchgen", "functorch", "numpy", "triton", "sympy", "mpmath", "networkx", "filelock",
    "typing_extensions", "jinja2", "markupsafe", "fsspec", "setuptools", "_distutils_hack",
    "pkg_resources", "packaging", "nvidia", "intel_openmp", "mkl",
)  # fmt: skip
HIDDEN = ("minigpt", "kernels", "lessons")  # the solutions

# linux/prctl.h, linux/sched.h, linux/landlock.h
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
READ_FILE, READ_DIR = 1 << 2, 1 << 3
# by the ABI that brought them: how many rights over files, over TCP, and how many scopes there are
RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))
NET_ABI, SCOPE_ABI = 4, 6

LINUX = sys.platform == "linux"
libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


def call(result: int) -> int:
    """Returns what a C function returned; OSError if that says that it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def prctl(what: int, argument: object, more: object = 0) -> None:
    """Calls prctl(2); OSError if it is refused."""
    assert libc is not None
    call(libc.prctl(what, argument, more, 0, 0))


def landlock_abi() -> int:
    """Returns the version of Landlock that the kernel has; 0 for none."""
    if libc is None:
        return 0
    return max(0, libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, 1))


def enter_namespaces() -> None:
    """Leaves the network and the shared memory of the machine, if the kernel lets us."""
    assert libc is not None
    apart = CLONE_NEWNET | CLONE_NEWIPC
    for flags in (CLONE_NEWUSER | apart, apart):
        if libc.unshare(flags) == 0:
            return


def library_rules(site_folders: Iterable[str]) -> int | None:
    """Returns Landlock's rules for a submission: it reads libraries, and no solution.

    Args:
        site_folders: the folders that torch, numpy and Triton were found in.
    """
    machine = sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu"
    libraries = [f"/lib/{machine}", f"/usr/lib/{machine}", "/lib64", "/usr/lib64"]
    own = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), f"{sys.base_prefix}/lib"]
    system = {Path(path).resolve() for path in libraries + own}
    files = ["/etc/ld.so.cache", "/dev/null", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo"]
    readable = [*map(Path, files), Path("/sys/devices/system/cpu")]
    for folder in system:
        for path in folder.iterdir() if folder.is_dir() else ():
            # Other people's packages lie inside the standard library's folder.
            if not path.name.endswith("-packages") and not path.name.startswith("python"):
                readable.append(path)
    for folder in map(Path, site_folders):
        for name in PACKAGES:
            readable += [folder / name, folder / f"{name}.py", folder / f"{name}.libs"]
    return landlock(readable, listed=[*system, *map(Path, site_folders)])


def landlock(paths: Iterable[Path], listed: Iterable[Path] = ()) -> int | None:
    """Returns the rules "read these paths, nothing else" as a file descriptor.

    Folders in `listed` may be listed, with all that is in them, not read. None without Landlock.
    """
    abi = landlock_abi()
    if abi == 0:
        return None
    assert libc is not None
    n_rights = max(n for since, n in RIGHTS if since <= abi)
    tcp, scopes = (0b11 if abi >= NET_ABI else 0), (0b11 if abi >= SCOPE_ABI else 0)
    attributes = struct.pack("=QQQ", (1 << n_rights) - 1, tcp, scopes)
    ruleset = call(libc.syscall(LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0))
    wanted = [(path, READ_FILE | READ_DIR if path.is_dir() else READ_FILE) for path in paths]
    for path, rights in [*wanted, *((path, READ_DIR) for path in listed)]:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        rule = struct.pack("=Qi", rights, place)  # struct landlock_path_beneath_attr
        with contextlib.suppress(OSError):
            call(libc.syscall(LANDLOCK_ADD_RULE, ruleset, 1, rule, 0))
        os.close(place)
    return ruleset


def limit(memory: int, seconds: int) -> None:
    """Bounds this process: bytes beyond those it has, seconds of processor time, no files.

    Not every system has each limit; those that it has hold.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    bounds = {"CORE": 0, "FSIZE": 0, "NOFILE": 128, "CPU": seconds}
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bounds["AS"] = pages * os.sysconf("SC_PAGE_SIZE") + memory
    for name, bound in bounds.items():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            which = getattr(resource, f"RLIMIT_{name}")
            hard = resource.getrlimit(which)[1]
            bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
            resource.setrlimit(which, (bound, bound))


def drop_privileges(parent: int) -> None:
    """Gives up what a process of this user might do beyond computing, and dies with its parent."""
    assert libc is not None
    header, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)  # _LINUX_CAPABILITY_VERSION_3
    with contextlib.suppress(OSError):
        call(libc.capset(header, none))
    for what, argument in (
        (PR_SET_NO_NEW_PRIVS, 1),
        (PR_SET_DUMPABLE, 0),  # no other process of this user reads its memory, nor it itself
        (PR_SET_PDEATHSIG, signal.SIGKILL),
    ):
        with contextlib.suppress(OSError):
            prctl(what, argument)
    if os.getppid() != parent:  # it ended before it could be told of
        os._exit(1)


def filter_calls(program: bytes) -> None:
    """Lets the kernel run a filter of seccomp.py before each system call from now on."""
    memory = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(memory))  # struct sock_fprog
    with contextlib.suppress(OSError):
        prctl(PR_SET_SECCOMP, 2, header)


def lock(ruleset: int | None, parent: int, program: bytes | None) -> None:
    """Puts up every wall that this machine has around the calling process, for good.

    Args:
        ruleset: from `landlock`.
        parent: the process whose end ends this one.
        program: the filter of seccomp.py, or None where there is none for this processor.
    """
    assert libc is not None
    drop_privileges(parent)
    if ruleset is not None:
        with contextlib.suppress(OSError):
            call(libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0))
        os.close(ruleset)
    if program is not None:
        filter_calls(program)


def has_seccomp() -> bool:
    """Returns whether the kernel filters system calls and this processor's are known."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return False
    return "\nSeccomp:" in status and platform.machine() in ARCHITECTURES


def has_namespaces() -> bool:
    """Returns whether a process may make a user namespace: tries it in another one."""
    attempt = f"import ctypes; raise SystemExit(ctypes.CDLL(None).unshare({CLONE_NEWUSER}) != 0)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", attempt], check=False)
    return done.returncode == 0


def weaker() -> list[str]:
    """Returns what does not protect this machine from a submission, a sentence each."""
    if not LINUX:
        return [
            "Only Python itself, and no kernel, keeps a submission from files and the network "
            f"on {platform.system() or 'this system'}; check strangers' code on Linux.",
            "Each task starts a Python of its own, which takes seconds.",
        ]
    sentences = []
    if (abi := landlock_abi()) == 0:
        sentences.append(
            "The kernel has no Landlock: only Python keeps a submission from reading files."
        )
    elif abi < SCOPE_ABI:
        sentences.append("The kernel's Landlock does not stop signals; the filter of calls does.")
    if not has_seccomp():
        sentences.append("System calls are not filtered: a submission could start processes.")
    if not has_namespaces():
        sentences.append("There are no user namespaces: only the filter of calls bars the network.")
    return sentences

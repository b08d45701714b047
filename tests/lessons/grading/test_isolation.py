"""What the kernel refuses a submission where Python's own refusals are not in the way."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lessons.grading import isolation, seccomp

PROJECT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or bool(isolation.weaker()),
    reason="this machine lacks some of the walls",
)

# Tries each line in a process within the walls, and prints what came of it.
TRIED = """
import ctypes, fcntl, json, os, resource, signal, socket, struct, sys, threading, time
from lessons.grading import isolation, seccomp

victim, grader = sys.argv[1], os.getppid()
libc = ctypes.CDLL(None, use_errno=True)
inherited, other = socket.socketpair()

def syscall(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def own_signal(number):
    fcntl.fcntl(inherited, fcntl.F_SETOWN, grader)

def raw_clone():
    syscall(56 if X86 else 220, signal.SIGCHLD, 0, 0, 0, 0)

def thread():
    done = []
    one = threading.Thread(target=lambda: done.append(1))
    one.start(); one.join()
    return done[0]

X86 = os.uname().machine == "x86_64"
pages = int(open("/proc/self/statm").read().split()[0])
isolation.limit(1 << 30, 50)
isolation.enter_namespaces()
isolation.lock(isolation.library_rules([]), os.getppid(), seccomp.program())
results = {}
for name, attempt in {
    "thread": thread,
    "random numbers": lambda: len(os.urandom(8)),
    "library": lambda: len(open(json.__file__).read()) > 0,
    "inherited socket": lambda: inherited.send(b"x"),
    "clock": time.time,
    "own limits": lambda: resource.getrlimit(resource.RLIMIT_AS)[1] - pages * 4096,
    "file size": lambda: resource.getrlimit(resource.RLIMIT_FSIZE)[1],
    "read": lambda: open(victim).read(),
    "read the solution": lambda: open(isolation.__file__).read(),
    "read /proc/self": lambda: open("/proc/self/maps").read(),
    "read the grader": lambda: open(f"/proc/{grader}/environ").read(),
    "list": lambda: os.listdir(os.path.dirname(victim)),
    "write": lambda: open(victim, "w"),
    "append": lambda: open(victim, "a"),
    "read and write": lambda: os.open(victim, os.O_RDWR),
    "make": lambda: open(victim + "2", "x"),
    "temporary": lambda: os.open("/tmp", os.O_TMPFILE | os.O_RDWR),
    "truncate": lambda: os.truncate(victim, 0),
    "remove": lambda: os.remove(victim),
    "rename": lambda: os.rename(victim, victim + "2"),
    "link": lambda: os.link(victim, victim + "2"),
    "symlink": lambda: os.symlink(victim, victim + "2"),
    "mkdir": lambda: os.mkdir(victim + "2"),
    "mkfifo": lambda: os.mkfifo(victim + "2"),
    "chmod": lambda: os.chmod(victim, 0o777),
    "chown": lambda: os.chown(victim, 0, 0),
    "utime": lambda: os.utime(victim),
    "xattr": lambda: os.setxattr(victim, "user.a", b"b"),
    "memfd": lambda: os.memfd_create("x"),
    "chdir": lambda: os.chdir("/"),
    "chroot": lambda: os.chroot("/"),
    "fork": os.fork,
    "raw fork": raw_clone,
    "clone3": lambda: syscall(435, bytes(88), 88),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "socket": socket.socket,
    "socket pair": socket.socketpair,
    "unix socket": lambda: socket.socket(socket.AF_UNIX),
    "netlink": lambda: socket.socket(16, socket.SOCK_RAW),
    "kill the grader": lambda: os.kill(grader, 0),
    "kill all": lambda: os.kill(-1, 0),
    "kill its group": lambda: os.killpg(0, 0),
    "queue a signal": lambda: syscall(129 if X86 else 138, grader, 10, bytes(128)),
    "own a signal": lambda: fcntl.fcntl(inherited, fcntl.F_SETOWN, grader),
    "own a signal by ioctl": lambda: fcntl.ioctl(inherited, 0x8901, struct.pack("i", grader)),
    "pidfd": lambda: os.pidfd_open(grader),
    "ptrace": lambda: syscall(101 if X86 else 117, 16, grader, 0, 0),
    "read memory": lambda: syscall(310 if X86 else 270, grader, 0, 0, 0, 0, 0),
    "write memory": lambda: syscall(311 if X86 else 271, grader, 0, 0, 0, 0, 0),
    "set limits": lambda: resource.setrlimit(resource.RLIMIT_CPU, (10, 10)),
    "set another's limits": lambda: resource.prlimit(grader, resource.RLIMIT_CPU, (10, 10)),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, grader, 19),
    "affinity": lambda: os.sched_setaffinity(0, {0}),
    "new session": os.setsid,
    "setuid": lambda: os.setuid(0),
    "unshare": lambda: syscall(272 if X86 else 97, 0x10000000),
    "mount": lambda: syscall(165 if X86 else 40, b"none", b"/tmp", b"tmpfs", 0, 0),
    "bpf": lambda: syscall(321 if X86 else 280, 0, 0, 0),
    "io_uring": lambda: syscall(425, 8, bytes(120)),
    "userfaultfd": lambda: syscall(323 if X86 else 282, 0),
    "perf": lambda: syscall(298 if X86 else 241, 0, 0, 0, 0, 0),
    "keys": lambda: syscall(250 if X86 else 219, 0, -3, 0),
    "shared memory": lambda: syscall(29 if X86 else 194, 1, 4096, 0o1600),
    "message queue": lambda: syscall(68 if X86 else 186, 1, 0o1600),
    "dumpable again": lambda: isolation.prctl(4, 1),
    "outlive the grader": lambda: isolation.prctl(1, 0),
    "another filter": lambda: isolation.prctl(22, 2, bytes(16)),
    "open by handle": lambda: syscall(304 if X86 else 265, 0, bytes(8), 0),
    "openat2": lambda: syscall(437, -100, victim.encode(), bytes(24), 24),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "host name": lambda: socket.sethostname("x"),
}.items():
    try:
        results[name] = attempt()
    except BaseException as error:
        results[name] = type(error).__name__
print(json.dumps(results, default=repr), flush=True)
os._exit(0)
"""
GRANTED = {
    "thread": 1,
    "random numbers": 8,
    "library": True,
    "inherited socket": 1,
    "file size": 0,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    victim = tmp_path_factory.mktemp("outside") / "victim"
    victim.write_text("whole")
    done = subprocess.run(
        [sys.executable, "-c", TRIED, str(victim)],
        cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert victim.read_text() == "whole"
    assert sorted(path.name for path in victim.parent.iterdir()) == ["victim"]
    return json.loads(done.stdout)


def test_computing_needs_nothing_that_is_refused(results: dict[str, object]) -> None:
    assert {name: results[name] for name in GRANTED} == GRANTED
    assert isinstance(results["clock"], float)


def test_memory_is_limited_to_what_it_has_and_the_rest(results: dict[str, object]) -> None:
    beyond = results["own limits"]
    assert isinstance(beyond, int)
    assert 1 << 30 <= beyond < (1 << 30) + (1 << 26)


def test_everything_else_is_refused(results: dict[str, object]) -> None:
    others = results.keys() - GRANTED.keys() - {"clock", "own limits"}
    assert len(others) >= 60
    refused = {"PermissionError", "OSError", "ValueError"}
    assert {name: results[name] for name in others if results[name] not in refused} == {}


def test_every_call_has_its_own_number() -> None:
    tables = [*seccomp.ALLOWED.values(), *seccomp.judged()]
    for column in (0, 1):
        numbers = [pair[column] for pair in tables if pair[column] is not None]
        assert len(set(numbers)) == len(numbers)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the headers of x86_64")
def test_the_numbers_are_the_kernels() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    generic = Path("/usr/include/asm-generic/unistd.h")
    if not header.exists() or not generic.exists():
        pytest.skip("the kernel's headers are not installed")
    for column, path in enumerate((header, generic)):
        words = [line.split()[:3] for line in path.read_text().splitlines()]
        kernels = {
            line[1].replace("__NR3264_", "").replace("__NR_", ""): int(line[2])
            for line in words
            if len(line) == 3 and line[0] == "#define" and line[2].isdigit()
        }
        known = {name: pair[column] for name, pair in seccomp.ALLOWED.items() if name in kernels}
        assert len(known) > 40
        assert known == {name: kernels[name] for name in known}


def test_what_a_machine_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isolation.weaker() == []
    monkeypatch.setattr(isolation, "landlock_abi", lambda: 0)
    monkeypatch.setattr(isolation, "has_seccomp", lambda: False)
    monkeypatch.setattr(isolation, "has_namespaces", lambda: False)
    sentences = isolation.weaker()
    assert [
        word in text
        for word, text in zip(("Landlock", "calls", "namespaces"), sentences, strict=True)
    ]
    monkeypatch.setattr(isolation, "LINUX", False)
    assert "Linux" in isolation.weaker()[0]


def test_submissions_end_with_a_grader_that_is_killed(tmp_path: Path) -> None:
    grader = (
        "import torch\n"
        "from lessons.grading.worker import Sandbox\n"
        "from lessons.grading.task import Case\n"
        "with Sandbox() as sandbox:\n"
        "    running = sandbox.submission('def f(x):\\n    while True: pass', 'f')\n"
        "    running.sandbox.ready_zygote()\n"
        "    print(running.sandbox.zygote.process.pid, flush=True)\n"
        "    running.ask(Case((1,)), limit=60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", grader], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    zygote = int(process.stdout.readline())
    children = Path(f"/proc/{zygote}/task/{zygote}/children")
    while not (child := children.read_text().split()):
        time.sleep(0.02)
    process.kill()
    process.wait()
    process.stdout.close()
    until = time.monotonic() + 20
    numbers = [zygote, int(child[0])]
    while left := [number for number in numbers if alive(number)]:
        assert time.monotonic() < until, left
        time.sleep(0.02)


def alive(number: int) -> bool:
    """Returns whether there is such a process that still runs."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX" and os.path.exists(f"/proc/{number}")

"""The system calls that are left to a submission: a filter that Linux runs before each call.

Only what computing needs is on the list: memory, threads, clocks, reading what Landlock lets it
read, and the sockets it already has. Everything else answers "not permitted": new processes,
programs, sockets, writing and removing files, signals to others, mounts, tracing, io_uring, and
whatever a later kernel adds. A few calls are judged by their arguments.

The filter is a small program for the kernel's BPF machine, written out here so that no library is
needed: https://docs.kernel.org/userspace-api/seccomp_filter.html. Numbers are from the kernel's
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import errno
import os
import platform
import struct

# The number of each call on x86_64 and on aarch64; None where there is no such call.
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # memory
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214),
    "mremap": (25, 216), "mincore": (27, 232), "madvise": (28, 233), "get_mempolicy": (239, 236),
    # files that are open or may be read; openat is judged by its arguments
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "close": (3, 57),
    "pread64": (17, 67), "lseek": (8, 62), "fadvise64": (221, 223), "close_range": (436, 436),
    "stat": (4, None), "lstat": (6, None), "fstat": (5, 80), "newfstatat": (262, 79),
    "statx": (332, 291), "statfs": (137, 43), "fstatfs": (138, 44), "access": (21, None),
    "faccessat": (269, 48), "faccessat2": (439, 439), "getdents64": (217, 61), "getcwd": (79, 17),
    "readlink": (89, None), "readlinkat": (267, 78), "dup": (32, 23), "dup2": (33, None),
    "dup3": (292, 24), "pipe2": (293, 59), "recvfrom": (45, 207), "sendto": (44, 206),
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    # threads and signals of this process
    "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293), "membarrier": (324, 283),
    "set_tid_address": (218, 96), "arch_prctl": (158, None), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "getcpu": (309, 168), "exit": (60, 93),
    "exit_group": (231, 94), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    # clocks, random numbers, who and where it is
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101), "gettimeofday": (96, 169), "times": (100, 153),
    "getrusage": (98, 165), "getrandom": (318, 278), "getpid": (39, 172), "getppid": (110, 173),
    "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "uname": (63, 160), "sysinfo": (99, 179), "getrlimit": (97, 163),
}  # fmt: skip

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH_*

ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
UNKNOWN = 0x00050000 | errno.ENOSYS
KILL = 0x80000000  # SECCOMP_RET_KILL_PROCESS: a call by another architecture's rules

CLONE_THREAD = 0x10000
# O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE
WRITES = 0x1 | 0x2 | 0x40 | 0x200 | 0x400000
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC: no owner that gets signals
FCNTL = (0, 1, 2, 3, 4, 1030)
IOCTL = (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONCLEX, FIOCLEX
PRCTL = (15, 0x53564D41)  # PR_SET_NAME, PR_SET_VMA

Line = tuple[int, int, int, int]  # code, jump if true, jump if false, number


def load(offset: int) -> Line:
    """Loads 32 bits of struct seccomp_data: {int nr; u32 arch; u64 ip; u64 args[6]}."""
    return (0x20, 0, 0, offset)  # BPF_LD | BPF_W | BPF_ABS


def argument(i: int, high: bool = False) -> Line:
    """Loads the low (or high) half of the i-th argument; both machines are little-endian."""
    return load(16 + 8 * i + 4 * high)


def equal(number: int, yes: int, no: int) -> Line:
    """Skips `yes` lines if what is loaded equals number, else `no` lines."""
    return (0x15, yes, no, number)  # BPF_JMP | BPF_JEQ | BPF_K


def any_bit(bits: int, yes: int, no: int) -> Line:
    """Skips `yes` lines if any of the bits is set in what is loaded, else `no` lines."""
    return (0x45, yes, no, bits)  # BPF_JMP | BPF_JSET | BPF_K


def answer(what: int) -> Line:
    """Ends the filter."""
    return (0x06, 0, 0, what)  # BPF_RET | BPF_K


def one_of(i: int, numbers: tuple[int, ...]) -> list[Line]:
    """Allows a call whose i-th argument is one of the numbers."""
    tests = [equal(number, len(numbers) - j, 0) for j, number in enumerate(numbers)]
    return [argument(i), *tests, answer(REFUSE), answer(ALLOW)]


def without(i: int, bits: int) -> list[Line]:
    """Allows a call whose i-th argument has none of the bits."""
    return [argument(i), any_bit(bits, 0, 1), answer(REFUSE), answer(ALLOW)]


def judged() -> dict[tuple[int | None, int | None], list[Line]]:
    """Returns the calls that are judged by their arguments."""
    return {
        (2, None): without(1, WRITES),  # open
        (257, 56): without(2, WRITES),  # openat
        (56, 220): [argument(0), any_bit(CLONE_THREAD, 1, 0), answer(REFUSE), answer(ALLOW)],
        (435, 435): [answer(UNKNOWN)],  # clone3 hides its flags: the C library falls back to clone
        (72, 25): one_of(1, FCNTL),
        (16, 29): one_of(1, IOCTL),
        (157, 167): one_of(0, PRCTL),
        (234, 131): one_of(0, (os.getpid(),)),  # tgkill: abort() and raise() signal themselves
        # prlimit64 may ask and not set: the pointer to the new limit is null
        (302, 261): [
            argument(2), equal(0, 0, 2), argument(2, high=True), equal(0, 1, 0),
            answer(REFUSE), answer(ALLOW),
        ],
    }  # fmt: skip


def program() -> bytes | None:
    """Returns the filter for this process as an array of struct sock_filter.

    None for processors whose numbers are not in the table.
    """
    if platform.machine() not in ARCHITECTURES:
        return None
    column, architecture = ARCHITECTURES[platform.machine()]
    lines = [load(4), equal(architecture, 1, 0), answer(KILL), load(0)]
    for numbers, body in judged().items():
        if (number := numbers[column]) is not None:
            lines += [equal(number, 0, len(body)), *body]
    for numbers in ALLOWED.values():
        if (number := numbers[column]) is not None:
            lines += [equal(number, 0, 1), answer(ALLOW)]
    lines.append(answer(REFUSE))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)

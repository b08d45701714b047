"""The C compiler: whether it is there, and whether what it makes can be loaded and called.

minigpt compiles two small files of C when they are first used: one writes a token of a large model
(fast/one_token.c), one quantizes on a processor with AVX-512 (kernels/cpu/avx512.c). Without them
the same is made of torch's operations. Here fast/one_token.c is compiled and called once.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from minigpt.doctor.child import ChildError, run
from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding
from minigpt.fast import c_library

SLOWER = (
    "without a C compiler that works, NF4 takes 5 times as long on a processor with AVX-512, and "
    "models of 67 million weights or more write more slowly"
)
# How to get a compiler: by the system, and on Linux by the program that installs packages there.
INSTALL = {
    "apt-get": "sudo apt-get install gcc libc6-dev",
    "dnf": "sudo dnf install gcc",
    "zypper": "sudo zypper install gcc",
    "pacman": "sudo pacman -S gcc",
    "apk": "sudo apk add gcc musl-dev",
}


def how_to_install(system: str) -> str:
    """Returns what to type for a C compiler on this system."""
    if system == "Darwin":
        return "xcode-select --install"
    here = [command for program, command in INSTALL.items() if shutil.which(program)]
    return here[0] if here else "install gcc with your system's package manager"


def check_compiler() -> Finding:
    """Returns what is to be said of the C compiler, after it was tried."""
    said = os.environ.get("CC", "")
    system = platform.system()
    try:
        command = shlex.split(said) or ["cc"]
    except ValueError:
        return judge_compiler(said, None, "", system)
    path, failure = shutil.which(command[0]), ""
    if path is not None:
        try:
            try_compiler(command)
        except (ChildError, OSError) as error:
            failure = str(error)
    return judge_compiler(command[0], path, failure, system, bool(said))


def try_compiler(command: list[str]) -> None:
    """Compiles fast/one_token.c and calls it, as minigpt.fast.c_library does.

    Raises:
        ChildError, OSError: that fails; the error says at which step.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        library = str(Path(folder) / "one_token.so")
        source = str(c_library.SOURCE)
        steps = {
            "compiling": [*command, *c_library.FLAGS, "-x", "c", source, "-o", library, "-lm"],
            "loading": [sys.executable, "-I", "-S", str(c_library.__file__), library],
        }
        for step, arguments in steps.items():
            try:
                run(arguments, c_library.SECONDS)
            except ChildError as error:
                raise ChildError(f"{step} a small file: {error}") from None


def judge_compiler(
    command: str, path: str | None, failure: str, system: str, chosen: bool = True
) -> Finding:
    """Returns what is to be said of a compiler.

    Args:
        command: what starts it.
        path: where that is; None if it is nowhere.
        failure: what went wrong when it was tried, "" if nothing did.
        system: as platform.system() says it.
        chosen: whether the variable CC names it.
    """
    name = "C compiler"
    if path is not None and not failure:
        return Finding(name, OK, f"{path} compiles, and its machine code runs")
    if system == "Windows":
        said = "not used on Windows: NF4 and tokens are made of torch's operations"
        return Finding(name, NOTE, said)
    if path is None and chosen:
        said = f"there is no program {command!r}, which CC names; {SLOWER}"
        return Finding(name, PROBLEM, said, "unset CC, or set it to a C compiler")
    if path is None:
        return Finding(name, PROBLEM, f"there is none; {SLOWER}", how_to_install(system))
    said = f"{path} fails at {failure}; {SLOWER}"
    if "map segment" in failure:  # the folder is mounted noexec
        said = f"programs in {tempfile.gettempdir()} may not run, so C cannot be used; {SLOWER}"
        remedy = 'mkdir -p "$HOME/tmp" && export TMPDIR="$HOME/tmp"'
        return Finding(name, PROBLEM, said, remedy)
    if system == "Darwin" and "fopenmp" in failure:  # Apple's clang has no OpenMP
        remedy = "brew install gcc, then export CC=gcc-N with its number"
        return Finding(name, NOTE, f"{path} has no OpenMP; {SLOWER}", remedy)
    remedy = "unset CC, or set it to another C compiler" if chosen else how_to_install(system)
    return Finding(name, PROBLEM, said, remedy)

"""Python itself: its version, its kind, and whether it is an environment of its own."""

from __future__ import annotations

import os
import platform
import struct
import sys
import sysconfig
from collections.abc import Iterator
from typing import NamedTuple

from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding

INTEL_MAC = "Darwin x86_64"  # or Rosetta on Apple silicon; torch 2.2 was the last for it


class Interpreter(NamedTuple):
    """What there is to know about a Python."""

    version: str  # "3.11.9"
    implementation: str  # "CPython"
    machine: str  # "Darwin arm64"
    bits: int
    free_threaded: bool
    environment: str  # the folder of the virtual environment, "" outside of one


def this_python() -> Interpreter:
    """Returns the Python that runs this."""
    own = sys.prefix != sys.base_prefix or sys.prefix == os.environ.get("CONDA_PREFIX")
    environment = sys.prefix if own else ""
    return Interpreter(
        platform.python_version(),
        platform.python_implementation(),
        f"{platform.system()} {platform.machine()}",
        8 * struct.calcsize("P"),
        bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        environment,
    )


def judge_python(found: Interpreter, allowed: str) -> Iterator[Finding]:
    """Yields what is to be said of a Python.

    Args:
        allowed: the versions that pyproject.toml allows, such as ">=3.10,<3.14"; "" if unknown.
    """
    from packaging.specifiers import SpecifierSet

    said = f"{found.version}, {found.bits} bits"
    remedy = f"make a new environment with a 64-bit CPython {allowed}, and install minigpt there"
    if not SpecifierSet(allowed).contains(found.version, prereleases=True):
        yield Finding("python", PROBLEM, f"{said}; minigpt needs {allowed}", remedy)
    elif found.bits != 64 or found.implementation != "CPython" or found.machine == INTEL_MAC:
        what = f"{said}, {found.implementation} on {found.machine}; there is no torch for it"
        yield Finding("python", PROBLEM, what, remedy)
    elif found.free_threaded:
        what = f"{said}, without a global lock; minigpt is tested with the usual build only"
        yield Finding("python", NOTE, what)
    else:
        yield Finding("python", OK, said)
    if found.environment:
        yield Finding("environment", OK, found.environment)
    else:
        what = "none: minigpt's packages and those of other programs can get in each other's way"
        remedy = 'make an environment and install minigpt in it, as README.md says under "Start"'
        yield Finding("environment", NOTE, what, remedy)

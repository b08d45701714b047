"""Makes all checks, one part after the other; what one finds out, later ones use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from minigpt.doctor.about_torch import judge_numpy
from minigpt.doctor.compiler import check_compiler
from minigpt.doctor.finding import NOTE, PROBLEM, Finding, pip
from minigpt.doctor.gpu import check_gpus
from minigpt.doctor.imports import check_imports
from minigpt.doctor.installation import ROOT, is_checkout, reinstall
from minigpt.doctor.kernels_here import check_kernels
from minigpt.doctor.memory import check_memory
from minigpt.doctor.origin import check_origin
from minigpt.doctor.processor import check_processor
from minigpt.doctor.python import judge_python, this_python
from minigpt.doctor.requirements import (
    Needs,
    check_requirements,
    needs_of_minigpt,
    version_of,
    wanted_here,
)
from minigpt.doctor.shipped import check_shipped
from minigpt.doctor.speed import check_speed
from minigpt.doctor.storage import check_storage
from minigpt.doctor.terminal import check_terminal
from minigpt.doctor.threads import BUSY, check_threads, load_now


@dataclass
class Known:
    """What the checks so far have found out.

    Attributes:
        load: how busy the machine was before doctor made it so.
        torch: what torch says of itself; None if it cannot be imported.
    """

    load: float | None = field(default_factory=load_now)
    torch: dict[str, Any] | None = None

    @cached_property
    def needs(self) -> Needs:
        """Returns what minigpt needs."""
        return needs_of_minigpt()

    @property
    def busy(self) -> bool:
        """Returns whether other programs keep the processors busy."""
        return self.load is not None and self.load > BUSY * (os.cpu_count() or 1)


def look_at_python(known: Known) -> Iterator[Finding]:
    """Yields findings about Python."""
    yield from judge_python(this_python(), known.needs.python)


def look_at_packages(known: Known) -> Iterator[Finding]:
    """Yields findings about the versions of packages, and whether they can be imported."""
    yield from check_requirements(known.needs)
    wanted = [requirement.name for requirement in wanted_here(known.needs.packages)] or ["torch"]
    installed = [name for name in wanted if version_of(name)]
    findings, known.torch = check_imports(installed)
    yield from findings
    if known.torch is not None:
        yield from judge_numpy(known.torch["numpy"])


def look_at_origin(known: Known) -> Iterator[Finding]:
    """Yields findings about where our own packages come from."""
    yield from check_origin()


def look_at_machine(known: Known) -> Iterator[Finding]:
    """Yields findings about processor, threads and memory."""
    yield check_processor(known.torch)
    yield from check_threads(known.torch, known.load)
    yield from check_memory(known.torch)


def look_at_gpus(known: Known) -> Iterator[Finding]:
    """Yields findings about GPUs, and about the kernels that are written for them."""
    findings, devices = check_gpus(known.torch)
    yield from findings
    if known.torch is not None:
        yield from check_kernels(devices)


def look_at_speed(known: Known) -> Iterator[Finding]:
    """Yields findings about the speed switches."""
    if known.torch is not None:
        yield from check_speed(known.busy)


def look_at_compiler(known: Known) -> Iterator[Finding]:
    """Yields the finding about the C compiler."""
    yield check_compiler()


def look_at_storage(known: Known) -> Iterator[Finding]:
    """Yields findings about disk and terminal."""
    yield from check_storage(has_triton=version_of("triton") is not None)
    yield check_terminal()


def look_at_shipped(known: Known) -> Iterator[Finding]:
    """Yields findings about what is shipped with minigpt."""
    yield from check_shipped(load=known.torch is not None)


PARTS: dict[str, Callable[[Known], Iterable[Finding]]] = {
    "Python": look_at_python,
    "Packages": look_at_packages,
    "Our own packages": look_at_origin,
    "Processor and memory": look_at_machine,
    "GPU and kernels": look_at_gpus,
    "C compiler": look_at_compiler,
    "Disk and terminal": look_at_storage,
    "Base model and task sets": look_at_shipped,
    "What is fastest here": look_at_speed,
}


def examine(announce: Callable[[str], object]) -> Iterator[tuple[str, list[Finding]]]:
    """Yields the title of each part and what was found.

    Args:
        announce: is called with the title before a part is begun.
    """
    known = Known()
    for title, check in PARTS.items():
        announce(title)
        yield title, list(guarded(title, check, known))


def guarded(
    title: str, check: Callable[[Known], Iterable[Finding]], known: Known
) -> Iterator[Finding]:
    """Yields what a check finds; where it cannot go on, a finding says so.

    A broken installation must not keep the other checks from saying what is broken.
    """
    try:
        yield from check(known)
    except ImportError as error:
        said = f"could not be looked at: {error}"
        missing = None if is_checkout(ROOT) else error.name
        yield Finding(title, PROBLEM, said, pip("install", missing) if missing else reinstall())
    except Exception as error:
        said = f"could not be looked at: {type(error).__name__}: {error}"
        yield Finding(title, NOTE, said)

"""Whether the packages can be imported: one may be installed and still not work on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module, metadata
from typing import Any

from minigpt.doctor.about_torch import facts
from minigpt.doctor.child import answer
from minigpt.doctor.finding import OK, PROBLEM, Finding
from minigpt.doctor.requirements import installing

# What Windows says of a library that needs the C++ runtime, where that is missing or too old.
NO_RUNTIME = ("DLL load failed", "WinError 126", "WinError 1114")
RUNTIME = "https://aka.ms/vs/17/release/vc_redist.x64.exe"


def module_of(distribution: str) -> str:
    """Returns the name of the module that a distribution brings: markdown_it of markdown-it-py."""
    named = distribution.lower().replace("-", "_")
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:  # triton is there under another name
        return named
    first = {file.parts[0].removesuffix(".py") for file in files}
    modules = sorted(name for name in first if name.isidentifier())
    return named if named in modules or not modules else modules[0]


def import_all(modules: list[str]) -> dict[str, str]:
    """Imports modules one after the other; returns what went wrong with each, "" if nothing did."""
    wrong = dict.fromkeys(modules, "")
    for name in modules:
        try:
            import_module(name)
        except Exception as error:
            wrong[name] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return wrong


def import_and_look(modules: list[str]) -> list[Any]:
    """Returns what `import_all` returns and, if torch is among them and works, its `facts`."""
    wrong = import_all(modules)
    return [wrong, facts() if wrong.get("torch") == "" else None]


def try_imports(modules: list[str]) -> tuple[dict[str, str], dict[str, Any] | None]:
    """Imports modules in a child process.

    If the process crashes, each gets one of its own, to see which it was.

    Returns:
        What went wrong with each, "" if nothing did; and what torch says of itself, or None.
    """
    found, failure = answer(import_and_look, modules)
    if found is not None:
        return found[0], found[1]
    if len(modules) == 1:
        return {modules[0]: failure}, None
    wrong: dict[str, str] = {}
    torch = None
    for name in modules:
        one, said = try_imports([name])
        wrong |= one
        torch = said or torch
    return wrong, torch


def check_imports(
    distributions: Iterable[str],
) -> tuple[list[Finding], dict[str, Any] | None]:
    """Returns what is to be said of importing installed distributions, and what torch says."""
    names = {module_of(distribution): distribution for distribution in distributions}
    wrong, torch = try_imports(list(names))
    return list(judge_imports(wrong, names)), torch


def judge_imports(wrong: Mapping[str, str], names: Mapping[str, str]) -> Iterator[Finding]:
    """Yields a problem for each module that cannot be imported, and one finding if all can.

    Args:
        wrong: what went wrong with each module, "" if nothing did.
        names: the distribution of each module.
    """
    for module, what in wrong.items():
        if what:
            yield Finding(f"import {module}", PROBLEM, what, remedy_for(what, names[module]))
    if not any(wrong.values()):
        yield Finding("imports", OK, f"{len(wrong)} packages were imported, and none failed")


def remedy_for(what: str, distribution: str) -> str:
    """Returns what to do about a distribution that cannot be imported, for what went wrong."""
    if any(said in what for said in NO_RUNTIME):
        return f"install the Visual C++ Redistributable: {RUNTIME}"
    return installing(distribution, "--force-reinstall")

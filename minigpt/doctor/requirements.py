"""The packages that minigpt needs: which versions are installed, and whether they go together.

What is needed is written in pyproject.toml and nowhere else. A checkout's own is read, since the
installed copy of it (the metadata) may be older; without a checkout, the metadata.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding, pip
from minigpt.doctor.installation import DISTRIBUTION, ROOT, is_checkout, reinstall

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# Distributions that bring one package; torch for AMD's GPUs requires a triton of another name.
SAME = {"triton": ("triton", "pytorch-triton-rocm", "triton-rocm", "pytorch-triton")}
PYTORCH = "https://download.pytorch.org/whl/"  # the index of each build of torch lies under it


@dataclass(frozen=True)
class Needs:
    """What minigpt needs.

    Attributes:
        python: the versions of Python, such as ">=3.10,<3.14".
        packages: what every machine needs, each as "torch>=2.11,<2.14".
        extras: what only some need, by the extra's name.
    """

    python: str = ""
    packages: list[str] = field(default_factory=list)
    extras: dict[str, list[str]] = field(default_factory=dict)


def needs_of_minigpt(root: Path = ROOT) -> Needs:
    """Returns what the pyproject.toml in root says, or else the installed metadata.

    Nothing is known if there is neither, or no reader of TOML, which Python 3.10 lacks.
    """
    project = root / "pyproject.toml"
    if sys.version_info >= (3, 11) and project.is_file():
        import tomllib

        said = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        if said["name"] == DISTRIBUTION:
            extras = said["optional-dependencies"]
            return Needs(said["requires-python"], said["dependencies"], extras)
    try:
        installed = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return Needs()
    from packaging.requirements import Requirement

    packages: list[str] = []
    named = installed.metadata.get_all("Provides-Extra") or []
    extras: dict[str, list[str]] = {name: [] for name in named}
    for text in installed.requires or []:
        requirement = Requirement(text)
        where = [name for name in extras if f'extra == "{name}"' in str(requirement.marker)]
        (extras[where[0]] if where else packages).append(text)
    return Needs(installed.metadata["Requires-Python"] or "", packages, extras)


def installed_versions(names: Iterable[str]) -> dict[str, str | None]:
    """Returns the installed version of each distribution, None where there is none."""
    return {name: version_of(name) for name in names}


def version_of(name: str) -> str | None:
    """Returns the installed version of a distribution, or of one that brings the same package."""
    for candidate in SAME.get(name, (name,)):
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    return None


def wanted_here(texts: Iterable[str], extra: str = "") -> list[Requirement]:
    """Returns the requirements that count on this system and with this Python."""
    from packaging.requirements import Requirement

    requirements = [Requirement(text) for text in texts]
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": extra})]


def check_requirements(needs: Needs) -> Iterator[Finding]:
    """Yields what is to be said of the packages that minigpt needs."""
    if not needs.packages:
        what = "unknown: minigpt is not installed, and this Python can read no pyproject.toml of it"
        yield Finding("packages", NOTE, what, reinstall())
        return
    requirements = wanted_here(needs.packages)
    versions = installed_versions(requirement.name for requirement in requirements)
    yield from judge_versions(requirements, versions)
    yield from judge_one_another(one_another(versions))
    for extra, texts in needs.extras.items():
        optional = wanted_here(texts, extra)
        found = installed_versions(requirement.name for requirement in optional)
        yield judge_extra(extra, optional, found)


def fits(requirement: Requirement, version: str | None) -> bool:
    """Returns whether a version is one that is required."""
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def plain(requirement: Requirement) -> str:
    """Returns a requirement without its condition: "triton>=3.6"."""
    return f"{requirement.name}{bounds(requirement)}"


def bounds(requirement: Requirement) -> str:
    """Returns the versions that are required, the lowest first: ">=2.11,<2.14"."""
    return ",".join(sorted(map(str, requirement.specifier), reverse=True))


def required_by(name: str) -> list[Requirement]:
    """Returns what a distribution of just this name requires; [] if there is none."""
    if not any(True for _ in metadata.distributions(name=name)):
        return []
    return wanted_here(metadata.requires(name) or [])


def index_of(version: str | None) -> list[str]:
    """Returns pip's options for the index that a build of torch comes from; [] for the public one.

    The version says it: 2.13.0+cpu is from PyTorch's index for processors.
    """
    build = re.search(r"\+(cpu|xpu|cu\d+|rocm[\d.]+)$", version or "")
    return ["--index-url", f"{PYTORCH}{build[1]}"] if build else []


def installing(name: str, *options: str) -> str:
    """Returns the command that installs a package, in a version that minigpt and torch work with.

    torch's builds for GPUs require the one triton that their compiler works with, and both come
    from the same index.
    """
    from packaging.requirements import Requirement

    of_torch = [need for need in required_by("torch") if need.name in SAME.get(name, ())]
    ours = [need for need in wanted_here(needs_of_minigpt().packages) if need.name == name]
    wanted = (of_torch or ours or [Requirement(name)])[0]
    index = index_of(version_of("torch")) if of_torch or name == "torch" else []
    return pip("install", *options, plain(wanted), *index)


def judge_versions(
    requirements: Sequence[Requirement], versions: Mapping[str, str | None], root: Path = ROOT
) -> Iterator[Finding]:
    """Yields a finding for each package that is needed; in a checkout one command mends several."""
    n_wrong = sum(not fits(r, versions[r.name]) for r in requirements)
    for requirement in requirements:
        version = versions[requirement.name]
        if fits(requirement, version):
            yield Finding(requirement.name, OK, str(version))
            continue
        said = f"{version} is installed" if version else "is not installed"
        if requirement.specifier:
            said += f"; minigpt needs {bounds(requirement)}"
        remedy = pip("install", plain(requirement), *index_of(version))
        if n_wrong > 1 and is_checkout(root):
            remedy = reinstall(root)
        yield Finding(requirement.name, PROBLEM, said, remedy)


def one_another(versions: Mapping[str, str | None]) -> list[tuple[str, Requirement, str | None]]:
    """Returns what installed packages require of others and do not find.

    torch's builds for GPUs name the one triton that its compiler works with.

    Returns:
        Each as (the package that requires it, what it requires, the version that is installed).
    """
    missed = []
    for name, version in versions.items():
        for requirement in required_by(name):
            found = version_of(requirement.name)
            if not fits(requirement, found):
                missed.append((f"{name} {version}", requirement, found))
    return missed


def judge_one_another(missed: Sequence[tuple[str, Requirement, str | None]]) -> Iterator[Finding]:
    """Yields a problem for each package that another misses, and one finding if there is none."""
    for who, requirement, found in missed:
        said = f"{who} needs {plain(requirement)}; {found or 'none'} is installed"
        remedy = pip("install", plain(requirement))
        yield Finding(f"{who.split()[0]} and {requirement.name}", PROBLEM, said, remedy)
    if not missed:
        yield Finding("dependencies", OK, "every package finds the versions that it needs")


def judge_extra(
    extra: str,
    requirements: Iterable[Requirement],
    versions: Mapping[str, str | None],
    root: Path = ROOT,
) -> Finding:
    """Returns what is to be said of packages that only some need."""
    missing = [
        f"{plain(requirement)} ({version} is installed)" if version else requirement.name
        for requirement in requirements
        for version in [versions[requirement.name]]
        if not fits(requirement, version)
    ]
    if not missing:
        return Finding(f"extra {extra}", OK, "all there")
    said = f"missing: {', '.join(missing)}; the lessons do not need them"
    remedy = pip("install", "-e", f"{root}[{extra}]") if is_checkout(root) else ""
    return Finding(f"extra {extra}", NOTE, said, remedy)

"""Whose `minigpt`, `kernels` and `lessons` are imported: others publish packages so called.

On the public index `kernels` is Hugging Face's and `minigpt` a stranger's. An environment can hold
one package of a name: of two, the one in the folder that comes first is imported, or their files
lie mixed in one folder. And a copy of minigpt that was installed once may hide a checkout.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding, pip
from minigpt.doctor.installation import ROOT, Installed, installed_minigpt, reinstall

OURS = {"minigpt": "__main__.py", "kernels": "nf4.py", "lessons": "lesson.py"}  # a file of each


def place_of(package: str) -> Path | None:
    """Returns the folder, or file, that an import would find, without importing it."""
    spec = find_spec(package)
    if spec is None:
        return None
    places = [*(spec.submodule_search_locations or []), spec.origin]
    return Path(str(places[0])).resolve()


def is_ours(package: str, place: Path) -> bool:
    """Returns whether the package in a folder is minigpt's, by a file that only ours has."""
    return (place / "__init__.py").is_file() and (place / OURS[package]).is_file()


def owner_of(package: str) -> str:
    """Returns the name and version of a distribution called like a package of ours; "" if none."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return ""


def check_origin() -> Iterator[Finding]:
    """Yields what is to be said of where our packages come from."""
    installed = installed_minigpt()
    for package in OURS:
        place = place_of(package)
        ours = place is not None and is_ours(package, place)
        yield judge_package(package, place, ours, owner_of(package), installed)
    yield judge_installation(installed)


def judge_package(
    package: str,
    place: Path | None,
    ours: bool,
    owner: str,
    installed: Installed | None,
    root: Path = ROOT,
) -> Finding:
    """Returns what is to be said of one of our packages.

    Args:
        place: what is imported; None if there is none.
        ours: whether files of ours are in there.
        owner: another distribution that is called like the package, "" if there is none.
        root: where the running minigpt lies.
    """
    remedy = reinstall(root)
    if owner:
        remedy = f"{pip('uninstall', '-y', package)}, then {remedy}"
    if place is None:
        return Finding(package, PROBLEM, "is not there, and belongs to minigpt", remedy)
    if not ours:
        said = f"{owner or 'not ours, or not all of it'}, in {place}"
        return Finding(package, PROBLEM, said, remedy)
    if place.parent != root:
        said = (
            f"from {place.parent}, and the running minigpt from {root}; their versions may differ"
        )
        remedy = f"remove or rename {place}, or run the minigpt beside it"
        return Finding(package, PROBLEM, said, remedy)
    if owner and installed and not installed.editable:
        said = f"{owner}, another package, is in the same environment and may have replaced files"
        return Finding(package, PROBLEM, said, remedy)
    if owner:
        said = f"ours, in {place}; but {owner}, another package, is installed too"
        return Finding(package, NOTE, said, remedy)
    return Finding(package, OK, str(place))


def judge_installation(installed: Installed | None, root: Path = ROOT) -> Finding:
    """Returns what is to be said of the installation beside the minigpt that runs, from root."""
    from minigpt import __version__

    name = "installed"
    if installed is None:
        said = f"no: the checkout {root} runs as it is, in that folder only"
        return Finding(name, NOTE, said, pip("install", "-e", str(root)))
    if installed.root != root:
        said = (
            f"{installed.version} is installed in {installed.root}, but you are running the copy "
            f"in {root}; in other folders `minigpt` is the installed one"
        )
        return Finding(name, NOTE, said, pip("install", "-e", str(root)))
    if installed.version != __version__:
        said = f"as version {installed.version}, and the checkout is {__version__} by now"
        return Finding(name, NOTE, said, pip("install", "-e", str(root)))
    kind = "as a checkout that can be edited" if installed.editable else "as a package"
    return Finding(name, OK, f"{installed.version}, {kind}")

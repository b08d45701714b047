"""Whose `minigpt`, `kernels` and `lessons` are imported: others publish packages so called.

On the public index `kernels` is Hugging Face's and `minigpt` a stranger's. An environment can hold
one package of a name: of two, the one in the folder that comes first is imported, or their files
lie mixed in one folder. And a copy of minigpt that was installed once may hide a checkout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding, pip
from minigpt.doctor.requirements import DISTRIBUTION, ROOT

OURS = {"minigpt": "__main__.py", "kernels": "nf4.py", "lessons": "lesson.py"}  # a file of each


class Installed(NamedTuple):
    """What the environment knows of minigpt: the version, and the folder that its packages lie in.

    Attributes:
        editable: whether that folder is a checkout.
    """

    version: str
    root: Path
    editable: bool


def installed_minigpt() -> Installed | None:
    """Returns what is installed as minigpt-course; None if nothing is."""
    try:
        found = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return None
    source = json.loads(found.read_text("direct_url.json") or "{}")
    if source.get("dir_info", {}).get("editable"):
        folder = Path(url2pathname(urlsplit(source["url"]).path))
        return Installed(found.version, folder.resolve(), True)
    return Installed(found.version, Path(str(found.locate_file(""))).resolve(), False)


def place_of(package: str) -> Path | None:
    """Returns the folder of the package that an import would find, without importing it."""
    spec = find_spec(package)
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]).resolve() if places else None


def owner_of(package: str) -> str:
    """Returns the name and version of a distribution called like a package of ours; "" if none."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return ""


def reinstall(installed: Installed | None, root: Path = ROOT) -> str:
    """Returns the command that installs minigpt again where it was installed from."""
    if installed is None or installed.editable or (root / "pyproject.toml").is_file():
        return pip("install", "-e", str(installed.root if installed else root))
    return pip("install", "--force-reinstall", "--no-deps", "FOLDER-OR-WHEEL-OF-MINIGPT")


def check_origin() -> Iterator[Finding]:
    """Yields what is to be said of where our packages come from."""
    installed = installed_minigpt()
    for package, file in OURS.items():
        place = place_of(package)
        whole = place is not None and (place / file).is_file()
        yield judge_package(package, place if whole else None, place, owner_of(package), installed)
    yield judge_installation(installed)


def judge_package(
    package: str,
    ours: Path | None,
    place: Path | None,
    owner: str,
    installed: Installed | None,
    root: Path = ROOT,
) -> Finding:
    """Returns what is to be said of one of our packages.

    Args:
        place: the folder that is imported; None if there is none.
        ours: the same, if a file of ours is in there.
        owner: another distribution that is called like the package, "" if there is none.
        root: where the running minigpt lies.
    """
    remedy = reinstall(installed, root)
    if owner:
        remedy = f"{pip('uninstall', '-y', package)}, then {remedy}"
    if place is None:
        return Finding(package, PROBLEM, "is not there, and belongs to minigpt", remedy)
    if ours is None:
        return Finding(package, PROBLEM, f"{owner or 'another package'}, in {place}", remedy)
    if place.parent != root:
        said = f"from {place.parent}, and the running minigpt from {root}; they are not one version"
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
            f"{installed.version}, in {installed.root}; this is the minigpt in {root}, and "
            "elsewhere that other one runs"
        )
        return Finding(name, NOTE, said, pip("install", "-e", str(root)))
    if installed.version != __version__:
        said = f"as version {installed.version}, and the checkout is {__version__} by now"
        return Finding(name, NOTE, said, pip("install", "-e", str(root)))
    kind = "as a checkout that can be edited" if installed.editable else "as a package"
    return Finding(name, OK, f"{installed.version}, {kind}")

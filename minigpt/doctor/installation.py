"""How minigpt was installed: from where, which version, and what to type to install it again."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from minigpt.doctor.finding import pip

DISTRIBUTION = "minigpt-course"
ROOT = Path(__file__).resolve().parents[2]  # the folder that the running minigpt/ lies in


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


def is_checkout(root: Path) -> bool:
    """Returns whether the packages in root are those of a checkout."""
    return (root / "pyproject.toml").is_file()


def reinstall(root: Path = ROOT) -> str:
    """Returns the command that installs the minigpt in root, or installs it again."""
    if is_checkout(root):
        return pip("install", "-e", str(root))
    return pip("install", "--force-reinstall", "--no-deps", "CHECKOUT-OR-WHEEL")

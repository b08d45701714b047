"""An environment in which only what a test writes into a folder is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest


def be_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets importlib.metadata find what is installed in the folder, and nothing else."""
    context = metadata.DistributionFinder.Context
    monkeypatch.setattr(context, "path", property(lambda self: [str(folder)]))


def install(
    folder: Path, name: str, version: str, *lines: str, files: Mapping[str, str] | None = None
) -> None:
    """Writes the metadata of a distribution.

    Args:
        lines: more of them, such as "Requires-Dist: torch".
        files: more files beside it, such as {"RECORD": ""}.
    """
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir()
    text = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *lines])
    for file, content in {"METADATA": f"{text}\n", **(files or {})}.items():
        (place / file).write_text(content, encoding="utf-8")

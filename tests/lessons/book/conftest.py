"""Puts a test's small lesson into an empty folder and starts the browser that looks at pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "microsoft-edge")


@pytest.fixture
def script(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a lesson whose text is the test module's ``SCRIPT``, in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "03_halves.py"
    path.write_text(request.module.SCRIPT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chrome, Edge or Chromium as it is installed; where there is none, the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    installed = [path for name in PROGRAMS if (path := shutil.which(name))]
    ways = [{"channel": name} for name in ("chrome", "msedge")]
    ways += [{"executable_path": path} for path in installed]
    with playwright.sync_playwright() as running:
        for way in [*ways, {}]:  # last the one that `playwright install chromium` has fetched
            try:
                opened = running.chromium.launch(**way)
            except playwright.Error:
                continue
            yield opened
            opened.close()
            return
        pytest.skip("no browser that can be started: install Chrome, Edge or Chromium")

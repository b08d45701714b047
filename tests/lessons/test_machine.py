"""A lesson says on what machine it runs, as far as the system tells."""

from __future__ import annotations

import os
import platform

import pytest
import torch

from lessons import machine

CPU = torch.device("cpu")


def test_a_mac_is_named_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("26.1", ("", "", ""), "arm64"))
    assert machine.system() == "macOS 26.1"


def test_a_system_that_names_no_distribution_is_named_by_its_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> dict[str, str]:
        raise OSError("no os-release")

    monkeypatch.setattr(platform, "freedesktop_os_release", fail)
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "release", lambda: "11")
    assert machine.system() == "Windows 11"


def test_what_the_system_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf_names", {}, raising=False)
    found = machine.describe(CPU)
    assert "memory" not in found
    assert "GPU" not in found
    assert found["torch's threads"] == str(torch.get_num_threads())
    assert all(found.values())


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="this system has no sysconf")
def test_memory_is_in_gibibytes(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SC_PHYS_PAGES": 3 * 2**19, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    assert machine.memory() == "6.0 GiB"

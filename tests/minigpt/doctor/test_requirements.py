"""What is needed is read from pyproject.toml or the metadata, and compared with what is there."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from minigpt.doctor import requirements
from minigpt.doctor.finding import NOTE, OK, PROBLEM, pip
from minigpt.doctor.installation import ROOT
from minigpt.doctor.requirements import (
    PYTORCH,
    Needs,
    check_requirements,
    index_of,
    installing,
    judge_extra,
    judge_one_another,
    judge_versions,
    needs_of_minigpt,
    one_another,
    version_of,
    wanted_here,
)
from tests.minigpt.doctor.fake import be_environment, install

PROJECT = """
[project]
name = "minigpt-course"
requires-python = ">=3.10"
dependencies = ["torch>=2.11,<2.14", "winonly; sys_platform == 'none'"]
[project.optional-dependencies]
test = ["bitsandbytes>=0.45; sys_platform != 'none'", "pytest"]
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes an environment in which nothing is installed, and returns its folder."""
    be_environment(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no reader of TOML")
def test_a_checkout_says_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    needs = needs_of_minigpt(tmp_path)
    assert needs.python == ">=3.10"
    assert [r.name for r in wanted_here(needs.packages)] == ["torch"]
    assert [r.name for r in wanted_here(needs.extras["test"], "test")] == ["bitsandbytes", "pytest"]


def test_the_metadata_say_it_elsewhere(environment: Path) -> None:
    assert needs_of_minigpt(environment) == Needs()
    install(
        environment,
        "minigpt-course",
        "0.2",
        "Requires-Python: >=3.10",
        "Requires-Dist: torch<2.14,>=2.11",
        "Provides-Extra: test",
        "Requires-Dist: pytest; extra == 'test'",
    )
    needs = needs_of_minigpt(environment)
    assert needs.python == ">=3.10"
    assert needs.packages == ["torch<2.14,>=2.11"]
    assert [r.name for r in wanted_here(needs.extras["test"], "test")] == ["pytest"]


def test_both_say_the_same_of_this_checkout() -> None:
    needs = needs_of_minigpt(ROOT)
    assert {"torch", "numpy", "tiktoken"} <= {r.name for r in map(Requirement, needs.packages)}
    assert {"test", "hub"} <= needs.extras.keys()


@pytest.mark.parametrize(
    ("version", "state", "said"),
    [
        ("2.11.0", OK, "2.11.0"),
        ("2.13.0+cpu", OK, "2.13.0+cpu"),
        ("2.12.0.dev20260101", OK, "2.12.0.dev20260101"),
        ("2.14.0", PROBLEM, "2.14.0 is installed; minigpt needs >=2.11,<2.14"),
        ("2.10.1", PROBLEM, "2.10.1 is installed; minigpt needs >=2.11,<2.14"),
        (None, PROBLEM, "is not installed; minigpt needs >=2.11,<2.14"),
    ],
)
def test_versions_are_compared_with_their_bounds(
    version: str | None, state: str, said: str
) -> None:
    (found,) = judge_versions([Requirement("torch>=2.11,<2.14")], {"torch": version})
    assert (found.name, found.state, found.said) == ("torch", state, said)
    assert ("torch>=2.11,<2.14" in found.remedy) == (state == PROBLEM)


def test_one_command_mends_all_packages_of_a_checkout(tmp_path: Path) -> None:
    wanted = [Requirement("numpy>=1.26"), Requirement("tqdm")]
    versions = {"numpy": None, "tqdm": None}
    numpy, tqdm = judge_versions(wanted, versions, tmp_path)
    assert "numpy>=1.26" in numpy.remedy
    assert tqdm.remedy.endswith("install tqdm")
    (tmp_path / "pyproject.toml").touch()
    numpy, tqdm = judge_versions(wanted, versions, tmp_path)
    assert numpy.remedy == tqdm.remedy
    assert "install -e" in tqdm.remedy


def test_what_torch_needs_itself_is_looked_at(environment: Path) -> None:
    needs = 'triton==3.6.0; platform_system != "none"', "sympy", "optree; extra == 'optree'"
    install(environment, "torch", "2.12", *(f"Requires-Dist: {need}" for need in needs))
    install(environment, "triton", "3.9")
    missed = one_another({"torch": "2.12", "triton": "3.9", "numpy": None})
    assert [(who, r.name, found) for who, r, found in missed] == [
        ("torch 2.12", "triton", "3.9"),
        ("torch 2.12", "sympy", None),
    ]
    triton, sympy = judge_one_another(missed)
    assert triton.state == sympy.state == PROBLEM
    assert triton.said == "torch 2.12 needs triton==3.6.0; 3.9 is installed"
    assert "triton==3.6.0" in triton.remedy
    assert [finding.state for finding in judge_one_another([])] == [OK]


def test_triton_for_amd_has_another_name(environment: Path) -> None:
    assert version_of("triton") is None
    install(environment, "pytorch-triton-rocm", "3.7.1")
    assert version_of("triton") == "3.7.1"
    assert one_another({"triton": "3.7.1"}) == []


def test_what_an_extra_lacks_is_a_note(tmp_path: Path) -> None:
    extra = [Requirement("bitsandbytes>=0.45"), Requirement("peft")]
    assert judge_extra("test", extra, {"bitsandbytes": "0.50", "peft": "1"}).state == OK
    lacking = {"bitsandbytes": "0.40", "peft": None}
    found = judge_extra("test", extra, lacking, tmp_path)
    assert found.state == NOTE
    assert "missing: bitsandbytes>=0.45 (0.40 is installed), peft;" in found.said
    assert found.remedy == ""
    (tmp_path / "pyproject.toml").touch()
    found = judge_extra("test", extra, lacking, tmp_path)
    assert found.remedy == pip("install", "-e", f"{tmp_path}[test]")


def test_each_build_of_torch_has_its_index() -> None:
    for build in ("cpu", "xpu", "cu130", "rocm7.0"):
        assert index_of(f"2.13.0+{build}") == ["--index-url", f"{PYTORCH}{build}"]
    for version in ("2.13.0", "2.13.0+git1a2b", None):
        assert index_of(version) == []
    (found,) = judge_versions([Requirement("torch>=2.11,<2.14")], {"torch": "2.10.0+cpu"})
    assert found.remedy == pip("install", "torch>=2.11,<2.14", "--index-url", f"{PYTORCH}cpu")


def test_a_package_is_installed_in_a_version_that_minigpt_and_torch_work_with(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = Needs("", ["torch>=2.11,<2.14", "triton>=3.6", "jinja2>=3.1"])
    monkeypatch.setattr(requirements, "needs_of_minigpt", lambda: needs)
    assert installing("triton") == pip("install", "triton>=3.6")
    assert installing("torch", "--force-reinstall") == pip(
        "install", "--force-reinstall", "torch>=2.11,<2.14"
    )
    needed = "triton-rocm==3.7.1", "jinja2"
    install(environment, "torch", "2.13.0+rocm7.0", *(f"Requires-Dist: {n}" for n in needed))
    index = "--index-url", f"{PYTORCH}rocm7.0"
    assert installing("torch") == pip("install", "torch>=2.11,<2.14", *index)
    assert installing("triton") == pip("install", "triton-rocm==3.7.1", *index)
    assert installing("jinja2") == pip("install", "jinja2>=3.1")
    assert installing("unheard-of") == pip("install", "unheard-of")


def test_needs_that_nobody_knows_are_a_note() -> None:
    (found,) = check_requirements(Needs())
    assert found.state == NOTE


def test_this_environment_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = Needs("", ["numpy", "no-such-package"], {"hub": ["torch<1"]})
    states = {finding.name: finding.state for finding in check_requirements(needs)}
    assert states["numpy"] == OK
    assert states["no-such-package"] == PROBLEM
    assert states["extra hub"] == NOTE
    monkeypatch.setattr(metadata, "requires", lambda name: ["torch<1"])
    monkeypatch.setattr(requirements, "wanted_here", lambda texts, extra="": list(
        map(Requirement, texts)
    ))  # fmt: skip
    states = {finding.name: finding.state for finding in check_requirements(needs)}
    assert states["numpy and torch"] == PROBLEM

"""Packages of the same name, halves of two versions and stale copies are told apart."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from minigpt import __version__
from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding
from minigpt.doctor.installation import ROOT, Installed, installed_minigpt, reinstall
from minigpt.doctor.origin import is_ours, judge_installation, judge_package, place_of
from tests.minigpt.doctor.fake import be_environment, install

EDITABLE = Installed(__version__, ROOT, True)
PACKAGE = Installed(__version__, ROOT, False)
HUB = "kernels 0.17.2"


def judged(
    place: Path | None = ROOT / "kernels",
    ours: bool = True,
    owner: str = "",
    installed: Installed | None = EDITABLE,
) -> Finding:
    return judge_package("kernels", place, ours, owner, installed)


def test_ours_is_fine() -> None:
    assert judged().state == OK
    assert judged(installed=PACKAGE).state == OK
    assert judged(installed=None).state == OK


def test_another_package_in_its_place_is_a_problem() -> None:
    found = judged(Path("/site-packages/kernels"), ours=False, owner=HUB)
    assert found.state == PROBLEM
    assert HUB in found.said
    assert "pip uninstall -y kernels" in found.remedy
    assert "pip install -e" in found.remedy
    assert judged(Path("/home/me/kernels"), ours=False).state == PROBLEM
    assert judged(None, ours=False).state == PROBLEM


def test_files_of_two_packages_in_one_folder_are_a_problem() -> None:
    assert judged(owner=HUB, installed=PACKAGE).state == PROBLEM


def test_another_package_behind_ours_is_a_note() -> None:
    assert judged(owner=HUB).state == NOTE


def test_halves_of_two_versions_are_a_problem() -> None:
    found = judged(Path("/elsewhere/kernels"))
    assert found.state == PROBLEM
    assert "/elsewhere" in found.said.replace("\\", "/")


def test_a_package_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    for file in ("folder/__init__.py", "file.py"):
        (tmp_path / file).write_text("raise ValueError", encoding="utf-8")
    above = ModuleType("above")
    above.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "above", above)
    assert place_of("above.folder") == (tmp_path / "folder").resolve()
    assert place_of("above.file") == (tmp_path / "file.py").resolve()
    assert place_of("above.nothing") is None
    assert place_of("kernels") == ROOT / "kernels"


def test_ours_is_known_by_files_that_only_ours_has(tmp_path: Path) -> None:
    assert all(is_ours(package, ROOT / package) for package in ("minigpt", "kernels", "lessons"))
    assert not is_ours("kernels", tmp_path)
    (tmp_path / "nf4.py").touch()  # what is left after the other package was removed
    assert not is_ours("kernels", tmp_path)


@pytest.mark.parametrize(
    ("installed", "state", "said"),
    [
        (EDITABLE, OK, "checkout"),
        (PACKAGE, OK, "package"),
        (None, NOTE, "in that folder only"),
        (Installed(__version__, Path("/elsewhere"), False), NOTE, "you are running the copy"),
        (Installed("0.0.1", ROOT, True), NOTE, "0.0.1"),
    ],
)
def test_each_installation(installed: Installed | None, state: str, said: str) -> None:
    found = judge_installation(installed)
    assert found.state == state
    assert said in found.said


def test_the_metadata_say_where_minigpt_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_environment(tmp_path, monkeypatch)
    assert installed_minigpt() is None
    install(tmp_path, "minigpt-course", "0.2")
    assert installed_minigpt() == Installed("0.2", tmp_path.resolve(), False)
    source = f'{{"dir_info": {{"editable": true}}, "url": "{(tmp_path / "a b").as_uri()}"}}'
    install(tmp_path, "minigpt-course", "0.3", files={"direct_url.json": source})
    (tmp_path / "minigpt_course-0.2.dist-info" / "METADATA").unlink()
    (tmp_path / "minigpt_course-0.2.dist-info").rmdir()
    assert installed_minigpt() == Installed("0.3", (tmp_path / "a b").resolve(), True)


def test_what_to_type_to_install_it_again(tmp_path: Path) -> None:
    assert "--force-reinstall" in reinstall(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    assert "install -e" in reinstall(tmp_path)

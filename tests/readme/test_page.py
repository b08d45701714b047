"""The README leads to what is there: links, pictures, files, names, and the order of reading."""

import pkgutil
import re
import shlex
from importlib.util import find_spec

from PIL import Image

from lessons.book.pictures import make
from lessons.grading.worker import Sandbox
from minigpt.command.cli import make_parser
from tests.readme.page import ROOT, TEXT, blocks, commands, headings, links, pictures, table


def test_links_lead_somewhere() -> None:
    found = links()
    assert {"lessons/README.md", "#claims"} <= set(found)
    for link in found:
        assert link[1:] in headings() if link.startswith("#") else (ROOT / link).is_file(), link


def test_pictures_are_there_small_and_described() -> None:
    assert len(pictures()) >= 2
    for name, words in pictures():
        assert (ROOT / name).read_bytes().startswith(b"\x89PNG")
        assert (ROOT / name).stat().st_size < 200_000
        assert len(words.split()) > 5


def test_the_grader_prints_what_its_picture_shows(sandbox: Sandbox) -> None:
    with Image.open(ROOT / "lessons" / "book" / "pictures" / "grader.png") as picture:
        assert picture.info["Description"] == make.report(sandbox).export_text()


def test_the_commands_that_measure_are_there() -> None:
    for row in (*table("claim"), *table("what is timed")):
        program, *arguments = shlex.split(row["measure it"].strip("`"))
        if program == "minigpt":
            make_parser().parse_args(arguments)
            continue
        assert [program, arguments[0]] == ["python", "-m"]
        module, *rest = arguments[1:]
        if module == "pytest":
            assert all((ROOT / path).is_file() for path in rest)
        else:
            assert find_spec(module) is not None


def test_windows_has_the_same_commands() -> None:
    """PowerShell has no && in Windows' own version, and cmd no single quotes."""
    (block,) = blocks("bat")
    start = [c for block in blocks("sh") if block.section == "Start" for c in commands(block)]
    here = [
        line.replace("py -3.13", "python3").replace(".venv\\Scripts\\", ".venv/bin/")
        .replace('"', "'")
        for line in block.code.splitlines()
    ]  # fmt: skip
    assert here == [c for c in dict.fromkeys(start) if "whl" not in c]


def test_torch_for_processors_is_one_that_minigpt_takes() -> None:
    """Otherwise the next command would install another, with all of CUDA."""
    (bounds,) = re.findall(r'"torch>=[\d.]+,(<[\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert re.findall(r'"torch(.*)" --index-url', TEXT) == [bounds]


def test_the_tree_names_what_is_there() -> None:
    (tree,) = re.findall(r"## Where things are\n\n```\n(.*?)```", TEXT, flags=re.DOTALL)
    missing, folder = [], ""
    for line in tree.splitlines():
        names, _, explanation = line.strip().rpartition("    ")
        assert explanation
        first, *others = names.split()
        if first in ("minigpt/", "kernels/", "lessons/"):
            folder = first
        elif first == "data/":
            folder = ""
        for name in (first, *others):
            places = [ROOT / folder / name, ROOT / folder / f"{name}.py", ROOT / name]
            missing += [] if any(place.exists() for place in places) else [name]
    assert missing == []


def test_the_evening_is_there_in_order() -> None:
    (line,) = re.findall(r"^An evening, in this order: (.*)$", TEXT, flags=re.MULTILINE)
    folder, files = "", []
    for path in re.findall(r"`(\S+)`", line):
        first = path.split("/")[0]
        folder = first if first in ("minigpt", "kernels") else folder
        files.append(ROOT / (path if path.startswith(folder) else f"{folder}/{path}"))
    assert len(files) > 12
    assert [file for file in files if not file.exists()] == []


def test_every_name_of_ours_is_there() -> None:
    names = set(re.findall(r"`((?:minigpt|kernels)(?:\.\w+)+)`", TEXT))
    assert {"minigpt.lora.load_lora"} <= names
    for name in names:
        pkgutil.resolve_name(name)


def test_every_file_of_ours_is_there() -> None:
    paths = re.findall(r"`((?:minigpt|kernels|lessons|tests|data)/[\w./]*)`", TEXT)
    assert len(paths) > 10
    paths.remove("lessons/NN_name.py")  # the form of all lessons
    assert [path for path in paths if not (ROOT / path).exists()] == []

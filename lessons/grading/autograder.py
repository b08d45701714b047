"""Packs what Gradescope's upload wants: setup.sh, run_autograder and the grader itself.

The grader is this very version of the packages, as source; what they need is pinned to the versions
that are installed here.
"""

from __future__ import annotations

import platform
import stat
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lessons.grading.progress import make_folder
from lessons.grading.registry import lesson
from minigpt.files.atomic import write_atomically

PACKAGES = ("minigpt", "kernels", "lessons")
NEEDS = ("torch", "triton", "numpy", "regex", "tiktoken", "safetensors", "tqdm", "rich")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same files give the same archive

SETUP = """\
#!/usr/bin/env bash
# Gradescope runs this once, when the image is built.
set -euo pipefail
here=${AUTOGRADER:-/autograder}
apt-get update && apt-get install -y python3 python3-venv
python3 -m venv "$here/venv"
"$here/venv/bin/pip" install --extra-index-url https://download.pytorch.org/whl/cpu \\
    -r "$here/source/requirements.txt"
"""

RUN = """\
#!/usr/bin/env bash
# Gradescope runs this for each submission. AUTOGRADER and PYTHON say where things are elsewhere.
here=${{AUTOGRADER:-/autograder}}
python=${{PYTHON:-$here/venv/bin/python}}
export PYTHONPATH="$here/source/packages" PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
mkdir -p "$here/results"
cd "$here"
"$python" -m lessons.grading.gradescope \\
    {lesson} "$here/submission" "$here/results/results.json" {seed}
"""


def write_autograder(number: int, out: Path, seed: int) -> Path:
    """Writes the archive for a lesson and returns its path.

    Raises:
        FileExistsError: there is a file of that name.
        ValueError: the lesson has no exercises.
    """
    lesson(number)
    if out.exists():
        raise FileExistsError(f"{out} is there already and stays as it is; name another with --out")
    make_folder(out.parent)

    def write(new: Path) -> None:
        with zipfile.ZipFile(new, "x", zipfile.ZIP_DEFLATED) as archive:
            add(archive, "setup.sh", SETUP, executable=True)
            add(archive, "run_autograder", RUN.format(lesson=number, seed=seed), executable=True)
            add(archive, "requirements.txt", requirements())
            for name, file in sorted(sources().items()):
                add(archive, f"packages/{name}", file.read_bytes())

    write_atomically(out, write)
    return out


def add(
    archive: zipfile.ZipFile, name: str, content: str | bytes, executable: bool = False
) -> None:
    """Adds a file to the archive."""
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    archive.writestr(info, content)


def sources() -> dict[str, Path]:
    """Returns the files of our packages, by their paths in the archive; none of the data."""
    import kernels
    import lessons
    import minigpt

    found = {}
    for package in (minigpt, kernels, lessons):
        root = Path(next(iter(package.__path__)))
        for file in root.rglob("*"):
            place = Path(root.name) / file.relative_to(root)
            if file.suffix in (".py", ".c") and "_data" not in place.parts:
                found[place.as_posix()] = file
    return found


def requirements() -> str:
    """Returns the pinned packages, one a line, without the local part of a version (+cpu)."""
    lines = [f"# Python {platform.python_version()}"]
    for name in NEEDS:
        try:
            pinned = version(name).partition("+")[0]
        except PackageNotFoundError:  # triton, where there is none
            continue
        lines.append(
            f"{name}=={pinned}" + ("; sys_platform == 'linux'" if name == "triton" else "")
        )
    return "\n".join(lines) + "\n"

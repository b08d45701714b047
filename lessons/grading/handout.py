"""Writes what an instructor gives out: stubs, a task sheet, and a workflow that checks a push."""

from __future__ import annotations

from pathlib import Path

from lessons.grading.progress import make_folder
from lessons.grading.registry import lesson
from lessons.grading.workbook import notebook_text, script_text, sheet_text
from minigpt import __version__
from minigpt.files.atomic import write_text

WORKFLOW = """\
# Checks the exercises at each push; the table is in the summary of the run.
name: exercises
on: [push, pull_request, workflow_dispatch]
permissions:
  contents: read
jobs:
  check:
    runs-on: ubuntu-latest
    timeout-minutes: 15
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - name: Install the grader
        run: |
          pip install torch --index-url https://download.pytorch.org/whl/cpu
          pip install "{package}"
      - name: Check
        run: minigpt exercise check {stem}.py --lesson {lesson} --markdown "$GITHUB_STEP_SUMMARY"
"""


def write_handout(number: int, folder: Path, package: str | None = None) -> list[Path]:
    """Writes the files for a lesson and returns their paths.

    Args:
        package: what the workflow asks pip to install; None for this version's release.

    Raises:
        FileExistsError: one of the files is there already; none is written.
        ValueError: the lesson has no exercises, or package is nothing that stands between quotes.
    """
    stem = lesson(number).stem
    wanted = f"minigpt-course=={__version__}" if package is None else package
    if not wanted.strip() or not wanted.isprintable() or set(wanted) & set('"$`\\'):
        raise ValueError(f"a package is a name or an address for pip, got {wanted[:80]!r}")
    texts = {
        f"{stem}.md": sheet_text(number),
        f"{stem}.py": script_text(number),
        f"{stem}.ipynb": notebook_text(number),
        ".github/workflows/exercises.yml": WORKFLOW.format(
            package=wanted, stem=stem, lesson=number
        ),
    }
    if there := [name for name in texts if (folder / name).exists()]:
        raise FileExistsError(
            f"{folder / there[0]} is there already and stays; name another folder with --out"
        )
    for name, text in texts.items():
        make_folder((folder / name).parent)
        write_text(folder / name, text)
    return [folder / name for name in texts]

"""A lesson's script is divided into cells, and each runs as a part of the script."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from lessons.book.cells import Cell, execute, read_cells
from minigpt.command.lesson import lesson_scripts

SCRIPT = """\
# %% [markdown]
# # Title
#
# Text with *words*.

# %%
x = 1

y = 2

# %%

# %% [markdown]
# no heading, but an indented line:
#
#     code
# %%
z = x + y
"""


def test_a_script_becomes_its_cells() -> None:
    cells = read_cells(SCRIPT)
    assert [(cell.kind, cell.line) for cell in cells] == [
        ("markdown", 2), ("code", 7), ("markdown", 14), ("code", 18),
    ]  # fmt: skip
    assert cells[0] == Cell("markdown", "# Title\n\nText with *words*.", 2)
    assert cells[1].source == "x = 1\n\ny = 2"
    assert cells[2].source == "no heading, but an indented line:\n\n    code"


def test_cells_share_a_namespace_and_tracebacks_name_the_script_s_line(tmp_path: Path) -> None:
    script = tmp_path / "lesson.py"
    script.write_text(SCRIPT.replace("z = x + y", "z = x + y\nraise RuntimeError(z)"))
    cells = read_cells(script.read_text())
    namespace: dict = {}
    execute(cells[1], script, namespace)
    with pytest.raises(RuntimeError, match="3") as raised:
        execute(cells[3], script, namespace)
    last = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (last.filename, last.lineno, last.line) == (str(script), 19, "raise RuntimeError(z)")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("x = 1\n", "no cells"),
        ("# %% [markdown]\n# a\nb\n", "line 3 .* does not start with #: 'b'"),
    ],
)
def test_what_is_no_lesson_is_refused(script: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_cells(script)


@pytest.mark.parametrize("number", lesson_scripts())
def test_no_line_of_a_lesson_is_lost(number: int) -> None:
    text = lesson_scripts()[number].read_text(encoding="utf-8")
    cells = read_cells(text)
    assert cells[0].is_prose
    assert cells[0].source.startswith(f"# Lesson {number}: ")
    lines = text.splitlines()
    seen = {n for cell in cells for n in range(cell.line, cell.line + cell.source.count("\n") + 1)}
    left = [line for n, line in enumerate(lines, start=1) if n not in seen and line.strip()]
    assert all(line.startswith("# %%") for line in left)

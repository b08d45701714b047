"""Writes lessons as notebooks, without outputs or with those of their last run.

text = notebook_text(script, Settings(seed=3))          # for Jupyter, VS Code and Colab
text = notebook_text(script, run=finished_run(script, Path("runs/lesson-08")))
write_notebooks({Path("08_lora.ipynb"): text})          # refuses to overwrite a learner's work

The code cells are the script's, unchanged. Before them stands one that sets what a terminal's
options set, and installs minigpt where it is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import v4

from lessons.book.cells import read_cells
from lessons.book.record import Done, Record, fingerprint, read_record, read_table
from lessons.closing_tables import closing_tables
from lessons.inline import figure_bundle, tables_bundle
from lessons.lesson import Settings
from minigpt.files.atomic import write_text

METADATA = {
    "colab": {"provenance": []},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}

HEAD = """\
*This notebook is lesson {number} of the minigpt course. Run the next cell first; the lesson begins
below it.*

**Settings.** The next cell sets the seed, the device and the size of the lesson. Change them there,
restart the kernel and run all cells. Figures and the closing tables are also written to
`runs/`, beside this notebook.

**Installation.** In a terminal: `pip install -e .` in a checkout of minigpt, in the environment
that this notebook's kernel runs in. Or name below, as `INSTALL`, a checkout's folder, an archive of
it such as `minigpt.zip` (on Colab, upload it first), or an address such as `git+https://...`.

**A GPU** is not needed. On Colab, *Runtime*, *Change runtime type* offers a T4: the tests of
minigpt compile its kernels for it ahead of time (sm_75), but have never run on one. With a GPU, a
lesson uses its large settings, which take longer.
"""

OUTPUTS = """
**Outputs.** Those that you see are of a run on {device} with seed {seed}{quick} ({versions}), and
stay until you run their cells.
"""

SETTINGS = """\
SEED = {seed}
DEVICE = "{device}"  # cpu, cuda, mps or auto: the fastest that is here
QUICK = {quick}  # True: smallest settings, to see that it runs; the numbers mean nothing
FULL = {full}  # True: large settings, which a CUDA GPU gets anyway
INSTALL = r""  # if minigpt is not installed: a checkout, an archive, or an address for pip

import importlib.util
import sys


def has_minigpt():
    # a checkout's folder beside the notebook is found, too, but has no file to import
    found = importlib.util.find_spec("minigpt")
    return found is not None and found.origin is not None


if INSTALL and not has_minigpt():
    get_ipython().run_line_magic("pip", f'install "{{INSTALL}}"')
    importlib.invalidate_caches()
if not has_minigpt():
    raise ImportError(
        f"minigpt is not installed for {{sys.executable}}: say above, as INSTALL, where it is, and "
        "run this cell again"
    )

from lessons import lesson

lesson.notebook = lesson.Settings(device=DEVICE, seed=SEED, quick=QUICK, full=FULL)"""


@dataclass(frozen=True)
class Run:
    """A run of a lesson that came to its end, and left its record and table in a folder."""

    folder: Path
    record: Record
    table: dict[str, Any]

    @property
    def settings(self) -> Settings:
        """Returns the seed and the size that were chosen for it; the device is left open."""
        return Settings(**{name: self.record.settings[name] for name in ("seed", "quick", "full")})


def finished_run(script: Path, folder: Path) -> Run | None:
    """Returns the last run of a lesson; None if there is none in folder that is complete.

    A run of a script that has changed since counts as none.
    """
    try:
        record = read_record(folder)
        table = read_table(folder)
    except (FileNotFoundError, ValueError):
        return None
    same = record.script == fingerprint(script)
    return Run(folder, record, table) if record.status == "done" and same else None


def notebook_text(script: Path, settings: Settings | None = None, run: Run | None = None) -> str:
    """Returns a lesson as the text of a notebook, the same each time.

    Args:
        settings: what the first code cell sets; None for the run's, or else for the defaults.
        run: whose outputs to include.

    Raises:
        OSError: a figure of the run cannot be read.
    """
    number = int(script.name[:2])
    settings = settings or (run.settings if run else Settings())
    first = SETTINGS.format(**vars(settings))
    head = HEAD.format(number=number) + (words_on(run) if run else "")
    made = [v4.new_markdown_cell(head.strip()), v4.new_code_cell(first)]
    for i, cell in enumerate(read_cells(script.read_text(encoding="utf-8"))):
        if cell.is_prose:
            made.append(v4.new_markdown_cell(without_links(cell.source)))
        else:
            outputs = outputs_of(run.record.cells[i], run) if run else []
            made.append(v4.new_code_cell(cell.source, outputs=outputs))
    for i, cell in enumerate(made):
        cell["id"] = f"{script.stem}-{i}".replace("_", "-")
    if run:
        for count, cell in enumerate((c for c in made if c["cell_type"] == "code"), start=1):
            cell["execution_count"] = count
    book = v4.new_notebook(cells=made, metadata=METADATA)
    return json.dumps(book, ensure_ascii=False, indent=1) + "\n"


def words_on(run: Run) -> str:
    """Returns the paragraph on where the outputs come from."""
    known = run.record.settings
    versions = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
    quick = ", with the smallest settings" if known["quick"] else ""
    where, seed = known["device"], known["seed"]
    return OUTPUTS.format(device=where, seed=seed, quick=quick, versions=versions)


def without_links(markdown: str) -> str:
    """Returns Markdown in which what links to a file beside the scripts names the file instead."""
    return re.sub(r"\[([^]]+)\]\((\w+\.(?:md|py))\)", r"\1 (`lessons/\2`)", markdown)


def outputs_of(done: Done, run: Run) -> list[dict[str, Any]]:
    """Returns what a cell has put out, as a notebook holds it."""
    made = []
    for output in done.outputs:
        if "text" in output:
            lines = output["text"].splitlines(keepends=True)
            text = "".join(line for line in lines if not line.startswith("[figure] "))
            if text.strip():
                made.append(v4.new_output("stream", name="stdout", text=text))
            continue
        if "figure" in output:
            bundle = figure_bundle(run.folder / output["figure"], output["alt"])
        elif "tables" in output:
            bundle = tables_bundle(closing_tables(run.table["rows"]))
        else:
            continue  # what only a page can show
        made.append(v4.new_output("display_data", data=bundle.data, metadata=bundle.metadata))
    return made


def write_notebooks(texts: Mapping[Path, str], force: bool = False) -> None:
    """Writes notebooks by their paths.

    Raises:
        FileExistsError: one of the files is there, and force was not given; none is written.
    """
    check_absent(texts, force)
    for path, text in texts.items():
        write_text(path, text)


def check_absent(paths: Iterable[Path], force: bool) -> None:
    """Makes sure that no file is there yet that would be lost.

    Raises:
        FileExistsError: one is, and force was not given.
    """
    for path in paths:
        if path.exists() and not force:
            raise FileExistsError(
                f"{path} is there already and stays as it is, since somebody may have worked in "
                f"it; name another, or replace it with --force"
            )

"""`minigpt lesson 8 --notebook FILE` and `minigpt lessons --notebooks DIR`: lessons as notebooks.

The lessons are imported late, since they load torch.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.command import values

if TYPE_CHECKING:
    from lessons.book.notebook import Run

OPEN = "VS Code and Colab open it, and so does: jupyter lab (pip install jupyterlab)"


def add_notebook(parser: ArgumentParser) -> None:
    """Adds the options of `minigpt lesson` that are about notebooks."""
    parser.add_argument(
        "--notebook", type=values.file_to_write, metavar="FILE",
        help="write the lesson as a notebook, whose first cell sets what the lesson's options say",
    )  # fmt: skip
    add_writing(
        parser,
        "with what the last run printed and drew, or, if there was none or the lesson's options "
        "are given, with that of a run that is made now",
    )


def add_writing(parser: ArgumentParser, outputs: str) -> None:
    """Adds the options that say how notebooks are written.

    Args:
        outputs: the help of --outputs.
    """
    parser.add_argument("--outputs", action="store_true", help=outputs)
    parser.add_argument(
        "--force", action="store_true", help="replace a notebook that is there already"
    )


def write_one(
    script: Path, path: Path, options: Sequence[str], outputs: bool, force: bool,
    run: Callable[[Path, Sequence[str]], object],
) -> int:  # fmt: skip
    """Writes a lesson as a notebook whose first cell sets what the lesson's own options say.

    Outputs, if they are wanted, are those of the last run. If there was none, or there are options
    for another, the lesson runs first.

    Args:
        run: runs a lesson's script with its own options.

    Raises:
        FileExistsError: the notebook is there already, and force was not given.
        ValueError: its name does not end in .ipynb.
    """
    from lessons.book.notebook import check_absent, finished_run, notebook_text, write_notebooks
    from lessons.folders import folder_of, results
    from lessons.lesson import Settings, make_parser

    if path.suffix != ".ipynb":
        raise ValueError(
            f"--notebook must be a name that ends in .ipynb, or no editor opens it, got "
            f"{values.shown(path)}"
        )
    check_absent([path], force)
    number = int(script.name[:2])
    parser = make_parser(number, script.stem[3:])
    parser.prog = f"minigpt lesson {number}"
    settings = Settings(**vars(parser.parse_args(options)))
    found: Run | None = None
    if outputs:
        folder = Path(settings.out or folder_of(results(settings.quick, settings.full), number))
        found = None if chooses(options) else finished_run(script, folder)
        if found is None:
            run(script, options)
            found = finished_run(script, folder)
    text = notebook_text(script, settings if found is None or chooses(options) else None, found)
    write_notebooks({path: text}, force)
    print(f"Wrote {path}; {OPEN}.")
    return 0


def chooses(options: Sequence[str]) -> bool:
    """Tells whether a lesson's own options choose more than its folder."""
    folder = ArgumentParser(add_help=False)
    folder.add_argument("--out")
    return bool(folder.parse_known_args(options)[1])


def write_all(scripts: Sequence[Path], folder: Path, outputs: bool, force: bool) -> int:
    """Writes lessons as notebooks into a folder, each under its script's name.

    Outputs, if they are wanted, are those of the last run of each lesson that has run.

    Raises:
        FileExistsError: one is there already, and force was not given; none is written.
    """
    from lessons.book.notebook import check_absent, finished_run, notebook_text, write_notebooks
    from lessons.folders import folder_of, results

    paths = {script: folder / f"{script.stem}.ipynb" for script in scripts}
    check_absent(paths.values(), force)
    texts, without = {}, []
    for script, path in paths.items():
        number = int(script.name[:2])
        found = finished_run(script, folder_of(results(), number)) if outputs else None
        texts[path] = notebook_text(script, run=found)
        without += [str(number)] if found is None else []
    write_notebooks(texts, force)
    print(f"Wrote {len(texts)} notebooks into {folder}/; {OPEN.replace('it', 'them', 1)}.")
    if outputs and without:
        print(
            f"There are no outputs in those of lessons that have not run to their end here: "
            f"{', '.join(without)}. Run them with: minigpt course"
        )
    return 0

"""Sets the figures that can be played with into the pages of the book.

A lesson hands the numbers of its run to `course.playground(name, data)`, which writes them beside
its figures. Here they come into its page, with the scripts of this folder. Of each figure one
script that begins with draw_ shows it, and the others hold the arithmetic.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.files.atomic import write_text
from minigpt.text.task_sets import data_folder

FOLDER = "play"  # of the book, for scripts and styles
WEIGHTS = "base_model.js"  # the base model for the figure that writes with it


@dataclass(frozen=True)
class Playground:
    """A figure that can be played with.

    Attributes:
        title: its heading.
        caption: what it shows and what to do.
        scripts: of this folder, in the order in which a page loads them.
    """

    title: str
    caption: str
    scripts: tuple[str, ...]


PLAYGROUNDS = {
    "attention": Playground(
        "Play with it: what each token reads",
        "Every head of every layer of the base model on the sentence above. Choose a head, and "
        "point at a token, or move to it with the Tab key: the others light up as far as it "
        "reads them. In the map below, its row is framed.",
        ("page.js", "sampling.js", "attention.js", "draw_attention.js"),
    ),
    "sampling": Playground(
        "Play with it: temperature, top-k and top-p",
        "All tokens that the base model knows, after the prompt. Move the sliders: what they cut "
        "off is struck through, and its bar is hatched. Then draw a continuation. The model itself "
        "runs in this page, and writes with the settings of the sliders.",
        ("page.js", "sampling.js", "decoder.js", "draw_sampling.js"),
    ),
    "nf4": Playground(
        "Play with it: an outlier in a block",
        "Weights of the base model (dots), the 16 levels of their block (lines), and what each "
        "weight comes back as (dashes). Below stand the codes, from 0 to f where there is room, "
        "and a bar for each error. Drag a dot up or down, or choose a weight and move its slider.",
        ("page.js", "sampling.js", "nf4.js", "draw_nf4.js"),
    ),
}


def part_of(name: str, file: Path) -> dict[str, Any]:
    """Returns what the template needs for a figure whose data are in a file.

    Raises:
        ValueError: there is no figure of that name.
    """
    if name not in PLAYGROUNDS:
        raise ValueError(f"no figure to play with is called {name!r}; there are {[*PLAYGROUNDS]}")
    data = json.loads(file.read_text(encoding="utf-8"))
    return {"name": name, "about": PLAYGROUNDS[name], "data": data}


def scripts_of(parts: Iterable[dict[str, Any]]) -> list[str]:
    """Returns the scripts that a page with these parts loads, each once, in their order."""
    plays = [part["play"]["about"] for part in parts if "play" in part]
    return list(dict.fromkeys(f"{FOLDER}/{script}" for play in plays for script in play.scripts))


def copy_scripts(book: Path, scripts: Iterable[str]) -> None:
    """Copies the scripts of the pages and their styles into the book.

    The base model goes along if the figure that writes with it is among them.
    """
    names = {Path(script).name for script in scripts}
    if not names:
        return
    (book / FOLDER).mkdir(parents=True, exist_ok=True)
    for name in sorted(names | {"play.css"}):
        shutil.copyfile(Path(__file__).parent / name, book / FOLDER / name)
    if "decoder.js" in names:
        write_weights(book / FOLDER / WEIGHTS, data_folder() / "base")


def write_weights(path: Path, model: Path) -> None:
    """Writes a model's config and weights as a script, unless they are there already.

    A page that was opened from a disk may load scripts, but may not read other files.
    """
    config = json.dumps(json.loads((model / "config.json").read_text(encoding="utf-8")))
    weights = (model / "model.safetensors").read_bytes()
    first = f"// config {config}, SHA-256 of the weights {hashlib.sha256(weights).hexdigest()}\n"
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            if file.readline() == first:
                return
    letters = base64.b64encode(weights).decode("ascii")
    made = f'const BASE_MODEL = {{ config: {config}, safetensors: "{letters}" }};\n'
    write_text(path, first + made)

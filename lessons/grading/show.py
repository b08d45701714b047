"""Writes values so that they can be read in a terminal, two of them beside each other.

What is short is shown whole. Of what is long, the part around the first place that differs:

    row 3 to 5, column 0 to 3 of [64, 128]
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from lessons.grading.task import Made
from lessons.grading.values import Lazy, Strange

ROWS, COLUMNS = 6, 6  # of a tensor
ITEMS = 8  # of a list
LETTERS = 60  # of a text


class Cell(NamedTuple):
    """A text and whether it stands for a part that differs."""

    text: str
    differs: bool = False


Grid = list[list[Cell]]


class Shown(NamedTuple):
    """Values as grids of cells of one form, and where in the whole they stand; "" if all is there.

    Attributes:
        where: "row 3 to 5 of 64".
        grids: one a value.
    """

    where: str
    grids: list[Grid]


def beside(expected: Any, got: Any, wrong: torch.Tensor | None = None) -> Shown | None:
    """Returns two values of one form, cell by cell; None if their forms differ.

    Args:
        wrong: for tensors, bool, which elements differ.
    """
    expected, got = plain(expected), plain(got)
    if isinstance(expected, torch.Tensor) and isinstance(got, torch.Tensor):
        if expected.shape != got.shape:
            return None
        if wrong is None or wrong.shape != expected.shape:
            wrong = ~((expected == got) | ((expected != expected) & (got != got)))
        return beside_tensors(expected, got, wrong)
    if isinstance(expected, dict) and isinstance(got, dict):
        return beside_dicts(expected, got)
    if isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)):
        return beside_lists(expected, got)
    return None


def plain(value: Any) -> Any:
    """Returns a tensor for a numpy array, a list for what a generator yielded."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    return value.items if isinstance(value, Lazy) else value


def beside_tensors(expected: torch.Tensor, got: torch.Tensor, wrong: torch.Tensor) -> Shown:
    """Returns the first rows and columns that differ of two tensors of one shape."""
    where, place = window(expected.shape, wrong)
    parts = [matrix(part[place]) for part in (expected, got, wrong)]
    rows, columns = parts[0].shape
    texts = [
        [number_pair(parts[0][i, j].item(), parts[1][i, j].item()) for j in range(columns)]
        for i in range(rows)
    ]
    marks = parts[2].tolist()
    grids = [
        [[Cell(texts[i][j][k], marks[i][j]) for j in range(columns)] for i in range(rows)]
        for k in range(2)
    ]
    return Shown(where, grids)


def matrix(part: torch.Tensor) -> torch.Tensor:
    """Returns a tensor of at most two dimensions as one of two."""
    return part.reshape(1, -1) if part.dim() < 2 else part


def window(shape: Sequence[int], wrong: torch.Tensor) -> tuple[str, tuple]:
    """Returns where the first wrong element stands, in words, and an index of what is around it."""
    first = wrong.nonzero()[0].tolist() if bool(wrong.any()) else [0] * len(shape)
    lead = first[:-2]
    last = [("row", ROWS), ("column", COLUMNS)] if len(shape) > 1 else [("number", COLUMNS)]
    slices, words = [], []
    for at, size, (name, most) in zip(first[-2:], shape[-2:], last, strict=False):
        start = 0 if size <= most else max(0, min(at - most // 2, size - most))
        slices.append(slice(start, start + most))
        words += [f"{name} {start} to {start + most - 1} of {size}"] if size > most else []
    if lead:
        words.insert(0, f"[{', '.join(map(str, lead))}, :, :] of {list(shape)}")
    return ", ".join(words), (*lead, *slices)


def beside_lists(expected: Sequence, got: Sequence) -> Shown:
    """Returns the items around the first that differs of two lists."""
    n = max(len(expected), len(got))
    differs = [
        not (i < min(len(expected), len(got)) and same(expected[i], got[i])) for i in range(n)
    ]
    first = differs.index(True) if True in differs else 0
    start = 0 if n <= ITEMS else max(0, min(first - ITEMS // 2, n - ITEMS))
    shown = range(start, min(n, start + ITEMS))
    pairs = {
        i: number_pair(*(side[i] if i < len(side) else None for side in (expected, got)))
        for i in shown
    }
    grids: list[Grid] = []
    for k, side in enumerate((expected, got)):
        cells = [Cell(pairs[i][k], differs[i]) for i in shown if i < len(side)]
        long = any(len(text) > LETTERS // ITEMS for pair in pairs.values() for text in pair)
        grids.append([[cell] for cell in cells] if long else [cells])
    where = f"item {start} to {shown[-1]} of {n}" if n > ITEMS else ""
    return Shown(where, grids)


def beside_dicts(expected: dict, got: dict) -> Shown:
    """Returns the entries of two dicts, the differing ones first, one a row."""
    keys = [*expected, *(key for key in got if key not in expected)]
    wrong = [k for k in keys if not (k in expected and k in got and same(expected[k], got[k]))]
    shown = [*wrong, *(key for key in keys if key not in wrong)][:ITEMS]
    grids: list[Grid] = [[], []]
    for key in shown:
        pair = number_pair(*(side.get(key) for side in (expected, got)))
        for k, side in enumerate((expected, got)):
            text = f"{short(key)}: {pair[k]}" if key in side else "-"
            grids[k].append([Cell(text, key in wrong)])
    where = f"{len(shown)} of {len(keys)} entries" if len(keys) > len(shown) else ""
    return Shown(where, grids)


def same(one: Any, other: Any) -> bool:
    """Returns whether two parts are equal, to show them; NaN equals NaN."""
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        both = isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
        return both and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-9) or (one != one and other != other)
    try:
        return bool(one == other)
    except Exception:  # numpy arrays
        return False


def number_pair(one: Any, other: Any) -> tuple[str, str]:
    """Returns two values as short as they can be told apart: 0.5 and 0.25, 1.0000001 and 1.0."""
    if isinstance(one, float) and isinstance(other, float):
        for digits in (4, 6, 9, 17):
            texts = f"{one:.{digits}g}", f"{other:.{digits}g}"
            if texts[0] != texts[1] or one == other:
                return texts
    return short(one), short(other)


def short(value: Any, most: int = LETTERS) -> str:
    """Returns a value in one line of at most about so many letters."""
    value = plain(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, torch.Tensor):
        kind = f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
        if value.dim() == 0:
            return short(value.item())
        return short(value.tolist()) if 0 < value.numel() <= ITEMS and value.dim() == 1 else kind
    if isinstance(value, Strange):
        return f"<{value.type}>"
    if isinstance(value, Made):
        return f"<{value.kind.replace('_', ' ')}>"
    if isinstance(value, dict):
        items = list(value.items())[:99]
        text = "{" + ", ".join(f"{short(k, most)}: {short(v, most)}" for k, v in items) + "}"
    elif isinstance(value, (list, tuple)):
        ends = "[]" if isinstance(value, list) else "()"
        inner = ", ".join(short(item, most) for item in value[:99])
        text = ends[0] + inner + ("," if len(value) == 1 and ends == "()" else "") + ends[1]
    else:
        text = repr(value)
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def whole(value: Any) -> list[str]:
    """Returns a value in as many lines as it takes: an argument of a call."""
    value = plain(value)
    if isinstance(value, Made):
        fields = [f"{name}={short(part)}" for name, part in value.fields.items()]
        return [f"{value.kind.replace('_', ' ')}({', '.join(fields)})"]
    if not isinstance(value, torch.Tensor) or value.dim() == 0:
        return textwrap.wrap(short(value, ROWS * LETTERS), LETTERS) or [""]
    kind = f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if value.numel() == 0 or value.numel() > ROWS * COLUMNS:
        return [kind]
    flat = value.reshape(-1, value.size(-1))
    texts = [[short(number) for number in row] for row in flat.tolist()]
    width = max(len(text) for row in texts for text in row)
    lines = [kind]
    n = COLUMNS if width < 10 else COLUMNS - 1  # so that they fit 80 columns
    for row in texts:
        for start in range(0, len(row), n):
            margin = "  " if start == 0 or len(texts) == 1 else "    "
            cells = (text.rjust(width) for text in row[start : start + n])
            lines.append(margin + "  ".join(cells))
    return lines

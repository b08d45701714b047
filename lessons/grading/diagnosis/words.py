"""How numbers, shapes, values and places are said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def number(value: float) -> str:
    """Returns a number with up to four digits: 4, 0.25, 1.414, 1e-05."""
    if isinstance(value, bool):
        return str(value)
    whole = math.isfinite(value) and abs(value - round(value)) < 1e-4 * max(abs(value), 1e-9)
    if whole and abs(value) < 1e6:
        return str(round(value))
    return f"{value:.4g}"


def sizes(shape: Sequence[int]) -> str:
    """Returns a shape: [2, 3]."""
    return f"[{', '.join(map(str, shape))}]"


def listing(items: Sequence[str]) -> str:
    """Returns "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def ordinal(i: int) -> str:
    """Returns "first" for 0."""
    return ORDINALS[i] if i < len(ORDINALS) else f"{i + 1}th"


def subject(place: tuple, value: Any = None) -> str:
    """Returns what stands at a place, at the beginning of a sentence.

    Args:
        place: ("result",), ("result", 1), ("gradient", "x"), ("after", "w").
        value: the right value there.
    """
    if place[0] == "gradient":
        return f"The gradient of {place[1]}"
    if place[0] == "after":
        return f"After the call {place[1]}"
    if len(place) > 2:
        return f"Part {place[2] + 1} of result {place[1] + 1}"
    if len(place) > 1:
        return (
            f"The {ordinal(place[1])} result"
            if isinstance(place[1], int)
            else f"What is in {place[1]}"
        )
    many = isinstance(value, torch.Tensor) and value.dim() > 0
    return "Everything" if many else "The answer"


def times(factor: float) -> str:
    """Returns "4 times what it should be" and the like, after a subject and "is"."""
    if abs(factor - 1) < 1e-3:
        return f"{factor:.7g} times what it should be"
    if abs(factor) < 1 and abs(1 / factor - round(1 / factor)) < 1e-3 / abs(factor):
        below = round(1 / factor)
        if below == 2:
            return "half of what it should be"
        if below > 0:
            return f"1/{below} of what it should be"
    if factor > 1:
        return f"{number(factor)} times as large as it should be"
    return f"{number(factor)} times what it should be"


TYPES = {"Tensor": "a tensor", "ndarray": "a numpy array", "Lazy": "a generator"}


def kind_of(item: Any) -> str:
    """Returns what a value is: "a tensor", "an int"."""
    name = type(item).__name__
    if name == "Strange":
        name = item.type
    if item is None:
        return "None"
    return TYPES.get(name, f"{'an' if name[:1] in 'aeiou' else 'a'} {name}")


def value(item: Any, longest: int = 60) -> str:
    """Returns a value as a learner would type it, cut if it is long."""
    if isinstance(item, torch.Tensor):
        text = (
            str(item.tolist()) if item.numel() <= 12 else f"a tensor of shape {sizes(item.shape)}"
        )
    elif isinstance(item, float):
        text = number(item)
    else:
        text = repr(item)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def axis_name(axes: dict[str, str], argument: str, axis: int, dims: int) -> str:
    """Returns "axis 1 (token)", or "axis 1" where the task gives no name."""
    names = axes.get(argument, "").split()
    return f"axis {axis} ({names[axis]})" if len(names) == dims else f"axis {axis}"

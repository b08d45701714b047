"""What is special about the inputs of a trial: "mask is None", "x.size(1) is odd", "x has ties".

`flags` returns truth values by their sentence, `measures` numbers that may pass a threshold.
A trial lacks the ones that make no sense for its arguments.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from lessons.grading.diagnosis.scalars import scalars
from lessons.grading.diagnosis.series import as_tensor

if TYPE_CHECKING:
    from lessons.grading.trial import Trial


def flags(trial: Trial) -> dict[str, bool]:
    """Returns what is so and what is not, the plainest first."""
    found: dict[str, bool] = {}
    for slot in trial.slots:
        name, value = slot.name, slot.value
        if slot.default is None or value is None:
            found[f"{name} is None"] = value is None
            found[f"{name} is given"] = value is not None
        elif slot.default is not None and not slot.given:
            found[f"{name} is left at its default"] = True
        if slot.given and isinstance(slot.default, (bool, int, float)):
            found[f"{name} is left at its default"] = False
            found[f"{name} is not its default, {slot.default}"] = value != slot.default
        found.update(of_value(name, value))
    found.update(of_sizes(trial))
    found.update(of_answer(trial))
    return found


def of_value(name: str, value: Any) -> Iterator[tuple[str, bool]]:
    """Yields the flags of one argument."""
    if isinstance(value, bool):
        yield f"{name} is True", value
        yield f"{name} is False", not value
    elif isinstance(value, (int, float)):
        yield f"{name} is 0", value == 0
        yield f"{name} is not 0", value != 0
        yield f"{name} is 1", value == 1
        yield f"{name} is negative", value < 0
        if isinstance(value, float):
            yield (
                f"{name} is a whole number",
                value == math.floor(value) if math.isfinite(value) else False,
            )
            yield f"{name} is infinite", math.isinf(value)
    elif isinstance(value, torch.Tensor):
        yield from of_tensor(name, value)
    elif isinstance(value, (list, tuple, str)):
        yield from of_list(name, value)
    elif isinstance(value, dict):
        yield f"{name} is empty", not value
        yield f"{name} has one entry", len(value) == 1
        values = list(value.values())
        if values and all(isinstance(v, (int, float)) for v in values):
            yield f"{name} has equal values", len(set(values)) < len(values)
            yield f"the largest value of {name} comes more than once", values.count(max(values)) > 1
            yield (
                f"the smallest value of {name} comes more than once",
                values.count(min(values)) > 1,
            )
        yield from of_list(f"the keys of {name}", list(value))


def of_tensor(name: str, x: torch.Tensor) -> Iterator[tuple[str, bool]]:
    """Yields the flags of a tensor."""
    yield f"{name} is empty", x.numel() == 0
    yield f"{name} has one number", x.numel() == 1
    yield f"{name} is not contiguous (a transposed or strided view)", not x.is_contiguous()
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        yield f"{name} is {str(dtype).removeprefix('torch.')}", x.dtype == dtype
    for dims in (0, 1, 2, 3, 4):
        yield f"{name} has {dims} dimensions", x.dim() == dims
    if x.numel() == 0:
        return
    if x.dtype == torch.bool:
        yield f"{name} is True everywhere", bool(x.all())
        yield f"{name} is False everywhere", not bool(x.any())
        return
    if x.dtype.is_floating_point:
        yield f"{name} has NaN", bool(x.isnan().any())
        yield f"{name} has an infinite number", bool(x.isinf().any())
    yield f"{name} has negative numbers", bool((x < 0).any())
    yield f"{name} has zeros", bool((x == 0).any())
    yield f"{name} is all zeros", not bool(x.any())
    yield f"{name} has equal numbers", x.unique().numel() < x.numel()
    if x.dim() and x.size(-1) > 1:
        rows = x.reshape(-1, x.size(-1)).sort(-1).values
        equal = rows[:, 1:] == rows[:, :-1]
        yield f"a row of {name} has equal numbers", bool(equal.any())
        yield f"the largest number of a row of {name} comes twice", bool(equal[:, -1].any())
        yield f"{name} has two equal rows", rows.size(0) > rows.unique(dim=0).size(0)


def of_list(name: str, items: Any) -> Iterator[tuple[str, bool]]:
    """Yields the flags of a list, a tuple or a text."""
    items = list(items)
    yield f"{name} is empty", not items
    yield f"{name} has one entry", len(items) == 1
    if len(items) < 1:
        return
    texts = [repr(item) for item in items]
    yield f"{name} has equal entries", len(set(texts)) < len(texts)
    yield (
        f"{name} has equal entries side by side",
        any(a == b for a, b in itertools.pairwise(texts)),
    )
    yield (
        f"{name} has three equal entries in a row",
        any(a == b == c for a, b, c in zip(texts, texts[1:], texts[2:], strict=False)),
    )
    yield f"all entries of {name} are equal", len(set(texts)) == 1 and len(texts) > 1
    yield f"{name} begins and ends with the same entry", texts[0] == texts[-1] and len(texts) > 1
    if all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in items):
        yield f"{name} is in ascending order", items == sorted(items)
        yield f"{name} has zeros", 0 in items
        yield f"{name} has negative numbers", any(item < 0 for item in items)
        yield f"the smallest number of {name} comes twice", items.count(min(items)) > 1
        yield f"the largest number of {name} comes twice", items.count(max(items)) > 1
    if all(isinstance(item, (list, tuple, str)) for item in items):
        lengths = [len(item) for item in items]
        yield f"{name} has an empty entry", 0 in lengths
        yield f"the first entry of {name} is empty", lengths[0] == 0
        yield f"the last entry of {name} is empty", lengths[-1] == 0
        yield f"the entries of {name} have different lengths", len(set(lengths)) > 1
        yield (
            f"an entry of {name} repeats something",
            any(len({repr(x) for x in i}) < len(i) for i in items),
        )


def of_sizes(trial: Trial) -> Iterator[tuple[str, bool]]:
    """Yields comparisons between whole numbers of the inputs."""
    whole = {
        name: int(v)
        for name, v in scalars(trial).items()
        if math.isfinite(v) and v == int(v) and ".numel" not in name
    }
    for name, value in whole.items():
        yield f"{name} is odd", value % 2 == 1
        yield f"{name} is 1 ", value == 1
        yield f"{name} is not 1", value != 1
    for (a, x), (b, y) in itertools.combinations(list(whole.items())[:12], 2):
        yield f"{a} equals {b}", x == y
        yield f"{a} differs from {b}", x != y
        yield f"{a} is larger than {b}", x > y
        yield f"{a} is smaller than {b}", x < y
        if 1 < y <= x:
            yield f"{a} is not a multiple of {b}", x % y != 0
        if 1 < x <= y:
            yield f"{b} is not a multiple of {a}", y % x != 0
    floats = {n: v for n, v in scalars(trial).items() if n in trial.named and n not in whole}
    for (a, v), (b, w) in itertools.combinations(floats.items(), 2):
        yield f"{a} is larger than {b} ", v > w
    lists = {s.name: s.value for s in trial.slots if isinstance(s.value, (list, tuple, str))}
    for (a, one), (b, other) in itertools.combinations(lists.items(), 2):
        yield f"{a} and {b} are equal", list(one) == list(other)
        try:
            shared = set(one) & set(other)
            yield f"{a} and {b} have nothing in common", not shared
            yield f"{a} has something that {b} lacks", bool(set(one) - set(other))
            yield f"{b} has something that {a} lacks", bool(set(other) - set(one))
            often = any(one.count(x) > other.count(x) for x in shared)
            yield f"something comes more often in {a} than in {b}", often
            yield (
                f"something comes more often in {b} than in {a}",
                any(other.count(x) > one.count(x) for x in shared),
            )
        except TypeError:
            continue


def of_answer(trial: Trial) -> Iterator[tuple[str, bool]]:
    """Yields the flags of the right answer."""
    want = trial.want.get("result")
    if want is None or isinstance(want, (bool, str)):
        yield "the right answer is None", want is None
        yield "the right answer is True", want is True
        return
    yield "the right answer is None", False
    if isinstance(want, (int, float)):
        yield "the right answer is 0", want == 0
        yield "the right answer is 1", want == 1
        yield "the right answer is negative", want < 0
    elif isinstance(want, (list, tuple, dict)):
        yield "the right answer is empty", len(want) == 0
    x = as_tensor(want)
    if x is not None and x.dim() and x.numel() and x.dtype != torch.bool:
        yield "the right answer has zeros", bool((x == 0).any())
        yield "the right answer has negative numbers", bool((x < 0).any())
        yield "the right answer is all zeros", not bool(x.any())


def measures(trial: Trial) -> dict[str, float]:
    """Returns numbers of the inputs by name: arguments, sizes, largest numbers."""
    found: dict[str, float] = dict(scalars(trial))
    for slot in trial.slots:
        x = as_tensor(slot.value)
        if x is not None and x.dtype != torch.bool and x.dim() and x.numel():
            finite = x.double()[x.double().isfinite()]
            if finite.numel():
                found[f"the largest number of {slot.name}"] = float(finite.max())
                found[f"the smallest number of {slot.name}"] = float(finite.min())
                found[f"the largest number of {slot.name} in size"] = float(finite.abs().max())
        if isinstance(slot.value, (list, tuple)) and slot.value:
            try:
                found[f"the number of different entries of {slot.name}"] = len(set(slot.value))
            except TypeError:
                if all(isinstance(item, (list, tuple)) for item in slot.value):
                    found[f"the length of the longest entry of {slot.name}"] = max(
                        map(len, slot.value)
                    )
        if isinstance(slot.value, dict) and slot.value:
            numbers = [v for v in slot.value.values() if isinstance(v, (int, float))]
            if numbers:
                found[f"the largest value of {slot.name}"] = max(numbers)
    return found

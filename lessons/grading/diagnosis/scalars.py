"""Finds what a number is that differs from trial to trial: r, sqrt(head size), 1 / block_size.

The candidates are the numbers among the arguments and the sizes of the others, with their roots,
squares, inverses, neighbours, products and quotients.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from lessons.grading.diagnosis.words import number

if TYPE_CHECKING:
    from lessons.grading.trial import Trial

CONSTANTS = {
    "ln 2": math.log(2),
    "1 / ln 2": 1 / math.log(2),
    "e": math.e,
    "1 / e": 1 / math.e,
    "pi": math.pi,
    "sqrt(2)": math.sqrt(2),
    "1 / sqrt(2)": math.sqrt(0.5),
    "ln 10": math.log(10),
    "1 / ln 10": 1 / math.log(10),
}


class Known(NamedTuple):
    """What a number is.

    Attributes:
        name: "r", "1 / sqrt(D)", "4".
        values: what it is in the trials it was found in.
        constant: whether it is the same in all of them.
        of: its value in another trial, None where that lacks what it is made of.
    """

    name: str
    values: list[float]
    constant: bool
    of: Callable[[Trial], float | None]


def scalars(trial: Trial) -> dict[str, float]:
    """Returns the numbers that a trial's inputs have by name: arguments first, then sizes."""
    found: dict[str, float] = {}
    named_sizes: dict[str, float] = {}
    sizes: dict[str, float] = {}
    for slot in trial.slots:
        value = slot.value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if math.isfinite(value):
                found[slot.name] = float(value)
        elif isinstance(value, torch.Tensor):
            names = trial.task.axes.get(slot.name, "").split()
            for axis, size in enumerate(value.shape):
                if len(names) == value.dim() and len(names[axis]) <= 2:
                    named_sizes.setdefault(names[axis], float(size))
                elif len(names) == value.dim():
                    sizes[f"{slot.name}.size({axis}) ({names[axis]})"] = float(size)
                else:
                    sizes[f"{slot.name}.size({axis})"] = float(size)
            if value.dim() > 1:
                sizes[f"{slot.name}.numel()"] = float(value.numel())
            if value.numel() == 1 and value.dtype.is_floating_point:
                found[slot.name] = float(value)
        elif isinstance(value, str) and "." in slot.name:
            continue  # a field such as "dtype" is a name, whose length means nothing
        elif isinstance(value, (list, tuple, str, dict, set)):
            sizes[f"len({slot.name})"] = float(len(value))
            sizes.update(of_numbers(slot.name, value))
            if isinstance(value, tuple) and len(value) <= 4 and all(map(_is_float, value)):
                found.update({f"{slot.name}[{i}]": float(item) for i, item in enumerate(value)})
    return {**found, **named_sizes, **sizes, **counts(trial)}


def _is_float(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def of_numbers(name: str, items: Any) -> dict[str, float]:
    """Returns the sum, the largest and the smallest of a list of numbers."""
    numbers = list(items) if isinstance(items, (list, tuple)) else []
    if numbers and all(isinstance(x, tuple) and len(x) == 2 for x in numbers):
        firsts, seconds = [x[0] for x in numbers], [x[1] for x in numbers]
        if not all(type(x) is int for x in (*firsts, *seconds)):
            return {}
        return {
            f"the sum of the first entries of {name}": float(sum(firsts)),
            f"the sum of the second entries of {name}": float(sum(seconds)),
            f"the sum of the products in {name}": float(sum(map(math.prod, numbers))),
        }
    if len(numbers) < 1 or not all(type(item) in (int, float) for item in numbers):
        return {}
    found = {"sum": sum(numbers), "max": max(numbers), "min": min(numbers)}
    return {f"{f}({name})": float(n) for f, n in found.items() if math.isfinite(n)}


def counts(trial: Trial) -> dict[str, float]:
    """Returns how many entries of masks are True, and how many ids are not a given number."""
    found: dict[str, float] = {}
    numbers = {s.name: s.value for s in trial.slots if type(s.value) is int}
    for slot in trial.slots:
        x = slot.value
        if not isinstance(x, torch.Tensor) or x.dtype.is_floating_point or x.dim() == 0:
            continue
        if x.dtype == torch.bool:
            found[f"the number of True in {slot.name}"] = float(x.sum())
        for name, one in numbers.items() if x.dtype != torch.bool else ():
            text = f"the number of {slot.name} that are not {name}"
            found[text] = float((x != one).sum())
    return found


def columns(trials: Sequence[Trial]) -> dict[str, list[float]]:
    """Returns the numbers that every trial has; of those that are equal throughout, the first."""
    rows = [scalars(trial) for trial in trials]
    found: dict[tuple, str] = {}
    for name in rows[0] if rows else ():
        if all(name in row for row in rows):
            found.setdefault(tuple(row[name] for row in rows), name)
    return {name: list(values) for values, name in found.items()}


class Expression(NamedTuple):
    """Something made of named numbers: "sqrt(r)", and how to compute it from them."""

    name: str
    of: Callable[[Mapping[str, float]], float]


SINGLE: list[tuple[str, Callable[[float], float]]] = [
    ("{n}", lambda v: v),
    ("{n} + 1", lambda v: v + 1),
    ("{n} - 1", lambda v: v - 1),
    ("{n} / ({n} - 1)", lambda v: v / (v - 1)),
    ("({n} - 1) / {n}", lambda v: (v - 1) / v),
    ("sqrt({n} / ({n} - 1))", lambda v: math.sqrt(v / (v - 1))),
    ("sqrt(({n} - 1) / {n})", lambda v: math.sqrt(1 - 1 / v)),
    ("{n} / ({n} + 1)", lambda v: v / (v + 1)),
    ("({n} + 1) / {n}", lambda v: (v + 1) / v),
    ("1 / ({n} + 1)", lambda v: 1 / (v + 1)),
    ("1 / ({n} - 1)", lambda v: 1 / (v - 1)),
    ("1 - {n}", lambda v: 1 - v),
    ("1 / (1 - {n})", lambda v: 1 / (1 - v)),
    ("log({n})", math.log),
    ("2^{n}", lambda v: 2.0**v),
    ("1 / 2^{n}", lambda v: 2.0**-v),
]
PAIRS: list[tuple[str, Callable[[float, float], float]]] = [
    ("{a} + {b}", lambda v, w: v + w),
    ("{a} - {b}", lambda v, w: v - w),
    ("({a} - {b}) / {a}", lambda v, w: (v - w) / v),
]


def expressions(names: Sequence[str]) -> Iterator[Expression]:
    """Yields what can be made of numbers by adding and taking roots, the simplest first."""
    for (text, f), name in itertools.product(SINGLE, names):
        yield Expression(text.format(n=inner(name)), partial(_one, name, f))
    for (text, g), (a, b) in itertools.product(PAIRS, itertools.permutations(names, 2)):
        yield Expression(text.format(a=inner(a), b=inner(b)), partial(_two, a, b, g))


def _one(name: str, f: Callable[[float], float], row: Mapping[str, float]) -> float:
    return f(row[name])


def _two(a: str, b: str, g: Callable[[float, float], float], row: Mapping[str, float]) -> float:
    return g(row[a], row[b])


def _product(
    k: float, names: Sequence[str], exponents: Sequence[float], row: Mapping[str, float]
) -> float:
    return k * math.prod(row[n] ** e for n, e in zip(names, exponents, strict=True))


def inner(name: str) -> str:
    """Returns a name as it stands in a product: in parentheses if it is more than one word."""
    return name if re.fullmatch(r"[\w.]+(\(\w*\))?", name) else f"({name})"


def monomials(
    values: Sequence[float], known: Mapping[str, Sequence[float]], rtol: float
) -> Iterator[Expression]:
    """Yields k a^i b^j c^l that gives the values, with a plain k; few and small powers first."""
    target = np.asarray(values)
    usable = {n: np.asarray(c) for n, c in known.items() if min(c) > 0 and max(c) > min(c)}
    usable = dict(list(usable.items())[:14])
    for count, powers in ((1, (1, -1, 0.5, -0.5, 2, -2)), (2, (1, -1, 0.5, -0.5)), (3, (1, -1))):
        if count == 3 and len(target) < 5:
            return
        for names in itertools.combinations(usable, count):
            for exponents in itertools.product(powers, repeat=count):
                product = np.ones_like(target)
                for name, exponent in zip(names, exponents, strict=True):
                    product = product * usable[name] ** exponent
                ratios = target / product
                k = float(np.median(ratios))
                if k and np.all(np.abs(ratios - k) <= rtol * abs(k)) and (said := coefficient(k)):
                    name = product_name(said, names, exponents)
                    yield Expression(name, partial(_product, k, names, exponents))


def coefficient(k: float) -> str:
    """Returns a plain number: "1", "2", "1/4", "3/8"; "" if k is not one."""
    sign, k = ("-" if k < 0 else ""), abs(k)
    for below in (1, 2, 3, 4, 8, 16):
        above = round(k * below)
        if 0 < above <= 64 and abs(k * below - above) < 1e-4 * above:
            return f"{sign}{above}" + (f"/{below}" if below > 1 else "")
    return ""


def product_name(k: str, names: Sequence[str], exponents: Sequence[float]) -> str:
    """Returns "2 * a * b / (c * sqrt(d))"."""
    form = {0.5: "sqrt({})", 1: "{}", 2: "{}^2"}
    above: list[str] = []
    below: list[str] = []
    for name, exponent in zip(names, exponents, strict=True):
        bare = name if abs(exponent) == 0.5 else inner(name)
        (above if exponent > 0 else below).append(form[abs(exponent)].format(bare))
    if k not in ("1", "-1") or not above:
        above.insert(0, k)
    text = " * ".join(above)
    if k == "-1" and above[0] != k:
        text = f"-{text}"
    if not below:
        return text
    return f"{text} / {below[0]}" if len(below) == 1 else f"{text} / ({' * '.join(below)})"


def alike(a: float, b: float, rtol: float) -> bool:
    """Returns whether two numbers agree."""
    return abs(a - b) <= rtol * max(abs(a), abs(b), 1e-30)


def identify(values: list[float], trials: Sequence[Trial], rtol: float = 1e-4) -> Known | None:
    """Returns what the numbers are, one for each trial; None if nothing fits.

    A number that never varies is said to be that number. A name is given only where the number
    varies and the named one varies with it.
    """
    if not values:
        return None
    if all(alike(value, values[0], rtol) for value in values):
        name = next((n for n, c in CONSTANTS.items() if alike(values[0], c, min(rtol, 1e-3))), None)
        return Known(name or number(values[0]), values, True, lambda trial: values[0])
    known = columns(trials)
    if not known:
        return None
    rows = [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)]
    tries = itertools.chain(
        itertools.islice(monomials(values, known, rtol), 1), expressions(list(known)[:14])
    )
    for expression in tries:
        try:
            if all(alike(v, expression.of(row), rtol) for v, row in zip(values, rows, strict=True)):
                return Known(expression.name, values, False, _later(expression))
        except (ValueError, ZeroDivisionError, OverflowError):
            continue
    return None


def _later(expression: Expression) -> Callable[[Trial], float | None]:
    """Returns the evaluation of an expression for other trials."""

    def of(trial: Trial) -> float | None:
        try:
            return expression.of(scalars(trial))
        except (KeyError, ValueError, ZeroDivisionError, OverflowError):
            return None

    return of

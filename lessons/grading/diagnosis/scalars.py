"""Finds what a number is that differs from trial to trial: r, sqrt(head size), 1 / block_size.

The candidates are the numbers among the arguments and the sizes of the others, with their roots,
squares, inverses, neighbours, products and quotients.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from lessons.grading.diagnosis.words import number

if TYPE_CHECKING:
    from lessons.grading.experiment import Trial

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
        elif isinstance(value, (list, tuple, str, dict, set)):
            sizes[f"len({slot.name})"] = float(len(value))
            if isinstance(value, tuple) and len(value) <= 4 and all(map(_plain, value)):
                found.update({f"{slot.name}[{i}]": float(item) for i, item in enumerate(value)})
    return {**found, **named_sizes, **sizes}


def _plain(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


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


def expressions(names: Sequence[str]) -> Iterator[Expression]:
    """Yields what can be made of numbers by adding and taking roots, the simplest first."""
    for n in names:
        yield Expression(n, lambda row, n=n: row[n])
    for n in names:
        m = inner(n)
        yield Expression(f"{m} + 1", lambda row, n=n: row[n] + 1)
        yield Expression(f"{m} - 1", lambda row, n=n: row[n] - 1)
        yield Expression(f"{m} / ({m} - 1)", lambda row, n=n: row[n] / (row[n] - 1))
        yield Expression(f"({m} - 1) / {m}", lambda row, n=n: (row[n] - 1) / row[n])
        yield Expression(
            f"sqrt({m} / ({m} - 1))", lambda row, n=n: math.sqrt(row[n] / (row[n] - 1))
        )
        yield Expression(f"sqrt(({m} - 1) / {m})", lambda row, n=n: math.sqrt(1 - 1 / row[n]))
        yield Expression(f"{m} / ({m} + 1)", lambda row, n=n: row[n] / (row[n] + 1))
        yield Expression(f"({m} + 1) / {m}", lambda row, n=n: (row[n] + 1) / row[n])
        yield Expression(f"1 / ({m} + 1)", lambda row, n=n: 1 / (row[n] + 1))
        yield Expression(f"1 / ({m} - 1)", lambda row, n=n: 1 / (row[n] - 1))
        yield Expression(f"1 - {m}", lambda row, n=n: 1 - row[n])
        yield Expression(f"1 / (1 - {m})", lambda row, n=n: 1 / (1 - row[n]))
        yield Expression(f"log({n})", lambda row, n=n: math.log(row[n]))
        yield Expression(f"2^{m}", lambda row, n=n: 2.0 ** row[n])
        yield Expression(f"1 / 2^{m}", lambda row, n=n: 2.0 ** -row[n])
    for a, b in itertools.permutations(names, 2):
        if a < b:
            yield Expression(f"{inner(a)} + {inner(b)}", lambda row, a=a, b=b: row[a] + row[b])
        yield Expression(f"{inner(a)} - {inner(b)}", lambda row, a=a, b=b: row[a] - row[b])
        yield Expression(
            f"({inner(a)} - {inner(b)}) / {inner(a)}",
            lambda row, a=a, b=b: (row[a] - row[b]) / row[a],
        )


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
                if count == 2 and len({abs(e) for e in exponents}) > 1:
                    continue
                product = np.ones_like(target)
                for name, exponent in zip(names, exponents, strict=True):
                    product = product * usable[name] ** exponent
                ratios = target / product
                k = float(np.median(ratios))
                if k and np.all(np.abs(ratios - k) <= rtol * abs(k)) and (said := coefficient(k)):
                    yield Expression(
                        product_name(said, names, exponents),
                        lambda row, k=k, names=names, exponents=exponents: (
                            k
                            * math.prod(row[n] ** e for n, e in zip(names, exponents, strict=True))
                        ),
                    )


def coefficient(k: float) -> str:
    """Returns a plain number: "1", "2", "1/4", "3/8"; nothing if k is none."""
    sign, k = ("-" if k < 0 else ""), abs(k)
    for below in (1, 2, 3, 4, 8, 16):
        above = round(k * below)
        if 0 < above <= 64 and abs(k * below - above) < 1e-4 * above:
            return f"{sign}{above}" + (f"/{below}" if below > 1 else "")
    return ""


def product_name(k: str, names: Sequence[str], exponents: Sequence[float]) -> str:
    """Returns "2 * a * b / (c * sqrt(d))"."""
    form = {0.5: "sqrt({})", 1: "{}", 2: "{}^2"}
    above, below = [], []
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
    """Tells whether two numbers agree."""
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

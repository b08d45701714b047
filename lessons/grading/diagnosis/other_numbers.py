"""Other values of a number that a wrong answer may be right for: 0, one more, alpha * r."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lessons.grading.diagnosis.scalars import scalars
from lessons.grading.diagnosis.substitute import Row, Substitute, of_rows, with_value

if TYPE_CHECKING:
    from lessons.grading.trial import Trial

# fmt: off
FLAGS: list[Row] = [
    (1, "other value", "{x} were always True", lambda v: True),
    (1, "other value", "{x} were always False", lambda v: False),
    (1, "opposite", "{x} were the opposite", lambda v: not v),
]
NUMBERS: list[Row] = [
    (1.5, "other value", "{x} were always 0", lambda v: type(v)(0)),
    (1.5, "other value", "{x} were always 1", lambda v: type(v)(1)),
    (1.1, "other value", "{x} were 1 more than it is", lambda v: v + 1),
    (1.1, "other value", "{x} were 1 less than it is", lambda v: v - 1),
    (1.0, "other value", "{x} were 2 more than it is", lambda v: v + 2),
    (1.0, "other value", "{x} were 2 less than it is", lambda v: v - 2),
    (0.5, "other value", "{x} were negative: -{x}", lambda v: -v),
    (0.0, "other value", "{x} were twice as large", lambda v: 2 * v),
    (0.0, "other value", "{x} were squared", lambda v: v * v),
]
WHOLE: list[Row] = [
    (1.5, "other value", "{x} were always 2", lambda v: 2),
    (0.0, "other value", "{x} were half as large", lambda v: v // 2),
]
FLOATS: list[Row] = [
    (1.3, "other value", "{x} were 1 / {x}", lambda v: 1 / v),
    (1.0, "other value", "{x} were 1 - {x}", lambda v: 1 - v),
    (1.0, "other value", "{x} were infinite", lambda v: math.inf),
    (0.0, "other value", "{x} were half as large", lambda v: v / 2),
    (0.0, "other value", "{x} were its square root", math.sqrt),
    (0.0, "other value", "{x} were rounded to a whole number", lambda v: float(round(v))),
    (0.0, "other value", "{x} had lost what is after the decimal point", lambda v: float(int(v))),
    (0.0, "other value", "{x} were at most 1", lambda v: min(v, 1.0)),
    (-1., "other value", "{x} were 10 times as large", lambda v: 10 * v),
    (-1., "other value", "{x} were 100 times as large", lambda v: 100 * v),
    (-1., "other value", "{x} were 100 times as small", lambda v: v / 100),
    (-1., "other value", "{x} were log({x})", math.log),
]

Mix = Callable[[Any, Any], Any]
MIXTURES: list[tuple[float, str, Mix]] = [  # of a number {x} and another number {s} of the inputs
    (0.9, "{x} were {s}", lambda v, s: s),
    (0.4, "{x} were {x} * {s}", lambda v, s: v * s),
    (0.4, "{x} were {x} / {s}", lambda v, s: v / s),
    (0.0, "{x} were {x} + {s}", lambda v, s: v + s),
    (0.0, "{x} were {x} - {s}", lambda v, s: v - s),
    (0.0, "{x} were {s} - {x}", lambda v, s: s - v),
    (-.5, "{x} were at most {s}", min),
    (-.5, "{x} were at least {s}", max),
]
ROOTS: list[tuple[float, str, Mix]] = [
    (0.3, "{x} were {x} * sqrt({s})", lambda v, s: v * math.sqrt(s)),
    (0.3, "{x} were {x} / sqrt({s})", lambda v, s: v / math.sqrt(s)),
]
SCALES: list[tuple[float, str, Mix]] = [*MIXTURES[1:3], *ROOTS]  # what is done to tensors, too
# fmt: on
OTHERS = 12  # how many numbers of the inputs are mixed with one


def for_flag(name: str) -> Iterator[Substitute]:
    """Yields for a bool."""
    yield from of_rows(name, FLAGS)


def for_number(name: str, value: float, trial: Trial) -> Iterator[Substitute]:
    """Yields for an int or a float: constants, neighbours, and what other numbers make of it."""
    whole = isinstance(value, int)
    yield from of_rows(name, NUMBERS)
    yield from of_rows(name, WHOLE if whole else FLOATS)
    yield from mixed(name, trial, MIXTURES if whole else [*MIXTURES, *ROOTS])


def mixed(
    name: str, trial: Trial, ways: list[tuple[float, str, Mix]], more: float = 0.0
) -> Iterator[Substitute]:
    """Yields an argument mixed with each of the numbers that the inputs have."""
    others = [key for key in scalars(trial) if key != name and ".numel" not in key]
    for other in others[:OTHERS]:
        for bonus, phrase, mix in ways:

            def change(v: Any, trial: Trial, other: str = other, mix: Mix = mix) -> Any:
                found = mix(v, scalars(trial)[other])
                return int(found) if isinstance(v, int) else found

            said = phrase.format(x=name, s=other)
            yield Substitute("other value", said, with_value(name, change), bonus=bonus + more)

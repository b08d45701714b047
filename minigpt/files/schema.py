"""What a JSON file may say: the kind of each of its fields, and the check of a file against them.

    SETTINGS = Object({"r": Whole(1, 4096)}, optional={"dropout": Number(0, below=1)})
    check(read_json_object(path), SETTINGS, path)

The check raises one sentence, which names the file, the field as Python would write it, what is
allowed and what was found:

    runs/a/checkpoint.json: progress.validation[3][1] must be a finite number, got "x"

An Object ignores fields that it does not know, unless it is closed: files of other programs say
more than we read.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from minigpt.files.json_objects import shown

LONGEST_NAME = 4096  # a path in Linux
MOST = 2**63 - 1  # the largest whole number that torch can hold


class Kind(Protocol):
    """A kind of value. str() of it ends the sentence "the field must be ..."."""

    def check(self, value: Any) -> None:
        """Raises WrongFieldError if value is not of this kind."""


class WrongFieldError(ValueError):
    """A value is not of its kind.

    Args:
        problem: the rest of a sentence that begins with the field.
        path: of the field, as far as it is known: each list and object adds its part in front.
    """

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem, self.path = problem, path

    def within(self, part: str) -> WrongFieldError:
        """Returns the same for what contains the field."""
        between = "" if self.path.startswith("[") or not self.path else "."
        return WrongFieldError(self.problem, f"{part}{between}{self.path}")


def check(found: Any, kind: Kind, where: str | Path) -> None:
    """Makes sure that a value, read from the file `where`, is of a kind.

    Raises:
        ValueError: it is not; the error names the file and the field.
    """
    try:
        kind.check(found)
    except WrongFieldError as wrong:
        raise ValueError(f"{where}: {wrong.path or 'its content'} {wrong.problem}") from None


def is_of(value: Any, kind: Kind) -> bool:
    """Returns whether a value is of a kind."""
    try:
        kind.check(value)
    except WrongFieldError:
        return False
    return True


def _refuse(kind: Kind, value: object) -> WrongFieldError:
    return WrongFieldError(f"must be {kind}, got {shown(value)}")


@dataclass(frozen=True)
class Whole:
    """A whole number from low to high; neither true nor 3.0 is one."""

    low: int = 0
    high: int = MOST

    def __str__(self) -> str:
        if self.high == MOST:
            return f"a whole number of at least {self.low:,}"
        return f"a whole number from {self.low:,} to {self.high:,}"

    def check(self, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _refuse(self, value)
        if not self.low <= value <= self.high:
            raise _refuse(self, value)


@dataclass(frozen=True)
class Number:
    """A finite number, whole or not, of at least `low` and at most `high`.

    Args:
        above, below: bounds that it may not reach.
    """

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __str__(self) -> str:
        words = {"at least": self.low, "at most": self.high, "above": self.above}
        words["below"] = self.below
        said = [f"{word} {bound:g}" for word, bound in words.items() if math.isfinite(bound)]
        return f"a finite number {' and '.join(said)}".rstrip()

    def check(self, value: Any) -> None:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise _refuse(self, value)
        if not abs(value) <= sys.float_info.max:  # nor is NaN; float() of a large whole one raises
            raise _refuse(self, value)
        if not (self.low <= value <= self.high and self.above < value < self.below):
            raise _refuse(self, value)


@dataclass(frozen=True)
class Switch:
    """true or false."""

    def __str__(self) -> str:
        return "true or false"

    def check(self, value: Any) -> None:
        if not isinstance(value, bool):
            raise _refuse(self, value)


@dataclass(frozen=True)
class Text:
    """Text without half characters (lone surrogates), which no file and no tokenizer can hold.

    Args:
        empty: whether it may be empty.
        named: it is the name of something, of at most 4,096 characters, none of which is a control
            character (such as NUL).
    """

    empty: bool = True
    named: bool = False

    def __str__(self) -> str:
        words = "text" if self.empty else "text that is not empty"
        short = f" of at most {LONGEST_NAME:,} characters, none a control character"
        return words + short * self.named

    def check(self, value: Any) -> None:
        if not isinstance(value, str) or not (value or self.empty):
            raise _refuse(self, value)
        if re.search("[\ud800-\udfff]", value):
            raise WrongFieldError(f"must be {self} without half characters, got {shown(value)}")
        if self.named and (len(value) > LONGEST_NAME or re.search("[\0-\x1f]", value)):
            raise _refuse(self, value)


class FileName:
    """The name of a file in the same folder."""

    def __str__(self) -> str:
        return "the name of a file in the same folder"

    def check(self, value: Any) -> None:
        """Raises WrongFieldError if value is a path, or nothing that a file can be called."""
        Text(empty=False, named=True).check(value)
        if value in (".", "..") or re.search(r"[/\\:]", value) or len(value.encode()) > 255:
            raise _refuse(self, value)


class OneOf:
    """One of these values; true is not 1 here, and 1 is not 1.0."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def __str__(self) -> str:
        return " or ".join(map(shown, self.values))

    def check(self, value: Any) -> None:
        if not any(type(value) is type(ours) and value == ours for ours in self.values):
            raise _refuse(self, value)


@dataclass(frozen=True)
class Either:
    """Something of the one kind or of the other."""

    first: Kind
    second: Kind

    def __str__(self) -> str:
        return f"{self.first} or {self.second}"

    def check(self, value: Any) -> None:
        for kind in (self.first, self.second):
            try:
                return kind.check(value)
            except WrongFieldError as wrong:
                if wrong.path:  # it is a list or an object: what is wrong lies inside
                    raise
        raise _refuse(self, value)


def or_null(kind: Kind) -> Either:
    """Returns the kind of values that are of this kind or null."""
    return Either(kind, OneOf(None))


class Anything:
    """Any value, as it is not used."""

    def check(self, value: Any) -> None:
        """Accepts every value."""


@dataclass(frozen=True)
class ListOf:
    """A list of any length, from `least` on, whose elements are of one kind."""

    of: Kind
    least: int = 0

    def __str__(self) -> str:
        filled = " that is not empty" if self.least else ""
        return f"a list{filled}, each element {self.of}"

    def check(self, value: Any) -> None:
        if not isinstance(value, list) or len(value) < self.least:
            raise _refuse(self, value)
        i = 0
        try:
            for i, element in enumerate(value):  # noqa: B007 (i is used in the error)
                self.of.check(element)
        except WrongFieldError as wrong:
            raise wrong.within(f"[{i}]") from None


class Row:
    """A list of a fixed length, with a kind for each place."""

    def __init__(self, *kinds: Kind) -> None:
        self.kinds = kinds

    def __str__(self) -> str:
        return f"a list of {len(self.kinds)}: {', '.join(map(str, self.kinds))}"

    def check(self, value: Any) -> None:
        if not isinstance(value, list) or len(value) != len(self.kinds):
            raise _refuse(self, value)
        for i, (kind, element) in enumerate(zip(self.kinds, value, strict=True)):
            try:
                kind.check(element)
            except WrongFieldError as wrong:
                raise wrong.within(f"[{i}]") from None


@dataclass(frozen=True)
class MapOf:
    """An object with any names, from `least` on, whose values are of one kind."""

    of: Kind
    least: int = 0

    def __str__(self) -> str:
        filled = " that is not empty" if self.least else ""
        values = "" if isinstance(self.of, Anything) else f", each value {self.of}"
        return f"an object{filled}{values}"

    def check(self, value: Any) -> None:
        if not isinstance(value, dict) or len(value) < self.least:
            raise _refuse(self, value)
        for name, element in value.items():
            _check_named(name, element, self.of)


@dataclass(frozen=True)
class Object:
    """An object with these fields.

    Args:
        required, optional: the kinds of fields by name.
        closed: whether it may have no other fields.
    """

    required: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)
    closed: bool = False

    def __str__(self) -> str:
        return f"an object with {', '.join(self.required)}" if self.required else "an object"

    def check(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise _refuse(self, value)
        for name, kind in self.required.items():
            if name not in value:
                raise WrongFieldError(f"is missing; it must be {kind}", name)
            _check_named(name, value[name], kind)
        for name, kind in self.optional.items():
            if name in value:
                _check_named(name, value[name], kind)
        known = self.required.keys() | self.optional.keys()
        for name in value if self.closed else ():
            if name not in known:
                names = ", ".join([*self.required, *self.optional])
                raise WrongFieldError(f"is not a field here; there are {names}", _named(name))


def _check_named(name: str, value: Any, kind: Kind) -> None:
    try:
        kind.check(value)
    except WrongFieldError as wrong:
        raise wrong.within(_named(name)) from None


def _named(name: str) -> str:
    """Returns a field's name; in quotes if it would be hard to make out otherwise."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name) else shown(name)

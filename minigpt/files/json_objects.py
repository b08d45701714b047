"""Files that hold one JSON object: settings, results, a checkpoint's commit record.

Python's reader of JSON takes more than JSON, and fails on some of it only later: NaN and Infinity,
a number of 5,000 digits, lists so deep that printing them ends the program, a name that is there
twice. Here each of these is refused in one sentence, or becomes a value that schema.py refuses by
the name of its field.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from minigpt.files.regular_file import read_bytes

LARGEST = 128 << 20  # bytes of a file; the losses of six million steps
DEEPEST = 100  # lists and objects inside each other
LONGEST_INTEGER = 1000  # digits; Python itself refuses to convert more than 4,300

# A string, whole so that its brackets do not count, or a bracket. It also takes a string without
# an end, as otherwise each of many quotes would look for one again.
STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
STRING_OR_BRACKET = re.compile(rf"{STRING.pattern}|[\[\]{{}}]", re.DOTALL)
ALL_ALIKE = bytes.maketrans(b"{}", b"[]")
NO_BRACKETS = bytes({*range(256)} - {*b"[]{}"})


class TooManyDigits(float):
    """Stands for a whole number that is too long to be one: infinity, which no field may be."""

    def __new__(cls, digits: str) -> TooManyDigits:
        return super().__new__(cls, -math.inf if digits.startswith("-") else math.inf)

    def __init__(self, digits: str) -> None:
        self.n_digits = len(digits.lstrip("-"))

    def __repr__(self) -> str:
        return f"a number of {self.n_digits:,} digits"


def read_json_object(path: Path) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it may not be read, or is a folder, a pipe or a device.
        ValueError: it is damaged, or holds something else; the error names the file.
    """
    return parse_json_object(read_bytes(path, LARGEST), path)


def parse_json_object(text: str | bytes, where: str | Path) -> dict[str, Any]:
    """Parses text that is one JSON object.

    A whole number of more than 1,000 digits becomes TooManyDigits, and NaN and Infinity stay what
    they are in Python.

    Args:
        where: the text comes from, for errors: a file, or "FILE, line 3".

    Raises:
        ValueError: text is damaged, or something other than a JSON object.
    """
    found = parse_json(text, where)
    if not isinstance(found, dict):
        raise ValueError(f"{where} should be one JSON object, got {shown(found)}")
    return found


def parse_json(text: str | bytes, where: str | Path) -> Any:
    """Parses text that is one JSON value, as parse_json_object does.

    Raises:
        ValueError: text is damaged: it is not UTF-8 or not JSON, names a field twice, or is nested
            more than 100 deep.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")  # without the byte-order mark that some editors write
        if not text.strip():
            raise ValueError("it is empty")
        check_depth(text)
        return json.loads(text, parse_int=whole_number, object_pairs_hook=without_repetition)
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise ValueError(f"{where} is cut short or damaged ({reason})")


def check_depth(text: str) -> None:
    """Raises ValueError if lists and objects are nested deeper than DEEPEST."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    brackets = STRING.sub("", text).encode("ascii", "ignore").translate(ALL_ALIKE, NO_BRACKETS)
    for _ in range(DEEPEST):  # takes the innermost pairs away, of which there may be millions
        brackets = brackets.replace(b"[]", b"")
    if not brackets:
        return
    depth = 0
    for match in STRING_OR_BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > DEEPEST:
            line = text.count("\n", 0, match.start()) + 1
            raise ValueError(f"in line {line} it is nested more than {DEEPEST} deep")


def whole_number(digits: str) -> int | TooManyDigits:
    """Returns the number that digits stand for, unless they are too many."""
    return int(digits) if len(digits) <= LONGEST_INTEGER else TooManyDigits(digits)


def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the object with these fields; raises ValueError if one is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"it has the field {shown(name)} twice")
            seen.add(name)
    return found


def shown(value: object, longest: int = 60) -> str:
    """Returns a value as it would stand in JSON, shortened; fit to be printed anywhere."""
    if isinstance(value, TooManyDigits):
        return repr(value)
    text = json.dumps(value, default=repr)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."

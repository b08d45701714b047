"""JSON that is larger than memory: its values one after the other, each with its line.

Python's json module needs a whole text at once. Here the text comes in chunks, and the records of
an array, or of an object that holds one array, are parsed one by one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from minigpt.bpe import valid_unicode
from minigpt.files.json_objects import DEEPEST, check_depth, whole_number, without_repetition
from minigpt.text.decoding import CHUNK, LONGEST

HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")  # how JSON writes a surrogate
SPACE = re.compile(r"[ \t\n\r]*")
TOO_DEEP = f"lists and objects are nested more than {DEEPEST} deep"
AT_END = 16  # an error so near to the end of a chunk may come from its being cut there


class JsonError(ValueError):
    """What is wrong with a text in JSON, and in which line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


DECODER = json.JSONDecoder(parse_int=whole_number, object_pairs_hook=without_repetition)


def parse(text: str, line: int = 1) -> Any:
    """Returns the value of a whole text; half characters in its strings become U+FFFD.

    Raises:
        JsonError: it is not JSON, names a field twice, or is nested too deeply.
    """
    try:
        return checked(DECODER.decode(text), text)
    except json.JSONDecodeError as error:
        line += error.lineno - 1
        raise JsonError(line, f"not valid JSON: {error.msg} at column {error.colno}") from None
    except (RecursionError, ValueError) as error:
        raise JsonError(line, why_refused(error)) from None


def rest_of_line(line: str) -> str | None:
    """Returns what follows the value that a line begins with; None if it begins with no value."""
    try:
        _, end = DECODER.raw_decode(line, len(line) - len(line.lstrip()))
    except (RecursionError, ValueError):
        return None
    return line[end:].strip()


def why_refused(error: Exception) -> str:
    """Returns why a text that is JSON is refused."""
    return TOO_DEEP if isinstance(error, RecursionError) else str(error)


def checked(value: Any, text: str) -> Any:
    """Returns a value that was parsed from text, with its half characters replaced.

    Raises:
        RecursionError: it is nested too deeply.
    """
    try:
        check_depth(text)
    except ValueError:
        raise RecursionError from None
    return without_halves(value) if HALF_CHARACTER.search(text) else value


def without_halves(value: Any) -> Any:
    """Returns the value with U+FFFD for every half character in its strings and names."""
    if isinstance(value, str):
        return valid_unicode(value)
    if isinstance(value, list):
        return [without_halves(part) for part in value]
    if isinstance(value, dict):
        return {valid_unicode(name): without_halves(part) for name, part in value.items()}
    return value


class JsonStream:
    """Parses JSON values from the chunks of a text.

    Attributes:
        line: the line that comes next, from 1.
    """

    def __init__(self, chunks: Iterator[str]) -> None:
        self.chunks, self.text, self.at, self.line = chunks, "", 0, 1

    def next_character(self) -> str:
        """Returns the next character that is not white space, which stays; "" at the end."""
        while True:
            match = SPACE.match(self.text, self.at)
            assert match is not None  # it may be empty
            self.advance(match.end())
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.read():
                return ""

    def expect(self, *characters: str) -> str:
        """Takes the next character, which must be one of these."""
        found = self.next_character()
        if not found or found not in characters:
            wanted = " or ".join(map(repr, characters))
            raise JsonError(self.line, f"not valid JSON: {wanted} should come, not {found!r}")
        self.advance(self.at + 1)
        return found

    def value(self) -> Any:
        """Returns the next value; raises JsonError as parse does."""
        if not self.next_character():
            raise JsonError(self.line, "not valid JSON: it ends before a value")
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.at)
                if end < len(self.text) or not self.read():  # a number might go on
                    break
            except json.JSONDecodeError as error:
                cut = error.pos > len(self.text) - AT_END or error.msg.startswith("Unterminated")
                if cut and len(self.text) - self.at < LONGEST and self.read():
                    continue
                line = self.line + self.text.count("\n", self.at, error.pos)
                raise JsonError(line, f"not valid JSON: {error.msg}") from None
            except (RecursionError, ValueError) as error:
                raise JsonError(self.line, why_refused(error)) from None
        text, line = self.text[self.at : end], self.line
        self.advance(end)
        try:
            return checked(value, text)
        except RecursionError as error:
            raise JsonError(line, why_refused(error)) from None

    def peek(self) -> Any:
        """Returns the next value, which stays, or None if it is damaged or more than a chunk."""
        if len(self.text) - self.at < CHUNK:
            self.read()
        try:
            return DECODER.raw_decode(self.text, self.at)[0]
        except (RecursionError, ValueError):
            return None

    def read(self) -> bool:
        """Adds the next chunk, or as much again as is held; returns False if there is none."""
        pieces, missing = [""], len(self.text) - self.at
        for chunk in self.chunks:
            pieces.append(chunk)
            missing -= len(chunk)
            if missing <= 0:  # doubling keeps the work linear for a value of many chunks
                break
        if len(pieces) == 1:
            return False
        pieces[0] = self.text[self.at :]
        self.text, self.at = "".join(pieces), 0
        return True

    def advance(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def items(self) -> Iterator[tuple[int, Any]]:
        """Takes an array, and yields each item with its line."""
        self.expect("[")
        if self.next_character() == "]":
            self.expect("]")
            return
        while True:
            self.next_character()
            line = self.line
            yield line, self.value()
            if self.expect(",", "]") == "]":
                return


def read_array(chunks: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """Yields the items of a text that is one JSON array, each with its line."""
    stream = JsonStream(chunks)
    yield from stream.items()
    if stream.next_character():
        raise JsonError(stream.line, "something follows the end of the JSON array")


def read_objects(chunks: Iterator[str], wanted: Collection[str]) -> Iterator[tuple[int, Any]]:
    """Yields the records of a text of JSON objects that are spread over lines.

    If one of them has none of the wanted fields and holds one array of objects, as {"version": 1,
    "data": [{...}, ...]} does, the records are the objects in the array; if there are several
    arrays, it is the one whose objects have a wanted field.
    """
    stream = JsonStream(chunks)
    while stream.next_character():
        line = stream.line
        whole = stream.peek()
        fields = whole if isinstance(whole, dict) else {}
        if not wanted.isdisjoint(fields):  # type: ignore[attr-defined]
            yield line, stream.value()
            continue
        holders = [name for name, value in fields.items() if holds(value, wanted)]
        record: dict[str, Any] = {}
        holder = ""  # the field that holds the records
        stream.expect("{")
        while stream.next_character() != "}":
            if record or holder:
                stream.expect(",")
            if stream.next_character() != '"':
                raise JsonError(stream.line, "not valid JSON: a field's name in quotes should come")
            name = stream.value()
            stream.expect(":")
            others = len(holders) == 1 and name not in holders
            if not others and wanted.isdisjoint({name, *record}) and holds_objects(stream):  # type: ignore[attr-defined]
                if holder:
                    raise JsonError(
                        stream.line,
                        f'"{holder}" and "{name}" both hold records; write those that are meant '
                        "into a file of their own",
                    )
                holder = name
                yield from stream.items()
            else:
                record[name] = stream.value()
        stream.expect("}")
        if not holder:
            yield line, record


def holds(value: Any, wanted: Collection[str]) -> bool:
    """Returns whether a value is a list whose first item has a wanted field."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and not wanted.isdisjoint(first)  # type: ignore[attr-defined]


def holds_objects(stream: JsonStream) -> bool:
    """Returns whether an array whose first item is an object comes next."""
    if stream.next_character() != "[":
        return False
    while not re.match(r"\[\s*\S", stream.text[stream.at :]):
        if not stream.read():
            return False
    return re.match(r"\[\s*\{", stream.text[stream.at :]) is not None

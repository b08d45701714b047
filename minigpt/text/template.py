"""Templates: text with fields of a record in braces.

    "{question} Answer:"                 a field's name
    "{conversations[0][value]}"          a part of a field that holds lists or objects; [-1] is last
    "{instruction}\n{input|}"            a default for a field that may be missing or empty
    "{{"                                 a brace that is meant as one

Nothing else is special: a name leads to what the record holds under it, never to an attribute.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from numbers import Real
from typing import Any, NamedTuple

from minigpt.bpe import valid_unicode

BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
NAME = re.compile(r"([^\[\]|!:]+)((?:\[[^\[\]|]+\])*)(?:\|(.*))?", re.DOTALL)


class Field(NamedTuple):
    """A field in a template.

    Attributes:
        written: its name with the parts in brackets.
        name: the field of the record.
        parts: what stands in brackets.
        default: the text in place of a missing or empty field; None if there must be one.
    """

    written: str
    name: str
    parts: tuple[str, ...] = ()
    default: str | None = None

    def text_in(self, record: Mapping[str, Any]) -> str:
        """Returns what a record holds in this field as text; "" is text, and so is a number.

        What is missing, blank, null or NaN has the default, if there is one.

        Raises:
            ValueError: there is no text and no default, or a list, an object, true or false.
        """
        value: Any = record
        for part in (self.name, *self.parts):
            value = member(value, part)
        text = text_of(value)
        nothing = value is None or value is MISSING or isinstance(value, NUMBER)
        blank = not text.strip() if text is not None else nothing and not isinstance(value, bool)
        if blank and self.default is not None:
            return self.default
        if text is None:
            raise self.lacks_text(record, described(value))
        return text

    def lacks_text(self, record: Mapping[str, Any], why: str) -> ValueError:
        """Returns the error that says what the record has instead."""
        there = ", ".join(map(str, record))[:200] or "none"
        return ValueError(
            f'no text in the field "{self.written}"{why}; the fields there are {there}'
        )


MISSING = object()
NUMBER = (Real, Decimal)  # numpy's are Real too


def member(value: Any, part: str) -> Any:
    """Returns value[part] of an object or a list, or MISSING."""
    if isinstance(value, (dict, Mapping)):  # the first is found sooner
        return value.get(part, MISSING)
    if isinstance(value, (list, tuple)) and re.fullmatch(r"-?[0-9]{1,9}", part):
        return value[int(part)] if -len(value) <= int(part) < len(value) else MISSING
    return MISSING


def text_of(value: Any) -> str | None:
    """Returns a text as it is and a finite number in digits; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, NUMBER) and not isinstance(value, bool):
        return str(value) if isinstance(value, int) or math.isfinite(value) else None
    return None


def described(value: Any) -> str:
    """Says in brackets what a field holds instead of text."""
    if value is MISSING:
        return ""
    if isinstance(value, bool) or value is None:
        return f" (it is {'null' if value is None else str(value).lower()})"
    if isinstance(value, NUMBER):
        return f" (it is {'NaN' if math.isnan(value) else 'infinite'})"
    if isinstance(value, (list, tuple, Mapping)):
        kind = "an object" if isinstance(value, Mapping) else "a list"
        return f" (it is {kind}; name a part of it)"
    return f" (it is of the type {type(value).__name__})"


@lru_cache(maxsize=256)
def parse_template(template: str) -> tuple[str | Field, ...]:
    """Returns the literal texts and fields of a template, in order.

    Raises:
        ValueError: its braces do not match, or hold anything but a field.
    """
    found: list[str | Field] = []
    at = 0
    for match in BRACES.finditer(template):
        found.append(template[at : match.start()])
        at = match.end()
        if match.group() in ("{{", "}}"):
            found.append(match.group()[0])
            continue
        if match[1] is None:
            raise ValueError(
                f"the template {template!r} cannot be read (a single {match.group()!r}); write a "
                "field as {name} and a brace that is meant as one twice"
            )
        name = NAME.fullmatch(match[1])
        if name is None:
            raise ValueError(
                f"the template {template!r} must have only a field's name between braces, as "
                "{name}, {name[0][part]} or {name|default}, got {" + match[1] + "}"
            )
        written = match[1].partition("|")[0]
        found.append(Field(written, name[1], tuple(re.findall(r"\[(.+?)\]", name[2])), name[3]))
    found.append(template[at:])
    return tuple(part for part in found if part != "")


def fields_of(template: str) -> list[Field]:
    """Returns the fields of a template, in order; raises ValueError as parse_template."""
    return [part for part in parse_template(template) if isinstance(part, Field)]


def named_field(written: str) -> Field:
    """Returns the field that is written so, as in a template but without the braces.

    Raises:
        ValueError: it is not one field.
    """
    try:
        (field,) = parse_template("{" + written + "}")
    except ValueError:
        field = ""
    if not isinstance(field, Field):
        raise ValueError(
            f"a field must be a name, as text or messages[0][content], got {written!r}"
        )
    return field


def fill(template: str, record: Mapping[str, Any]) -> str:
    """Returns the template with each field replaced by its text, without outer white space.

    Nothing in the record's text is special, not even braces. Half characters become U+FFFD.

    Raises:
        ValueError: as Field.text_in; or a field without a default is empty.
    """
    pieces = []
    for part in parse_template(template):
        if isinstance(part, str):
            pieces.append(part)
            continue
        text = part.text_in(record).strip()
        if not text and part.default is None:
            raise part.lacks_text(record, " (it is empty)")
        pieces.append(text)
    return valid_unicode("".join(pieces))

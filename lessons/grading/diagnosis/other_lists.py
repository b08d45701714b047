"""Other lists, texts and dicts that a wrong answer may be right for: reversed, without the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lessons.grading.diagnosis.substitute import Row, Substitute, of_rows, with_value

if TYPE_CHECKING:
    from lessons.grading.trial import Trial

# fmt: off
LISTS: list[Row] = [
    (0.9, "shortened", "the last entry of {x} were missing", lambda v: v[:-1]),
    (0.9, "shortened", "the first entry of {x} were missing", lambda v: v[1:]),
    (0.8, "shortened", "{x} had only its first entry", lambda v: v[:1]),
    (0.8, "shortened", "{x} had only its last entry", lambda v: v[-1:]),
    (0.7, "deduplicated", "each entry of {x} came only once", lambda v: type(v)(dict.fromkeys(v))),
    (0.6, "without neighbours", "equal neighbours in {x} were one", lambda v: type(v)(
        x for i, x in enumerate(v) if i == 0 or x != v[i - 1])),
    (0.6, "ignored", "{x} were empty", lambda v: type(v)()),
    (0.5, "reversed", "{x} were reversed", lambda v: v[::-1]),
    (0.4, "sorted", "{x} were sorted", lambda v: type(v)(sorted(v))),
    (0.3, "sorted", "{x} were sorted, largest first", lambda v: type(v)(sorted(v, reverse=True))),
]
LISTS_OF_LISTS: list[Row] = [
    (0.6, "joined", "all of {x} were one list",
     lambda v: type(v)([type(v[0])(x for item in v for x in item)])),
    (0.6, "deduplicated", "each list in {x} held each entry only once",
     lambda v: type(v)(type(item)(dict.fromkeys(item)) for item in v)),
    (0.6, "without empty", "the empty lists in {x} were left out",
     lambda v: type(v)(item for item in v if len(item))),
    (0.5, "shortened", "each list in {x} had lost its last entry",
     lambda v: type(v)(i[:-1] for i in v)),
    (0.5, "shortened", "each list in {x} had lost its first entry",
     lambda v: type(v)(i[1:] for i in v)),
    (0.3, "reversed", "each list in {x} were reversed", lambda v: type(v)(i[::-1] for i in v)),
]
DICTS: list[Row] = [
    (1.0, "other value", "all values of {x} were 1", lambda v: dict.fromkeys(v, 1)),
    (0.5, "shortened", "each key of {x} had lost its last entry",
     lambda v: rekeyed(v, lambda key: key[:-1])),
    (0.5, "shortened", "each key of {x} had lost its first entry",
     lambda v: rekeyed(v, lambda key: key[1:])),
    (0.4, "reversed", "each key of {x} were reversed", lambda v: rekeyed(v, lambda key: key[::-1])),
    (0.0, "reversed", "{x} were in the reverse order", lambda v: dict(reversed(list(v.items())))),
    (0.0, "negated", "the values of {x} were negative", lambda v: {k: -n for k, n in v.items()}),
]
TEXTS: list[Row] = [
    (0.5, "other text", "{x} were in lower case", lambda v: v.lower()),
    (0.3, "reversed", "{x} were reversed", lambda v: v[::-1]),
]
# fmt: on


def rekeyed(d: dict, change: Callable[[Any], Any]) -> dict:
    """Returns a dict with other keys; values whose keys become one are added."""
    found: dict = {}
    for key, number in d.items():
        found[change(key)] = found.get(change(key), 0) + number
    return found


def for_list(name: str, value: list) -> Iterator[Substitute]:
    """Yields for a list or a tuple."""
    yield from of_rows(name, LISTS)
    if value and all(isinstance(item, (list, tuple)) for item in value):
        yield from of_rows(name, LISTS_OF_LISTS)
    yield Substitute(
        "from the end",
        f"{name} were read from the end to the beginning",
        with_value(name, backwards),
        backwards,
        -1.5,
    )


def backwards(items: Any, trial: Trial) -> Any:
    """Returns a list from its end to its beginning."""
    return items[::-1]


def for_dict(name: str) -> Iterator[Substitute]:
    """Yields for a dict."""
    yield from of_rows(name, DICTS)


def for_text(name: str) -> Iterator[Substitute]:
    """Yields for a text."""
    yield from of_rows(name, TEXTS)

"""Each kind of field takes its values and refuses others by name."""

from __future__ import annotations

import math
from typing import Any

import pytest

from minigpt.files.json_objects import TooManyDigits
from minigpt.files.schema import (
    Anything,
    Either,
    Kind,
    ListOf,
    MapOf,
    Number,
    Object,
    OneOf,
    Row,
    Switch,
    Text,
    Whole,
    check,
    or_null,
)

NUMBERS = [0, 1, -1, 0.5, 1.0, 10**400, math.nan, math.inf, -math.inf, TooManyDigits("9" * 5000)]
OTHERS = [None, True, False, "", "1", "\ud83d", "a\0", [], {}, [1], {"a": 1}]


def refusal(value: Any, kind: Kind) -> str:
    with pytest.raises(ValueError, match=r"^FILE: ") as refused:
        check(value, kind, "FILE")
    return str(refused.value)


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        (Whole(), [0, 1]),
        (Whole(1, 5), [1]),
        (Whole(-5, 0), [0, -1]),
        (Number(), [0, 1, -1, 0.5, 1.0]),
        (Number(0, below=1), [0, 0.5]),
        (Number(above=0), [1, 0.5, 1.0]),
        (Number(high=0.5), [0, -1, 0.5]),
        (Switch(), [True, False]),
        (Text(), ["", "1", "a\0"]),
        (Text(empty=False, named=True), ["1"]),
        (OneOf(1, True, None), [1, True, None]),
        (or_null(Whole(1)), [1, None, 10**400][:2]),
        (Either(Switch(), ListOf(Whole())), [True, False, [], [1]]),
        (ListOf(Whole(), least=1), [[1]]),
        (Row(Whole()), [[1]]),
        (Row(), [[]]),
        (MapOf(Anything()), [{}, {"a": 1}]),
        (Object({"a": Whole()}), [{"a": 1}]),
        (Object({}, {"b": Whole()}, closed=True), [{}]),
        (Anything(), NUMBERS + OTHERS),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_kind_takes_its_values_and_no_others(kind: Kind, taken: list[Any]) -> None:
    for value in NUMBERS + OTHERS:
        if any(value is ours or (type(value) is type(ours) and value == ours) for ours in taken):
            check(value, kind, "FILE")
            continue
        sentence = refusal(value, kind)
        assert "\n" not in sentence
        assert len(sentence) < 170
        assert sentence.isascii()  # it can be printed anywhere


SETTINGS = Object(
    {
        "steps": Whole(0, 10**9),
        "progress": Object({"validation": ListOf(Row(Whole(), Number()))}),
    },
    optional={"names": or_null(ListOf(Text(empty=False))), "sizes": MapOf(Switch())},
    closed=True,
)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": "12"}, 'steps must be a whole number from 0 to 1,000,000,000, got "12"'),
        ({"steps": None}, "steps must be a whole number from 0 to 1,000,000,000, got null"),
        ({"progress": []}, "progress must be an object with validation, got []"),
        (
            {"progress": {"validation": [[0, 1.5], [8, "x"]]}},
            'progress.validation[1][1] must be a finite number, got "x"',
        ),
        (
            {"progress": {"validation": [[0, 1.5], [8]]}},
            "progress.validation[1] must be a list of 2: a whole number of at least 0, "
            "a finite number, got [8]",
        ),
        (
            {"progress": {}},
            "progress.validation is missing; it must be a list, each element a list of 2: "
            "a whole number of at least 0, a finite number",
        ),
        ({"names": ["a", ""]}, 'names[1] must be text that is not empty, got ""'),
        ({"names": ["\ud83d"]}, 'names[0] must be text that is not empty without half characters, '
                                'got "\\ud83d"'),
        ({"sizes": {"a b": 1}}, 'sizes."a b" must be true or false, got 1'),
        ({"step": 3}, "step is not a field here; there are steps, progress, names, sizes"),
        ({"\ud83d": 3}, '"\\ud83d" is not a field here; there are steps, progress, names, sizes'),
    ],
)  # fmt: skip
def test_an_error_names_the_field_and_says_what_is_allowed(
    changes: dict[str, Any], sentence: str
) -> None:
    right = {"steps": 8, "progress": {"validation": [[0, 1.5]]}, "names": None, "sizes": {}}
    check(right, SETTINGS, "FILE")
    assert refusal({**right, **changes}, SETTINGS) == f"FILE: {sentence}"


def test_bounds_are_said_in_words() -> None:
    assert str(Number(0, below=1)) == "a finite number at least 0 and below 1"
    assert str(Whole(1)) == "a whole number of at least 1"
    assert str(or_null(Whole(1, 9))) == "a whole number from 1 to 9 or null"

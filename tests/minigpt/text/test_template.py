"""Templates: which fields they name, and what they make of records."""

from __future__ import annotations

import math
import re
from decimal import Decimal

import numpy as np
import pytest

from minigpt.text.template import Field, fields_of, fill, named_field

RECORD = {
    "q": " Why? ", "n": 3, "x": 2.5, "empty": " ", "null": None, "nan": math.nan, "inf": -math.inf,
    "yes": True, "turns": [{"from": "human", "value": "Hi"}, {"value": "Hello"}],
    "answers": {"text": ["Paris"], "0": "zero"}, "a.b": "dot",
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{q} {n} {x}", "Why? 3 2.5"),
        ("{turns[0][value]}/{turns[-1][value]}", "Hi/Hello"),
        ("{answers[text][0]} {answers[0]} {a.b}", "Paris zero dot"),
        ("{q}{empty|}{null|-}{nan|?}{nothing|none: at all!}", "Why?-?none: at all!"),
        ("{turns[5][value]|no}{answers[none][0]|no}{q[0]|no}", "nonono"),
        ("{{{q}}} {{}}", "{Why?} {}"),
    ],
)
def test_fields_are_replaced_by_their_text(template: str, text: str) -> None:
    assert fill(template, RECORD) == text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{nothing}", 'no text in the field "nothing"; the fields there are q, n, x'),
        ("{empty}", 'no text in the field "empty" (it is empty)'),
        ("{null}", 'no text in the field "null" (it is null)'),
        ("{nan}", 'no text in the field "nan" (it is NaN)'),
        ("{inf}", 'no text in the field "inf" (it is infinite)'),
        ("{yes}", 'no text in the field "yes" (it is true)'),
        ("{yes|}", 'no text in the field "yes" (it is true)'),
        ("{turns|}", 'no text in the field "turns" (it is a list; name a part of it)'),
        ("{turns[0]}", 'no text in the field "turns[0]" (it is an object; name a part of it)'),
        ("{turns[7][value]}", 'no text in the field "turns[7][value]"'),
        ("{q.__class__}", 'no text in the field "q.__class__"'),
        ("{turns[__class__]}", 'no text in the field "turns[__class__]"'),
    ],
)
def test_what_is_not_text_is_named(template: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        fill(template, RECORD)


@pytest.mark.parametrize("template", ["{q:>9999999999}", "{q!r}", "{}", "{[0]}", "{q[}", "{q[0]x}"])
def test_nothing_but_a_field_is_understood(template: str) -> None:
    with pytest.raises(ValueError, match="must have only a field's name between braces"):
        fields_of(template)
    with pytest.raises(ValueError, match="a field must be a name, as text or messages"):
        named_field(template[1:-1])


def test_the_text_of_a_field_is_kept_as_it_is_unless_it_fills_a_template() -> None:
    assert named_field("q").text_in(RECORD) == " Why? "
    assert named_field("empty").text_in(RECORD) == " "
    assert fields_of("{a|b}{c[1][d]}") == [
        Field("a", "a", (), "b"),
        Field("c[1][d]", "c", ("1", "d")),
    ]


def test_numbers_of_other_libraries_and_tuples_are_understood() -> None:
    record = {"n": np.int64(7), "x": np.float32(2.5), "d": Decimal("1.50"), "t": (10**400, "b")}
    assert fill("{n} {x} {d} {t[1]} {t[0]}", record) == f"7 2.5 1.50 b 1{'0' * 400}"
    for value in (np.float32("nan"), Decimal("nan"), np.float64("nan")):
        assert fill("{n|none}", {"n": value}) == "none"
        with pytest.raises(ValueError, match="it is NaN"):
            fill("{n}", {"n": value})
    for other, said in ((b"x", "of the type bytes"), (("a",), "a list; name a part")):
        with pytest.raises(ValueError, match=said):
            fill("{n|}", {"n": other})


def test_half_characters_of_template_and_record_become_the_replacement_character() -> None:
    assert fill("\ud83d{a}\ude00", {"a": "x\udfff"}) == "\ufffdx\ufffd\ufffd"
    assert fill("\ud83d{a}", {"a": "\ude00"}) == "\U0001f600"

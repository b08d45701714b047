"""Files of JSON that are damaged or hostile, or not files, are refused in one sentence."""

from __future__ import annotations

import math
import os
import random
from pathlib import Path

import pytest

from minigpt.files import json_objects
from minigpt.files.json_objects import read_json_object, shown

DEEP = 100_000


def refusal(path: Path) -> str:
    with pytest.raises((ValueError, OSError)) as refused:
        read_json_object(path)
    sentence = str(refused.value)
    assert sentence.startswith(str(path)) or isinstance(refused.value, FileNotFoundError)
    assert "\n" not in sentence
    assert len(sentence) < len(str(path)) + 200
    return sentence.replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("content", "reason"),
    {
        "nothing": (b"", "it is empty"),
        "only a byte-order mark": (b"\xef\xbb\xbf", "it is empty"),
        "deep lists": (b'{"a":\n' + b"[" * DEEP, "in line 2 it is nested more than 100 deep"),
        "deep lists that end": (b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}", "nested more"),
        "deep objects": (b'{"a":' * DEEP, "in line 1 it is nested"),
        "a field that is there twice": (b'{"r": 8, "r": 16}', 'it has the field "r" twice'),
        "a field twice further in": (b'{"a": [{"b": 1, "b": 1}]}', 'it has the field "b" twice'),
        "half of it": (b'{"a": [1, 2', "line 1 column 12"),
        "UTF-16": ('{"a": 1}'.encode("utf-16"), "byte 0 is not UTF-8"),
        "Latin-1": ('{"a": "é"}'.encode("latin-1"), "byte 7 is not UTF-8"),
        "NUL": (b'{"a": 1}\0', "line 1 column 9"),
        "NUL inside text": (b'{"a": "\0"}', "Invalid control character"),
        "a list": (b"[1]", "should be one JSON object, got [1]"),
        "a number of 5,000 digits": (b"9" * 5000, "got a number of 5,000 digits"),
        "NaN": (b"NaN", "should be one JSON object, got NaN"),
        "half a string and many quotes": (b'{"a": "' + b'\\"' * DEEP + b"[" * 101, "Unterminated"),
    }.values(),
    ids=lambda value: None if isinstance(value, bytes) else value[:30],
)
def test_damaged_json_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    assert reason in refusal(path)


def test_a_field_that_is_there_twice_among_many_is_found_at_once(tmp_path: Path) -> None:
    """Comparing each of the names with all others would take minutes."""
    path = tmp_path / "settings.json"
    names = [f'"{i}":0' for i in range(60_000)]
    path.write_text(f'{{"a":[{{{",".join(names)},"59999":1}}]}}')
    assert 'it has the field "59999" twice' in refusal(path)


def test_depth_is_counted_in_any_order_of_brackets_and_quotes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_objects, "DEEPEST", 3)
    dice = random.Random(0)
    for _ in range(3000):
        text = "".join(dice.choice('[]{}[]{}"\\1,é') for _ in range(dice.randrange(30)))
        depth = deepest = 0
        inside = escaped = False  # a string
        for character in text:
            if inside:
                inside = character != '"' or escaped
                escaped = character == "\\" and not escaped
            elif character == '"':
                inside, escaped = True, False
            else:
                depth += (character in "[{") - (character in "]}")
                deepest = max(deepest, depth)
        if deepest > 3:
            with pytest.raises(ValueError, match="nested more than 3 deep"):
                json_objects.check_depth(text)
        else:
            json_objects.check_depth(text)


def test_millions_of_lists_beside_each_other_are_not_deep() -> None:
    json_objects.check_depth('{"a": [' + "[]," * 2_000_000 + "[]]}")


def test_brackets_in_text_are_not_nesting(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": "' + b"[" * DEEP + b'\\"{", "b": [1, 2.5]}')
    assert read_json_object(path) == {"a": "[" * DEEP + '"{', "b": [1, 2.5]}


def test_a_number_of_too_many_digits_is_infinite_and_says_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(f'{{"a": {"7" * 5000}, "b": -{"1" * 1001}, "c": {"9" * 1000}, "d": 1e400}}')
    found = read_json_object(path)
    assert [found[name] for name in "abd"] == [math.inf, -math.inf, math.inf]
    assert found["c"] == 10**1000 - 1
    assert shown(found["a"]) == "a number of 5,000 digits"
    assert shown(found["b"]) == "a number of 1,001 digits"
    assert shown(found["c"]) == "9" * 57 + "..."


def test_what_is_not_a_file_is_not_waited_for(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.json") == "there is no file FILE"
    assert refusal(tmp_path) == "FILE is a folder, and not a file"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.json")
        assert refusal(tmp_path / "pipe.json") == "FILE is a pipe or a device, and not a file"
        assert refusal(Path("/dev/zero")) == "FILE is a pipe or a device, and not a file"


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert refusal(tmp_path / "a.json") == "FILE cannot be read: Permission denied"


def test_a_file_that_is_too_large_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    with path.open("wb") as file:
        file.truncate(json_objects.LARGEST + 1)  # a hole, which takes no room on the disk
    assert refusal(path) == "FILE has more than 128 MiB, the most that is read of it"


def test_values_are_shown_shortened_and_fit_for_any_terminal() -> None:
    assert shown("\ud83d") == '"\\ud83d"'
    assert shown("x\0" * 100) == '"' + "x\\u0000" * 8 + "..."
    assert shown({"a": [None, True, math.nan]}) == '{"a": [null, true, NaN]}'

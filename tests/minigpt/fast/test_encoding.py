"""minigpt.fast.encoding: tiktoken's ids, and ids where tiktoken itself would end the program."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

import minigpt.fast.encoding
from minigpt.bpe import GPT2_PATTERN, encode_text, valid_unicode
from minigpt.fast.encoding import Encoding
from minigpt.fast.pieces import KNOWN_PATTERNS
from minigpt.tokenizer import END_OF_TEXT, mergeable_ranks, train_bpe

RANKS = mergeable_ranks(train_bpe("Don't go  now; the cats' 1234 hats\n\n aaaa      aaaa", 280))
SPECIALS = {END_OF_TEXT: 280, "<a>": 281, "<a>b": 282}
# Characters that Python's Unicode tables know: tiktoken's know them too, and class them the same.
TEXT = st.text(st.characters(exclude_categories=("Cn",))) | st.text(
    " \n\ta'sS\u017fé1.", max_size=40
)


def encoding_with(pattern: str, kind: type[tiktoken.Encoding] = Encoding) -> Any:
    return kind("test", pat_str=pattern, mergeable_ranks=RANKS, special_tokens=SPECIALS)


OURS = {pattern: encoding_with(pattern) for pattern in KNOWN_PATTERNS}
TIKTOKENS = {pattern: encoding_with(pattern, tiktoken.Encoding) for pattern in KNOWN_PATTERNS}


@settings(max_examples=100, deadline=None)
@given(TEXT, st.sampled_from(sorted(KNOWN_PATTERNS)))
def test_ids_are_those_of_tiktoken_by_either_way(text: str, pattern: str) -> None:
    theirs = TIKTOKENS[pattern].encode_ordinary(text)
    assert OURS[pattern].encode_ordinary(text) == theirs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minigpt.fast.encoding, "has_long_white_space", lambda text: True)
        assert OURS[pattern].encode_ordinary(text) == theirs
    assert encode_text(text, RANKS, pattern) == theirs
    assert OURS[pattern].decode(theirs) == valid_unicode(text)


@pytest.mark.parametrize(("space", "after"), [(" ", "x"), ("\t", "\ud800"), (" \u2028\n", "1 2")])
def test_a_million_spaces_are_encoded_like_ten(space: str, after: str) -> None:
    encoding = OURS[GPT2_PATTERN]
    many, few = f"go{space * (999_999 // len(space))}{after}", f"go{space * 9}{after}"
    ids, few_ids = encoding.encode_ordinary(many), encoding.encode_ordinary(few)
    assert encoding.decode(ids) == valid_unicode(many)
    assert ids[:4] == few_ids[:4]
    assert ids[-3:] == few_ids[-3:]  # the last white space goes with what follows


@pytest.mark.parametrize("character", ["a", "\u0301"])
def test_half_a_million_characters_without_a_space_are_one_quick_piece(character: str) -> None:
    text = character * 500_000
    ids = OURS[GPT2_PATTERN].encode_ordinary(text)
    assert OURS[GPT2_PATTERN].decode(ids) == text


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT | st.sampled_from([*SPECIALS, "b"])).map("".join))
def test_special_tokens_are_found_as_tiktoken_finds_them(text: str) -> None:
    ours, theirs = OURS[GPT2_PATTERN], TIKTOKENS[GPT2_PATTERN]
    some = {END_OF_TEXT, "<a>", "no token of this encoding"}
    expected = theirs.encode(text, allowed_special=some, disallowed_special=())
    assert ours.encode(text, allowed_special=some, disallowed_special=()) == expected
    assert ours.encode(text, disallowed_special=()) == theirs.encode_ordinary(text)
    assert ours.decode(ours.encode(text, allowed_special="all")) == valid_unicode(text)
    assert ours.encode_batch([text], allowed_special="all")[0].count(282) == text.count("<a>b")
    numbers = ours.encode_to_numpy(text, allowed_special="all")
    assert numbers.dtype == np.uint32
    assert numbers.tolist() == ours.encode(text, allowed_special="all")


def test_disallowed_special_tokens_are_refused() -> None:
    encoding = OURS[GPT2_PATTERN]
    for allowed, refused in ((set(), "all"), ({"<a>"}, "all"), (set(), {"<a>b"})):
        with pytest.raises(ValueError, match="contains '<a>b', which is a disallowed special"):
            encoding.encode("see <a>b", allowed_special=allowed, disallowed_special=refused)
    assert encoding.encode("x", disallowed_special=["y"]) == [120]


def test_a_pattern_of_ones_own_never_reaches_tiktoken_and_loses_nothing() -> None:
    letters = encoding_with("[a-z]+")
    text = "the CATS\u2028go  \n now"
    assert letters.decode(letters.encode_ordinary(text)) == text
    assert letters.encode_ordinary("aaaaé") == [*letters.encode_ordinary("aaaa"), 0xC3, 0xA9]
    again = pickle.loads(pickle.dumps(letters))
    assert again.encode_ordinary(text) == letters.encode_ordinary(text)
    with pytest.raises(ValueError, match="no completions"):
        letters.encode_with_unstable("the")
    unstable = TIKTOKENS[GPT2_PATTERN].encode_with_unstable("the")
    assert OURS[GPT2_PATTERN].encode_with_unstable("the") == unstable


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pat_str": "(a+)+$"}, "takes more than"),
        ({"pat_str": "x*"}, "matches the empty text"),
        (
            {"mergeable_ranks": {bytes([i]): i for i in range(255)}},
            "the byte 0xff, .*has no token",
        ),
        ({"mergeable_ranks": RANKS | {b"zz": 7}}, "two tokens have the same id, 7"),
        ({"special_tokens": {"<a>": 256}}, "two tokens have the same id, 256"),
        ({"special_tokens": {"": 280}}, "not empty, got ''"),
        ({"special_tokens": {"\udc00": 280}}, "must be text"),
        ({"special_tokens": {"x" * 99_999: 280, "yy": 281}}, "have 100,001 characters, more than"),
        ({"special_tokens": {"<a>": 2**32 - 1}}, "an id that is not from 0 to"),
        ({"special_tokens": {"<a>": -1}}, "an id that is not from 0 to"),
        ({"mergeable_ranks": RANKS | {b"": 300}}, "has no bytes"),
        ({"explicit_n_vocab": 294}, "should be 294 tokens, but there are 283"),
    ],
)
def test_what_would_end_the_program_is_refused(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr("minigpt.fast.pieces.SECONDS", 0.05)
    arguments: dict[str, Any] = {
        "pat_str": GPT2_PATTERN,
        "mergeable_ranks": RANKS,
        "special_tokens": SPECIALS,
    }
    with pytest.raises(ValueError, match=reason):
        Encoding("test", **(arguments | change))


def test_an_encoding_without_the_end_token_says_so_when_it_is_asked_for() -> None:
    plain = train_bpe("cat", 258)
    with pytest.raises(ValueError, match=r"'minigpt-258' has no token <\|endoftext\|>"):
        _ = plain.eot_token
    assert OURS[GPT2_PATTERN].eot_token == 280

"""minigpt.fast.pieces: published patterns, others, and those that would never end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt.bpe import split_text
from minigpt.fast.pieces import KNOWN_PATTERNS, check_pattern, cut_text, has_long_white_space


@settings(max_examples=60, deadline=None)
@given(st.text() | st.text(" \n\ta'sé1.", max_size=40), st.sampled_from(sorted(KNOWN_PATTERNS)))
def test_text_is_cut_as_by_the_definition(text: str, pattern: str) -> None:
    check_pattern(pattern)
    assert list(cut_text(text, pattern)) == split_text(text, pattern)


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=30) | st.text("ab \n", max_size=30),
    st.sampled_from(["[a-z]+", r"\p{Lu}|b(?=a)", r"(a)(b)|\s", r"\b", "(?<=a)b", r"x{2,3}"]),
)
def test_what_a_pattern_leaves_out_makes_pieces_too(text: str, pattern: str) -> None:
    pieces = list(cut_text(text, pattern))
    assert "".join(pieces) == text
    assert "" not in pieces


def test_gaps_before_between_and_after_matches_are_kept() -> None:
    assert list(cut_text("É ab, c!", "[a-z]+")) == ["É ", "ab", ", ", "c", "!"]
    assert list(cut_text("\n", "[a-z]+")) == ["\n"]
    assert list(cut_text("", "[a-z]+")) == []


# Of DeepSeek-V3 and of BLOOM's kind: neither is among the known ones.
@pytest.mark.parametrize(
    "pattern",
    [
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r" ?[^(\s|.,!?…。，、।۔،)]+",
        r"(?<=\p{N})(?=(?:\p{N}{3})+\b)|\p{L}+|\b\s",
    ],
)
def test_patterns_of_other_models_are_taken(pattern: str) -> None:
    check_pattern(pattern)
    text = "Don't (go)! 1234567\r\n  now"
    assert "".join(cut_text(text, pattern)) == text


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "matches the empty text"),
        ("a*", "matches the empty text"),
        (r"\s*|x", "matches the empty text"),
        ("(?=a|)", "matches the empty text"),
        ("$", "matches the empty text"),
        ("(", "is not a regular expression"),
        ("a**", "is not a regular expression"),
        (r"(a)\1", r"has '\\\\1', which is not understood"),
        ("(?R)?a", "which is not understood"),
        ("(?P<x>a)", "which is not understood"),
        (r"[\w--b]", "which is not understood"),
        ("[a[b]]", "which is not understood"),
        ("(?:cat){e<=2}", "which is not understood"),
        ("(?:(?:a{0}){999}){999}b", "counts whose product"),
        ("a" * 1001, "has 1,001 characters"),
        ("(" * 450 + "a" + ")" * 450, "nested too deep"),
    ],
)
def test_a_pattern_that_cuts_nothing_or_has_no_bound_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        check_pattern(pattern)
    assert "minigpt.bpe.GPT2_PATTERN" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("pattern", ["(a+)+$", r"(?:\s|\s\s)*x|\S", r"(?:q|qq)+\b(?!q)z"])
def test_a_pattern_that_would_never_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.setattr("minigpt.fast.pieces.SECONDS", 0.05)
    with pytest.raises(ValueError, match=r"takes more than 0 s for text of \d+,\d+ characters"):
        check_pattern(pattern)


def test_a_text_that_makes_a_pattern_backtrack_is_refused_when_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pattern = "(?:zeta|(?:zeta)+)+!|."  # no probe holds "zeta" many times
    check_pattern(pattern)
    assert list(cut_text("zetazeta!", pattern)) == ["zetazeta!"]
    monkeypatch.setattr("minigpt.fast.pieces.SECONDS", 0.05)
    with pytest.raises(ValueError, match="takes more than 0 s for 401 characters"):
        list(cut_text("zeta" * 100 + "?", pattern))


@pytest.mark.parametrize("space", [" ", "\t", "\u00a0", " \u2028\n", "\r\n"])
def test_white_space_that_tiktoken_fails_on_is_found_wherever_it_stands(space: str) -> None:
    for before in (0, 1, 249_999, 250_000, 499_999):
        stretch = space * (500_002 // len(space))
        assert has_long_white_space("x" * before + stretch + "x")
    assert not has_long_white_space(("x" + space * 1000) * 800)
    assert not has_long_white_space(space * 1000)
    assert not has_long_white_space("")

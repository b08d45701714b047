"""The BPE algorithm against its plain definition, tiktoken and the tokenizers library."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt.bpe import (
    GPT2_PATTERN,
    byte_pair_encode,
    count_pairs,
    count_words,
    encode_text,
    learn_merges,
    learn_merges_plainly,
    merge_pair,
    merged_tokens,
    most_frequent_pair,
    split_text,
    valid_unicode,
)

# The pattern as it stands in the GPT-2 repository, before tiktoken rewrote it for speed.
PATTERN_OF_2019 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# Characters that Python's Unicode tables know: tiktoken's know them too, and class them the same.
ASSIGNED = st.text(st.characters(exclude_categories=("Cs", "Cn")))
# Few letters and many repeats: overlaps, ties and runs in every example.
REPETITIVE = st.lists(st.text("aab b\n", max_size=30), max_size=8)


def _encoding(tokens: list[bytes]) -> tiktoken.Encoding:
    ranks = {token: rank for rank, token in enumerate(tokens)}
    return tiktoken.Encoding("test", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={})


def test_split_text_keeps_the_space_with_the_word_after_it() -> None:
    assert split_text("Don't go  now, 42 times\n\n x ") == [
        "Don",
        "'t",
        " go",
        " ",
        " now",
        ",",
        " 42",
        " times",
        "\n\n",
        " x",
        " ",
    ]


@settings(deadline=None)
@given(st.text() | st.text(" \n\ta'sé1.", max_size=40))
def test_split_text_is_gpt2s_splitting_and_loses_nothing(text: str) -> None:
    assert split_text(text) == split_text(text, PATTERN_OF_2019)
    assert "".join(split_text(text)) == text


def test_count_pairs_counts_overlaps_times_words() -> None:
    assert count_pairs({(5, 5, 5): 2, (5, 7): 3, (9,): 4}) == {(5, 5): 4, (5, 7): 3}


def test_most_frequent_pair_prefers_the_older_tokens_in_a_tie() -> None:
    assert most_frequent_pair({(9, 1): 5, (2, 8): 5, (2, 7): 5, (1, 1): 4}) == (2, 7)
    assert most_frequent_pair({}) is None


@pytest.mark.parametrize(
    ("ids", "merged"),
    [((5, 5, 5, 7), (9, 5, 7)), ((5, 5, 5, 5), (9, 9)), ((7, 5), (7, 5)), ((5,), (5,)), ((), ())],
)
def test_merge_pair_works_from_left_to_right(ids: tuple[int, ...], merged: tuple[int, ...]) -> None:
    assert merge_pair(ids, (5, 5), 9) == merged


def test_merges_of_a_text_worked_by_hand() -> None:
    # low x5, lower x2, newest x6, widest x3: the words of Sennrich et al.
    words = {tuple(b"low"): 5, tuple(b"lower"): 2, tuple(b"newest"): 6, tuple(b"widest"): 3}
    tokens = merged_tokens(learn_merges(words, 6))[256:]
    # 9 times e+s and s+t, and e is the smaller byte; 7 times l+o and o+w; 6 times e+w, n+e, w+est
    assert tokens == [b"es", b"est", b"lo", b"low", b"ew", b"new"]


@settings(max_examples=300, deadline=None)
@given(REPETITIVE | st.lists(st.text(max_size=12), max_size=6), st.integers(0, 60))
def test_fast_training_learns_the_merges_of_the_definition(texts: list[str], n: int) -> None:
    words = count_words(texts)
    merges = learn_merges(words, n)
    assert merges == learn_merges_plainly(words, n)
    tokens = merged_tokens(merges)
    assert len(set(tokens)) == len(tokens) == 256 + len(merges)


@settings(max_examples=200, deadline=None)
@given(REPETITIVE, st.text("aab b\n", max_size=60))
def test_encoding_with_ranks_repeats_the_merges_in_order(texts: list[str], text: str) -> None:
    merges = learn_merges(count_words(texts), 40)
    tokens = merged_tokens(merges)
    ranks = {token: rank for rank, token in enumerate(tokens)}
    for piece in split_text(text):
        ids = tuple(piece.encode())
        for i, pair in enumerate(merges):
            ids = merge_pair(ids, pair, 256 + i)
        assert tuple(byte_pair_encode(piece.encode(), ranks)) == ids


@settings(max_examples=300, deadline=None)
@given(REPETITIVE, ASSIGNED | st.text("aab b\n", max_size=60))
def test_encode_text_is_what_tiktoken_computes(texts: list[str], text: str) -> None:
    tokens = merged_tokens(learn_merges(count_words([*texts, text]), 60))
    ranks = {token: rank for rank, token in enumerate(tokens)}
    assert encode_text(text, ranks) == _encoding(tokens).encode_ordinary(text)


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0x10FFFF) | st.just("\ufeff")))
def test_surrogates_are_replaced_as_tiktoken_replaces_them(text: str) -> None:
    encoding = _encoding(merged_tokens([]))
    assert encoding.decode(encoding.encode_ordinary(text)) == valid_unicode(text)


def test_a_surrogate_pair_is_joined_and_a_lone_one_replaced() -> None:
    assert valid_unicode("\ud83d\ude00 \ud83d!") == "\U0001f600 \ufffd!"
    assert count_words(["\ud83d"]) == {tuple("\ufffd".encode()): 1}


def test_merges_equal_those_of_the_tokenizers_library(shared_data: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    text = (shared_data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")[:300_000]

    # Each byte as a character whose order is the byte's, so that ties have the same answer there.
    def visible(piece: str) -> str:
        return "".join(chr(0x4E00 + byte) for byte in piece.encode())

    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=1500, initial_alphabet=[chr(0x4E00 + i) for i in range(256)], show_progress=False
    )
    library.train_from_iterator([" ".join(map(visible, split_text(text)))], trainer)
    theirs = sorted(library.get_vocab().items(), key=lambda item: item[1])
    ours = merged_tokens(learn_merges(count_words([text]), 1500 - 256))
    assert [bytes(ord(c) - 0x4E00 for c in token) for token, _ in theirs] == ours

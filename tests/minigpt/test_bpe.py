"""The BPE algorithm by hand, and against tiktoken and the tokenizers library."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt import bpe
from minigpt.bpe import (
    GPT2_PATTERN,
    byte_pair_encode,
    count_pairs,
    count_pieces,
    decode,
    encode_text,
    learn_merges,
    merge_pair,
    most_frequent_pair,
    split_text,
    token_ranks,
    valid_unicode,
    vocabulary,
)
from minigpt.fast.merges import fast_learn_merges

# The pattern as it stands in the GPT-2 repository, before tiktoken rewrote it for speed.
PATTERN_OF_2019 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# Characters that Python's Unicode tables know: tiktoken's know them too, and class them the same.
ASSIGNED = st.text(st.characters(exclude_categories=("Cs", "Cn")))
# Few letters and many repeats: overlaps, ties and runs in every example.
REPETITIVE = st.lists(st.text("aab b\n", max_size=30), max_size=8)


def _encoding(merges: list[tuple[int, int]]) -> tiktoken.Encoding:
    ranks = token_ranks(merges)
    return tiktoken.Encoding("test", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={})


def test_the_example_in_the_docstring_is_true() -> None:
    results = doctest.testmod(bpe)
    assert results.attempted == 6
    assert results.failed == 0


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


@pytest.mark.parametrize("learn", [learn_merges, fast_learn_merges])
def test_merges_of_a_text_worked_by_hand(learn: Callable) -> None:
    # low x5, lower x2, newest x6, widest x3: the words of Sennrich et al.
    pieces = {tuple(b"low"): 5, tuple(b"lower"): 2, tuple(b"newest"): 6, tuple(b"widest"): 3}
    tokens = vocabulary(learn(pieces, 6))[256:]
    # 9 times e+s and s+t, and e is the smaller byte; 7 times l+o and o+w; 6 times e+w, n+e, w+est
    assert tokens == [b"es", b"est", b"lo", b"low", b"ew", b"new"]


def test_ranks_are_the_ids_of_the_vocabulary() -> None:
    merges = [(97, 98), (256, 97)]
    assert vocabulary(merges)[97:99] == [b"a", b"b"]
    assert vocabulary(merges)[256:] == [b"ab", b"aba"]
    ranks = token_ranks(merges)
    assert list(ranks) == vocabulary(merges)
    assert list(ranks.values()) == list(range(258))


@pytest.mark.parametrize("id", [-1, 256, 10**12])
def test_an_id_outside_the_vocabulary_is_refused(id: int) -> None:
    with pytest.raises(ValueError, match=f"ids from 0 to 255, got {id}"):
        decode([97, id], vocabulary([]))


def test_part_of_a_character_is_decoded_as_the_replacement_character() -> None:
    ids = list("aé".encode())
    assert decode(ids, vocabulary([])) == "aé"
    assert decode(ids[:-1], vocabulary([])) == "a\ufffd"
    assert decode([], vocabulary([])) == ""


@settings(max_examples=200, deadline=None)
@given(REPETITIVE, st.text("aab b\n", max_size=60))
def test_encoding_with_ranks_repeats_the_merges_in_order(texts: list[str], text: str) -> None:
    merges = learn_merges(count_pieces(texts), 40)
    ranks = token_ranks(merges)
    for piece in split_text(text):
        ids = tuple(piece.encode())
        for i, pair in enumerate(merges):
            ids = merge_pair(ids, pair, 256 + i)
        assert tuple(byte_pair_encode(piece.encode(), ranks)) == ids


@settings(max_examples=300, deadline=None)
@given(REPETITIVE, ASSIGNED | st.text("aab b\n", max_size=60))
def test_encode_text_is_what_tiktoken_computes(texts: list[str], text: str) -> None:
    merges = learn_merges(count_pieces([*texts, text]), 60)
    encoding = _encoding(merges)
    ids = encode_text(text, token_ranks(merges))
    assert ids == encoding.encode_ordinary(text)
    for some in (ids, ids[1:], ids[:-1]):  # a cut may leave part of a character
        assert decode(some, vocabulary(merges)) == encoding.decode(some)
    assert decode(ids, vocabulary(merges)) == text


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0x10FFFF) | st.just("\ufeff")))
def test_surrogates_are_replaced_as_tiktoken_replaces_them(text: str) -> None:
    encoding = _encoding([])
    assert encoding.decode(encoding.encode_ordinary(text)) == valid_unicode(text)


def test_a_surrogate_pair_is_joined_and_a_lone_one_replaced() -> None:
    assert valid_unicode("\ud83d\ude00 \ud83d!") == "\U0001f600 \ufffd!"
    assert count_pieces(["\ud83d"]) == {tuple("\ufffd".encode()): 1}


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
    ours = vocabulary(fast_learn_merges(count_pieces([text]), 1500 - 256))
    assert [bytes(ord(c) - 0x4E00 for c in token) for token, _ in theirs] == ours

"""minigpt.fast.merges: the merges that the definition learns."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt.bpe import count_pieces, learn_merges, vocabulary
from minigpt.fast.merges import fast_learn_merges

# Few letters and many repeats: overlaps, ties and runs in every example.
REPETITIVE = st.lists(st.text("aab b\n", max_size=30), max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    REPETITIVE | st.lists(st.text(max_size=12), max_size=6),
    st.integers(0, 60),
    st.sampled_from([0, 2, 10**9]),
)
def test_fast_training_learns_the_merges_of_the_definition(
    texts: list[str], n: int, few: int
) -> None:
    pieces = count_pieces(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minigpt.fast.merges.FEW", few)  # all by numpy, both, all by the plain loop
        merges = fast_learn_merges(pieces, n)
    assert merges == learn_merges(pieces, n)
    tokens = vocabulary(merges)
    assert len(set(tokens)) == len(tokens) == 256 + len(merges)


def test_pieces_are_left_as_they_are() -> None:
    pieces = count_pieces(["banana bandana"])
    before = dict(pieces)
    merges = fast_learn_merges(pieces, 100)
    assert vocabulary(merges)[-2:] == [b"banana", b" bandana"]  # each piece is a single id
    assert pieces == before


def test_empty_pieces_and_pieces_of_one_id_have_no_merges() -> None:
    assert fast_learn_merges({}, 5) == []
    assert fast_learn_merges({(): 3, (7,): 4}, 5) == []
    assert fast_learn_merges({(): 3, (7, 8): 4, (9,): 1, (8, 7): 4}, 5) == [(7, 8), (8, 7)]


@pytest.mark.parametrize(
    ("piece", "tokens"),
    [
        ("a" * 2**17, ["a" * 2**i for i in range(1, 18)]),
        ("ab" * 2**16, ["ab" * 2**i for i in range(17)]),
        ("aab" * 2**15, ["aa", *("aab" * 2**i for i in range(16))]),
    ],
)
def test_a_long_run_is_merged_by_halves(piece: str, tokens: list[str]) -> None:
    merges = fast_learn_merges({tuple(piece.encode()): 1}, 100)
    assert vocabulary(merges)[256:] == [token.encode() for token in tokens]


def test_a_long_piece_has_the_merges_that_the_tokenizers_library_finds() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    draw = random.Random(0)
    letters = bytes(draw.randrange(97, 123) for _ in range(25_000))
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=26 + 1000, show_progress=False, max_token_length=None
    )
    library.train_from_iterator([letters.decode()], trainer)
    theirs = sorted(library.get_vocab(), key=library.get_vocab().get)
    ours = vocabulary(fast_learn_merges({tuple(letters): 1}, 1000))[256:]
    assert [token.decode() for token in ours] == theirs[26:]

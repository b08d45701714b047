"""minigpt.fast.merges: the merges that the definition learns."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt.bpe import count_pieces, learn_merges, vocabulary
from minigpt.fast.merges import fast_learn_merges

# Few letters and many repeats: overlaps, ties and runs in every example.
REPETITIVE = st.lists(st.text("aab b\n", max_size=30), max_size=8)


@settings(max_examples=300, deadline=None)
@given(REPETITIVE | st.lists(st.text(max_size=12), max_size=6), st.integers(0, 60))
def test_fast_training_learns_the_merges_of_the_definition(texts: list[str], n: int) -> None:
    pieces = count_pieces(texts)
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

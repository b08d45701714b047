"""Lesson 1, tokens: byte-pair encoding by hand, and rows of ids to learn from.

The right answers and the mistakes are in bank_01.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from lessons.exercises import bank_01
from lessons.grading.task import Case, Draw, Made, Task
from minigpt import bpe, dataset

# 1.1 count_pairs


def count_pairs_reference(words: dict[tuple[int, ...], int]) -> dict[tuple[int, int], int]:
    """Counts how often each two ids stand side by side.

    counts[a, b] = sum over words of times(word) * (places in word where b follows a)

    Overlapping pairs all count: (5, 5, 5) holds (5, 5) twice. Pairs that do not occur are left out.

    Args:
        words: {ids of the word: times it occurs}. It stays as it is.

    Returns:
        {(left, right): times}
    """
    return bpe.count_pairs(words)


def random_words(draw: Draw, n: int, longest: int, ids: int) -> dict[tuple[int, ...], int]:
    """Returns up to n words of 1 to longest ids below ids, with their counts."""
    words = {}
    for _ in range(n):
        word = draw.integers(0, ids - 1, draw.integer(1, longest)).tolist()
        words[tuple(word)] = draw.integer(1, 9)
    return words


def count_pairs_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 1.1."""
    a, b, c, d = draw.shuffled([7, 12, 97, 300, 1234, 50_256])[:4]
    yield Case(({(a, b): 1},), note="there is one word with one pair")
    yield Case(({},), note="there are no words")
    yield Case(({(a,): 3, (b,): 2},), note="every word is a single id")
    yield Case(({(a, b): 3, (c, d): 2},), note="words occur several times")
    yield Case(({(a, b, c, d): 1},), note="a word has several pairs")
    yield Case(({(a, a, a): 2},), note="an id is repeated")
    yield Case(({(a, a, a, a, b): 3},), note="an id is repeated")
    yield Case(({(a, b, a, b, a): 2},), note="a pair comes again in the same word")
    yield Case(({(a, b): 3, (c, a, b): 4},), note="a pair comes again in another word")
    yield Case(({(b, a): 3, (a, b): 4, (c,): 5},), note="a pair also stands the other way round")
    yield Case((random_words(draw, 5, 6, 3),))
    yield Case((random_words(draw, 8, 9, 500),))


def count_pairs_sample(draw: Draw) -> Case:
    """Returns a random case of 1.1."""
    n_ids = draw.choice([2, 4, 1000])
    return Case((random_words(draw, draw.integer(0, draw.size), 2 * draw.size, n_ids),))


COUNT_PAIRS = Task(
    id="1.1",
    name="count_pairs",
    reference=count_pairs_reference,
    idea="Byte-pair encoding looks for two tokens that often stand side by side. So count every "
    "pair of neighbours in all words.",
    example=">>> count_pairs({(97, 110, 97, 110): 2, (97, 110): 1})\n{(97, 110): 5, (110, 97): 2}",
    hints=(
        "How many pairs has a word of n ids, and how often does each of them count?",
        "Go through the words; in each, pair every id with the one after it, and add the word's "
        "count to that pair's sum.",
        "counts[pair] = counts.get(pair, 0) + times",
    ),
    cases=count_pairs_cases,
    sample=count_pairs_sample,
    bank=bank_01.pairs,
)

# 1.2 most_frequent_pair

MOST_FREQUENT_PAIR_STUB = '''\
def most_frequent_pair(counts: dict[tuple[int, int], int]) -> tuple[int, int] | None:
    """Returns the pair with the highest count, or None if there is no pair.

    Of several with that count it is the smallest: the one with the smallest left id and, if those
    are equal too, with the smallest right id. So the same text always gives the same vocabulary.

    Args:
        counts: {(left, right): times}, every count at least 1. It stays as it is.
    """
'''


def most_frequent_pair_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 1.2: but for two of them neither the first pair nor the last one wins."""
    n = draw.integer(2, 30)
    yield Case(({},), note="there is no pair")
    yield Case(({(n, n + 1): 1},), note="the best pair occurs once")
    yield Case(({(1, 2): n, (4, 1): n + 1, (9, 9): n + 3},), note="the best pair stands last")
    yield Case(({(9, 9): n + 3, (1, 2): n, (4, 1): n + 1},), note="the best pair stands first")
    yield Case(({(4, 1): n, (9, 9): n + 2, (1, 2): n + 1},))
    yield Case(({(7, 1): n, (3, 8): n, (5, 0): n},), note="pairs are equally frequent")
    yield Case(
        ({(2, 9): n, (8, 1): n, (2, 5): n, (2, 7): n, (1, 1): n - 1},),
        note="equally frequent pairs have the same left id",
    )
    yield Case(
        ({(300, 1): 1, (10, 400): 1, (9, 500): 1, (100, 0): 1},),
        note="equally frequent pairs have ids of other lengths",
    )
    yield Case(
        ({(6, 1): 9, (8, 2): 10, (7, 3): 2, (1, 4): 1},), note="counts have other numbers of digits"
    )
    yield Case(
        ({(5, 2): n, (3, 50_256): n, (4, 0): n},),
        note="the smallest pair has the largest right id",
    )
    counts = {(i, j): draw.integer(1, 3) for i in range(4) for j in range(5)}
    yield Case(({pair: counts[pair] for pair in draw.shuffled(list(counts))},))
    shuffled = dict.fromkeys(draw.shuffled(list(counts)), n)
    yield Case((shuffled,), note="pairs are equally frequent")


def most_frequent_pair_sample(draw: Draw) -> Case:
    """Returns a random case of 1.2."""
    n, highest = draw.integer(0, draw.size**2), draw.choice([1, 2, 9])
    ids = draw.integers(0, draw.choice([3, 12, 1000]), n, 2).tolist()
    return Case(({(left, right): draw.integer(1, highest) for left, right in ids},))


MOST_FREQUENT_PAIR = Task(
    id="1.2",
    name="most_frequent_pair",
    reference=bpe.most_frequent_pair,
    stub=MOST_FREQUENT_PAIR_STUB,
    idea="The pair that occurs most often becomes the next token. A tie needs a rule, or two "
    "machines could learn two vocabularies from one text.",
    example=">>> most_frequent_pair({(9, 2): 5, (3, 8): 7, (3, 4): 7})\n(3, 4)",
    hints=(
        "If two pairs are equally frequent, which one may your code not depend on: the order in "
        "which they were counted, or their ids?",
        "Two wishes at once, the highest count and the smallest pair: turn one of them round and "
        "a single min finds both.",
        "min(counts, key=lambda pair: (-counts[pair], pair), default=None)",
    ),
    cases=most_frequent_pair_cases,
    sample=most_frequent_pair_sample,
    bank=bank_01.best_pairs,
)

# 1.3 merge_pair

MERGE_PAIR_STUB = '''\
def merge_pair(ids: tuple[int, ...], pair: tuple[int, int], new_id: int) -> tuple[int, ...]:
    """Replaces every occurrence of pair in ids by new_id, from left to right without overlap.

    Args:
        ids: n ids, also none.
        pair: (left, right), which are replaced where they stand side by side in this order.
        new_id: an id that is not in ids.

    Returns:
        n ids less one for every merge.
    """
'''


def merge_pair_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 1.3."""
    a, b, c, d, new = draw.shuffled([0, 3, 12, 97, 256, 300, 1234, 50_256])[:5]
    yield Case(((a, b), (a, b), new), note="the pair is all there is")
    yield Case(((), (a, b), new), note="there are no ids")
    yield Case(((a,), (a, b), new), note="there is a single id")
    yield Case(((a, b, c), (a, b), new), note="the pair stands at the beginning")
    yield Case(((c, a, b), (a, b), new), note="the pair stands at the end")
    yield Case(((c, d, a, c), (a, b), new), note="one id of the pair stands without the other")
    yield Case(((b, a, d, b), (a, b), new), note="the pair stands the other way round")
    yield Case(((a, b, a, b, c, a, b), (a, b), new), note="the pair stands at several places")
    yield Case(((a, a, a), (a, a), new), note="the pair is one id twice, in a run of odd length")
    runs = (a, a, a, a, b, a, a, a, c, a)
    yield Case((runs, (a, a), new), note="the pair is one id twice, in a run of odd length")
    yield Case(((a, a, b, a, c), (a, b), new), note="the left id comes twice before the right one")
    text = (11, 2, 5, 1, 23, 1, 2, 31, 2)
    yield Case((text, (1, 2), 400), note="the digits of other ids look like the pair")
    yield Case((tuple(draw.integers(0, 2, 30).tolist()), (1, 0), 7))


def merge_pair_sample(draw: Draw) -> Case:
    """Returns a random case of 1.3."""
    ids = draw.integers(0, draw.choice([1, 2]), draw.integer(0, 4 * draw.size))
    left, right = draw.choice([(0, 0), (0, 1), (1, 0), (1, 1)])
    scale = draw.choice([1, 11, 300])
    return Case((tuple((scale * ids).tolist()), (scale * left, scale * right), 1000))


MERGE_PAIR = Task(
    id="1.3",
    name="merge_pair",
    reference=bpe.merge_pair,
    stub=MERGE_PAIR_STUB,
    idea="Once a pair has an id of its own, it is replaced wherever it stands. That is one step of "
    "learning a vocabulary; the ids get fewer with each.",
    example=">>> merge_pair((5, 5, 5, 7), (5, 5), 256)\n(256, 5, 7)",
    hints=(
        "After a merge at place i, where can the next one begin at the earliest?",
        "Walk along with an index of your own: two places on after a merge, one place on "
        "otherwise.",
        "if i + 1 < len(ids) and ids[i] == pair[0] and ids[i + 1] == pair[1]: "
        "merged.append(new_id); i += 2",
    ),
    cases=merge_pair_cases,
    sample=merge_pair_sample,
    bank=bank_01.merges,
)

# 1.4 byte_pair_encode

BYTE_PAIR_ENCODE_STUB = '''\
def byte_pair_encode(piece: bytes, ranks: dict[bytes, int]) -> list[int]:
    """Encodes one piece: joins the two neighbours whose join was learned first, again and again.

    Begin with single bytes. Of all neighbours left, right with left + right in ranks, join those
    with the lowest ranks[left + right]; if it comes several times, the leftmost of them. It ends
    when no join of two neighbours is a token.

    Args:
        piece: one byte or more.
        ranks: {bytes of a token: its id}, learned by byte-pair encoding: a token with a lower id
            was learned earlier. All 256 single bytes are in it, numbered in any way. It may list
            the tokens in any order.

    Returns:
        the ids of the parts that are left.
    """
'''


def learned(words: dict[str, int], n: int) -> list[bytes]:
    """Returns the tokens of the first n merges of {word: times}."""
    pieces = {tuple(word.encode("utf-8")): times for word, times in words.items()}
    return bpe.vocabulary(bpe.learn_merges(pieces, n))[256:]


def encoding_case(
    piece: bytes, tokens: list[bytes], shift: int = 0, note: str = "", backwards: bool = False
) -> Case:
    """Returns a case of 1.4; byte b has the id (b + shift) % 256.

    Backwards, the last rank comes first.
    """
    fields = {"learned": tokens, "shift": shift} | ({"backwards": True} if backwards else {})
    return Case((piece, Made("byte_ranks", fields)), note=note)


def byte_pair_encode_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 1.4."""
    shift = draw.integer(1, 255)
    banana = learned({"banana": 2, "ban": 3, "bandana": 1}, 3)  # an, ban, ana
    yield encoding_case(b"a", banana, note="the piece is a single byte")
    yield encoding_case(b"ab", banana, shift, "the single bytes are numbered in another way")
    yield encoding_case(b"ab", learned({"ab": 1}, 1), note="the piece ends in a join")
    yield encoding_case(b"anana", banana, note="the longest token is not the one learned first")
    order = "ranks does not list the tokens in the order in which they were learned"
    yield encoding_case(b"banana", banana, note=order, backwards=True)
    yield encoding_case(b"bandanana", banana)
    runs = learned({"aaaa": 1}, 2)  # aa, aaaa
    yield encoding_case(b"aaaaaaa", runs, note="a byte is repeated")
    yield encoding_case(b"aaa", runs, note="a byte is repeated")
    late = learned({"bc": 9, "ab": 3}, 2)  # bc, ab
    yield encoding_case(b"bc", late, note="the piece ends in a join")
    yield encoding_case(b"xyz", late, note="no join is a token")
    yield encoding_case(b"abc", late, note="a join further left was learned later")
    deep = learned({"bc": 20, "bcd": 10, "xbcd": 8, "xb": 5}, 4)  # bc, bcd, xbcd, xb
    yield encoding_case(b"xbcdxbxbc", deep, shift, "a join further left was learned later")
    long = learned({"abc": 9, "cd": 5}, 3)  # ab, abc, cd
    yield encoding_case(b"abcdcd", long, note="a long token was learned before a short one")
    french = learned({"été": 3, "étée": 2, "né": 2}, 5)
    yield encoding_case("étéené".encode(), french, shift, "there are bytes above 127")
    yield encoding_case("né à".encode(), french, shift, "there are bytes above 127")
    words = learned({"low": 1, "lower": 1, "slow": 1, "slower": 2, "slowest": 2}, 12)
    yield encoding_case(b"slowestlower", words)
    for letters, n in (("abc", 8), ("abcde", 20)):
        text, piece = ("".join(draw.sample(letters, length)) for length in (120, 40))
        tokens = learned({text: 1}, n)
        yield encoding_case(piece.encode(), tokens, shift, note="many joins are possible")


def byte_pair_encode_sample(draw: Draw) -> Case:
    """Returns a random case of 1.4."""
    letters = draw.choice(["ab", "abc"])
    text = "".join(draw.sample(letters, 16 * draw.size))
    piece = "".join(draw.sample(letters, draw.integer(1, 4 * draw.size)))
    tokens = learned({text: 1}, draw.integer(0, 2 * draw.size))
    shift, backwards = draw.choice([0, 159]), draw.choice([False, False, True])
    return encoding_case(piece.encode(), tokens, shift, backwards=backwards)


BYTE_PAIR_ENCODE = Task(
    id="1.4",
    name="byte_pair_encode",
    reference=bpe.byte_pair_encode,
    stub=BYTE_PAIR_ENCODE_STUB,
    idea="Text is written with a learned vocabulary by making the same joins again, those learned "
    "first before the others. Not the longest token wins, but the oldest join.",
    example=">>> ranks = {b'a': 97, b'b': 98, b'n': 110, b'an': 256, b'ana': 257}\n"
    ">>> byte_pair_encode(b'banana', ranks)\n[98, 256, 257]",
    hints=(
        "b'anana' with the tokens an (learned first) and ana: which joins are possible at the "
        "beginning, and which of them comes first?",
        "Keep a list of parts, at first single bytes. Look up the join of every two neighbours, "
        "take the lowest rank, replace the two by one, and look at all of them again.",
        "rank, i = min((ranks[a + b], i) for i, (a, b) in enumerate(zip(parts, parts[1:])) "
        "if a + b in ranks)",
    ),
    cases=byte_pair_encode_cases,
    sample=byte_pair_encode_sample,
    bank=bank_01.encoders,
)

# 1.5 next_token_pairs

NEXT_TOKEN_PAIRS_STUB = '''\
def next_token_pairs(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (inputs, targets): at each position an id, and the id that follows it.

    inputs[..., t] = ids[..., t] and targets[..., t] = ids[..., t + 1], for t = 0 to T - 1

    Args:
        ids: whole numbers of any dtype, [T + 1] for one row, [B, T + 1] for many, or with more
            dimensions in front; T is at least 1.

    Returns:
        inputs and targets, both int64 [..., T].
    """
'''


def next_token_pairs_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 1.5."""

    def ids(*shape: int) -> torch.Tensor:
        return draw.integers(0, 50_256, *shape)

    yield Case((ids(2),), note="there is one row of two ids")
    yield Case((ids(6),), note="there is one row")
    yield Case((ids(2, 5),))
    yield Case((ids(3, 2),), note="T is 1")
    yield Case((ids(1, 4),), note="there is a batch of one row")
    yield Case((ids(2, 3, 4),), note="ids has three dimensions")
    yield Case((ids(3, 5).int(),), note="ids is in int32")
    yield Case((draw.integers(0, 255, 2, 4).to(torch.uint8),), note="ids is in uint8")
    odd = 2 * draw.integers(2**24, 2**25, 2, 4) + 1  # fp32 has no odd numbers up there
    yield Case((odd,), note="ids are above 2^24, which fp32 would round")
    yield Case((odd + 2**31,), note="ids are above 2^31, which int32 cannot hold")
    yield Case((ids(5, 3).T,), note="ids is a transposed view")


def next_token_pairs_sample(draw: Draw) -> Case:
    """Returns a random case of 1.5."""
    shape = [draw.integer(1, draw.size) for _ in range(draw.integer(0, 2))]
    ids = draw.integers(0, 100, *shape, draw.integer(2, draw.size + 2))
    return Case((ids.to(draw.choice([torch.int64, torch.int32, torch.int16])),))


NEXT_TOKEN_PAIRS = Task(
    id="1.5",
    name="next_token_pairs",
    reference=dataset.next_token_pairs,
    stub=NEXT_TOKEN_PAIRS_STUB,
    idea="A language model learns by guessing, at every position, the id that comes next. The "
    "targets are therefore the ids themselves, moved by one place.",
    example=">>> next_token_pairs(torch.tensor([12, 7, 431, 9]))\n"
    "(tensor([ 12,   7, 431]), tensor([  7, 431,   9]))",
    hints=(
        "Which id of a row can never be an input, and which never a target?",
        "Both are slices of the same row: one without its last id, the other without its first. "
        "The dots in ids[..., a:b] stand for all dimensions in front.",
        "ids[..., :-1].long(), ids[..., 1:].long()",
    ),
    cases=next_token_pairs_cases,
    sample=next_token_pairs_sample,
    bank=bank_01.shifted,
    axes={"ids": "row position", "->": "row position"},
)

# 1.6 pack

PACK_STUB = '''\
def pack(documents: Iterable[list[int]], end_token: int) -> np.ndarray:
    """Puts all documents into one row of ids, each followed by end_token.

    Empty documents leave nothing behind, no end token either.

    Args:
        documents: lists of ids from 0 on, at least one of them not empty. They may come as a list
            or as anything else that can be gone through once, such as a generator.
        end_token: the id that says "here a text ends". A document may hold it too.

    Returns:
        all ids in one row, [N]: an array, a tensor or a list.
    """
'''


def documents_of(draw: Draw, n: int, longest: int, ids: int) -> list[list[int]]:
    """Returns n documents, the first of which is not empty, in a random order."""
    lengths = [draw.integer(1, longest), *(draw.integer(0, longest) for _ in range(n - 1))]
    return draw.shuffled([draw.integers(0, ids - 1, length).tolist() for length in lengths])


def pack_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 1.6."""
    a, b, c, d = draw.shuffled(list(range(11, 99)))[:4]
    yield Case(([[a, b]], 7), note="there is one document")
    yield Case(([[a, b], [c], [d, a, c]], 50_256))
    yield Case(([[a, b], [], [c, d]], 7), note="a document is empty")
    yield Case(([[], [a], [b, c], []], 7), note="a document is empty")
    yield Case(([[a, 7], [7], [b]], 7), note="a document holds the end token")
    yield Case(([[0, a, 0], [b, 0]], 7), note="the id 0 occurs")
    yield Case(([[a, b], [c]], 0), note="the end token is 0")
    yield Case(([[a, b], [c], [a, b]], 7), note="a document comes twice")
    yield Case(([[50_000, 40_000], [65_535]], 50_256), note="ids are above 32,767")
    yield Case(([[70_000, a], [b, 100_000]], 99_999), note="ids are above 65,535")
    yield Case(([[a, b], [c]], 65_536), note="only the end token is above 65,535")
    huge = [[2**24 + 1, a], [2**24 + 3]]
    yield Case((huge, 2**24 + 5), note="ids are above 2^24, which fp32 would round")
    generator = Made("generator", {"items": [[a, b, c], [], [d]]})
    yield Case((generator, 9), note="documents can be gone through only once")
    yield Case((tuple(documents_of(draw, 6, 5, 300)), 300), note="documents is a tuple")


def pack_sample(draw: Draw) -> Case:
    """Returns a random case of 1.6."""
    n, longest, ids = draw.integer(1, 2 * draw.size), draw.size + 1, draw.choice([2, 90])
    documents = documents_of(draw, n, longest, ids)
    end_token = draw.choice([1, 90])
    if draw.choice([True, True, False]):
        return Case((documents, end_token))
    return Case((Made("generator", {"items": documents}), end_token))


PACK = Task(
    id="1.6",
    name="pack",
    reference=dataset.pack,
    stub=PACK_STUB,
    idea="Training texts are laid end to end into one long row, from which windows of any length "
    "can be cut without padding. An end token after each tells the model where a text is over.",
    example=">>> print(pack([[5, 6], [], [7]], 99))\n[ 5  6 99  7 99]",
    hints=(
        "What should an empty document leave behind?",
        "Go through documents once, with one list of your own that gets each document's ids and "
        "then the end token.",
        "if len(document): ids.extend(document); ids.append(end_token)",
    ),
    cases=pack_cases,
    sample=pack_sample,
    bank=bank_01.packs,
    drive="call_for_ids",
)

TASKS = [COUNT_PAIRS, MOST_FREQUENT_PAIR, MERGE_PAIR, BYTE_PAIR_ENCODE, NEXT_TOKEN_PAIRS, PACK]

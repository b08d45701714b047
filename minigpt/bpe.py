"""Byte-pair encoding (BPE): learn a vocabulary from text, and write text as ids of its tokens.

A language model reads ids, whole numbers from 0 to vocab_size - 1. BPE starts with one token for
each of the 256 bytes, so any text can be written. Then it merges: the most frequent pair of
neighbouring tokens becomes one new token with the next free id, again and again, until the
vocabulary is full. The id of a byte is its value: 97 is "a", 98 is "b", 110 is "n".

>>> text = "banana bandana"
>>> merges = learn_merges(count_pieces([text]), n_merges=3)
>>> merges  # pairs of ids, which get the ids 256, 257 and 258
[(97, 110), (98, 256), (256, 97)]
>>> vocabulary(merges)[256:]
[b'an', b'ban', b'ana']
>>> encode_text(text, token_ranks(merges))  # ban|ana| |ban|d|ana
[257, 258, 32, 257, 100, 258]
>>> decode([257, 258], vocabulary(merges))
'banana'

The file builds up: cut text into pieces, count pairs, merge a pair, learn merges, encode, decode.
Training a tokenizer learns the same merges with fast/merges.py; `tokenizer.py` makes a tiktoken
encoding of them. GPT-2 gives the bytes other ids (printable characters first), for its file format.

Sources: Sennrich et al. 2016 (BPE for words, arXiv 1508.07909); Radford et al. 2019, section 2.2
(BPE on bytes, and why text is cut into pieces first).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import regex

# `++` is `+` that gives nothing back (possessive): it changes no result here and is faster.
GPT2_PATTERN = "|".join(
    (
        r"'(?:[sdmt]|ll|ve|re)",  # an English ending: 's 'd 'm 't 'll 've 're
        r" ?\p{L}++",  # letters, with the one space before them
        r" ?\p{N}++",  # digits, likewise
        r" ?[^\s\p{L}\p{N}]++",  # punctuation and symbols, likewise
        r"\s++$",  # white space at the end of the text
        r"\s+(?!\S)",  # white space except its last character, which goes with the next word
        r"\s",  # a single white space before a word that is not a plain space
    )
)

Pair = tuple[int, int]


def split_text(text: str, pattern: str = GPT2_PATTERN) -> list[str]:
    """Cuts text into pieces; no token reaches from one piece into the next.

    "Don't go  now" -> ["Don", "'t", " go", " ", " now"]. A space goes with the word after it, and
    the pieces, joined again, are the text. tiktoken may class, and so cut, characters differently
    that are newer than its Unicode tables.
    """
    return [match.group() for match in regex.finditer(pattern, text)]


def count_pieces(texts: Iterable[str], pattern: str = GPT2_PATTERN) -> dict[tuple[int, ...], int]:
    """Counts the distinct pieces of texts: {ids of the piece's UTF-8 bytes: times it occurs}.

    English repeats its words, so training looks at each distinct piece once, with its count.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        # As split_text, but one by one: a list of all pieces takes twenty times the text's room.
        counts.update(map(regex.Match.group, regex.finditer(pattern, valid_unicode(text))))
    return {tuple(piece.encode("utf-8")): count for piece, count in counts.items()}


def count_pairs(pieces: Mapping[tuple[int, ...], int]) -> dict[Pair, int]:
    """Counts neighbouring ids, {(left, right): times}, in pieces, {ids: times the piece occurs}.

    Overlapping pairs all count: (5, 5, 5) holds (5, 5) twice.
    """
    counts: Counter[Pair] = Counter()
    for ids, count in pieces.items():
        for pair in pairwise(ids):
            counts[pair] += count
    return dict(counts)


def most_frequent_pair(counts: Mapping[Pair, int]) -> Pair | None:
    """Returns the pair with the highest count, or None if there is no pair.

    On a tie it is the smallest (left id, right id), so the same text gives the same merges on every
    machine.
    """
    return min(counts, key=lambda pair: (-counts[pair], pair), default=None)


def merge_pair(ids: Sequence[int], pair: Pair, new_id: int) -> tuple[int, ...]:
    """Replaces every occurrence of pair in ids by new_id, from left to right without overlap.

    merge_pair((5, 5, 5, 7), (5, 5), 256) -> (256, 5, 7)
    """
    merged = []
    i = 0
    while i < len(ids):
        if i + 1 < len(ids) and ids[i] == pair[0] and ids[i + 1] == pair[1]:
            merged.append(new_id)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return tuple(merged)


def learn_merges(pieces: Mapping[tuple[int, ...], int], n_merges: int) -> list[Pair]:
    """Learns n_merges merges: each gives the most frequent pair the next id, from 256 on.

    Returns the pairs in the order learned; fewer than n_merges once every piece is a single id.
    """
    pieces = dict(pieces)
    merges: list[Pair] = []
    while len(merges) < n_merges:
        pair = most_frequent_pair(count_pairs(pieces))
        if pair is None:
            break
        new_id = 256 + len(merges)
        merges.append(pair)
        pieces = {merge_pair(ids, pair, new_id): count for ids, count in pieces.items()}
    return merges


def vocabulary(merges: Sequence[Pair]) -> list[bytes]:
    """Returns the bytes of every token by id: the 256 single bytes, then one token for each merge.

    All tokens differ: wherever the same bytes become one token, they were merged in the same order,
    so no two merges spell the same token.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return tokens


def token_ranks(merges: Sequence[Pair]) -> dict[bytes, int]:
    """Returns {bytes of the token: id}, the vocabulary turned round.

    Encoding calls the id a rank, because the token with the lower id was learned earlier.
    """
    return {token: id for id, token in enumerate(vocabulary(merges))}


def byte_pair_encode(piece: bytes, ranks: Mapping[bytes, int]) -> list[int]:
    """Encodes one piece: joins the two neighbours whose join was learned first, again and again.

    On a tie the leftmost two are joined. It ends when no join of two neighbours is a token.
    """
    parts = [piece[i : i + 1] for i in range(len(piece))]
    while True:
        joins = [
            (ranks[left + right], i)
            for i, (left, right) in enumerate(pairwise(parts))
            if left + right in ranks
        ]
        if not joins:
            return [ranks[part] for part in parts]
        _, i = min(joins)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


def encode_text(text: str, ranks: Mapping[bytes, int], pattern: str = GPT2_PATTERN) -> list[int]:
    """Encodes text; tiktoken's `Encoding.encode_ordinary` returns the same ids."""
    pieces = split_text(valid_unicode(text), pattern)
    return [id for piece in pieces for id in byte_pair_encode(piece.encode("utf-8"), ranks)]


def decode(ids: Iterable[int], tokens: Sequence[bytes]) -> str:
    """Returns the text that ids stand for; tokens is the vocabulary.

    A token may end inside a character, so ids that were cut off anywhere may begin or end with part
    of one. Bytes that make no character become U+FFFD. ValueError for an id outside the vocabulary.
    """
    ids = list(ids)
    for id in ids:
        if not 0 <= id < len(tokens):
            raise ValueError(f"the vocabulary has ids from 0 to {len(tokens) - 1}, got {id}")
    return b"".join(tokens[id] for id in ids).decode("utf-8", errors="replace")


def valid_unicode(text: str) -> str:
    """Replaces surrogates, the half characters that a Python string can hold and UTF-8 cannot.

    Two halves that belong together become the character they mean; a lone one becomes U+FFFD, as in
    tiktoken. Nothing else is changed by encoding and decoding.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

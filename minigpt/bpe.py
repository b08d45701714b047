"""Byte-pair encoding (BPE): which stretches of text get a number of their own.

A model reads ids, whole numbers from 0 to vocab_size - 1. BPE starts with one id for each of the
256 bytes, so any text can be written, and then gives the most frequent pair of neighbouring ids a
new id of its own, again and again, until the vocabulary is full. The file builds up in that order:
cut text into pieces, count pairs, merge a pair, learn merges, encode with them. Last comes
`learn_merges`, which learns the same merges fast and is what training a tokenizer calls;
`tokenizer.py` makes a tiktoken encoding of the result.

The bytes have the ids 0 to 255 in their own order, so the id of a byte is its value. GPT-2 shuffles
them (printable characters first) for reasons of its file format; nothing here needs that.

Sources: Sennrich et al. 2016 (BPE for words, arXiv 1508.07909); Radford et al. 2019, section 2.2
(BPE on bytes, and why pieces are split before).
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import regex

# `++` takes all it can and gives nothing back, which changes no result here and is faster than `+`.
GPT2_PATTERN = "|".join(
    (
        r"'(?:[sdmt]|ll|ve|re)",  # an English ending: 's 'd 'm 't 'll 've 're
        r" ?\p{L}++",  # letters, with the one space before them
        r" ?\p{N}++",  # digits, likewise
        r" ?[^\s\p{L}\p{N}]++",  # punctuation and symbols, likewise
        r"\s++$",  # white space at the end of the text
        r"\s+(?!\S)",  # white space, up to but without the last one, which belongs to the next word
        r"\s",  # a single white space before a word that is not a plain space
    )
)

Pair = tuple[int, int]


def valid_unicode(text: str) -> str:
    """Replace surrogates, the half characters that a Python string can hold and UTF-8 cannot.

    Two halves that belong together become the character they mean, a lone one becomes U+FFFD, as
    in tiktoken's `encode`: the one thing that does not survive encoding and decoding.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def split_text(text: str, pattern: str = GPT2_PATTERN) -> list[str]:
    """Cut text into the pieces that no token may cross; joined again they are the text.

    "Don't go  now" -> ["Don", "'t", " go", " ", " now"]. The space goes with the word after it.
    Characters newer than tiktoken's Unicode tables may be classed, and so cut, differently there.
    """
    return [match.group() for match in regex.finditer(pattern, text)]


def count_words(texts: Iterable[str], pattern: str = GPT2_PATTERN) -> dict[tuple[int, ...], int]:
    """Count the distinct pieces of texts: {UTF-8 bytes of the piece: times it occurs}.

    English has far fewer distinct words than words, so training looks at each once, with its count.
    """
    pieces: Counter[str] = Counter()
    for text in texts:
        pieces.update(split_text(valid_unicode(text), pattern))
    return {tuple(piece.encode("utf-8")): count for piece, count in pieces.items()}


def count_pairs(words: Mapping[tuple[int, ...], int]) -> dict[Pair, int]:
    """Count neighbouring ids: {(left, right): times} over words {ids: times the word occurs}.

    Overlapping pairs all count: (5, 5, 5) holds (5, 5) twice.
    """
    counts: Counter[Pair] = Counter()
    for ids, count in words.items():
        for pair in pairwise(ids):
            counts[pair] += count
    return dict(counts)


def most_frequent_pair(counts: Mapping[Pair, int]) -> Pair | None:
    """Returns the pair with the highest count; among equals the smallest (left id, right id).

    Smaller ids are older tokens, so ties are settled by the text alone: the same text gives the
    same merges on every machine. None if there is no pair.
    """
    return min(counts, key=lambda pair: (-counts[pair], pair), default=None)


def merge_pair(ids: Sequence[int], pair: Pair, new_id: int) -> tuple[int, ...]:
    """Replace every occurrence of pair in ids by new_id, from left to right without overlap.

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


def learn_merges_plainly(words: Mapping[tuple[int, ...], int], n_merges: int) -> list[Pair]:
    """Learn BPE as defined: n_merges times, give the most frequent pair the next id, from 256 on.

    Returns the merges in order, fewer if every word has become a single id before. It counts
    everything afresh each time: the definition, and the test of `learn_merges`.
    """
    words = dict(words)
    merges: list[Pair] = []
    while len(merges) < n_merges:
        pair = most_frequent_pair(count_pairs(words))
        if pair is None:
            break
        new_id = 256 + len(merges)
        merges.append(pair)
        words = {merge_pair(ids, pair, new_id): count for ids, count in words.items()}
    return merges


def merged_tokens(merges: Sequence[Pair]) -> list[bytes]:
    """Returns the bytes of every token by id: 256 single bytes, then one token a merge.

    No two are equal. Token boundaries only ever disappear, so between two of them the same bytes
    have always been merged the same way, and no two pairs ever spell the same token.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return tokens


def byte_pair_encode(piece: bytes, ranks: Mapping[bytes, int]) -> list[int]:
    """Encode one piece: join, again and again, the neighbours whose join has the lowest rank.

    ranks maps a token's bytes to its id; a lower id was learned earlier. Among equals the leftmost
    goes first. This is what tiktoken computes.
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
    """Encode text plainly: what `Encoding.encode_ordinary` returns, in a line that can be read."""
    pieces = split_text(valid_unicode(text), pattern)
    return [id for piece in pieces for id in byte_pair_encode(piece.encode("utf-8"), ranks)]


def learn_merges(words: Mapping[tuple[int, ...], int], n_merges: int) -> list[Pair]:
    """Same as `learn_merges_plainly`, touching only the words that a merge changes.

    Counts are kept up to date word by word. A heap holds (-count, pair), which sorts in the order
    of `most_frequent_pair`. Its entries may be out of date and are put right when they reach the
    top: counts only fall, except those of pairs with the new id, which are pushed at once.
    """
    word_ids = list(words)
    word_counts = list(words.values())
    counts = defaultdict(int, count_pairs(words))
    words_with: defaultdict[Pair, set[int]] = defaultdict(set)  # may hold words that had the pair
    for index, ids in enumerate(word_ids):
        for pair in pairwise(ids):
            words_with[pair].add(index)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    while heap and len(merges) < n_merges:
        negative_count, pair = heapq.heappop(heap)
        if -negative_count != counts[pair]:
            if counts[pair] > 0:
                heapq.heappush(heap, (-counts[pair], pair))
            continue
        new_id = 256 + len(merges)
        merges.append(pair)
        created: set[Pair] = set()
        for index in words_with.pop(pair):
            before = word_ids[index]
            after = merge_pair(before, pair, new_id)
            if len(after) == len(before):
                continue
            word_ids[index] = after
            for old in pairwise(before):
                counts[old] -= word_counts[index]
            for new in pairwise(after):
                counts[new] += word_counts[index]
                if new_id in new:
                    words_with[new].add(index)
                    created.add(new)
        for new in created:
            heapq.heappush(heap, (-counts[new], new))
    return merges

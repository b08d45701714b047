"""`bpe.learn_merges`, looking again only at the pieces that a merge changes.

It makes thousands of merges of megabytes affordable; `minigpt lesson 1` prints how long they take.
"""

import heapq
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise

from minigpt.bpe import Pair, count_pairs, merge_pair


def fast_learn_merges(pieces: Mapping[tuple[int, ...], int], n_merges: int) -> list[Pair]:
    """Same as `bpe.learn_merges`, but the counts of pairs are kept up to date.

    A heap holds (-count, pair), which sorts in the order of `bpe.most_frequent_pair`. A stale entry
    is corrected when it reaches the top. That is enough, because counts only fall, except those of
    pairs that contain the new id, and these are pushed at once.
    """
    piece_ids = list(pieces)
    piece_counts = list(pieces.values())
    counts = defaultdict(int, count_pairs(pieces))
    # May also name pieces that no longer contain the pair.
    pieces_with: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, ids in enumerate(piece_ids):
        for pair in pairwise(ids):
            pieces_with[pair].add(index)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    while heap and len(merges) < n_merges:
        negative_count, best = heapq.heappop(heap)
        if -negative_count != counts[best]:
            if counts[best] > 0:
                heapq.heappush(heap, (-counts[best], best))
            continue
        new_id = 256 + len(merges)
        merges.append(best)
        new_pairs: set[Pair] = set()
        for index in pieces_with.pop(best):
            before = piece_ids[index]
            after = merge_pair(before, best, new_id)
            if len(after) == len(before):
                continue
            piece_ids[index] = after
            for pair in pairwise(before):
                counts[pair] -= piece_counts[index]
            for pair in pairwise(after):
                counts[pair] += piece_counts[index]
                if new_id in pair:
                    pieces_with[pair].add(index)
                    new_pairs.add(pair)
        for pair in new_pairs:
            heapq.heappush(heap, (-counts[pair], pair))
    return merges

"""`bpe.learn_merges`, touching only the places where the merged pair stands.

A merge costs what its occurrences cost, however long the pieces are that they stand in; this makes
thousands of merges of megabytes affordable. `minigpt lesson 1` prints how long they take.

All pieces lie end to end in one row. Each place in the row holds an id, and the places of the ids
before and after it in its piece: a linked list, from which a merge takes out the right half of
every pair.
"""

import heapq
from collections import defaultdict
from collections.abc import Mapping
from itertools import chain, pairwise

import numpy as np

from minigpt.bpe import Pair

NONE = -1  # for a place: there is no neighbour on that side; for an id: the place was taken out
FEW = 16  # for so few places a plain loop costs less than numpy's calls

# Here a pair is one number, which sorts as (left, right) does: (left << 32) + right.
HALF = 32
RIGHT_HALF = (1 << HALF) - 1
Counts = dict[int, int]  # {pair: how often it occurs}
Places = dict[int, list[int] | np.ndarray]  # {pair: where its left half stands, in ascending order}


def fast_learn_merges(pieces: Mapping[tuple[int, ...], int], n_merges: int) -> list[Pair]:
    """Same as `bpe.learn_merges`, but the counts and places of pairs are kept up to date.

    A heap holds (-count, pair), which sorts in the order of `bpe.most_frequent_pair`. A stale entry
    is corrected when it reaches the top. That is enough, because counts only fall, except those of
    pairs that contain the new id, and these are pushed at once.
    """
    row = Row(pieces)
    counts, places = row.pairs()
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    while heap and len(merges) < n_merges:
        negative_count, best = heapq.heappop(heap)
        if -negative_count != counts[best]:
            if counts[best] > 0:
                heapq.heappush(heap, (-counts[best], best))
            continue
        left, right, new_id = best >> HALF, best & RIGHT_HALF, 256 + len(merges)
        merges.append((left, right))
        found = places.pop(best)
        merge = row.merge_few if len(found) <= FEW else row.merge_many
        changes, new_places = merge(found, left, right, new_id)
        for pair, change in changes.items():
            counts[pair] = counts.get(pair, 0) + change
        for pair in new_places:
            if counts[pair] > 0:
                heapq.heappush(heap, (-counts[pair], pair))
        places.update(new_places)
    return merges


class Row:
    """All pieces end to end, as arrays with one number for each place.

    Attributes:
        ids: the id at each place; NONE once it was taken out.
        before, after: the places of its neighbours in the same piece.
        times: how often its piece occurs.
    """

    def __init__(self, pieces: Mapping[tuple[int, ...], int]) -> None:
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        ends = np.cumsum(lengths[lengths > 0])
        n = int(lengths.sum())
        self.ids = np.fromiter(chain.from_iterable(pieces), np.int32, n)
        self.times = np.repeat(np.fromiter(pieces.values(), np.int64, len(pieces)), lengths)
        place = np.int32 if n < 2**31 else np.int64
        self.before = np.arange(-1, n - 1, dtype=place)
        self.after = np.arange(1, n + 1, dtype=place)
        self.before[ends[:-1]] = NONE
        self.after[ends - 1] = NONE

    def pairs(self) -> tuple[Counts, Places]:
        """Counts and finds all pairs; overlapping ones all count, as in `bpe.count_pairs`."""
        places = np.flatnonzero(self.after != NONE).astype(self.after.dtype)
        pairs = one_number(self.ids[places], self.ids[self.after[places]])
        return grouped(pairs, places, self.times[places])

    def merge_few(
        self, places: list[int] | np.ndarray, left: int, right: int, new_id: int
    ) -> tuple[Counts, Places]:
        """Replaces left and right by new_id wherever they still stand at these places.

        Returns:
            How much the counts of other pairs rise or fall, and the places of the new pairs.
        """
        ids, times = self.ids.data, self.times.data  # quicker than arrays to look up one number
        before, after = self.before.data, self.after.data
        changes: defaultdict[int, int] = defaultdict(int)
        new_places: defaultdict[int, list[int]] = defaultdict(list)
        for here in map(int, places):
            there = after[here]  # where the right half stands
            if ids[here] != left or there == NONE or ids[there] != right:
                continue
            first, last = before[here], after[there]  # the neighbours of the pair
            if first != NONE:
                new_pair = (ids[first] << HALF) + new_id
                changes[(ids[first] << HALF) + left] -= times[here]
                changes[new_pair] += times[here]
                new_places[new_pair].append(first)
            if last != NONE:
                new_pair = (new_id << HALF) + ids[last]
                changes[(right << HALF) + ids[last]] -= times[here]
                changes[new_pair] += times[here]
                new_places[new_pair].append(here)
                before[last] = here
            ids[here], ids[there], after[here] = new_id, NONE, last
        return changes, dict(new_places)

    def merge_many(
        self, places: list[int] | np.ndarray, left: int, right: int, new_id: int
    ) -> tuple[Counts, Places]:
        """Does and returns the same as merge_few, at all places at once."""
        here = np.asarray(places)
        there = self.after[here]
        stands = (self.ids[here] == left) & (there != NONE) & (self.ids[there] == right)
        here, there = here[stands], there[stands]
        if left == right:  # of a run of n the first two are merged, then the next two, ...
            number = np.arange(len(here), dtype=here.dtype)
            begins = np.append(True, there[:-1] != here[1:])[: len(here)]
            in_run = number - np.maximum.accumulate(number * begins)
            here, there = here[in_run & 1 == 0], there[in_run & 1 == 0]
        first, last = self.before[here], self.after[there]
        preceded = first != NONE
        old_left = one_number(self.ids[first], left)[preceded]
        self.ids[here] = new_id
        # Where two merged pairs touch, one old pair stood between them, and one new pair will.
        followed = (last != NONE) & (self.ids[last] != new_id)
        old_right = one_number(right, self.ids[last])[followed]
        self.ids[there] = NONE
        self.after[here] = last
        self.before[last[last != NONE]] = here[last != NONE]
        first = self.before[here]
        new_left = one_number(self.ids[first], new_id)[preceded]
        new_right = one_number(new_id, self.ids[last])[followed]
        times = np.append(self.times[here[preceded]], self.times[here[followed]])
        where = np.append(first[preceded], here[followed])
        falls, _ = grouped(np.append(old_left, old_right), where, times)
        rises, new_places = grouped(np.append(new_left, new_right), where, times)
        return {pair: -fall for pair, fall in falls.items()} | rises, new_places


def one_number(left: np.ndarray | int, right: np.ndarray | int) -> np.ndarray:
    """Returns pairs as numbers, int64."""
    return (np.asarray(left, np.int64) << HALF) + right


def grouped(pairs: np.ndarray, places: np.ndarray, times: np.ndarray) -> tuple[Counts, Places]:
    """Returns the sum of times and the places of each different pair."""
    if not len(pairs):
        return {}, {}
    if (pairs[1:] < pairs[:-1]).any():
        order = np.argsort(pairs, kind="stable")  # stable: the places of a pair stay in order
        pairs, places, times = pairs[order], places[order], times[order]
    begins = np.flatnonzero(np.append(True, pairs[1:] != pairs[:-1]))
    different = pairs[begins].tolist()
    counts = dict(zip(different, np.add.reduceat(times, begins).tolist(), strict=True))
    cuts = pairwise([*begins.tolist(), len(pairs)])
    return counts, {
        pair: places[start:end] for pair, (start, end) in zip(different, cuts, strict=True)
    }

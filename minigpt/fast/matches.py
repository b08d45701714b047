"""`rouge.overlap`, `rouge.lcs_table` and `bleu.count_matches` sooner: the hits of two texts.

Two ideas do it. Where a text repeats nothing, sets are enough and no counting is needed. And a
Python integer is a row of bits as long as one likes: with a bit for each token of one text, an
operation on integers looks at all places of that text at once.

`python -m minigpt bench metrics` measures what that gains against rouge_score and sacrebleu.

Source: Hyyrö 2004, "Bit-parallel LCS-length computation revisited".
"""

from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise, repeat

Tokens = Sequence[Hashable]  # as in metric_tokens.py


def fast_overlap(target: Tokens, prediction: Tokens) -> int:
    """Same as `rouge.overlap`; where one side repeats nothing, every minimum in it is 0 or 1."""
    units = set(target)
    if len(units) == len(target):
        return len(units.intersection(prediction))
    units = set(prediction)
    if len(units) == len(prediction):
        return len(units.intersection(target))
    left: dict[Hashable, int] = {}  # how many of each unit can still be hit
    for unit in target:
        left[unit] = left.get(unit, 0) + 1
    hits = 0
    for unit in prediction:
        count = left.get(unit)
        if count:
            left[unit] = count - 1
            hits += 1
    return hits


def fast_ngram_hits(target: Tokens, prediction: Tokens, n: int) -> int:
    """Same as `rouge.overlap` of two `rouge.ngrams`, without tuples where n is 1."""
    if n == 2:
        units = set(pairwise(target))
        if len(units) == len(target) - 1:  # none repeats, so no list of them is needed
            return len(units.intersection(pairwise(prediction)))
        return fast_overlap(list(pairwise(target)), list(pairwise(prediction)))
    if n > 2:
        target, prediction = (
            list(zip(*(tokens[start:] for start in range(n)), strict=False))
            for tokens in (target, prediction)
        )
    return fast_overlap(target, prediction)


def position_masks(target: Iterable[Hashable]) -> dict[Hashable, int]:
    """Returns {token: the integer whose bit i is 1 where target[i] is the token}."""
    masks: dict[Hashable, int] = {}
    bit = 1
    for token in target:
        masks[token] = masks.get(token, 0) | bit
        bit <<= 1
    return masks


class Places:
    """Where the tokens of a prediction stand in a target, which ROUGE-1, 2 and L can share.

    Each token of the prediction has a mask, an integer whose bit i is 1 where target[i] is it.
    """

    def __init__(self, target: Tokens, prediction: Tokens) -> None:
        self.n_target = len(target)
        self.masks = list(map(position_masks(target).get, prediction, repeat(0)))

    def overlap(self) -> int:
        """Same as `rouge.overlap`."""
        return clipped(self.masks)

    def bigram_overlap(self) -> int:
        """Same as `rouge.overlap` of the bigrams."""
        return clipped([mask & following >> 1 for mask, following in pairwise(self.masks)])

    def lcs_length(self) -> int:
        """Same as fast_lcs_length, which explains how."""
        column = full = (1 << self.n_target) - 1
        for mask in self.masks:
            if mask:  # any other token leaves the column as it is
                matched = column & mask
                column = (column + matched) | (column ^ matched)
        return self.n_target - (column & full).bit_count()  # a carry may go beyond the last bit


def clipped(masks: list[int]) -> int:
    """Returns the hits of units whose places are these masks; equal units have equal masks."""
    units = set(masks)
    units.discard(0)
    hits = len(units)
    if hits < len(masks):
        for mask in units:
            if mask & (mask - 1):  # the target repeats it; does the prediction?
                hits += min(mask.bit_count(), masks.count(mask)) - 1
    return hits


def fast_lcs_length(target: Tokens, prediction: Tokens) -> int:
    """Same as the last corner of `rouge.lcs_table`, from columns that are one integer each.

    Down a column, from table[i][j] to table[i+1][j], the length grows by 0 or 1. Bit i of `column`
    is 0 where it grows, so the zeros below bit i count up to table[i][j]. For target "abc" and
    prediction "bac", with bit 0 on the right:

        j   token   its mask   column   table[0..3][j]
        0                      111      0 0 0 0
        1   b       010        101      0 0 1 1
        2   a       001        110      0 1 1 1
        3   c       100        010      0 1 1 2

    A token moves each zero down to the lowest match above the zero before it ("a": from bit 1 to
    bit 0). A match above all zeros gets a zero of its own ("c": bit 2), and the LCS is one longer.
    One addition does it everywhere: the carry runs from the match through the ones to the zero.
    """
    return Places(target, prediction).lcs_length()


def fast_lcs_positions(target: Tokens, prediction: Tokens) -> list[int]:
    """Same as `rouge.lcs_positions`, the same one of equally long LCS, from such columns.

    Where two tokens differ, table[i][j-1] > table[i-1][j] holds exactly if bit i - 1 of column j is
    0: the length grows there without a match, so column j - 1 grows there already. The way up from
    row i in column j thus ends at the highest bit below i that is a match or a zero.
    """
    masks = position_masks(target)
    column = full = (1 << len(target)) - 1
    columns = []
    for token in prediction:  # all of them: a zero stops the way up even where nothing matches
        mask = masks.get(token, 0)
        matched = column & mask
        column = ((column + matched) | (column ^ matched)) & full
        columns.append((mask, column))
    positions = []
    below = full  # ones in the bits 0 to i - 1
    for mask, column in reversed(columns):
        stops = (mask | ~column) & below
        if not stops:
            break
        i = stops.bit_length() - 1
        if mask >> i & 1:
            positions.append(i)
            below = (1 << i) - 1  # diagonally: target[i] is taken
        else:
            below = (2 << i) - 1  # to the left: target[i] is still to be had
    return positions[::-1]


def fast_union_hits(target_lines: Sequence[Tokens], prediction_lines: Sequence[Tokens]) -> int:
    """Same as the hits in `rouge.rouge_lsum`; between single lines they are the LCS, unclipped."""
    if len(target_lines) == len(prediction_lines) == 1:
        return fast_lcs_length(target_lines[0], prediction_lines[0])
    collected: list[Hashable] = []
    for wanted in target_lines:
        positions = [fast_lcs_positions(wanted, written) for written in prediction_lines]
        collected += [wanted[i] for i in set().union(*positions)]
    return fast_overlap(collected, [token for written in prediction_lines for token in written])


LONGEST_MASK = 2048  # tokens of all texts; beyond, `bleu.count_matches` is the faster one


def fast_count_matches(hypothesis: Tokens, references: Sequence[Tokens], order: int) -> list[int]:
    """Same as `bleu.count_matches`: the clipped matches for n = 1 to order, from one integer.

    The references are joined into one text, with a None after each. The integer is a matrix of
    bits: in round n, row i has a bit for each place of that text where the n-gram starts that
    starts at token i of the hypothesis; equal n-grams have equal rows. The n-gram is one token
    longer at every place whose next one is in row i + 1: the matrix is shifted by a row and a bit.
    A row has whole bytes, and its last bit is 0. Adding ones to all bits but the last sets the last
    one in every row that is not empty.
    """
    joined: Sequence[Hashable] = references[0]
    spans = [-1]  # the bits of each reference
    if len(references) > 1:
        joined = [token for reference in references for token in (*reference, None)]
        ends = accumulate(len(reference) + 1 for reference in references)
        spans = [(1 << end) - (1 << start) for start, end in pairwise([0, *ends])]
    n_rows, width = len(hypothesis), len(joined) // 8 + 1  # width in bytes
    masks = map(position_masks(joined).get, hypothesis, repeat(0))
    rows = [mask.to_bytes(width, "little") for mask in masks]
    matrix = int.from_bytes(b"".join(rows), "little")
    last_bits, other_bits = bits_of_rows(n_rows, width)
    matches = [0] * order
    # Where rows begin whose n-gram may come twice.
    suspects: Sequence[int] = range(0, n_rows * width, width)
    if len(set(hypothesis)) == n_rows:
        suspects = ()
    for n in range(order):
        if n > 0:
            matrix &= matrix >> (8 * width + 1)
        if matrix == 0:
            break
        matches[n] = ((matrix + other_bits) & last_bits).bit_count()
        if suspects:
            if n > 0:
                data = matrix.to_bytes(width * n_rows, "little")
                rows = [data[start : start + width] for start in suspects]
            seen: set[bytes] = set()
            times: dict[bytes, int] = {}  # of those that repeat; a Counter takes twice as long
            for row in rows:
                if row in seen:
                    times[row] = times.get(row, 1) + 1
                else:
                    seen.add(row)
            times.pop(bytes(width), None)  # n-grams without a match
            for row, count in times.items():  # clip
                places = int.from_bytes(row, "little")
                best = places.bit_count()
                if len(spans) > 1:
                    best = max([(places & span).bit_count() for span in spans])
                if count > best:
                    matches[n] -= count - best
            suspects = [start for start, row in zip(suspects, rows, strict=True) if row in times]
    return matches


@lru_cache(maxsize=2**12)
def bits_of_rows(n_rows: int, width: int) -> tuple[int, int]:
    """Returns the last bit of each row, of so many bytes, and all other bits."""
    last_bits = int.from_bytes((bytes(width - 1) + b"\x80") * n_rows, "little")
    return last_bits, last_bits - (last_bits >> (8 * width - 1))

"""Words and n-grams that two texts have in common: the hits of ROUGE and BLEU, counted sooner.

Each function here returns what a plain one in rouge.py or bleu.py defines; its first line names it.
Two ideas do it. Where a text repeats nothing, sets are enough and no counting is needed. And a
Python integer is a row of bits as long as one likes: with a bit for each token of one text, an
operation on integers looks at all places of that text at once.

`python -m minigpt bench metrics` measures what that gains against rouge_score and sacrebleu.

Source: Hyyrö 2004, "Bit-parallel LCS-length computation revisited".
"""

from collections.abc import Hashable, Iterable, Sequence
from itertools import accumulate, pairwise, repeat
from operator import and_, rshift

Tokens = Sequence[Hashable]


def fast_overlap(target: Tokens, prediction: Tokens) -> int:
    """Same as `rouge.overlap`: units in common, no more of each than the side with fewer has.

    Where one side repeats nothing, every such minimum is 1.
    """
    units = set(target)
    if len(units) == len(target):
        return len(units.intersection(prediction))
    units = set(prediction)
    if len(units) == len(prediction):
        return len(units.intersection(target))
    left: dict[Hashable, int] = {}  # how many of each are still to be hit
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


def fast_lcs_length(target: Tokens, prediction: Tokens) -> int:
    """Same as the last corner of `rouge.lcs_table`, from columns that are one integer each.

    Down a column, from table[i][j] to table[i+1][j], the length grows by 0 or 1. Bit i of `column`
    is 0 where it grows, so the zeros below bit i count up to table[i][j]. The next prediction token
    moves each zero down to the lowest match above the zero before it, and puts a new zero on the
    lowest match above all zeros: the LCS is one longer. A single addition does that everywhere,
    its carry running from the match through the ones up to the zero.
    """
    masks = position_masks(target)
    column = full = (1 << len(target)) - 1
    for mask in map(masks.get, prediction):
        if mask:  # any other token leaves the column as it is
            matched = column & mask
            column = (column + matched) | (column ^ matched)
    return len(target) - (column & full).bit_count()  # a carry may have gone beyond the last bit


def fast_lcs_positions(target: Tokens, prediction: Tokens) -> list[int]:
    """Same as `rouge.lcs_positions`, the same one of equally long LCS, from such columns.

    Where two tokens differ, table[i][j-1] > table[i-1][j] holds exactly if bit i - 1 of column j is
    0: the length grows there, and not because of a match, so column j - 1 has it already. The way
    up from row i in column j thus ends at the highest bit below i that is a match or a zero.
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
    """Same as the hits of `rouge.rouge_lsum`; of single lines, the LCS, which needs no clipping."""
    if len(target_lines) == len(prediction_lines) == 1:
        return fast_lcs_length(target_lines[0], prediction_lines[0])
    hits: list[Hashable] = []
    for line in target_lines:
        found = [fast_lcs_positions(line, other) for other in prediction_lines]
        hits += [line[i] for i in set().union(*found)]
    return fast_overlap(hits, [token for line in prediction_lines for token in line])


LONGEST_MASK = 1024  # tokens: beyond, `bleu.count_matches` is faster than masks


def fast_count_matches(hypothesis: Tokens, references: Sequence[Tokens], order: int) -> list[int]:
    """Same as `bleu.count_matches`: the clipped matches for n = 1 to order, from bit masks.

    The references stand in one row, a None after each. row[i] has a bit for each place where they
    have the n-gram that starts at i in the hypothesis, so equal masks are equal n-grams. That
    n-gram goes on for one token more wherever row[i + 1] has the next place.
    """
    stretch: Iterable[Hashable] = references[0]
    spans = [-1]  # the bits of each reference
    if len(references) > 1:
        stretch = (token for reference in references for token in (*reference, None))
        ends = accumulate(len(reference) + 1 for reference in references)
        spans = [(1 << end) - (1 << start) for start, end in pairwise([0, *ends])]
    row = list(map(position_masks(stretch).get, hypothesis, repeat(0)))
    matches = [0] * order
    repeats = len(set(hypothesis)) < len(hypothesis)
    for n in range(order):
        if n > 0:
            row = list(map(and_, row, map(rshift, row[1:], repeat(1))))
        matches[n] = len(row) - row.count(0)
        if matches[n] == 0:
            break
        if repeats:  # where no n-gram repeats, no longer one does
            seen: set[int] = set()
            times: dict[int, int] = {}  # of the n-grams that repeat; a Counter takes twice as long
            for mask in filter(None, row):
                if mask in seen:
                    times[mask] = times.get(mask, 1) + 1
                seen.add(mask)
            for mask, count in times.items():  # clip
                best = max([(mask & span).bit_count() for span in spans])
                matches[n] -= max(0, count - best)
            repeats = len(times) > 0
    return matches

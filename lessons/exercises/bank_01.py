# ruff: noqa: B006, B905, F811, RUF005, RUF007
# mypy: ignore-errors
"""Right answers and mistakes of lesson 1, as people write them: most are wrong on purpose."""

import itertools
from collections import Counter, defaultdict

import numpy as np
import torch

from lessons.grading.task import Bank

# 1.1 count_pairs

pairs = Bank()


@pairs.right
def count_pairs(words):
    counts = {}
    for word, times in words.items():
        for i in range(len(word) - 1):
            pair = (word[i], word[i + 1])
            counts[pair] = counts.get(pair, 0) + times
    return counts


@pairs.right
def count_pairs(words):
    counts = Counter()
    for word in words:
        for left, right in zip(word, word[1:]):
            counts[left, right] += words[word]
    return counts


@pairs.right
def count_pairs(words):
    every = [pair for word, n in words.items() for pair in list(itertools.pairwise(word)) * n]
    return {pair: every.count(pair) for pair in set(every)}


@pairs.right
def count_pairs(words):
    counts = defaultdict(int)
    for word, times in words.items():
        ids = np.array(word, dtype=np.int64)
        for left, right in np.stack([ids[:-1], ids[1:]], axis=1).tolist():
            counts[(left, right)] += times
    return counts


pairs.edit(
    "every word counts once",
    "You count each word once. words says how often a word occurs, and its pairs occur as often.",
    ("+ times", "+ 1"),
)
pairs.edit(
    "the last pair is missed",
    "The last pair of every word is missing. How many pairs has a word of n ids, and where does "
    "the last one begin?",
    ("len(word) - 1", "len(word) - 2"),
)
pairs.edit(
    "the first pair is missed",
    "The first pair of every word is missing: the loop begins one place too late.",
    ("range(len(word) - 1)", "range(1, len(word) - 1)"),
)
pairs.edit(
    "a count replaces the one before it",
    "A pair that comes again gets the count of its last place instead of the sum over all places.",
    ("counts.get(pair, 0) + times", "times"),
)
pairs.edit(
    "the order within a pair is lost",
    "You count (a, b) and (b, a) as one pair. They are two: a merge joins them in this order only.",
    ("(word[i], word[i + 1])", "tuple(sorted((word[i], word[i + 1])))"),
)
pairs.edit(
    "left and right are exchanged",
    "Each pair stands the wrong way round: the id that comes first in the word is the left one.",
    ("(word[i], word[i + 1])", "(word[i + 1], word[i])"),
)
pairs.edit(
    "the last id is paired with the first",
    "Every word gets one pair too many: the last id has no right neighbour, and you pair it with "
    "the word's first.",
    ("range(len(word) - 1)", "range(len(word))"),
    ("word[i + 1])", "word[(i + 1) % len(word)])"),
)
pairs.edit(
    "only every second pair",
    "You cut each word into pairs side by side, (0, 1), (2, 3), ... Every id but the last begins a "
    "pair, so neighbouring pairs share an id.",
    ("range(len(word) - 1)", "range(0, len(word) - 1, 2)"),
)


@pairs.mistake(
    "repeated pairs do not overlap",
    "In a run of one id, such as (5, 5, 5), you skip the pair that shares an id with the one "
    "before. Overlapping pairs all count; only a merge has to choose between them.",
)
def count_pairs(words):
    counts = {}
    for word, times in words.items():
        i = 0
        while i < len(word) - 1:
            pair = (word[i], word[i + 1])
            counts[pair] = counts.get(pair, 0) + times
            i += 2 if word[i + 1 : i + 3] == pair else 1
    return counts


@pairs.mistake(
    "a pair counts once a word",
    "A pair that stands several times in one word is counted once there. Every place counts.",
)
def count_pairs(words):
    counts = Counter()
    for word, times in words.items():
        for pair in set(itertools.pairwise(word)):
            counts[pair] += times
    return dict(counts)


@pairs.mistake(
    "pairs reach from word to word",
    "You also pair the last id of a word with the first of the next one. Words are cut apart so "
    "that no token reaches across.",
)
def count_pairs(words):
    text = [i for word, times in words.items() for _ in range(times) for i in word]
    return dict(Counter(zip(text, text[1:])))


@pairs.mistake(
    "the counts of earlier calls are kept",
    "The second call begins with the counts of the first: a default argument is made once, when "
    "the function is defined, and shared by all calls.",
)
def count_pairs(words, counts={}):
    for word, times in words.items():
        for pair in zip(word, word[1:]):
            counts[pair] = counts.get(pair, 0) + times
    return counts


@pairs.mistake(
    "words is emptied",
    "The counts are right, but words is empty afterwards, and whoever called you still needs it.",
)
def count_pairs(words):
    counts = Counter()
    while words:
        word, times = words.popitem()
        for pair in zip(word, word[1:]):
            counts[pair] += times
    return counts


@pairs.mistake(
    "pairs that do not occur are in it",
    "You list every pair that could be made of the word's ids, many with a count of 0. Only pairs "
    "that occur belong here.",
)
def count_pairs(words):
    counts = Counter()
    for word, times in words.items():
        for left in word:
            for right in word:
                counts[left, right] += 0
        for pair in itertools.pairwise(word):
            counts[pair] += times
    return dict(counts)


@pairs.mistake(
    "ids are counted instead of pairs",
    "Your keys are single ids. Count two ids that stand side by side, with the key (left, right).",
)
def count_pairs(words):
    counts = Counter()
    for word, times in words.items():
        for i in word:
            counts[i] += times
    return counts


@pairs.mistake(
    "only the first word",
    "You return inside the loop, after the first word. Move return out of it.",
)
def count_pairs(words):
    counts = {}
    for word, n in words.items():
        for pair in zip(word, word[1:]):
            counts[pair] = counts.get(pair, 0) + n
        return counts
    return counts


@pairs.mistake(
    "it stops at a word of one id",
    "You stop counting where a word has no pair. Leave that word out and go on with the next.",
)
def count_pairs(words):
    counts = {}
    for word, n in words.items():
        if len(word) < 2:
            break
        for pair in zip(word, word[1:]):
            counts[pair] = counts.get(pair, 0) + n
    return counts


@pairs.mistake(
    "the neighbour of the first place",
    "You look for an id with index, which finds its first place in the word. An id that comes "
    "again has another neighbour there: go by positions.",
)
def count_pairs(words):
    counts = {}
    for word, n in words.items():
        for left in word[:-1]:
            pair = left, word[word.index(left) + 1]
            counts[pair] = counts.get(pair, 0) + n
    return counts


@pairs.mistake(
    "any two ids of a word",
    "You count every two ids of a word, however far apart. Only those side by side make a pair.",
)
def count_pairs(words):
    counts = Counter()
    for word, n in words.items():
        for pair in itertools.combinations(word, 2):
            counts[pair] += n
    return counts


@pairs.mistake(
    "pairs of equal ids are left out",
    "You leave out pairs of the same id twice. (5, 5) is a pair like any other.",
)
def count_pairs(words):
    counts = Counter()
    for word, n in words.items():
        for left, right in zip(word, word[1:]):
            if left != right:
                counts[left, right] += n
    return counts


@pairs.mistake(
    "a later word's count replaces the sum",
    "A pair that comes in several words has the count of the last of them alone: update of a dict "
    "replaces values. Add them up.",
)
def count_pairs(words):
    counts = {}
    for word, n in words.items():
        inside = Counter(zip(word, word[1:]))
        counts.update({pair: times * n for pair, times in inside.items()})
    return counts


# 1.2 most_frequent_pair

best_pairs = Bank()


@best_pairs.right
def most_frequent_pair(counts):
    best = None
    for pair, n in counts.items():
        if best is None or n > counts[best] or (n == counts[best] and pair < best):
            best = pair
    return best


@best_pairs.right
def most_frequent_pair(counts):
    if len(counts) == 0:
        return None
    highest = max(counts.values())
    return min(pair for pair in counts if counts[pair] == highest)


@best_pairs.right
def most_frequent_pair(counts):
    ranking = sorted(counts.items(), key=lambda item: (-item[1], item[0][0], item[0][1]))
    return list(ranking[0][0]) if ranking else None


@best_pairs.right
def most_frequent_pair(counts):
    if not counts:
        return None
    table = np.array([(-n, left, right) for (left, right), n in counts.items()])
    row = table[np.lexsort((table[:, 2], table[:, 1], table[:, 0]))[0]]
    return (row[1], row[2])


@best_pairs.right
def most_frequent_pair(counts):
    return max(counts, key=lambda pair: (counts[pair], -pair[0], -pair[1]), default=None)


best_pairs.edit(
    "a tie goes to the first pair met",
    "Among pairs that are equally frequent you take the one that was counted first. The smallest "
    "pair has to win, or the vocabulary depends on the order of the text.",
    (" or (n == counts[best] and pair < best)", ""),
)
best_pairs.edit(
    "a tie goes to the last pair met",
    "Among pairs that are equally frequent you take the one that was counted last. The smallest "
    "pair has to win.",
    ("n > counts[best] or (n == counts[best] and pair < best)", "n >= counts[best]"),
)
best_pairs.edit(
    "a tie goes to the largest pair",
    "Among pairs that are equally frequent you take the largest. Where the count is to be large "
    "and the pair small, one max over (count, pair) does not do.",
    ("pair < best", "pair > best"),
)
best_pairs.edit(
    "only the left id decides a tie",
    "Between pairs that are equally frequent you look at the left id alone. If that is the same "
    "too, the smaller right id wins.",
    ("pair < best", "pair[0] < best[0]"),
)
best_pairs.edit(
    "the right id decides a tie first",
    "Between pairs that are equally frequent you compare the right ids before the left ones.",
    ("pair < best", "pair[::-1] < best[::-1]"),
)
best_pairs.edit(
    "a tie needs both ids smaller",
    "Between pairs that are equally frequent you ask for both ids to be smaller. (1, 9) is smaller "
    "than (2, 3): the left ids decide, and the right ones only if those are equal.",
    ("pair < best", "pair[0] < best[0] and pair[1] < best[1]"),
)
best_pairs.edit(
    "the smaller sum wins a tie",
    "Between pairs that are equally frequent you compare the sums of their ids. Compare the left "
    "ids first, then the right ones.",
    ("pair < best", "sum(pair) < sum(best)"),
)
best_pairs.edit(
    "a tie is settled as text",
    'Between pairs that are equally frequent you compare their texts, in which "10" comes before '
    '"9". Compare numbers.',
    ("pair < best", "str(pair) < str(best)"),
)
best_pairs.edit(
    "the rarest pair",
    "You return the pair with the lowest count; the one with the highest is wanted.",
    ("n > counts[best]", "n < counts[best]"),
)
best_pairs.edit(
    "the count comes along",
    "You return the pair together with its count. Only the pair is asked for.",
    ("return best", "return (best, counts[best]) if counts else None"),
)
best_pairs.edit(
    "a pair that occurs once is refused",
    "You return None where no pair occurs more than once. Any pair may be merged, also one that "
    "occurs a single time; None is for no pair at all.",
    ("return best", "return best if counts and counts[best] > 1 else None"),
)


@best_pairs.mistake(
    "no pair is an error",
    "With no pair at all your code raises. Return None there: it tells the training loop to stop.",
)
def most_frequent_pair(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair))


@best_pairs.mistake(
    "no pair gives an empty pair",
    "With no pair at all you return an empty tuple; None is asked for.",
)
def most_frequent_pair(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair), default=())


@best_pairs.mistake(
    "the smallest pair whatever its count",
    "You return the smallest pair without a look at the counts. They come first; the order of the "
    "pairs only settles ties.",
)
def most_frequent_pair(counts):
    return min(counts, default=None)


@best_pairs.mistake(
    "the pair is taken out of counts",
    "Your answer is right, but the pair is gone from counts afterwards. Look without changing.",
)
def most_frequent_pair(counts):
    best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
    counts.pop(best, None)
    return best


best_pairs.edit(
    "in a tie the right id should be large",
    "Between pairs that are equally frequent you take the smallest left id, but then the largest "
    "right id. Both should be small.",
    ("pair < best", "(pair[0], -pair[1]) < (best[0], -best[1])"),
)
best_pairs.edit(
    "one smaller id is enough in a tie",
    "Between pairs that are equally frequent you take the one in which either id is smaller. The "
    "left ids decide; the right ones only if the left are equal.",
    ("pair < best", "(pair[0] < best[0] or pair[1] < best[1])"),
)
best_pairs.edit(
    "a tie is settled by one packed number",
    "Between pairs that are equally frequent you compare left * 256 + right. An id can be 256 and "
    "more, and then the right one outweighs the left one: compare the pairs themselves.",
    ("pair < best", "pair[0] * 256 + pair[1] < best[0] * 256 + best[1]"),
)


@best_pairs.mistake(
    "the last entry is not looked at",
    "You never look at the last entry of counts: the loop ends one place too early.",
)
def most_frequent_pair(counts):
    items = list(counts.items())
    if not items:
        return None
    best = items[0]
    for i in range(1, len(items) - 1):
        if (-items[i][1], items[i][0]) < (-best[1], best[0]):
            best = items[i]
    return best[0]


@best_pairs.mistake(
    "the pair the wrong way round",
    "You have found the right pair and return it turned round: (right, left).",
)
def most_frequent_pair(counts):
    best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
    return best and best[::-1]


@best_pairs.mistake(
    "the best of all calls",
    "The best pair of earlier calls is still there, in a default argument: a later call with lower "
    "counts gets it again. Begin anew in every call.",
)
def most_frequent_pair(counts, highest={"times": 0, "pair": None}):
    for pair in sorted(counts):
        if counts[pair] > highest["times"]:
            highest["times"], highest["pair"] = counts[pair], pair
    return highest["pair"]


# 1.3 merge_pair

merges = Bank()


@merges.right
def merge_pair(ids, pair, new_id):
    out = []
    i = 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == tuple(pair):
            out.append(new_id)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


@merges.right
def merge_pair(ids, pair, new_id):
    left, right = pair
    result = []
    waiting = False  # a left half that has not found its right one yet
    for i in ids:
        if waiting and i == right:
            result.append(new_id)
            waiting = False
            continue
        if waiting:
            result.append(left)
        waiting = i == left
        if not waiting:
            result.append(i)
    if waiting:
        result.append(left)
    return tuple(result)


@merges.right
def merge_pair(ids, pair, new_id):
    ids = list(ids)
    for i in range(len(ids)):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            ids[i : i + 2] = [new_id]
    return ids


@merges.right
def merge_pair(ids, pair, new_id):
    def rest(i):
        if i >= len(ids):
            return ()
        if ids[i : i + 2] == pair:
            return (new_id, *rest(i + 2))
        return (ids[i], *rest(i + 1))

    return rest(0)


@merges.right
def merge_pair(ids, pair, new_id):
    stack = []
    fresh = False  # whether the top of the stack was just made by a merge
    for i in ids:
        if stack and not fresh and stack[-1] == pair[0] and i == pair[1]:
            stack[-1] = new_id
            fresh = True
        else:
            stack.append(i)
            fresh = False
    return tuple(np.array(stack, dtype=np.int64))


merges.edit(
    "the second id stays",
    "The new id takes the place of the left one only: its right neighbour is still there. A merge "
    "takes two ids away.",
    ("i += 2", "i += 1"),
)
merges.edit(
    "only the first place",
    "Only the first place where the pair stands is merged. Every place has to be.",
    ("tuple(ids[i : i + 2]) == tuple(pair)", "ids[i : i + 2] == pair and new_id not in out"),
)
merges.edit(
    "either order is merged",
    "You also merge the pair where it stands the other way round: (b, a) is not (a, b).",
    ("tuple(ids[i : i + 2]) == tuple(pair)", "sorted(ids[i : i + 2]) == sorted(pair)"),
)
merges.edit(
    "only the left id is compared",
    "You merge wherever the left id stands, whatever comes after it. Both have to fit.",
    ("tuple(ids[i : i + 2]) == tuple(pair)", "ids[i] == pair[0]"),
)
merges.edit(
    "only the right id is compared",
    "You merge wherever the right id stands second, whatever comes before it. Both have to fit.",
    ("tuple(ids[i : i + 2]) == tuple(pair)", "ids[i + 1 : i + 2] == pair[1:]"),
)
merges.edit(
    "the last id is lost",
    "The last id gets lost where it is not part of a merge: your loop ends one place too early.",
    ("i < len(ids)", "i < len(ids) - 1"),
)
merges.edit(
    "the pair is removed",
    "The pair is taken out and nothing is put in its place.",
    ("out.append(new_id)", "pass"),
)
merges.edit(
    "it moves two ids on without a merge",
    "Where the pair does not stand you still move two ids on, and lose one of them.",
    ("i += 1", "i += 2"),
)
merges.edit(
    "the pair at the end is missed",
    "A pair at the very end is not merged: look at which is the last place where one can begin.",
    ("tuple(ids[i : i + 2]) == tuple(pair)", "i + 2 < len(ids) and ids[i : i + 2] == pair"),
)
merges.edit(
    "only the first id of a pair is kept",
    "The ids get shorter in the right places, but the left id stands there instead of the new one.",
    ("out.append(new_id)", "out.append(ids[i])"),
)


@merges.mistake(
    "merged from the right",
    "In a run such as (5, 5, 5) you merge the last two. Merging goes from left to right, so the "
    "first two belong together.",
)
def merge_pair(ids, pair, new_id):
    out = []
    i = len(ids) - 1
    while i >= 0:
        if i > 0 and (ids[i - 1], ids[i]) == pair:
            out.append(new_id)
            i -= 2
        else:
            out.append(ids[i])
            i -= 1
    return tuple(reversed(out))


@merges.mistake(
    "merges overlap",
    "In a run such as (5, 5, 5) you use the middle id twice. An id that was merged is gone, and "
    "the next merge can begin only after it.",
)
def merge_pair(ids, pair, new_id):
    found = [i for i in range(len(ids) - 1) if (ids[i], ids[i + 1]) == pair]
    out = []
    for i, old in enumerate(ids):
        if i in found:
            out.append(new_id)
        elif i - 1 not in found:
            out.append(old)
    return tuple(out)


@merges.mistake(
    "it replaces digits, not ids",
    "You search in the ids' text, where the end of one number and the beginning of another look "
    'like the pair: "11 2" holds "1 2". Compare ids, not characters.',
)
def merge_pair(ids, pair, new_id):
    text = " ".join(map(str, ids)).replace(f"{pair[0]} {pair[1]}", str(new_id))
    return tuple(int(part) for part in text.split())


@merges.mistake(
    "single ids are replaced",
    "You replace the two ids wherever they stand, also one without the other. Only the two side by "
    "side become the new id.",
)
def merge_pair(ids, pair, new_id):
    out = [new_id if i in pair else i for i in ids]
    return tuple(i for n, i in enumerate(out) if i != new_id or n == 0 or out[n - 1] != new_id)


@merges.mistake(
    "any of the two ids beside the other",
    "You merge two neighbours as soon as both are ids of the pair, the same one twice as well. The "
    "left one has to be pair[0] and the right one pair[1].",
)
def merge_pair(ids, pair, new_id):
    out, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and ids[i] in pair and ids[i + 1] in pair:
            out.append(new_id)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return tuple(out)


@merges.mistake(
    "the pair at the beginning is missed",
    "A pair at the very beginning is not merged: look at where your loop starts.",
)
def merge_pair(ids, pair, new_id):
    out, i = list(ids[:1]), 1
    while i < len(ids):
        if i + 1 < len(ids) and ids[i] == pair[0] and ids[i + 1] == pair[1]:
            out.append(new_id)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return tuple(out)


@merges.mistake(
    "the last id is kept in any case",
    "The last id is appended even where it was merged: it stands there once too often.",
)
def merge_pair(ids, pair, new_id):
    out, i = [], 0
    while i < len(ids) - 1:
        if ids[i] == pair[0] and ids[i + 1] == pair[1]:
            out.append(new_id)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return tuple(out) + tuple(ids[-1:])


@merges.mistake(
    "the new id is added in front of the pair",
    "You put the new id before the pair and keep both of its ids. It takes their place.",
)
def merge_pair(ids, pair, new_id):
    out = []
    for i, id in enumerate(ids):
        if i + 1 < len(ids) and (id, ids[i + 1]) == pair:
            out.append(new_id)
        out.append(id)
    return tuple(out)


@merges.mistake(
    "a run becomes a single new id",
    "A whole run such as (5, 5, 5, 5) becomes one new id. The places where the pair stands overlap "
    "there: after a merge the next one begins two places on.",
)
def merge_pair(ids, pair, new_id):
    row = np.array(ids, dtype=np.int64)
    places = np.flatnonzero((row[:-1] == pair[0]) & (row[1:] == pair[1]))
    row[places] = new_id
    return tuple(np.delete(row, places + 1).tolist())


# 1.4 byte_pair_encode

encoders = Bank()


@encoders.right
def byte_pair_encode(piece, ranks):
    parts = [bytes([byte]) for byte in piece]
    while True:
        best, where = None, None
        for i in range(len(parts) - 1):
            rank = ranks.get(parts[i] + parts[i + 1])
            if rank is not None and (best is None or rank < best):
                best, where = rank, i
        if where is None:
            break
        parts[where : where + 2] = [parts[where] + parts[where + 1]]
    return [ranks[part] for part in parts]


@encoders.right
def byte_pair_encode(piece, ranks):
    if piece in ranks:  # learned tokens are found again
        return [ranks[piece]]
    cuts = list(range(len(piece) + 1))

    def rank(n):
        return ranks.get(piece[cuts[n] : cuts[n + 2]], float("inf"))

    while len(cuts) > 2:
        n = min(range(len(cuts) - 2), key=rank)
        if rank(n) == float("inf"):
            break
        del cuts[n + 1]
    return [ranks[piece[a:b]] for a, b in zip(cuts, cuts[1:])]


@encoders.right
def byte_pair_encode(piece, ranks):
    parts = [piece[i : i + 1] for i in range(len(piece))]
    for token in sorted(ranks, key=ranks.get):  # in the order in which they were learned
        if len(token) < 2 or token not in piece:
            continue
        merged = []
        for part in parts:
            if merged and merged[-1] + part == token:
                merged[-1] = token
            else:
                merged.append(part)
        parts = merged
    return tuple(ranks[part] for part in parts)


@encoders.right
def byte_pair_encode(piece, ranks):
    def encode(parts):
        joins = {}
        for i in reversed(range(len(parts) - 1)):
            joins[parts[i] + parts[i + 1]] = i
        known = [join for join in joins if join in ranks]
        if not known:
            return [ranks[part] for part in parts]
        first = min(known, key=lambda join: ranks[join])
        i = joins[first]
        return encode(parts[:i] + [first] + parts[i + 2 :])

    return encode([bytes((byte,)) for byte in piece])


@encoders.right
def byte_pair_encode(piece, ranks):
    names = {rank: token for token, rank in ranks.items()}
    ids = [ranks[bytes([byte])] for byte in piece]
    while len(ids) >= 2:
        options = [
            (ranks.get(names[a] + names[b], 10**9), i)
            for i, (a, b) in enumerate(itertools.pairwise(ids))
        ]
        rank, i = sorted(options)[0]
        if rank == 10**9:
            return ids
        ids = [*ids[:i], rank, *ids[i + 2 :]]
    return ids


encoders.edit(
    "the join learned last comes first",
    "You join the two neighbours with the highest rank. A low rank was learned early, and has to "
    "be joined first.",
    ("rank < best", "rank > best"),
)
encoders.edit(
    "the rightmost among equals",
    "Where the lowest rank comes several times you join the last place. The leftmost comes first.",
    ("rank < best", "rank <= best"),
)
encoders.edit(
    "the last two are never joined",
    "The last two parts are never joined: look at where the search for neighbours ends.",
    ("len(parts) - 1", "len(parts) - 2"),
)
encoders.edit(
    "tokens instead of ids",
    "You return the bytes of the tokens. Their ids are asked for: look each up in ranks.",
    ("[ranks[part] for part in parts]", "parts"),
)
encoders.edit(
    "bytes keep their own value",
    "A byte that stays alone gets its own value as id. ranks may number the single bytes in "
    "another way, as GPT-2 does: look them up like all tokens.",
    ("ranks[part] for", "ranks[part] if len(part) > 1 else part[0] for"),
)
encoders.edit(
    "one join only",
    "You stop after a single join. Go on until no two neighbours make a token.",
    (
        "parts[where : where + 2] = [parts[where] + parts[where + 1]]",
        "parts[where : where + 2] = [parts[where] + parts[where + 1]]\n        break",
    ),
)
encoders.edit(
    "a join costs the next part",
    "Each join takes away one part too many: two parts become one.",
    ("parts[where : where + 2]", "parts[where : where + 3]"),
)


@encoders.mistake(
    "the leftmost join comes first",
    "You join the first two neighbours that make a token, whatever its rank. All neighbours are "
    "compared, and the token learned first wins.",
)
def byte_pair_encode(piece, ranks):
    parts = [bytes([byte]) for byte in piece]
    i = 0
    while i < len(parts) - 1:
        if parts[i] + parts[i + 1] in ranks:
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
            i = 0
        else:
            i += 1
    return [ranks[part] for part in parts]


@encoders.mistake(
    "the longest token comes first",
    "You cut off the longest token that the rest begins with. Byte-pair encoding joins in the "
    "order of learning, and that can end in shorter tokens.",
)
def byte_pair_encode(piece, ranks):
    ids = []
    while piece:
        end = max(n for n in range(1, len(piece) + 1) if piece[:n] in ranks)
        ids.append(ranks[piece[:end]])
        piece = piece[end:]
    return ids


@encoders.mistake(
    "one pass from the left",
    "You go through the bytes once and let the last token grow while it can. Joins have to be made "
    "in the order of their ranks, all over the piece.",
)
def byte_pair_encode(piece, ranks):
    parts = []
    for i in range(len(piece)):
        byte = piece[i : i + 1]
        if parts and parts[-1] + byte in ranks:
            parts[-1] += byte
        else:
            parts.append(byte)
    return [ranks[part] for part in parts]


@encoders.mistake(
    "nothing is joined",
    "You return one id for every byte. Neighbours whose join is a token have to be joined.",
)
def byte_pair_encode(piece, ranks):
    return [ranks[piece[i : i + 1]] for i in range(len(piece))]


@encoders.mistake(
    "pairs of bytes only",
    "You join single bytes only. A token that was made by a join can be joined again.",
)
def byte_pair_encode(piece, ranks):
    parts = [bytes([byte]) for byte in piece]
    while True:
        joins = [
            (ranks[a + b], i)
            for i, (a, b) in enumerate(zip(parts, parts[1:]))
            if a + b in ranks and len(a + b) == 2
        ]
        if not joins:
            return [ranks[part] for part in parts]
        i = min(joins)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


@encoders.mistake(
    "the parts' ranks are added",
    "You choose the neighbours whose own ranks are lowest. What counts is the rank of their join.",
)
def byte_pair_encode(piece, ranks):
    parts = [bytes([byte]) for byte in piece]
    while True:
        joins = [
            (ranks[a] + ranks[b], i)
            for i, (a, b) in enumerate(zip(parts, parts[1:]))
            if a + b in ranks
        ]
        if not joins:
            return [ranks[part] for part in parts]
        i = min(joins)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


@encoders.mistake(
    "all that can be joined at once",
    "You go from left to right and join every two neighbours that make a token, then again. Only "
    "those with the lowest rank are joined at a time: they may be further right.",
)
def byte_pair_encode(piece, ranks):
    parts = [bytes([byte]) for byte in piece]
    n = None
    while n != len(parts):
        n, i, out = len(parts), 0, []
        while i < len(parts):
            if i + 1 < len(parts) and parts[i] + parts[i + 1] in ranks:
                out.append(parts[i] + parts[i + 1])
                i += 2
            else:
                out.append(parts[i])
                i += 1
        parts = out
    return [ranks[part] for part in parts]


@encoders.mistake(
    "the longest join comes first",
    "Of all joins that are tokens you make the longest. The one with the lowest rank comes first, "
    "whatever its length.",
)
def byte_pair_encode(piece, ranks):
    parts = [bytes([byte]) for byte in piece]
    while True:
        joins = [
            (-len(a + b), ranks[a + b], i)
            for i, (a, b) in enumerate(zip(parts, parts[1:]))
            if a + b in ranks
        ]
        if not joins:
            return [ranks[part] for part in parts]
        i = min(joins)[2]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


@encoders.mistake(
    "tokens in the order of the dict",
    "You make the joins in the order in which ranks lists them. A dict may list them in any order: "
    "the ranks themselves say what was learned first.",
)
def byte_pair_encode(piece, ranks):
    parts = [bytes([byte]) for byte in piece]
    for token in ranks:
        i = 0
        while i < len(parts) - 1:
            if parts[i] + parts[i + 1] == token:
                parts[i : i + 2] = [token]
            i += 1
    return [ranks[part] for part in parts]


@encoders.mistake(
    "pieces of earlier calls are remembered",
    "A piece that came before gets its old answer, even if ranks is another one now. Keep nothing "
    "between calls.",
)
def byte_pair_encode(piece, ranks, known={}):
    if piece in known:
        return known[piece]
    parts = [bytes([byte]) for byte in piece]
    while True:
        joins = [
            (ranks[a + b], i) for i, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in ranks
        ]
        if not joins:
            known[piece] = [ranks[part] for part in parts]
            return known[piece]
        i = min(joins)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


@encoders.mistake(
    "it begins with characters",
    "You begin with characters, of which some have several bytes. Begin with single bytes: the "
    "joins inside a character were learned like all others.",
)
def byte_pair_encode(piece, ranks):
    parts = [letter.encode() for letter in piece.decode("utf-8", errors="replace")]
    while True:
        joins = [
            (ranks[a + b], i) for i, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in ranks
        ]
        if not joins:
            return [ranks[part] for part in parts if part in ranks]
        i = min(joins)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


# 1.5 next_token_pairs

shifted = Bank()


@shifted.right
def next_token_pairs(ids):
    ids = ids.long()
    return ids[..., :-1], ids[..., 1:]


@shifted.right
def next_token_pairs(ids):
    T = ids.shape[-1] - 1
    inputs = ids.narrow(-1, 0, T).to(torch.int64)
    targets = ids.narrow(-1, 1, T).to(torch.int64)
    return [inputs.contiguous(), targets.clone()]


@shifted.right
def next_token_pairs(ids):
    rows = np.asarray(ids).astype(np.int64)
    return torch.from_numpy(rows[..., :-1].copy()), torch.from_numpy(rows[..., 1:].copy())


@shifted.right
def next_token_pairs(ids):
    def without(rows, which):
        if isinstance(rows[0], list):
            return [without(row, which) for row in rows]
        return rows[:-1] if which == "last" else rows[1:]

    rows = ids.tolist()
    return torch.tensor(without(rows, "last")), torch.tensor(without(rows, "first"))


shifted.edit(
    "inputs and targets are exchanged",
    "Your inputs are the targets and the other way round: the target is the id that follows.",
    ("ids[..., :-1], ids[..., 1:]", "ids[..., 1:], ids[..., :-1]"),
)
shifted.edit(
    "targets are the inputs",
    "Your targets are the inputs themselves: the model would only have to copy what it sees.",
    ("ids[..., 1:]", "ids[..., :-1]"),
)
shifted.edit(
    "cut along the first dimension",
    "You cut the first dimension. For many rows that is the batch; the ids of a row lie along the "
    "last dimension.",
    ("ids[..., :-1], ids[..., 1:]", "ids[:-1], ids[1:]"),
)
shifted.edit(
    "cut along the second dimension",
    "You cut the second dimension, which is the last only for [B, T + 1]. One row alone and deeper "
    "stacks of rows have to work too.",
    ("ids[..., :-1], ids[..., 1:]", "ids[:, :-1], ids[:, 1:]"),
)
shifted.edit(
    "the dtype stays",
    "The ids are right, in the dtype they came in. Both results have to be int64.",
    ("ids = ids.long()", "ids = ids"),
)
shifted.edit(
    "int32",
    "The ids are right, but in int32. Both results have to be int64, as torch's lookups and losses "
    "take them.",
    ("ids.long()", "ids.int()"),
)
shifted.edit(
    "two places ahead",
    "Your targets lie two places ahead of the inputs: the id that follows is one place ahead.",
    ("ids[..., :-1], ids[..., 1:]", "ids[..., :-2], ids[..., 2:]"),
)
shifted.edit(
    "inputs keep the last id",
    "Your inputs still hold the last id, for which there is no target: both must have T ids.",
    ("ids[..., :-1], ids", "ids, ids"),
)
shifted.edit(
    "one row out of many",
    "Your rows come out as a single row: inputs and targets keep all dimensions but the last.",
    ("ids.long()", "ids.long().flatten()"),
)
shifted.edit(
    "only the last target",
    "Your targets are one id a row. Every position has a target of its own, the id after it.",
    ("ids[..., 1:]", "ids[..., -1:]"),
)


@shifted.mistake(
    "targets go round",
    "Your targets have as many ids as you were given: the last one is the row's first id again. "
    "The last id has no successor, so inputs and targets are one shorter.",
)
def next_token_pairs(ids):
    return ids.long(), ids.long().roll(-1, dims=-1)


@shifted.mistake(
    "the last target is ignored",
    "You keep all T + 1 inputs and put -100 where nothing follows. Leave the last id out instead: "
    "inputs and targets have T ids.",
)
def next_token_pairs(ids):
    ids = ids.long()
    return ids, torch.cat([ids[..., 1:], torch.full_like(ids[..., :1], -100)], dim=-1)


@shifted.mistake(
    "the first id is moved to the end of ids",
    "The results are right, but you change ids itself on the way: whoever called you still needs "
    "it.",
)
def next_token_pairs(ids):
    inputs = ids[..., :-1].long().clone()
    ids.copy_(ids.roll(-1, dims=-1))
    return inputs, ids[..., :-1].long()


shifted.edit(
    "through fp32",
    "On the way your ids are fp32, which rounds whole numbers above 2^24. Ids stay whole numbers.",
    ("ids.long()", "ids.float().long()"),
)
shifted.edit(
    "through int32",
    "On the way your ids are int32, which ends at 2^31. Go straight to int64.",
    ("ids.long()", "ids.int().long()"),
)
shifted.edit(
    "through int16",
    "On the way your ids are int16, which ends at 32,767; GPT-2 has more tokens. Go straight to "
    "int64.",
    ("ids.long()", "ids.short().long()"),
)
shifted.edit(
    "dimensions of size 1 are squeezed",
    "You drop dimensions that have size 1, as a batch of one row or T = 1. The results keep all "
    "dimensions of ids.",
    ("ids[..., :-1], ids[..., 1:]", "ids[..., :-1].squeeze(), ids[..., 1:].squeeze()"),
)
shifted.edit(
    "one row becomes a batch",
    "One row [T + 1] comes back as a batch of one, [1, T]. The results have the dimensions of ids.",
    ("ids.long()", "torch.atleast_2d(ids.long())"),
)


# 1.6 pack

packs = Bank()


@packs.right
def pack(documents, end_token):
    ids = []
    for document in documents:
        if len(document) > 0:
            ids.extend(document)
            ids.append(end_token)
    return ids


@packs.right
def pack(documents, end_token):
    rows = [np.array([*document, end_token]) for document in documents if document]
    return np.concatenate(rows).astype(np.uint32)


@packs.right
def pack(documents, end_token):
    full = filter(None, documents)
    return tuple(itertools.chain.from_iterable(itertools.chain(d, [end_token]) for d in full))


@packs.right
def pack(documents, end_token):
    packed = torch.zeros(0, dtype=torch.int64)
    for document in list(documents):
        if len(document) == 0:
            continue
        packed = torch.cat([packed, torch.tensor(list(document)), torch.tensor([end_token])])
    return packed


packs.edit(
    "empty documents get an end token",
    "An empty document leaves an end token of its own in your row. Leave empty documents out.",
    ("len(document) > 0", "True"),
)
packs.edit(
    "no end tokens",
    "Your documents run into each other: an end token has to follow each of them.",
    ("ids.append(end_token)", "pass"),
)
packs.edit(
    "the end token stands in front",
    "Your end token stands in front of each document. It says that a text is over, so it comes "
    "after.",
    (
        "ids.extend(document)\n            ids.append(end_token)",
        "ids.append(end_token)\n            ids.extend(document)",
    ),
)
packs.edit(
    "one end token at the very end",
    "Your row has a single end token, at its end. Each document needs its own.",
    ("ids.append(end_token)", "pass"),
    ("return ids", "return [*ids, end_token]"),
)
packs.edit(
    "none behind the last document",
    "The last document has no end token: you put one between documents. One follows each.",
    ("return ids", "return ids[:-1]"),
)
packs.edit(
    "no second end token",
    "You give none to a document whose last id happens to be the end token. Every document that "
    "is not empty gets one, whatever it holds.",
    ("ids.append(end_token)", "ids.extend([end_token] if ids[-1] != end_token else [])"),
)
packs.edit(
    "ids that are 0 are lost",
    "The id 0 is missing from your row. It is a token like others: ask for a document's length, "
    "not whether an id is true.",
    ("ids.extend(document)", "ids.extend(i for i in document if i)"),
)
packs.edit(
    "packed from the last document",
    "Your documents stand in reverse order; they have to keep theirs.",
    ("in documents", "in reversed(list(documents))"),
)
packs.edit(
    "one list a document",
    "You return one list for each document. One row is asked for, with all ids in it.",
    (
        "ids.extend(document)\n            ids.append(end_token)",
        "ids.append([*document, end_token])",
    ),
)


@packs.mistake(
    "documents are read twice",
    "You go through documents twice. A generator can be read only once: the second time it is "
    "empty.",
)
def pack(documents, end_token):
    n = sum(len(document) + 1 for document in documents if len(document))
    ids = np.empty(n, dtype=np.int64)
    start = 0
    for document in documents:
        if len(document):
            ids[start : start + len(document)] = document
            ids[start + len(document)] = end_token
            start += len(document) + 1
    return ids


@packs.mistake(
    "documents must be a list",
    "You ask documents for its length or index it. It may be any iterable, such as a generator, "
    "which can only be gone through.",
)
def pack(documents, end_token):
    ids = []
    for i in range(len(documents)):
        if documents[i]:
            ids += [*documents[i], end_token]
    return ids


@packs.mistake(
    "documents are changed",
    "The row is right, but the end tokens are now also in the documents you were given. Copy them "
    "into your own list instead.",
)
def pack(documents, end_token):
    ids = []
    for document in documents:
        if document:
            document.append(end_token)
            ids += document
    return ids


@packs.mistake(
    "16 bits are too few",
    "Ids from 65,536 on come out as other ids: two bytes cannot hold them.",
)
def pack(documents, end_token):
    ids = [i for document in documents if document for i in (*document, end_token)]
    return np.array(ids, dtype=np.int64).astype(np.uint16)


@packs.mistake(
    "a document comes once",
    "A document that occurs a second time is left out of your row. Pack all of them as they come.",
)
def pack(documents, end_token):
    seen = dict.fromkeys(tuple(document) for document in documents)
    return [i for document in seen if document for i in (*document, end_token)]


@packs.mistake(
    "it stops at an empty document",
    "Your row ends where an empty document comes. Leave that one out and go on with the next.",
)
def pack(documents, end_token):
    ids = []
    for document in documents:
        if not document:
            break
        ids += [*document, end_token]
    return ids


@packs.mistake(
    "fp32",
    "On the way your ids are fp32, which rounds whole numbers above 2^24. Ids stay whole numbers.",
)
def pack(documents, end_token):
    row = [float(id) for document in documents if document for id in [*document, end_token]]
    return torch.tensor(row).long()


@packs.mistake(
    "the end token is left out of the choice of dtype",
    "You choose 16 bits by the ids of the documents alone. The end token may be larger than all of "
    "them, and then it is cut.",
)
def pack(documents, end_token):
    documents = [list(document) for document in documents if len(document)]
    kind = np.uint16 if max(map(max, documents)) < 2**16 else np.uint32
    row = [id for document in documents for id in [*document, end_token]]
    return np.array(row).astype(kind)


@packs.mistake(
    "8 bits are too few",
    "Your numbers have 8 bits and end at 255: larger ids come out as others.",
)
def pack(documents, end_token):
    row = [id for document in documents if document for id in [*document, end_token]]
    return np.array(row).astype(np.uint8)


@packs.mistake(
    "int16 is too small",
    "int16 ends at 32,767: larger ids come out negative. GPT-2's reach 50,256.",
)
def pack(documents, end_token):
    row = [id for document in documents if document for id in [*document, end_token]]
    return np.array(row).astype(np.int16)


@packs.mistake(
    "end tokens inside are taken out",
    "You take the end token out of documents that hold it. Their ids stay as they are.",
)
def pack(documents, end_token):
    row = []
    for document in documents:
        if document:
            row += [id for id in document if id != end_token]
            row.append(end_token)
    return row


@packs.mistake(
    "documents of zeros count as empty",
    "You leave out documents whose ids are all 0: any asks for the ids' values. Ask for the "
    "length.",
)
def pack(documents, end_token):
    return [id for document in documents if any(document) for id in [*document, end_token]]


@packs.mistake(
    "an end token of 0 is left out",
    "Where the end token is 0 you leave it out: 0 counts as False. 0 is an id like any other.",
)
def pack(documents, end_token):
    row = []
    for document in documents:
        if document:
            row += document
            if end_token:
                row.append(end_token)
    return row


@packs.mistake(
    "rows of earlier calls stay",
    "The second call begins with what the first has packed: the list is made once, outside the "
    "call. Make a new one in each.",
)
def pack(documents, end_token, row=[]):
    for document in documents:
        if document:
            row.extend([*document, end_token])
    return np.array(row)


@packs.mistake(
    "documents of one id are left out",
    "You leave out documents of a single id. Only empty ones leave nothing behind.",
)
def pack(documents, end_token):
    return [id for document in documents if len(document) > 1 for id in [*document, end_token]]


@packs.mistake(
    "the end token of GPT-2",
    "You put 50256 after the documents, GPT-2's end token. Use end_token.",
)
def pack(documents, end_token):
    return [id for document in documents if document for id in [*document, 50_256]]

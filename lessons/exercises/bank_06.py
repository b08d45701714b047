"""Right answers and mistakes of lesson 6, the metrics."""

# mypy: ignore-errors
# ruff: noqa: F811, B905, RUF007, SIM114, UP033

import collections
import functools
import itertools
import math
from collections import Counter

import numpy as np
import torch

from lessons.grading.task import Bank

# 6.1 ngrams

runs = Bank()


@runs.right
def ngrams(tokens, n):
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


@runs.right
def ngrams(tokens, n):
    window = collections.deque(maxlen=n)
    found = ()
    for token in tokens:
        window.append(token)
        if len(window) == n:
            found += (tuple(window),)
    return found


@runs.right
def ngrams(tokens, n):
    if len(tokens) < n:
        return []
    columns = [itertools.islice(tokens, start, None) for start in range(n)]
    return list(zip(*columns))


@runs.right
def ngrams(tokens, n):
    result = []
    i = 0
    while i + n <= len(tokens):
        gram = []
        for j in range(n):
            gram.append(tokens[i + j])
        result.append(gram)
        i = i + 1
    return result


runs.edit(
    "last n-gram missing",
    "You stop one n-gram too early: T tokens have T - n + 1 n-grams, because the last one begins "
    "at T - n.",
    ("- n + 1", "- n"),
)
runs.edit(
    "short n-grams at the end",
    "You begin an n-gram at every token, so the last ones are cut off by the end of the text and "
    "have fewer than n tokens.",
    ("range(len(tokens) - n + 1)", "range(len(tokens))"),
)
runs.edit(
    "n-grams do not overlap",
    "You cut the text into pieces of n tokens. N-grams overlap: one begins at every token that has "
    "enough tokens after it.",
    ("range(len(tokens) - n + 1)", "range(0, len(tokens) - n + 1, n)"),
)
runs.edit(
    "each n-gram once",
    "You keep each n-gram only once. Those that come again are needed, or nothing could be "
    "clipped.",
    ("return [", "return list(dict.fromkeys(["),
    (")]", ")]))"),
)
runs.edit(
    "sorted",
    "These are the right n-grams in alphabetical order; they belong in the order of the text.",
    ("return [", "return sorted(["),
    (")]", ")])"),
)
runs.edit(
    "n is one too large",
    "Your n-grams have n + 1 tokens: look at where the slice ends.",
    ("i + n]", "i + n + 1]"),
    ("- n + 1)", "- n)"),
)
runs.edit(
    "counted",
    "You return how often each n-gram occurs. Return the n-grams themselves; counting comes later.",
    ("return [", "return Counter(["),
    (")]", ")])"),
)
runs.edit(
    "from the end",
    "Your n-grams are right, but the last one comes first.",
    ("return [", "return ["),
    ("- n + 1)", "- n, -1, -1)"),
)


@runs.mistake(
    "all orders up to n",
    "You return the n-grams of every order from 1 to n. Return only those of order n.",
)
def ngrams(tokens, n):
    found = []
    for order in range(1, n + 1):
        found += [tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1)]
    return found


@runs.mistake(
    "joined into a text",
    "Each of your n-grams is one string. An n-gram is a tuple of n tokens, which need not be "
    "strings.",
)
def ngrams(tokens, n):
    return [" ".join(map(str, tokens[i : i + n])) for i in range(len(tokens) - n + 1)]


@runs.mistake(
    "bare tokens for n = 1",
    "For n = 1 you return the tokens themselves. A 1-gram is a tuple too, with one token in it.",
)
def ngrams(tokens, n):
    if n == 1:
        return list(tokens)
    return list(zip(*[tokens[i:] for i in range(n)]))


@runs.mistake(
    "gaps allowed",
    "You take n tokens from anywhere in the text. Those of an n-gram are neighbours.",
)
def ngrams(tokens, n):
    return list(itertools.combinations(tokens, n))


@runs.mistake(
    "a short text is one n-gram",
    "A text with fewer than n tokens gives one short n-gram in your code. It has none.",
)
def ngrams(tokens, n):
    if len(tokens) <= n:
        return [tuple(tokens)]
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


@runs.mistake(
    "goes on at the beginning",
    "Your last n-grams continue with the first tokens of the text, as if it were a ring.",
)
def ngrams(tokens, n):
    return [tuple(tokens[(i + j) % len(tokens)] for j in range(n)) for i in range(len(tokens))]


@runs.mistake("always pairs", "You return pairs whatever n is.")
def ngrams(tokens, n):
    return list(zip(tokens, tokens[1:]))


@runs.mistake(
    "filled up at the end",
    "You fill the last n-grams up with None. N-grams lie within the text.",
)
def ngrams(tokens, n):
    return list(itertools.zip_longest(*[tokens[i:] for i in range(n)]))


@runs.mistake(
    "the tokens are used up",
    "The n-grams are right, but the caller's list of tokens is shorter afterwards: work on a copy, "
    "or only read it.",
)
def ngrams(tokens, n):
    found = []
    while len(tokens) >= n:
        found.append(tuple(tokens[:n]))
        tokens.pop(0)
    return found


@runs.mistake(
    "kept between calls",
    "Your list of n-grams still holds those of the call before: a default value is made only once.",
)
def ngrams(tokens, n, found=[]):  # noqa: B006
    for i in range(len(tokens) - n + 1):
        found.append(tuple(tokens[i : i + n]))
    return list(found)


runs.edit(
    "each n-gram back to front",
    "The tokens within your n-grams come in reverse order. An n-gram is read as the text is.",
    ("tuple(tokens[i : i + n])", "tuple(tokens[i : i + n][::-1])"),
)


# 6.2 overlap

shared = Bank()


@shared.right
def overlap(target, prediction):
    wanted, written = Counter(target), Counter(prediction)
    return sum(min(wanted[unit], written[unit]) for unit in wanted)


@shared.right
def overlap(target, prediction):
    left = list(target)
    hits = 0
    for unit in prediction:
        if unit in left:
            left.remove(unit)
            hits += 1
    return hits


@shared.right
def overlap(target, prediction):
    return (Counter(target) & Counter(prediction)).total() if target else 0


@shared.right
def overlap(target, prediction):
    number = {unit: i for i, unit in enumerate(dict.fromkeys([*target, *prediction]))}
    n = len(number)
    a = np.bincount([number[unit] for unit in target], minlength=n) if target else np.zeros(n, int)
    b = (
        np.bincount([number[u] for u in prediction], minlength=n)
        if prediction
        else np.zeros(n, int)
    )
    return np.minimum(a, b).sum()


@shared.right
def overlap(target, prediction):
    a, b = sorted(target), sorted(prediction)
    i = j = hits = 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            i, j, hits = i + 1, j + 1, hits + 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return hits


shared.edit(
    "the larger of the two counts",
    "Each unit counts as often as the text that has more of them. A hit needs one on both sides: "
    "take the smaller count.",
    ("min(", "max("),
)
shared.edit(
    "product of the counts",
    "A unit that comes a times in one text and b times in the other counts a b times, once for "
    "every pair. Clipping makes it min(a, b).",
    ("min(wanted[unit], written[unit])", "wanted[unit] * written[unit]"),
)
shared.edit(
    "both counts added",
    "You count the hits on both sides and add them: each is counted twice.",
    ("min(wanted[unit], written[unit])", "(wanted[unit] + written[unit]) * (unit in written)"),
)
shared.edit(
    "shares, not counts",
    "You divide the hits by the length of the prediction. Return the number of hits; precision "
    "comes later.",
    ("for unit in wanted)", "for unit in wanted) / max(len(prediction), 1)"),
)
shared.edit(
    "target's count alone",
    "You count a unit as often as the target has it, even where the prediction has it only once.",
    ("min(wanted[unit], written[unit])", "wanted[unit] * (unit in written)"),
)
shared.edit(
    "only whether there is a hit",
    "Your answer is 1 where there are any hits. Count them.",
    ("return sum(", "return int(0 < sum("),
    ("for unit in wanted)", "for unit in wanted))"),
)
shared.edit(
    "units that the target lacks",
    "You count the units of the prediction that the target does not have.",
    ("min(wanted[unit], written[unit]) for unit in wanted", "(written - wanted).values()"),
)


@shared.mistake(
    "not clipped",
    "Every unit of the prediction that the target has anywhere is a hit, so that repeating one "
    "word makes many. Clip: a unit hits at most as often as the target has it.",
)
def overlap(target, prediction):
    return sum(unit in target for unit in prediction)


@shared.mistake(
    "different units only",
    "You count how many different units the texts share. One that comes twice in both is two hits.",
)
def overlap(target, prediction):
    return len(set(target) & set(prediction))


@shared.mistake(
    "same place",
    "You compare the units that stand at the same place. A hit may stand anywhere.",
)
def overlap(target, prediction):
    return sum(a == b for a, b in zip(target, prediction))


@shared.mistake(
    "in the same order",
    "You look for each unit after the one that was found before. For ROUGE-N the order of the "
    "units does not matter.",
)
def overlap(target, prediction):
    rest = iter(target)
    hits = 0
    for unit in prediction:
        if unit in rest:
            hits += 1
    return hits


@shared.mistake(
    "the target is used up",
    "The number is right, but you take the hits out of the caller's list: work on a copy.",
)
def overlap(target, prediction):
    hits = 0
    for unit in prediction:
        if unit in target:
            target.remove(unit)
            hits += 1
    return hits


@shared.mistake(
    "units of both together",
    "You count the different units that one text or the other has. Hits are in both.",
)
def overlap(target, prediction):
    return len(set(target) | set(prediction))


@shared.mistake(
    "lower case first",
    "You compare the units in lower case. They are compared as they are, and need not be words.",
)
def overlap(target, prediction):
    a = Counter(str(unit).lower() for unit in target)
    b = Counter(str(unit).lower() for unit in prediction)
    return sum((a & b).values())


@shared.mistake(
    "neighbours repeated count once",
    "You drop a unit that repeats the one before it. Each occurrence counts.",
)
def overlap(target, prediction):
    a = Counter(unit for unit, _ in itertools.groupby(target))
    b = Counter(unit for unit, _ in itertools.groupby(prediction))
    return sum((a & b).values())


@shared.mistake(
    "the larger count of every unit",
    "Your union of the two counts takes the larger one for every unit, also for units that only "
    "one text has. A hit needs one on both sides: take the smaller count.",
)
def overlap(target, prediction):
    return sum((Counter(target) | Counter(prediction)).values())


@shared.mistake(
    "each copy in the target adds its count again",
    "You go through the target and add the clipped count at every token, so a unit that comes "
    "twice is counted twice over. Go through the different units.",
)
def overlap(target, prediction):
    return sum(min(target.count(unit), prediction.count(unit)) for unit in target)


@shared.mistake(
    "each copy in the prediction adds its count again",
    "You go through the prediction and add the clipped count at every token, so a unit that comes "
    "twice is counted twice over. Go through the different units.",
)
def overlap(target, prediction):
    return sum(min(target.count(unit), prediction.count(unit)) for unit in prediction)


@shared.mistake(
    "order within a unit ignored",
    "You sort the tokens within a unit, and ('a', 'b') is another pair than ('b', 'a').",
)
def overlap(target, prediction):
    def in_order(units):
        return Counter(tuple(sorted(u)) if isinstance(u, tuple) else u for u in units)

    return sum((in_order(target) & in_order(prediction)).values())


@shared.mistake(
    "units joined without a gap",
    "You join the tokens of a unit into one text, where ('a', 'bc') and ('ab', 'c') look alike. "
    "Compare the units as they are.",
)
def overlap(target, prediction):
    def joined(units):
        return Counter("".join(map(str, u)) if isinstance(u, tuple) else u for u in units)

    return sum((joined(target) & joined(prediction)).values())


# 6.3 lcs_table

tables = Bank()


@tables.right
def lcs_table(target, prediction):
    m, n = len(target), len(prediction)
    table = [[0] * (n + 1) for _ in range(m + 1)]
    for i in range(1, m + 1):
        for j in range(1, n + 1):
            if target[i - 1] == prediction[j - 1]:
                table[i][j] = table[i - 1][j - 1] + 1
            else:
                table[i][j] = max(table[i - 1][j], table[i][j - 1])
    return table


@tables.right
def lcs_table(target, prediction):
    @functools.lru_cache(maxsize=None)
    def length(i, j):
        if i == 0 or j == 0:
            return 0
        if target[i - 1] == prediction[j - 1]:
            return 1 + length(i - 1, j - 1)
        return max(length(i - 1, j), length(i, j - 1))

    rows = [[length(i, j) for j in range(len(prediction) + 1)] for i in range(len(target) + 1)]
    return tuple(tuple(row) for row in rows)


@tables.right
def lcs_table(target, prediction):
    rows = [[0] * (len(prediction) + 1)]
    for wanted in target:
        above, row = rows[-1], [0]
        for j, written in enumerate(prediction):
            row.append(max(above[j] + (wanted == written), above[j + 1], row[j]))
        rows.append(row)
    return rows


@tables.right
def lcs_table(target, prediction):
    table = np.zeros((len(target) + 1, len(prediction) + 1), dtype=np.int64)
    for i, wanted in enumerate(target):
        same = np.array([wanted == written for written in prediction], dtype=np.int64)
        row = np.maximum(table[i, :-1] + same, table[i, 1:])
        table[i + 1, 1:] = np.maximum.accumulate(row)
    return table


tables.edit(
    "common substring",
    "Where the tokens differ you start again at 0: this is the longest run without a gap. A "
    "subsequence may leave gaps, so take the better neighbour instead.",
    ("max(table[i - 1][j], table[i][j - 1])", "0"),
)
tables.edit(
    "neighbours instead of the diagonal",
    "On equal tokens you add 1 to the better neighbour above or to the left. It may have used one "
    "of the two tokens already: add 1 to the entry before both, on the diagonal.",
    ("table[i - 1][j - 1] + 1", "max(table[i - 1][j], table[i][j - 1]) + 1"),
)
tables.edit(
    "left instead of the diagonal",
    "On equal tokens you add 1 to the entry on the left, so that one token of the target can be "
    "used again and again. Add it to the entry on the diagonal.",
    ("table[i - 1][j - 1] + 1", "table[i][j - 1] + 1"),
)
tables.edit(
    "above instead of the diagonal",
    "On equal tokens you add 1 to the entry above, so that one token of the prediction can be used "
    "again and again. Add it to the entry on the diagonal.",
    ("table[i - 1][j - 1] + 1", "table[i - 1][j] + 1"),
)
tables.edit(
    "only the entry above",
    "Where the tokens differ you take the entry above and forget the one on the left.",
    ("max(table[i - 1][j], table[i][j - 1])", "table[i - 1][j]"),
)
tables.edit(
    "only the entry on the left",
    "Where the tokens differ you take the entry on the left and forget the one above.",
    ("max(table[i - 1][j], table[i][j - 1])", "table[i][j - 1]"),
)
tables.edit(
    "diagonal where they differ",
    "Where the tokens differ you keep the entry on the diagonal. Leaving out one of the two tokens "
    "can be better: take the larger of the entries above and to the left.",
    ("max(table[i - 1][j], table[i][j - 1])", "table[i - 1][j - 1]"),
)
tables.edit(
    "both neighbours added",
    "Where the tokens differ you add the entries above and to the left. They count the same "
    "subsequence twice; the larger one is the length.",
    ("max(table[i - 1][j], table[i][j - 1])", "table[i - 1][j] + table[i][j - 1]"),
)
tables.edit(
    "without the border",
    "The first row and the first column are missing: table[0][j] and table[i][0] stand for an "
    "empty text and are 0.",
    ("return table", "return [row[1:] for row in table[1:]]"),
)
tables.edit(
    "last entry only",
    "This is the length of the LCS, the last entry. Return the whole table.",
    ("return table", "return table[-1][-1]"),
)
tables.edit(
    "last row only",
    "This is the last row. Return the whole table: going back through it needs the others too.",
    ("return table", "return table[-1]"),
)
tables.edit(
    "prediction down, target across",
    "Your table is turned on its side: rows belong to the target, columns to the prediction.",
    ("return table", "return [list(column) for column in zip(*table)]"),
)
tables.edit(
    "all rows are one list",
    "All rows of your table are the same list, so writing into one changes all of them: make a new "
    "list for every row.",
    ("[[0] * (n + 1) for _ in range(m + 1)]", "[[0] * (n + 1)] * (m + 1)"),
)
tables.edit(
    "last tokens left out",
    "You never compare the last tokens: the loops over i and j run to m and n inclusive.",
    ("range(1, m + 1)", "range(1, m)"),
    ("range(1, n + 1)", "range(1, n)"),
)
tables.edit(
    "token one further on",
    "Row i compares target[i], but it stands for the first i tokens: its own token is target[i - "
    "1].",
    ("target[i - 1] ==", "target[i % m] =="),
)


@tables.mistake(
    "edit distance",
    "You count the changes that turn one text into the other. The table holds how many tokens "
    "they share in order.",
)
def lcs_table(target, prediction):
    m, n = len(target), len(prediction)
    table = [[i + j if i * j == 0 else 0 for j in range(n + 1)] for i in range(m + 1)]
    for i in range(1, m + 1):
        for j in range(1, n + 1):
            change = table[i - 1][j - 1] + (target[i - 1] != prediction[j - 1])
            table[i][j] = min(change, table[i - 1][j] + 1, table[i][j - 1] + 1)
    return table


@tables.mistake(
    "counted from the end",
    "table[i][j] is your LCS of what follows i and j. It should be that of the first i and the "
    "first j tokens.",
)
def lcs_table(target, prediction):
    m, n = len(target), len(prediction)
    table = [[0] * (n + 1) for _ in range(m + 1)]
    for i in range(m - 1, -1, -1):
        for j in range(n - 1, -1, -1):
            if target[i] == prediction[j]:
                table[i][j] = table[i + 1][j + 1] + 1
            else:
                table[i][j] = max(table[i + 1][j], table[i][j + 1])
    return table


@tables.mistake(
    "order ignored",
    "You count the tokens that the two beginnings share, in whatever order. A subsequence keeps "
    "the order.",
)
def lcs_table(target, prediction):
    return [
        [
            sum((Counter(target[:i]) & Counter(prediction[:j])).values())
            for j in range(len(prediction) + 1)
        ]
        for i in range(len(target) + 1)
    ]


tables.edit(
    "the same object, not equal tokens",
    "You compare with `is`, which asks whether two names stand for one object. Equal words may be "
    "two objects: compare with ==.",
    ("target[i - 1] == prediction[j - 1]", "target[i - 1] is prediction[j - 1]"),
)


# 6.4 rouge_n

rouges = Bank()


@rouges.right
def rouge_n(target, prediction, n):
    wanted = Counter(tuple(target[i : i + n]) for i in range(len(target) - n + 1))
    written = Counter(tuple(prediction[i : i + n]) for i in range(len(prediction) - n + 1))
    hits = sum((wanted & written).values())
    if hits == 0:
        return 0.0, 0.0, 0.0
    precision = hits / sum(written.values())
    recall = hits / sum(wanted.values())
    return precision, recall, 2 * precision * recall / (precision + recall)


@rouges.right
def rouge_n(target, prediction, n):
    n_target = max(len(target) - n + 1, 0)
    n_prediction = max(len(prediction) - n + 1, 0)
    used = [False] * n_target
    hits = 0
    for i in range(n_prediction):
        for j in range(n_target):
            if not used[j] and list(prediction[i : i + n]) == list(target[j : j + n]):
                used[j] = True
                hits += 1
                break
    if n_target + n_prediction == 0:
        return [0, 0, 0]
    return [
        hits / max(n_prediction, 1),
        hits / max(n_target, 1),
        2 * hits / (n_target + n_prediction),
    ]


@rouges.right
def rouge_n(target, prediction, n):
    a = list(zip(*(target[k:] for k in range(n))))
    b = list(zip(*(prediction[k:] for k in range(n))))
    hits = sum(min(a.count(gram), b.count(gram)) for gram in set(a))
    precision = np.float64(hits) / max(len(b), 1)
    recall = np.float64(hits) / max(len(a), 1)
    if precision + recall > 0:
        f = 1 / (0.5 / precision + 0.5 / recall)
    else:
        f = 0.0
    return precision, recall, f


rouges.edit(
    "precision and recall exchanged",
    "Precision and recall are exchanged: precision divides by what the prediction has, recall by "
    "what the target has.",
    ("return precision, recall, 2", "return recall, precision, 2"),
)
rouges.edit(
    "arithmetic mean",
    "Your third number is the plain mean of precision and recall. F is their harmonic mean, which "
    "is low as soon as one of them is.",
    ("2 * precision * recall / (precision + recall)", "(precision + recall) / 2"),
)
rouges.edit(
    "geometric mean",
    "Your third number is the geometric mean of precision and recall; F is the harmonic one.",
    ("2 * precision * recall / (precision + recall)", "math.sqrt(precision * recall)"),
)
rouges.edit(
    "F without the 2",
    "Your F is half as large as it should be: the harmonic mean of two numbers has a 2 in front.",
    ("2 * precision", "precision"),
)
rouges.edit(
    "no hits divide by zero",
    "Without a hit, P + R is 0 and cannot be divided by; then all three numbers are 0.",
    ("if hits == 0:", "if hits < 0:"),
)
rouges.edit(
    "nothing against nothing is perfect",
    "You give two texts without n-grams a perfect 1. Where there are no hits, all three numbers "
    "are 0.",
    ("return 0.0, 0.0, 0.0", "return (0.0, 0.0, 0.0) if wanted or written else (1.0, 1.0, 1.0)"),
)
rouges.edit(
    "number of tokens below the line",
    "You divide by the number of tokens. Units are n-grams here: T tokens have T - n + 1.",
    ("sum(written.values())", "len(prediction)"),
    ("sum(wanted.values())", "len(target)"),
)
rouges.edit(
    "different n-grams below the line",
    "You divide by the number of different n-grams. Each one counts as often as it comes.",
    ("sum(written.values())", "len(written)"),
    ("sum(wanted.values())", "len(wanted)"),
)
rouges.edit(
    "each n-gram once",
    "You count an n-gram that both texts have several times as one hit. It is as many hits as the "
    "text with fewer of them has.",
    ("sum((wanted & written).values())", "len(wanted & written)"),
)
rouges.edit(
    "not clipped",
    "Every n-gram of the prediction that the target has is a hit for you, however often it is "
    "repeated. It hits at most as often as the target has it.",
    (
        "sum((wanted & written).values())",
        "sum(written[gram] for gram in written if gram in wanted)",
    ),
)
rouges.edit(
    "rounded",
    "You round the three numbers. Return them as they are; whoever prints them can round.",
    ("precision = hits", "precision, recall, f = hits"),
    ("sum(written.values())\n", "sum(written.values()), hits / sum(wanted.values()), 0\n"),
    (
        "    recall = hits / sum(wanted.values())\n",
        "    f = 2 * precision * recall / (precision + recall)\n",
    ),
    (
        "return precision, recall, 2 * precision * recall / (precision + recall)\n",
        "return round(precision, 4), round(recall, 4), round(f, 4)\n",
    ),
)
rouges.edit(
    "a small number below the line",
    "You add a small number to P + R so that it cannot be 0, and it shows in the result. Treat the "
    "case without hits by itself and leave the formula exact.",
    ("(precision + recall)", "(precision + recall + 1e-8)"),
)
rouges.edit(
    "percent",
    "Your numbers go from 0 to 100; here they go from 0 to 1.",
    ("precision = hits", "precision = 100 * hits"),
    ("recall = hits", "recall = 100 * hits"),
)
rouges.edit(
    "F alone",
    "You return F alone. Return precision, recall and F.",
    ("return precision, recall, 2", "return 2"),
)
rouges.edit(
    "last n-gram missing",
    "You leave out the last n-gram of each text: T tokens have T - n + 1.",
    ("range(len(target) - n + 1)", "range(len(target) - n)"),
    ("range(len(prediction) - n + 1)", "range(len(prediction) - n)"),
)
rouges.edit(
    "short n-grams at the end",
    "Your last n-grams have fewer than n tokens, because you begin one at every token.",
    ("range(len(target) - n + 1)", "range(len(target))"),
    ("range(len(prediction) - n + 1)", "range(len(prediction))"),
)
rouges.edit(
    "n-grams joined without a gap",
    "You join the tokens of an n-gram to one string, and different n-grams can give the same one: "
    "'a bc' and 'ab c'. Keep them as tuples.",
    ("tuple(target[i : i + n])", '"".join(map(str, target[i : i + n]))'),
    ("tuple(prediction[i : i + n])", '"".join(map(str, prediction[i : i + n]))'),
)
rouges.edit(
    "order within an n-gram ignored",
    "You sort the tokens of an n-gram, so that 'dog bites' equals 'bites dog'. Their order counts.",
    ("tuple(target[i : i + n])", "tuple(sorted(target[i : i + n]))"),
    ("tuple(prediction[i : i + n])", "tuple(sorted(prediction[i : i + n]))"),
)


@rouges.mistake(
    "single tokens whatever n", "You compare single tokens whatever n is: this is ROUGE-1."
)
def rouge_n(target, prediction, n):
    hits = sum((Counter(target) & Counter(prediction)).values())
    if hits == 0:
        return 0.0, 0.0, 0.0
    precision, recall = hits / len(prediction), hits / len(target)
    return precision, recall, 2 * precision * recall / (precision + recall)


@rouges.mistake(
    "all orders up to n",
    "You count the n-grams of all orders from 1 to n together. ROUGE-N has only those of order n.",
)
def rouge_n(target, prediction, n):
    wanted, written = Counter(), Counter()
    for k in range(1, n + 1):
        wanted.update(tuple(target[i : i + k]) for i in range(len(target) - k + 1))
        written.update(tuple(prediction[i : i + k]) for i in range(len(prediction) - k + 1))
    hits = sum((wanted & written).values())
    if hits == 0:
        return 0.0, 0.0, 0.0
    precision, recall = hits / sum(written.values()), hits / sum(wanted.values())
    return precision, recall, 2 * precision * recall / (precision + recall)


rouges.edit(
    "different n-grams above and below the line",
    "You count different n-grams, in the hits and below the line. One that comes several times "
    "counts each time, clipped.",
    ("sum((wanted & written).values())", "len(wanted & written)"),
    ("sum(written.values())", "len(written)"),
    ("sum(wanted.values())", "len(wanted)"),
)


# 6.5 rouge_lsum

sums = Bank()


@sums.right
def rouge_lsum(target_lines, prediction_lines):
    collected = Counter()
    for wanted in target_lines:
        positions = set()
        for written in prediction_lines:
            table = [[0] * (len(written) + 1) for _ in range(len(wanted) + 1)]
            for i in range(1, len(wanted) + 1):
                for j in range(1, len(written) + 1):
                    if wanted[i - 1] == written[j - 1]:
                        table[i][j] = table[i - 1][j - 1] + 1
                    else:
                        table[i][j] = max(table[i - 1][j], table[i][j - 1])
            i, j = len(wanted), len(written)
            while i > 0 and j > 0:
                if wanted[i - 1] == written[j - 1]:
                    positions.add(i - 1)
                    i, j = i - 1, j - 1
                elif table[i][j - 1] > table[i - 1][j]:
                    j -= 1
                else:
                    i -= 1
        collected.update([wanted[p] for p in positions])
    counts = Counter(token for line in prediction_lines for token in line)
    hits = sum(min(n, counts[token]) for token, n in collected.items())
    if hits == 0:
        return 0.0, 0.0, 0.0
    precision = hits / sum(len(line) for line in prediction_lines)
    recall = hits / sum(len(line) for line in target_lines)
    return precision, recall, 2 * precision * recall / (precision + recall)


@sums.right
def rouge_lsum(target_lines, prediction_lines):
    left_target = Counter(itertools.chain(*target_lines))
    left_prediction = Counter(itertools.chain(*prediction_lines))
    n_target, n_prediction = sum(left_target.values()), sum(left_prediction.values())

    def one_lcs(a, b):
        @functools.lru_cache(maxsize=None)
        def length(i, j):
            if i == 0 or j == 0:
                return 0
            if a[i - 1] == b[j - 1]:
                return length(i - 1, j - 1) + 1
            return max(length(i - 1, j), length(i, j - 1))

        def trace(i, j):
            if i == 0 or j == 0:
                return []
            if a[i - 1] == b[j - 1]:
                return [*trace(i - 1, j - 1), i - 1]
            if length(i - 1, j) >= length(i, j - 1):
                return trace(i - 1, j)
            return trace(i, j - 1)

        return trace(len(a), len(b))

    hits = 0
    for a in target_lines:
        union = sorted({p for b in prediction_lines for p in one_lcs(a, b)})
        for p in union:
            if left_target[a[p]] > 0 and left_prediction[a[p]] > 0:
                left_target[a[p]] -= 1
                left_prediction[a[p]] -= 1
                hits += 1
    precision = hits / n_prediction if n_prediction else 0
    recall = hits / n_target if n_target else 0
    f = 2 * hits / (n_target + n_prediction) if hits else 0
    return [precision, recall, f]


@sums.right
def rouge_lsum(target_lines, prediction_lines):
    pool = [token for line in prediction_lines for token in line]
    m, n = len(pool), sum(map(len, target_lines))
    hits = 0
    for a in target_lines:
        on_lcs = np.zeros(len(a), dtype=bool)
        for b in prediction_lines:
            best = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
            for i in range(len(a)):
                for j in range(len(b)):
                    diagonal = best[i, j] + (a[i] == b[j])
                    best[i + 1, j + 1] = max(diagonal, best[i, j + 1], best[i + 1, j])
            i, j = len(a) - 1, len(b) - 1
            while i >= 0 and j >= 0:
                if a[i] == b[j]:
                    on_lcs[i] = True
                    i, j = i - 1, j - 1
                elif best[i + 1, j] <= best[i, j + 1]:
                    i = i - 1
                else:
                    j = j - 1
        for token, on in zip(a, on_lcs):
            if on and token in pool:
                pool.remove(token)
                hits += 1
    if hits == 0:
        return (0.0, 0.0, 0.0)
    p, r = hits / m, hits / n
    return (p, r, 2 * p * r / (p + r))


sums.edit(
    "left on ties",
    "Where two longest common subsequences are equally long you find another one: on a tie you go "
    "left, but the rule is to go left only if the left entry is larger, else up.",
    ("table[i][j - 1] > table", "table[i][j - 1] >= table"),
)
sums.edit(
    "not clipped",
    "You count the collected tokens without clipping: several target lines can find the same token "
    "of the prediction, and each token of it is good for one hit only.",
    ("min(n, counts[token])", "n"),
)
sums.edit(
    "clipped to one",
    "A token is at most one hit in your code. It may be as many as the prediction has of it.",
    ("min(n, counts[token])", "min(n, counts[token], 1)"),
)
sums.edit(
    "precision and recall exchanged",
    "Precision and recall are exchanged: precision divides by the prediction's tokens, recall by "
    "the target's.",
    ("return precision, recall, 2", "return recall, precision, 2"),
)
sums.edit(
    "the last prediction line alone",
    "Each target line keeps only what the last prediction line shares with it. Start the set of "
    "positions before the loop over the prediction lines, so that it collects from all of them.",
    ("        positions = set()\n", ""),
    (
        "        for written in prediction_lines:\n",
        "        for written in prediction_lines:\n            positions = set()\n",
    ),
    (
        "collected.update([wanted[p] for p in positions])",
        "collected.update([wanted[p] for p in positions] if prediction_lines else [])",
    ),
)
sums.edit(
    "summed over the lines",
    "You add up the subsequences that a target line shares with each prediction line. A token of "
    "the target that lies on several of them is collected once: take the union of the positions.",
    ("positions = set()", "positions = []"),
    ("positions.add", "positions.append"),
)
sums.edit(
    "union of tokens, not of positions",
    "You collect the tokens of a target line in a set, so that one that comes twice in the line is "
    "lost. Collect their positions.",
    ("positions.add(i - 1)", "positions.add(wanted[i - 1])"),
    ("[wanted[p] for p in positions]", "positions"),
)
sums.edit(
    "common substring",
    "Where tokens differ your table starts again at 0: these are runs without a gap. A subsequence "
    "may leave gaps.",
    ("max(table[i - 1][j], table[i][j - 1])", "0"),
)
sums.edit(
    "number of lines below the line",
    "You divide by the number of lines. Precision and recall are shares of tokens.",
    ("sum(len(line) for line in prediction_lines)", "len(prediction_lines)"),
    ("sum(len(line) for line in target_lines)", "len(target_lines)"),
)
sums.edit(
    "table before tokens",
    "Going back, you look at the table first and leave a cell upwards whenever the entry above is "
    "as large. The rule asks first whether the two tokens are equal; it matters where several "
    "subsequences are equally long.",
    (
        "                if wanted[i - 1] == written[j - 1]:\n                    positions",
        "                if table[i][j] > max(table[i - 1][j], table[i][j - 1]):\n"
        "                    positions",
    ),
)
sums.edit(
    "clipped by single lines",
    "You clip by the prediction line that has the most of a token. Clip by what all lines have "
    "together.",
    (
        "Counter(token for line in prediction_lines for token in line)",
        "functools.reduce(operator.or_, map(Counter, prediction_lines), Counter())",
    ),
)
sums.edit(
    "no hits divide by zero",
    "Without a hit you divide by zero; then all three numbers are 0.",
    ("if hits == 0:", "if hits < 0:"),
)
sums.edit(
    "arithmetic mean",
    "Your third number is the plain mean of precision and recall; F is the harmonic one.",
    ("2 * precision * recall / (precision + recall)", "(precision + recall) / 2"),
)


@sums.mistake(
    "best line instead of the union",
    "For each target line you take the one prediction line that shares most with it. ROUGE-Lsum "
    "takes what all of them find together.",
)
def rouge_lsum(target_lines, prediction_lines):
    def positions(a, b):
        table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
            if a[i - 1] == b[j - 1]:
                table[i][j] = table[i - 1][j - 1] + 1
            else:
                table[i][j] = max(table[i - 1][j], table[i][j - 1])
        i, j, found = len(a), len(b), []
        while i > 0 and j > 0:
            if a[i - 1] == b[j - 1]:
                found.append(i - 1)
                i, j = i - 1, j - 1
            elif table[i][j - 1] > table[i - 1][j]:
                j -= 1
            else:
                i -= 1
        return found

    collected = Counter()
    for a in target_lines:
        best = max((positions(a, b) for b in prediction_lines), key=len, default=[])
        collected.update(a[p] for p in best)
    counts = Counter(token for line in prediction_lines for token in line)
    hits = sum((collected & counts).values())
    if hits == 0:
        return 0.0, 0.0, 0.0
    p, r = hits / sum(map(len, prediction_lines)), hits / sum(map(len, target_lines))
    return p, r, 2 * p * r / (p + r)


@sums.mistake(
    "one LCS over all lines",
    "You join the lines and look for one longest common subsequence: this is ROUGE-L, which "
    "punishes lines in another order.",
)
def rouge_lsum(target_lines, prediction_lines):
    a, b = list(itertools.chain(*target_lines)), list(itertools.chain(*prediction_lines))
    row = [0] * (len(b) + 1)
    for x in a:
        above, row = row, [0]
        for j, y in enumerate(b):
            row.append(above[j] + 1 if x == y else max(above[j + 1], row[j]))
    hits = row[-1]
    if hits == 0:
        return 0.0, 0.0, 0.0
    p, r = hits / len(b), hits / len(a)
    return p, r, 2 * p * r / (p + r)


@sums.mistake(
    "words in any order",
    "You count the shared words of all lines in any order: this is ROUGE-1. Within a line their "
    "order matters.",
)
def rouge_lsum(target_lines, prediction_lines):
    a, b = list(itertools.chain(*target_lines)), list(itertools.chain(*prediction_lines))
    hits = sum((Counter(a) & Counter(b)).values())
    if hits == 0:
        return 0.0, 0.0, 0.0
    p, r = hits / len(b), hits / len(a)
    return p, r, 2 * p * r / (p + r)


@sums.mistake(
    "lines in pairs",
    "You compare the first line with the first, the second with the second, and so on. Each target "
    "line is compared with every prediction line.",
)
def rouge_lsum(target_lines, prediction_lines):
    hits = 0
    for a, b in zip(target_lines, prediction_lines):
        row = [0] * (len(b) + 1)
        for x in a:
            above, row = row, [0]
            for j, y in enumerate(b):
                row.append(above[j] + 1 if x == y else max(above[j + 1], row[j]))
        hits += row[-1]
    if hits == 0:
        return 0.0, 0.0, 0.0
    p, r = hits / sum(map(len, prediction_lines)), hits / sum(map(len, target_lines))
    return p, r, 2 * p * r / (p + r)


@sums.mistake(
    "positions of the prediction",
    "You collect the positions in the prediction lines. The union is taken over positions of the "
    "target line.",
)
def rouge_lsum(target_lines, prediction_lines):
    def positions(a, b):
        table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
            if a[i - 1] == b[j - 1]:
                table[i][j] = table[i - 1][j - 1] + 1
            else:
                table[i][j] = max(table[i - 1][j], table[i][j - 1])
        i, j, found = len(a), len(b), []
        while i > 0 and j > 0:
            if a[i - 1] == b[j - 1]:
                found.append(j - 1)
                i, j = i - 1, j - 1
            elif table[i][j - 1] > table[i - 1][j]:
                j -= 1
            else:
                i -= 1
        return found

    collected = Counter()
    for b in prediction_lines:
        union = set()
        for a in target_lines:
            union.update(positions(a, b))
        collected.update(b[p] for p in union)
    counts = Counter(token for line in target_lines for token in line)
    hits = sum((collected & counts).values())
    if hits == 0:
        return 0.0, 0.0, 0.0
    p, r = hits / sum(map(len, prediction_lines)), hits / sum(map(len, target_lines))
    return p, r, 2 * p * r / (p + r)


@sums.mistake(
    "each line against the whole prediction",
    "You compare each target line with all prediction lines joined to one text. Compare it with "
    "them one by one and take the union.",
)
def rouge_lsum(target_lines, prediction_lines):
    whole = list(itertools.chain(*prediction_lines))
    collected = Counter()
    for a in target_lines:
        table = [[0] * (len(whole) + 1) for _ in range(len(a) + 1)]
        for i, j in itertools.product(range(1, len(a) + 1), range(1, len(whole) + 1)):
            if a[i - 1] == whole[j - 1]:
                table[i][j] = table[i - 1][j - 1] + 1
            else:
                table[i][j] = max(table[i - 1][j], table[i][j - 1])
        i, j = len(a), len(whole)
        while i > 0 and j > 0:
            if a[i - 1] == whole[j - 1]:
                collected[a[i - 1]] += 1
                i, j = i - 1, j - 1
            elif table[i][j - 1] > table[i - 1][j]:
                j -= 1
            else:
                i -= 1
    hits = sum((collected & Counter(whole)).values())
    if hits == 0:
        return 0.0, 0.0, 0.0
    p, r = hits / len(whole), hits / sum(map(len, target_lines))
    return p, r, 2 * p * r / (p + r)


@sums.mistake(
    "tokens matched greedily",
    "You walk through the prediction line and take each token that still comes in the target line. "
    "One bad first choice can block the rest; the longest subsequence needs the table.",
)
def rouge_lsum(target_lines, prediction_lines):
    collected = Counter()
    for a in target_lines:
        union = set()
        for b in prediction_lines:
            start = 0
            for token in b:
                if token in a[start:]:
                    start = a.index(token, start) + 1
                    union.add(start - 1)
        collected.update(a[p] for p in union)
    counts = Counter(token for line in prediction_lines for token in line)
    hits = sum((collected & counts).values())
    if hits == 0:
        return 0.0, 0.0, 0.0
    p, r = hits / sum(map(len, prediction_lines)), hits / sum(map(len, target_lines))
    return p, r, 2 * p * r / (p + r)


sums.edit(
    "the last step back is missing",
    "Your way back stops before the first token of a line. Go on until i or j is 0.",
    ("while i > 0 and j > 0:", "while i > 1 and j > 1:"),
)


@sums.mistake(
    "the longest subsequence of each line, not clipped",
    "For each target line you add the longest subsequence that it shares with one prediction line. "
    "ROUGE-Lsum takes what all of them find together, clipped by what the prediction has.",
)
def rouge_lsum(target_lines, prediction_lines):
    def lcs(a, b):
        row = [0] * (len(b) + 1)
        for x in a:
            above, row = row, [0]
            for j, y in enumerate(b):
                row.append(above[j] + 1 if x == y else max(above[j + 1], row[j]))
        return row[-1]

    hits = sum(max((lcs(a, b) for b in prediction_lines), default=0) for a in target_lines)
    if hits == 0:
        return 0.0, 0.0, 0.0
    p, r = hits / sum(map(len, prediction_lines)), hits / sum(map(len, target_lines))
    return p, r, 2 * p * r / (p + r)


@sums.mistake(
    "target and prediction exchanged",
    "You let each prediction line collect from the target lines. It is the target lines that "
    "collect, and with several equally long subsequences that makes a difference.",
)
def rouge_lsum(target_lines, prediction_lines):
    def positions(a, b):
        table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
            if a[i - 1] == b[j - 1]:
                table[i][j] = table[i - 1][j - 1] + 1
            else:
                table[i][j] = max(table[i - 1][j], table[i][j - 1])
        i, j, found = len(a), len(b), []
        while i > 0 and j > 0:
            if a[i - 1] == b[j - 1]:
                found.append(i - 1)
                i, j = i - 1, j - 1
            elif table[i][j - 1] > table[i - 1][j]:
                j -= 1
            else:
                i -= 1
        return found

    collected = Counter()
    for b in prediction_lines:
        collected.update(b[p] for p in {p for a in target_lines for p in positions(b, a)})
    counts = Counter(token for line in target_lines for token in line)
    hits = sum((collected & counts).values())
    if hits == 0:
        return 0.0, 0.0, 0.0
    p, r = hits / sum(map(len, prediction_lines)), hits / sum(map(len, target_lines))
    return p, r, 2 * p * r / (p + r)


@sums.mistake(
    "from the front",
    "You follow the subsequence from the first tokens on. Where several are equally long that may "
    "find another: start in the last corner and go back.",
)
def rouge_lsum(target_lines, prediction_lines):
    def positions(a, b):
        table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i, j in itertools.product(range(len(a))[::-1], range(len(b))[::-1]):
            if a[i] == b[j]:
                table[i][j] = table[i + 1][j + 1] + 1
            else:
                table[i][j] = max(table[i + 1][j], table[i][j + 1])
        i = j = 0
        found = []
        while i < len(a) and j < len(b):
            if a[i] == b[j]:
                found.append(i)
                i, j = i + 1, j + 1
            elif table[i][j + 1] > table[i + 1][j]:
                j += 1
            else:
                i += 1
        return found

    collected = Counter()
    for a in target_lines:
        collected.update(a[p] for p in {p for b in prediction_lines for p in positions(a, b)})
    counts = Counter(token for line in prediction_lines for token in line)
    hits = sum((collected & counts).values())
    if hits == 0:
        return 0.0, 0.0, 0.0
    p, r = hits / sum(map(len, prediction_lines)), hits / sum(map(len, target_lines))
    return p, r, 2 * p * r / (p + r)


@sums.mistake(
    "mean over the target lines",
    "You score each target line with its best prediction line and take the mean. Add up the hits "
    "of all lines and divide once.",
)
def rouge_lsum(target_lines, prediction_lines):
    def lcs(a, b):
        row = [0] * (len(b) + 1)
        for x in a:
            above, row = row, [0]
            for j, y in enumerate(b):
                row.append(above[j] + 1 if x == y else max(above[j + 1], row[j]))
        return row[-1]

    total = np.zeros(3)
    for a in target_lines:
        scores = [(0.0, 0.0, 0.0)]
        for b in prediction_lines:
            if hits := lcs(a, b):
                p, r = hits / len(b), hits / len(a)
                scores.append((p, r, 2 * p * r / (p + r)))
        total += max(scores, key=lambda score: score[2])
    return tuple((total / max(1, len(target_lines))).tolist())


# 6.6 count_matches

matches = Bank()


@matches.right
def count_matches(hypothesis, references, order):
    found = []
    for n in range(1, order + 1):
        grams = Counter(tuple(hypothesis[i : i + n]) for i in range(len(hypothesis) - n + 1))
        best = Counter()
        for reference in references:
            best |= Counter(tuple(reference[i : i + n]) for i in range(len(reference) - n + 1))
        found.append(sum((grams & best).values()))
    return found


@matches.right
def count_matches(hypothesis, references, order):
    def grams(tokens, n):
        return list(zip(*(tokens[i:] for i in range(n))))

    return tuple(
        sum(
            min(grams(hypothesis, n).count(g), max(grams(r, n).count(g) for r in references))
            for g in set(grams(hypothesis, n))
        )
        for n in range(1, order + 1)
    )


@matches.right
def count_matches(hypothesis, references, order):
    totals = np.zeros(order, dtype=np.int64)
    for n in range(1, order + 1):
        allowed = {}
        for reference in references:
            counts = {}
            for i in range(len(reference) - n + 1):
                gram = tuple(reference[i : i + n])
                counts[gram] = counts.get(gram, 0) + 1
            for gram, count in counts.items():
                allowed[gram] = max(count, allowed.get(gram, 0))
        for i in range(len(hypothesis) - n + 1):
            gram = tuple(hypothesis[i : i + n])
            if allowed.get(gram, 0) > 0:
                allowed[gram] -= 1
                totals[n - 1] += 1
    return [*totals]


matches.edit(
    "references added up",
    "You add up what the references have of an n-gram. It may match as often as the one reference "
    "that has it most often.",
    ("best |= ", "best += "),
)
matches.edit(
    "n-grams in all references",
    "An n-gram matches in your code only as often as every reference has it. One reference is "
    "enough: take the largest count.",
    ("best = Counter()\n", "best = Counter({g: c for g, c in grams.items()})\n"),
    ("best |= ", "best &= "),
)
matches.edit(
    "first reference alone",
    "You look only at the first reference.",
    ("in references:", "in references[:1]:"),
)
matches.edit(
    "last reference alone",
    "Only the last reference counts in your code: each one replaces what was there before.",
    ("best |= ", "best = "),
)
matches.edit(
    "not clipped",
    "You count every n-gram of the hypothesis that a reference has, however often it is repeated. "
    "Clip it by the most that one reference has.",
    ("sum((grams & best).values())", "sum(grams[g] for g in grams if g in best)"),
)
matches.edit(
    "each n-gram once",
    "You count the different n-grams that match. One that comes twice in the hypothesis and in a "
    "reference is two matches.",
    ("sum((grams & best).values())", "len(grams & best)"),
)
matches.edit(
    "orders from 0",
    "Your loop over n starts at 0 and so ends one order too early: n runs from 1 to order.",
    ("range(1, order + 1)", "range(order)"),
)
matches.edit(
    "highest order missing",
    "Your loop stops before the highest order.",
    ("range(1, order + 1)", "range(1, order)"),
)
matches.edit(
    "highest order alone",
    "You count the n-grams of the highest order only. Return one number for each n from 1 to "
    "order.",
    ("range(1, order + 1)", "[order]"),
)
matches.edit(
    "shares, not counts",
    "You return the share of n-grams that match. Return the counts: over a corpus they are summed "
    "first and divided last.",
    ("sum((grams & best).values())", "sum((grams & best).values()) / max(sum(grams.values()), 1)"),
)
matches.edit(
    "stops where the hypothesis is too short",
    "Where the hypothesis has no n-grams of an order, your list ends early. It has one number for "
    "each order, 0 for these.",
    (
        "        best = Counter()\n",
        "        if not grams:\n            break\n        best = Counter()\n",
    ),
)
matches.edit(
    "sum over the orders",
    "You add up the matches of all orders. Return them one by one.",
    ("return found", "return sum(found)"),
)
matches.edit(
    "what the references have",
    "You count how many n-grams of the references there are, not how many of the hypothesis's "
    "match.",
    ("(grams & best)", "best"),
)


@matches.mistake(
    "best single reference",
    "For each order you take the one reference with the most matches. Each n-gram may choose its "
    "own reference: take the largest count n-gram by n-gram.",
)
def count_matches(hypothesis, references, order):
    def grams(tokens, n):
        return Counter(zip(*(tokens[i:] for i in range(n))))

    return [
        max(sum((grams(hypothesis, n) & grams(r, n)).values()) for r in references)
        for n in range(1, order + 1)
    ]


@matches.mistake(
    "matches added over the references",
    "You count the matches with each reference and add them up, so that two references can double "
    "them.",
)
def count_matches(hypothesis, references, order):
    def grams(tokens, n):
        return Counter(zip(*(tokens[i:] for i in range(n))))

    return [
        sum(sum((grams(hypothesis, n) & grams(r, n)).values()) for r in references)
        for n in range(1, order + 1)
    ]


@matches.mistake(
    "references joined",
    "You join the references to one text: that adds up their n-grams, and makes new ones where one "
    "ends and the next begins.",
)
def count_matches(hypothesis, references, order):
    def grams(tokens, n):
        return Counter(zip(*(tokens[i:] for i in range(n))))

    whole = [token for r in references for token in r]
    return [sum((grams(hypothesis, n) & grams(whole, n)).values()) for n in range(1, order + 1)]


@matches.mistake(
    "kept between calls",
    "Your counts go on from the call before: start a new list in every call.",
)
def count_matches(hypothesis, references, order, found=[]):  # noqa: B006
    def grams(tokens, n):
        return Counter(zip(*(tokens[i:] for i in range(n))))

    for n in range(1, order + 1):
        best = Counter()
        for r in references:
            best |= grams(r, n)
        found.append(sum((grams(hypothesis, n) & best).values()))
    return list(found)


matches.edit(
    "n-grams joined without a gap",
    "You join the tokens of an n-gram into one text, where ('a', 'bc') and ('ab', 'c') look alike. "
    "Keep n-grams as tuples.",
    ("tuple(hypothesis[i : i + n])", '"".join(map(str, hypothesis[i : i + n]))'),
    ("tuple(reference[i : i + n])", '"".join(map(str, reference[i : i + n]))'),
)
matches.edit(
    "short n-grams at the end",
    "You count the ends of the texts too, which have fewer than n tokens. An n-gram has n.",
    ("range(len(hypothesis) - n + 1)", "range(len(hypothesis))"),
    ("range(len(reference) - n + 1)", "range(len(reference))"),
)
matches.edit(
    "reference of the nearest length alone",
    "You look only into the reference whose length is nearest. Each n-gram may come from another "
    "reference: take the largest count of all.",
    (
        "for reference in references:",
        "nearest = min(references, key=lambda r: (abs(len(r) - len(hypothesis)), len(r)))\n"
        "        for reference in [nearest]:",
    ),
)
matches.edit(
    "longest reference alone",
    "You look only into the longest reference. Each n-gram may come from another one: take the "
    "largest count of all.",
    ("for reference in references:", "for reference in [max(references, key=len)]:"),
)
matches.edit(
    "the last reference that has it",
    "With update a later reference replaces the count of an earlier one, also if it is smaller. "
    "Keep the larger count.",
    ("best |= Counter(", "best = {**best, **Counter("),
    ("for i in range(len(reference) - n + 1))", "for i in range(len(reference) - n + 1))}"),
    ("(grams & best)", "(grams & Counter(best))"),
)


# 6.7 closest_length

lengths = Bank()


@lengths.right
def closest_length(hypothesis_len, reference_lens):
    return min(reference_lens, key=lambda length: (abs(length - hypothesis_len), length))


@lengths.right
def closest_length(hypothesis_len, reference_lens):
    best = None
    for length in reference_lens:
        if best is None:
            best = length
        elif abs(length - hypothesis_len) < abs(best - hypothesis_len):
            best = length
        elif abs(length - hypothesis_len) == abs(best - hypothesis_len) and length < best:
            best = length
    return best


@lengths.right
def closest_length(hypothesis_len, reference_lens):
    ascending = np.sort(np.array(list(reference_lens)))
    return ascending[np.argmin((ascending - hypothesis_len) ** 2)]


@lengths.right
def closest_length(hypothesis_len, reference_lens):
    lengths = set(reference_lens)
    distance = 0
    while True:
        if hypothesis_len - distance in lengths:
            return hypothesis_len - distance
        if hypothesis_len + distance in lengths:
            return hypothesis_len + distance
        distance += 1


lengths.edit(
    "first on ties",
    "Of two lengths that are equally near you take the one that comes first. Take the shorter, "
    "wherever it stands.",
    ("(abs(length - hypothesis_len), length)", "abs(length - hypothesis_len)"),
)
lengths.edit(
    "longer on ties",
    "Of two lengths that are equally near you take the longer one; take the shorter.",
    ("(abs(length - hypothesis_len), length)", "(abs(length - hypothesis_len), -length)"),
)
lengths.edit(
    "shortest",
    "You take the shortest reference, as some packages do. Take the one nearest to the hypothesis.",
    ("(abs(length - hypothesis_len), length)", "length"),
)
lengths.edit(
    "longest",
    "You take the longest reference. Take the one nearest to the hypothesis.",
    ("(abs(length - hypothesis_len), length)", "-length"),
)
lengths.edit(
    "farthest",
    "You take the length that is farthest from the hypothesis's.",
    ("(abs(length - hypothesis_len), length)", "(-abs(length - hypothesis_len), length)"),
)
lengths.edit(
    "distance instead of the length",
    "This is how far away the nearest length is. Return the length itself.",
    (
        "min(reference_lens, key=lambda length: (abs(length - hypothesis_len), length))",
        "min(abs(length - hypothesis_len) for length in reference_lens)",
    ),
)
lengths.edit(
    "which, not how long",
    "This is the number of the reference in the list. Return its length.",
    (
        "min(reference_lens, key=lambda length: (abs(length - hypothesis_len), length))",
        "min(range(len(reference_lens)), key=lambda i: (abs(reference_lens[i] - hypothesis_len), "
        "reference_lens[i]))",
    ),
)
lengths.edit(
    "mean length",
    "You take the mean of the reference lengths. Take one of them, the nearest.",
    (
        "min(reference_lens, key=lambda length: (abs(length - hypothesis_len), length))",
        "sum(reference_lens) / len(reference_lens)",
    ),
)
lengths.edit(
    "nearest by ratio",
    "You compare the lengths by their ratio. Their distance counts.",
    (
        "(abs(length - hypothesis_len), length)",
        "(max(length, hypothesis_len) / max(min(length, hypothesis_len), 1), length)",
    ),
)
lengths.edit(
    "nearest of the longer ones",
    "You prefer references that are at least as long as the hypothesis, even where a shorter one "
    "is nearer.",
    (
        "(abs(length - hypothesis_len), length)",
        "(length < hypothesis_len, abs(length - hypothesis_len))",
    ),
)
lengths.edit(
    "nearest of the shorter ones",
    "You prefer references that are at most as long as the hypothesis, even where a longer one is "
    "nearer.",
    (
        "(abs(length - hypothesis_len), length)",
        "(length > hypothesis_len, abs(length - hypothesis_len))",
    ),
)
lengths.edit(
    "first reference",
    "You take the length of the first reference without looking at the others.",
    (
        "min(reference_lens, key=lambda length: (abs(length - hypothesis_len), length))",
        "reference_lens[0]",
    ),
)


@lengths.mistake(
    "last on ties",
    "Of two lengths that are equally near you take the one that comes last: <= lets a later one "
    "replace it. Take the shorter, wherever it stands.",
)
def closest_length(hypothesis_len, reference_lens):
    best = reference_lens[0]
    for length in reference_lens:
        if abs(length - hypothesis_len) <= abs(best - hypothesis_len):
            best = length
    return best


@lengths.mistake(
    "the list is sorted in place",
    "The length is right, but the caller's list is in another order afterwards: use sorted, which "
    "makes a new one.",
)
def closest_length(hypothesis_len, reference_lens):
    reference_lens.sort()
    return min(reference_lens, key=lambda length: abs(length - hypothesis_len))


@lengths.mistake(
    "never farther than the hypothesis is long",
    "You start with a best distance that is too small, so that a length far from the hypothesis's "
    "is never taken. Start with the first reference, or with infinity.",
)
def closest_length(hypothesis_len, reference_lens):
    best, distance = 0, hypothesis_len
    for length in sorted(reference_lens):
        if abs(length - hypothesis_len) < distance:
            best, distance = length, abs(length - hypothesis_len)
    return best


lengths.edit(
    "empty references are skipped",
    "You leave out references of length 0. They count like the others.",
    (
        "min(reference_lens, key=lambda length: (abs(length - hypothesis_len), length))",
        "min([n for n in reference_lens if n] or [0], key=lambda n: (abs(n - hypothesis_len), n))",
    ),
)


# 6.8 brevity_penalty

penalties = Bank()


@penalties.right
def brevity_penalty(sys_len, ref_len):
    if sys_len >= ref_len:
        return 1.0
    if sys_len == 0:
        return 0.0
    return math.exp(1 - ref_len / sys_len)


@penalties.right
def brevity_penalty(sys_len, ref_len):
    ratio = ref_len / sys_len if sys_len else (math.inf if ref_len else 1)
    return min(1, math.e ** (1 - ratio))


@penalties.right
def brevity_penalty(sys_len, ref_len):
    with np.errstate(divide="ignore", invalid="ignore"):
        missing = np.float64(ref_len - sys_len) / np.float64(sys_len)
    return float(np.exp(-max(missing, 0.0))) if ref_len > sys_len else 1


@penalties.right
def brevity_penalty(sys_len, ref_len):
    if sys_len == 0:
        return 1.0 if ref_len == 0 else 0.0
    return torch.exp(torch.tensor(1 - ref_len / sys_len)).clamp(max=1.0).item()


penalties.edit(
    "ratio upside down",
    "The ratio in the exponent is upside down: it is the reference's length over the system's, "
    "which is above 1 when the system is too short.",
    ("ref_len / sys_len", "sys_len / ref_len"),
)
penalties.edit(
    "reward for long texts",
    "A system that writes more than the references gets more than 1. The penalty is never above 1.",
    ("if sys_len >= ref_len:", "if sys_len == ref_len:"),
)
penalties.edit(
    "equal lengths are compared too strictly",
    "With > instead of >= two empty texts count as too short and get 0: as much as the references "
    "have is enough.",
    ("if sys_len >= ref_len:", "if sys_len > ref_len:"),
)
penalties.edit(
    "long texts punished",
    "You punish the system for writing more than the references. The penalty is for writing less.",
    ("sys_len >= ref_len", "sys_len <= ref_len"),
    ("ref_len / sys_len", "sys_len / max(ref_len, 1)"),
)
penalties.edit(
    "plain ratio",
    "You take the ratio of the two lengths. The penalty falls faster: it is exp(1 - r/c).",
    ("math.exp(1 - ref_len / sys_len)", "sys_len / ref_len"),
)
penalties.edit(
    "exponent without the 1",
    "Your exponent lacks the 1: at equal lengths the penalty would be exp(-1), not 1.",
    ("1 - ref_len", "-ref_len"),
)
penalties.edit(
    "sign of the exponent",
    "Your exponent has the wrong sign: a system that is too short gets more than 1.",
    ("1 - ref_len / sys_len", "ref_len / sys_len - 1"),
)
penalties.edit(
    "an empty system divides by zero",
    "A system that wrote nothing makes you divide by zero. Its penalty is 0.",
    ("if sys_len == 0:", "if sys_len < 0:"),
)
penalties.edit(
    "an empty system goes free",
    "You let a system that wrote nothing off with 1. It gets 0, unless the references are empty "
    "too.",
    ("return 0.0", "return 1.0"),
)
penalties.edit(
    "whole ratio",
    "You divide with //, which drops what is after the decimal point: only ratios of 2 and more "
    "are punished.",
    ("ref_len / sys_len", "ref_len // sys_len"),
)
penalties.edit(
    "difference of lengths",
    "Your exponent is the difference of the lengths. It is 1 minus their ratio, so that a corpus "
    "of twice the size has the same penalty.",
    ("1 - ref_len / sys_len", "sys_len - ref_len"),
)
penalties.edit(
    "power of ten",
    "You raise 10 to the exponent; the base is e.",
    ("math.exp(1 - ref_len / sys_len)", "10 ** (1 - ref_len / sys_len)"),
)
penalties.edit(
    "power of two",
    "You raise 2 to the exponent; the base is e.",
    ("math.exp(1 - ref_len / sys_len)", "2 ** (1 - ref_len / sys_len)"),
)
penalties.edit(
    "one token added to the system",
    "You add 1 to the system's length so that nothing is divided by zero, and every penalty "
    "changes. Treat the empty system by itself.",
    ("ref_len / sys_len", "ref_len / (sys_len + 1)"),
    ("if sys_len == 0:", "if sys_len < 0:"),
)
penalties.edit(
    "exponent cut off",
    "You do not let the penalty fall below exp(-1). A system that writes very little may get much "
    "less.",
    ("1 - ref_len / sys_len", "max(-1.0, 1 - ref_len / sys_len)"),
)
penalties.edit(
    "an empty system counts as one token",
    "You raise the system's length to 1 so that nothing is divided by zero. A system that wrote "
    "nothing gets 0.",
    ("    if sys_len == 0:\n        return 0.0\n", ""),
    ("ref_len / sys_len", "ref_len / max(1, sys_len)"),
)


# 6.9 bleu

bleus = Bank()


@bleus.right
def bleu(counts, totals, sys_len, ref_len):
    if 0 in totals or 0 in counts or sys_len == 0:
        return 0.0
    mean = sum(math.log(c / t) for c, t in zip(counts, totals)) / len(counts)
    penalty = 1.0 if sys_len >= ref_len else math.exp(1 - ref_len / sys_len)
    return 100 * penalty * math.exp(mean)


@bleus.right
def bleu(counts, totals, sys_len, ref_len):
    product = 1.0
    for i in range(len(counts)):
        if totals[i] == 0:
            return 0
        product = product * counts[i] / totals[i]
    score = 100 * product ** (1 / len(counts))
    if sys_len < ref_len:
        if sys_len == 0:
            return 0
        score = score * math.exp(1 - ref_len / sys_len)
    return score


@bleus.right
def bleu(counts, totals, sys_len, ref_len):
    c, t = np.array(counts, dtype=float), np.array(totals, dtype=float)
    if (c * t == 0).any():
        return 0.0
    penalty = np.exp(min(0.0, 1 - ref_len / sys_len))
    return penalty * np.exp(np.log(100 * c / t).mean())


@bleus.right
def bleu(counts, totals, sys_len, ref_len):
    if min(counts) == 0:
        return 0.0
    shares = torch.tensor(counts) / torch.tensor(totals)
    penalty = min(1.0, math.exp(1 - ref_len / sys_len))
    return 100 * penalty * shares.log().mean().exp().item()


bleus.edit(
    "arithmetic mean",
    "You take the plain mean of the precisions. BLEU takes the geometric one, the N-th root of "
    "their product, which is low as soon as one precision is.",
    ("math.log(c / t)", "c / t"),
    ("math.exp(mean)", "mean"),
)
bleus.edit(
    "sum of logs, not their mean",
    "You add up the logarithms without dividing by the number of orders: this is the product of "
    "the precisions, without the root.",
    (" / len(counts)", ""),
)
bleus.edit(
    "always the fourth root",
    "You take the fourth root whatever the number of orders is: divide by how many there are.",
    ("/ len(counts)", "/ 4"),
)
bleus.edit(
    "from 0 to 1",
    "Your score goes from 0 to 1. It is given in percent here.",
    ("100 * penalty", "penalty"),
)
bleus.edit(
    "no brevity penalty",
    "You leave out the brevity penalty: short texts get too much.",
    ("100 * penalty", "100"),
)
bleus.edit(
    "reward for long texts",
    "Where the system writes more than the references, your score goes up. The penalty is never "
    "above 1.",
    ("if sys_len >= ref_len else", "if sys_len == ref_len else"),
)
bleus.edit(
    "lengths exchanged",
    "You punish a system that writes more than the references. The penalty is for writing less.",
    ("sys_len >= ref_len", "ref_len >= sys_len"),
    ("ref_len / sys_len", "sys_len / max(ref_len, 1)"),
)
bleus.edit(
    "ratio upside down",
    "The ratio in the penalty is upside down: it is the reference's length over the system's.",
    ("ref_len / sys_len", "sys_len / ref_len"),
)
bleus.edit(
    "penalty within the root",
    "Your penalty stands within the root: it multiplies the mean of the precisions as a whole, not "
    "their product.",
    ("100 * penalty * math.exp(mean)", "100 * penalty ** (1 / len(counts)) * math.exp(mean)"),
)
bleus.edit(
    "zero orders left out",
    "You leave out orders without a match and average over the others. Without smoothing such an "
    "order makes the score 0.",
    ("0 in totals or 0 in counts or sys_len == 0", "not any(counts)"),
    (
        "zip(counts, totals)) / len(counts)",
        "zip(counts, totals) if c) / sum(c > 0 for c in counts)",
    ),
)
bleus.edit(
    "zeros smoothed",
    "You add 1 to counts and totals beyond the first order. That is smoothing, and this score has "
    "none.",
    ("0 in totals or 0 in counts or sys_len == 0", "counts[0] == 0"),
    (
        "math.log(c / t) for c, t in zip(counts, totals)",
        "math.log((c + (n > 0)) / (t + (n > 0))) for n, (c, t) in enumerate(zip(counts, totals))",
    ),
)
bleus.edit(
    "zeros replaced by something small",
    "Where an order has no match you put a tiny number in its place. Without smoothing the score "
    "is 0.",
    ("0 in totals or 0 in counts or sys_len == 0", "sys_len == 0"),
    ("math.log(c / t)", "math.log(max(c, 1e-9) / max(t, 1))"),
)
bleus.edit(
    "no matches break the logarithm",
    "The logarithm of 0 does not exist: an order without a match makes the score 0 by itself.",
    ("0 in totals or 0 in counts or sys_len == 0", "0 in totals or sys_len == 0"),
)
bleus.edit(
    "no n-grams divide by zero",
    "A text that is too short has no n-grams of the higher orders, and you divide by 0. Its score "
    "is 0.",
    ("0 in totals or 0 in counts or sys_len == 0", "0 in counts and 0 not in totals"),
)
bleus.edit(
    "all orders in one fraction",
    "You divide all matches by all n-grams. Each order has its own precision; their geometric mean "
    "is asked for.",
    (
        "sum(math.log(c / t) for c, t in zip(counts, totals)) / len(counts)",
        "math.log(sum(counts) / sum(totals))",
    ),
)
bleus.edit(
    "totals of the first order",
    "You divide every count by the number of single tokens. Each order has a total of its own.",
    ("math.log(c / t)", "math.log(c / totals[0])"),
)
bleus.edit(
    "rounded",
    "You round the score. Return it as it is; whoever prints it can round.",
    ("return 100 * penalty * math.exp(mean)", "return round(100 * penalty * math.exp(mean), 2)"),
)
bleus.edit(
    "highest order alone",
    "You use the precision of the highest order only.",
    (
        "sum(math.log(c / t) for c, t in zip(counts, totals)) / len(counts)",
        "math.log(counts[-1] / totals[-1])",
    ),
)
bleus.edit(
    "precisions upside down",
    "Your precisions are upside down: matches over n-grams.",
    ("c / t", "t / c"),
)
bleus.edit(
    "logarithm to base 10",
    "You take logarithms to base 10 and go back with exp, which belongs to base e.",
    ("math.log(", "math.log10("),
)


bleus.edit(
    "1 added to counts and totals",
    "You add 1 to counts and totals. Nothing is smoothed here, and an order without a match makes "
    "the score 0.",
    ("if 0 in totals or 0 in counts or sys_len == 0:", "if sys_len == 0:"),
    ("math.log(c / t)", "math.log((c + 1) / (t + 1))"),
)
bleus.edit(
    "zero orders left out, but counted",
    "You leave out orders without a match and still divide by the number of all. One such order "
    "makes the score 0.",
    ("if 0 in totals or 0 in counts or sys_len == 0:", "if not any(counts) or sys_len == 0:"),
    ("for c, t in zip(counts, totals))", "for c, t in zip(counts, totals) if c)"),
)
bleus.edit(
    "harmonic mean",
    "You take the harmonic mean of the precisions. BLEU takes the geometric one, the root of their "
    "product.",
    (
        "sum(math.log(c / t) for c, t in zip(counts, totals)) / len(counts)",
        "math.log(len(counts) / sum(t / c for c, t in zip(counts, totals)))",
    ),
)
bleus.edit(
    "four orders at most",
    "You look at the first four orders only. All orders that are given count.",
    (
        "sum(math.log(c / t) for c, t in zip(counts, totals)) / len(counts)",
        "sum(math.log(c / t) for c, t in zip(counts[:4], totals[:4])) / len(counts[:4])",
    ),
    (
        "if 0 in totals or 0 in counts or sys_len == 0:",
        "if 0 in totals[:4] or 0 in counts[:4] or sys_len == 0:",
    ),
)
bleus.edit(
    "the penalty from the first total",
    "You take the number of unigrams for the system's length. It is given as sys_len.",
    (
        "1.0 if sys_len >= ref_len else math.exp(1 - ref_len / sys_len)",
        "1.0 if totals[0] >= ref_len else math.exp(1 - ref_len / totals[0])",
    ),
)

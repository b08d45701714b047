"""Lesson 6, metrics: ROUGE and BLEU, from counting n-grams to the scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lessons.exercises import bank_06 as bank
from lessons.grading.task import Case, Close, Draw, Task
from minigpt import bleu as bleu_library
from minigpt import rouge as rouge_library

WORDS = ("the", "The", "cat", "sat", "on", "a", "mat", "dog", "ran", "in", "house", "red")

IDS = "the tokens are ids, not words"
REPEATED = "a token is repeated"
SHORT = "a text is shorter than n"
EMPTY = "a text is empty"
NOTHING_SHARED = "the texts share nothing"
CUT = "words differ only by where they are cut"


def some_words(draw: Draw, n: int, n_words: int = len(WORDS)) -> list[str]:
    """Returns n words of a vocabulary of n_words: the fewer, the more repetitions."""
    return draw.sample(WORDS[:n_words], n)


def some_ids(draw: Draw, n: int, n_ids: int = 5) -> list[int]:
    """Returns n ids of a few, 0 among them."""
    ids = (0, 50256, 7, 13, 1, 290, 11, 464)
    return draw.sample(ids[:n_ids], n)


def some_tokens(draw: Draw, n: int, few: bool) -> list[Any]:
    """Returns words or ids, with many repetitions or with few."""
    return draw.choice([some_words, some_ids])(draw, n, 3 if few else 8)


def note_of(*texts: Sequence[Any]) -> str:
    """Returns what is special about texts."""
    if not all(texts):
        return EMPTY
    if isinstance(texts[0][0], int):
        return IDS
    return REPEATED if any(len(set(text)) < len(text) for text in texts) else ""


# 6.1 ngrams


def ngrams_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 6.1."""
    yield Case((["it", "is", "cold"], 2))
    yield Case((["it", "is", "cold"], 1), note="n is 1")
    yield Case((["it", "is"], 2), note="the text is one n-gram")
    yield Case((["cold"], 2), note=SHORT)
    yield Case(([], 1), note=EMPTY)
    yield Case(([], 3), note=EMPTY)
    yield Case((["so", "so", "so", "so"], 2), note=REPEATED)
    yield Case((["b", "a", "b", "a", "c", "b", "a"], 3), note=REPEATED)
    yield Case(([7, 0, 7, 13, 0, 7], 2), note=IDS)
    yield Case((some_words(draw, 9), 4), note=REPEATED)
    yield Case((some_ids(draw, 4), 5), note=SHORT)


def ngrams_sample(draw: Draw) -> Case:
    """Returns a random case of 6.1."""
    n_tokens, n = draw.integer(0, 3 * draw.size), draw.integer(1, draw.size + 1)
    tokens = some_tokens(draw, n_tokens, few=draw.integer(0, 1) == 1)
    return Case((tokens, n), note=SHORT if n_tokens < n else note_of(tokens))


NGRAMS = Task(
    id="6.1",
    name="ngrams",
    reference=rouge_library.ngrams,
    stub='''def ngrams(tokens: list, n: int) -> list[tuple]:
    """Returns the n-grams of a text: all runs of n neighbouring tokens, in the text's order.

    The one at i is (tokens[i], ..., tokens[i + n - 1]). A text of T tokens has T - n + 1 of them,
    and none if T < n. An n-gram that comes several times is in the list several times.

    Args:
        tokens: words, or ids.
        n: how many tokens an n-gram has, at least 1.
    """
''',
    idea="ROUGE and BLEU compare texts by the short runs of words that both have. An n-gram is "
    "such a run, n neighbouring tokens.",
    example=""">>> ngrams(["it", "is", "cold", "outside"], 2)
[('it', 'is'), ('is', 'cold'), ('cold', 'outside')]""",
    hints=(
        "At which position does the last n-gram begin?",
        "Slice n tokens out at every position from 0 to len(tokens) - n.",
        "[tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]",
    ),
    cases=ngrams_cases,
    sample=ngrams_sample,
    bank=bank.runs,
)

# 6.2 overlap


def overlap_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 6.2."""
    yield Case((["it", "is", "cold"], ["is", "it", "cold", "not"]))
    yield Case((["cold", "it", "is"], ["it", "is", "so", "cold"]))
    yield Case((["it", "is", "cold"], ["so", "warm"]), note=NOTHING_SHARED)
    yield Case(([], ["so"]), note=EMPTY)
    yield Case((["so"], []), note=EMPTY)
    yield Case(([], []), note=EMPTY)
    yield Case((["it", "is", "cold"], ["cold"] * 4), note=REPEATED)
    yield Case((["cold"] * 4 + ["it"], ["it", "is", "cold"]), note=REPEATED)
    yield Case((["so", "so", "so", "warm"], ["so", "warm", "so", "warm"]), note=REPEATED)
    yield Case((["The", "the", "cat"], ["the", "The", "The"]), note="words differ in case alone")
    yield Case(([7, 0, 7, 13], [0, 7, 7, 0, 7]), note=IDS)
    pairs = "the units are pairs of tokens"
    twice, turned = [("a", "b"), ("b", "c"), ("a", "b")], [("a", "b"), ("b", "a"), ("c", "b")]
    yield Case((twice, turned), note=pairs)
    yield Case(([("a", "bc"), ("d", "e")], [("d", "e"), ("ab", "c"), ("de", "")]), note=pairs)
    yield Case(([(7, 13), (1, 12)], [(11, 2), (13, 7), (7, 13)]), note=pairs)
    yield Case((some_words(draw, 11, 4), some_words(draw, 8, 4)), note=REPEATED)


def overlap_sample(draw: Draw) -> Case:
    """Returns a random case of 6.2."""
    few, make = draw.integer(0, 1) == 1, draw.choice([some_words, some_ids])
    n_different = 2 if few else 8
    target, prediction = (make(draw, draw.integer(0, 3 * draw.size), n_different) for _ in "ab")
    return Case((target, prediction), note=note_of(target, prediction))


OVERLAP = Task(
    id="6.2",
    name="overlap",
    reference=rouge_library.overlap,
    stub='''def overlap(target: list, prediction: list) -> int:
    """Counts the hits: the units that both texts have, in any order.

    A unit counts min(times in target, times in prediction) times. This is called clipping:
    "cold cold cold cold" hits "it is cold outside" once, not four times.

    Args:
        target: the units of the reference: tokens, or tuples of them.
        prediction: those of the text that is judged.
    """
''',
    idea="A unit, a word or an n-gram, is a hit where both texts have it. Clipping keeps a text "
    "from collecting hits by repeating one good word.",
    example=""">>> overlap(["so", "so", "cold"], ["so", "cold", "cold", "cold"])
2""",
    hints=(
        "The target has a word twice, the prediction five times: how many hits is that?",
        "Count the units of both sides, and take the smaller count of each.",
        "sum((Counter(target) & Counter(prediction)).values())",
    ),
    cases=overlap_cases,
    sample=overlap_sample,
    bank=bank.shared,
    drive="call_for_lists",
)

# 6.3 lcs_table


def lcs_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 6.3."""
    yield Case((["it", "is"], ["it", "is"]), note="the texts are equal")
    yield Case((["it", "is", "cold"], ["it", "is", "so", "cold"]))
    yield Case((["it", "is", "so", "cold"], ["cold", "it", "was"]))
    yield Case(([], []), note=EMPTY)
    yield Case((["so"], []), note=EMPTY)
    yield Case(([], ["so", "cold"]), note=EMPTY)
    yield Case((["it", "is"], ["so", "very", "cold"]), note=NOTHING_SHARED)
    yield Case((["so", "cold", "so"], ["so", "so", "so", "cold"]), note=REPEATED)
    yield Case((["a", "b", "a", "c", "b"], ["b", "a", "b", "b"]), note=REPEATED)
    yield Case(([7, 0, 7, 13, 0], [0, 13, 7, 7]), note=IDS)
    yield Case((some_words(draw, 7, 3), some_words(draw, 9, 3)), note=REPEATED)


def lcs_sample(draw: Draw) -> Case:
    """Returns a random case of 6.3."""
    make, n_different = draw.choice([some_words, some_ids]), draw.integer(2, 5)
    target, prediction = (make(draw, draw.integer(0, 2 * draw.size), n_different) for _ in "ab")
    return Case((target, prediction), note=note_of(target, prediction))


LCS_TABLE = Task(
    id="6.3",
    name="lcs_table",
    reference=rouge_library.lcs_table,
    stub='''def lcs_table(target: list, prediction: list) -> list[list[int]]:
    """Returns the lengths of the longest common subsequences (LCS) of all beginnings.

    table[i][j] is the largest number of tokens that the first i of target and the first j of
    prediction have in the same order, gaps allowed:

        table[i][0] = table[0][j] = 0
        table[i][j] = table[i-1][j-1] + 1                   if target[i-1] == prediction[j-1]
                    = max(table[i-1][j], table[i][j-1])     otherwise

    Args:
        target: m tokens, words or ids.
        prediction: n tokens.

    Returns:
        m + 1 lists of n + 1 numbers.
    """
''',
    idea="The longest common subsequence is the most words that two texts have in the same order, "
    "with gaps allowed. A table of the answers for all beginnings finds it without trying them "
    "all.",
    example=""">>> lcs_table(["it", "is", "cold"], ["it", "cold"])
[[0, 0, 0], [0, 1, 1], [0, 1, 1], [0, 1, 2]]""",
    hints=(
        "If both texts end in the same word, what is left to compare?",
        "Fill the table row by row: equal tokens continue the diagonal, others take the better of "
        "the entries above and to the left.",
        "table[i][j] = table[i-1][j-1] + 1 if target[i-1] == prediction[j-1] "
        "else max(table[i-1][j], table[i][j-1])",
    ),
    cases=lcs_cases,
    sample=lcs_sample,
    bank=bank.tables,
    drive="call_for_lists",
)

# 6.4 rouge_n


def rouge_n_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 6.4."""
    cold = ["it", "is", "cold", "outside"]
    yield Case((cold, ["it", "is", "very", "cold", "outside"], 1), note="n is 1")
    yield Case((cold, ["it", "is", "very", "cold", "outside"], 2))
    yield Case((cold, ["is", "it", "cold", "outside", "is", "it"], 2))
    yield Case((cold, ["we", "are", "warm"], 1), note=NOTHING_SHARED)
    yield Case((cold, ["outside", "cold", "is", "it"], 2), note=NOTHING_SHARED)
    yield Case(([], [], 1), note=EMPTY)
    yield Case(([], cold, 1), note=EMPTY)
    yield Case((cold, [], 2), note=EMPTY)
    yield Case((["cold"], ["cold"], 2), note=SHORT)
    yield Case((cold, ["cold"] * 4, 1), note=REPEATED)
    yield Case(
        (["so", "so", "so", "cold", "so", "so"], ["so", "so", "cold", "so"], 2), note=REPEATED
    )
    joined = (["a", "bc", "d"], ["ab", "c", "d", "a"], 2)
    yield Case(joined, note=CUT)
    yield Case(([7, 0, 7, 13, 0, 7], [13, 0, 7, 0, 7, 7, 0], 2), note=IDS)
    yield Case((some_words(draw, 13, 2), some_words(draw, 10, 2), 3), note=REPEATED)


def rouge_n_sample(draw: Draw) -> Case:
    """Returns a random case of 6.4."""
    make, n_different = draw.choice([some_words, some_ids]), draw.integer(2, 4)
    target, prediction = (make(draw, draw.integer(0, 3 * draw.size), n_different) for _ in "ab")
    n = draw.integer(1, min(draw.size + 1, 3))
    short = min(len(target), len(prediction)) < n
    return Case((target, prediction, n), note=SHORT if short else note_of(target, prediction))


ROUGE_N = Task(
    id="6.4",
    name="rouge_n",
    reference=rouge_library.rouge_n,
    stub='''def rouge_n(target: list, prediction: list, n: int) -> tuple[float, float, float]:
    """Returns ROUGE-N: precision, recall and F of the n-grams that both texts have.

        hits      = sum over n-grams g of min(times g is in target, times g is in prediction)
        precision = hits / n-grams in the prediction
        recall    = hits / n-grams in the target
        fmeasure  = 2 * precision * recall / (precision + recall)

    Args:
        target: the tokens of the reference, words or ids.
        prediction: those of the text that is judged.
        n: how many tokens an n-gram has, at least 1.

    Returns:
        (precision, recall, fmeasure), from 0 to 1; all 0 where there are no hits.
    """
''',
    idea="Precision says how much of what was written was wanted, recall how much of what was "
    "wanted was written. F, their harmonic mean, is high only if both are.",
    example=""">>> tuple(rouge_n(["it", "is", "cold"], ["it", "is", "so", "cold"], 2))
(0.3333333333333333, 0.5, 0.4)""",
    hints=(
        "How many n-grams does each text have, and what if there are no hits?",
        "Count hits by the smaller count of each n-gram, then divide by the n-grams of one side "
        "and of the other.",
        "precision, recall = hits / n_prediction, hits / n_target",
    ),
    cases=rouge_n_cases,
    sample=rouge_n_sample,
    bank=bank.rouges,
    drive="call_for_lists",
    compare=Close(),
)

# 6.5 rouge_lsum

TIES = "several longest common subsequences are equally long"
SHARED_HITS = "several target lines find the same token of the prediction"
UNION = "a target line finds tokens in several prediction lines"


def rouge_lsum_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 6.5."""

    def lines(*texts: str) -> list[list[str]]:
        return [text.split() for text in texts]

    yield Case((lines("it is cold"), lines("it is so cold outside")))
    yield Case((lines("it is cold", "we go home"), lines("we go home now", "it is cold")))
    yield Case((lines("cold it is"), lines("it is cold")))
    yield Case((lines("it is cold"), lines("we are warm")), note=NOTHING_SHARED)
    yield Case((lines("cold today"), lines("today cold", "cold")), note=TIES)
    yield Case((lines("cold today"), lines("today cold", "today")), note=TIES)
    yield Case((lines("so so"), lines("so cold", "so")), note=TIES)
    yield Case(
        (lines("we go home now"), lines("now we go home")), note="one token stands in the way"
    )
    yield Case((lines("a b c d"), lines("a x c", "d b", "c")), note=UNION)
    yield Case((lines("the cat sat", "the dog sat"), lines("the bird sat")), note=SHARED_HITS)
    yield Case((lines("so cold so warm"), lines("so warm so", "so so")), note=REPEATED)
    yield Case((lines("the cat the", "the"), lines("the", "the dog the")), note=REPEATED)
    yield Case(([], lines("it is")), note=EMPTY)
    yield Case((lines("it is"), []), note=EMPTY)
    yield Case(([], []), note=EMPTY)
    yield Case((lines("", "it is"), lines("is it", "")), note="a line is empty")
    yield Case(([[7, 0, 13], [0, 7]], [[0, 13], [7, 7, 0], [13]]), note=IDS)
    yield Case((lines("b a c b"), lines("a b c a", "c b a")), note=TIES)
    many = [[some_words(draw, draw.integer(3, 7), 4) for _ in range(n)] for n in (3, 4)]
    yield Case((many[0], many[1]), note=TIES)


def rouge_lsum_sample(draw: Draw) -> Case:
    """Returns a random case of 6.5: of few words, so that several subsequences are equally long."""
    make, n_different = draw.choice([some_words, some_ids]), draw.integer(2, 5)
    target, prediction = (
        [
            make(draw, draw.integer(0, draw.size + 2), n_different)
            for _ in range(draw.integer(0 if draw.integer(0, 5) == 0 else 1, draw.size))
        ]
        for _ in "ab"
    )
    return Case((target, prediction), note=TIES if target and prediction else EMPTY)


ROUGE_LSUM = Task(
    id="6.5",
    name="rouge_lsum",
    reference=rouge_library.rouge_lsum,
    stub='''def rouge_lsum(
    target_lines: list[list], prediction_lines: list[list]
) -> tuple[float, float, float]:
    """Returns ROUGE-Lsum, for summaries of several lines: the order of the lines does not matter.

    Each target line is compared with every prediction line. It collects those of its positions
    that lie on its longest common subsequence (LCS) with at least one of them. Then the collected
    tokens of all target lines are counted, and clipped by what the prediction has:

        hits      = sum over tokens t of min(times t is collected,
                                             times t is in all prediction lines together)
        precision = hits / tokens in all prediction lines
        recall    = hits / tokens in all target lines
        fmeasure  = 2 * precision * recall / (precision + recall)

    Where several LCS are equally long, this rule says which one counts. Start in the last corner
    of the table of 6.3, table[i][j] with i and j the lengths of the two lines, and go back until i
    or j is 0:

        If target[i-1] and prediction[j-1] are equal, position i - 1 is on the LCS: go to
        table[i-1][j-1]. Else go left, to table[i][j-1], but only if that entry is larger than the
        one above. Else, so also if both are the same, go up, to table[i-1][j].

    Take the target line "cold today" and the prediction line "today cold". The LCS has one token,
    and it could be either. "today" and "cold", the last tokens, differ; the entries to the left
    and above are both 1; so go up. There "cold" meets "cold": position 0 is collected. A second
    prediction line "today" collects position 1. So there are 2 hits, precision is 2/3, recall 1.
    Had you gone left on the tie, both lines would have collected "today": 1 hit.

    Args:
        target_lines: the reference's lines, each a list of tokens; lines may be empty.
        prediction_lines: those of the text that is judged.

    Returns:
        (precision, recall, fmeasure), from 0 to 1; all 0 where there are no hits.
    """
''',
    idea="A summary may say the right things in another order. So each line of the reference "
    "takes, from all lines of the prediction together, what it finds there in order.",
    example=""">>> tuple(rouge_lsum([["cold", "today"]], [["today", "cold"], ["today"]]))
(0.6666666666666666, 1.0, 0.8)""",
    hints=(
        "What does one target line find in each prediction line, and what in all of them together?",
        "Go back through the LCS table for every pair of lines, unite the target positions of a "
        "line, and clip the tokens at these positions by the counts of the whole prediction.",
        "positions = set().union(*(lcs_positions(wanted, written) for written in "
        "prediction_lines))",
    ),
    cases=rouge_lsum_cases,
    sample=rouge_lsum_sample,
    bank=bank.sums,
    drive="call_for_lists",
    compare=Close(),
    points=2,
)

# 6.6 count_matches

SEVERAL = "there are several references"


def count_matches_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 6.6."""
    yield Case((["it", "is", "cold"], [["it", "is", "so", "cold"]], 2))
    yield Case((["it", "is", "cold"], [["it", "was", "warm"]], 1), note="the order is 1")
    two = [
        ["the", "cat", "is", "on", "the", "mat"],
        ["there", "is", "a", "cat", "on", "the", "mat"],
    ]
    yield Case((["the"] * 7, two, 2), note=REPEATED)
    yield Case((["a", "cat", "is", "on", "the", "mat"], two, 4), note=SEVERAL)
    yield Case((["there", "is", "the", "the", "cat"], two, 2), note=SEVERAL)
    yield Case(
        (["a", "a", "b", "a", "a"], [["a", "b"], ["a", "a", "c"], ["b", "a"]], 3), note=SEVERAL
    )
    yield Case((["a", "b", "b"], [["b", "c"], ["b", "a"]], 2), note=SEVERAL)
    joined = (["a", "bc", "d"], [["ab", "c", "d"], ["a", "b", "cd"]], 3)
    yield Case(joined, note=CUT)
    yield Case((["it", "is"], [["it", "is", "cold"]], 4), note=SHORT)
    yield Case((["it", "is", "so", "cold"], [["cold"], []], 3), note=SHORT)
    yield Case(([], [["it", "is"]], 4), note=EMPTY)
    yield Case(([7, 0, 7, 13, 0, 7], [[7, 0, 7], [13, 0, 13, 0, 7]], 3), note=IDS)
    refs = [some_words(draw, n, 3) for n in (9, 6, 11)]
    yield Case((some_words(draw, 12, 3), refs, 6), note=SEVERAL)


def count_matches_sample(draw: Draw) -> Case:
    """Returns a random case of 6.6."""
    make, n_different = draw.choice([some_words, some_ids]), draw.integer(2, 4)
    hypothesis = make(draw, draw.integer(0, 3 * draw.size), n_different)
    references = [
        make(draw, draw.integer(0, 3 * draw.size), n_different)
        for _ in range(draw.integer(1, draw.size))
    ]
    order = draw.integer(1, draw.size + 1)
    note = SHORT if len(hypothesis) < order else SEVERAL if len(references) > 1 else ""
    return Case((hypothesis, references, order), note=note)


COUNT_MATCHES = Task(
    id="6.6",
    name="count_matches",
    reference=bleu_library.count_matches,
    stub='''def count_matches(hypothesis: list, references: list[list], order: int) -> list[int]:
    """Returns how many n-grams of the hypothesis are found in a reference, for n = 1 to order.

    An n-gram g counts as often as the one reference that has it most often allows:

        matches of order n = sum over g of min(times g is in the hypothesis,
                                               max over references of times g is in the reference)

    Args:
        hypothesis: the tokens of the translation that is judged, words or ids.
        references: the tokens of each reference translation, at least one of them.
        order: the largest n.

    Returns:
        `order` numbers; 0 for those n for which the hypothesis is too short.
    """
''',
    idea="BLEU counts the n-grams of a translation that a reference has too, for n = 1 to 4. With "
    "several references, each n-gram is clipped by the one that has most of it.",
    example=""">>> count_matches(["the", "the", "the"], [["the", "cat"], ["on", "the", "the"]], 2)
[2, 1]""",
    hints=(
        "One reference has an n-gram twice, another once: how often may it match?",
        "For each n, keep the largest count of every n-gram over the references, and clip the "
        "hypothesis's counts by it.",
        "best |= Counter(ngrams(reference, n))  # | takes the larger count",
    ),
    cases=count_matches_cases,
    sample=count_matches_sample,
    bank=bank.matches,
    drive="call_for_lists",
)

# 6.7 closest_length

TIE = "two lengths are equally near"


def closest_length_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 6.7."""
    yield Case((5, [9]), note="there is one reference")
    yield Case((5, [2, 9, 6]))
    yield Case((5, [9, 4, 1]))
    yield Case((10, [7, 12, 14]))
    yield Case((20, [23, 16, 12]))
    yield Case((7, [3, 7, 12]), note="one length is equal")
    yield Case((5, [4, 6]), note=TIE)
    yield Case((5, [6, 4]), note=TIE)
    yield Case((10, [15, 13, 20, 7, 2]), note=TIE)
    yield Case((0, [3, 2, 8]), note="the hypothesis is empty")
    yield Case((4, [30_000, 20_000]), note="all references are much longer")
    yield Case((40, [3, 9, 9, 1]), note="all references are much shorter")
    yield Case((4, [2, 7]), note="a nearer length has the larger ratio")
    length = draw.integer(20, 40)
    yield Case((length, draw.shuffled([length - 3, length + 3, length + 9, length - 11])), note=TIE)


def closest_length_sample(draw: Draw) -> Case:
    """Returns a random case of 6.7."""
    length = draw.integer(0, 4 * draw.size)
    lengths = draw.integers(0, 6 * draw.size, draw.integer(1, draw.size + 1)).tolist()
    if draw.integer(0, 1):
        away = draw.integer(0, length)
        lengths = draw.shuffled([length - away, length + away, length + away + 1])
        return Case((length, lengths), note=TIE)
    return Case((length, lengths))


CLOSEST_LENGTH = Task(
    id="6.7",
    name="closest_length",
    reference=bleu_library.closest_length,
    stub='''def closest_length(hypothesis_len: int, reference_lens: list[int]) -> int:
    """Returns the reference length nearest to the hypothesis's; of two as near, the shorter.

        the length r with the smallest |r - hypothesis_len|

    Args:
        hypothesis_len: tokens in the hypothesis.
        reference_lens: tokens in each reference, at least one number, in any order.
    """
''',
    idea="BLEU compares how much was written with how much the references have. Where there are "
    "several, the one that is nearest in length counts.",
    example=""">>> closest_length(5, [9, 6, 4])
4""",
    hints=(
        "How far is each length from the hypothesis's, and what if two are as far?",
        "Choose by two things in a row: the distance first, then the length.",
        "min(reference_lens, key=lambda length: (abs(length - hypothesis_len), length))",
    ),
    cases=closest_length_cases,
    sample=closest_length_sample,
    bank=bank.lengths,
    drive="call_for_lists",
)

# 6.8 brevity_penalty

LONGER = "the system wrote more than the references"
SILENT = "the system wrote nothing"


def brevity_penalty_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 6.8."""
    yield Case((4, 5))
    yield Case((7, 7), note="both are equally long")
    yield Case((9, 7), note=LONGER)
    yield Case((30, 7), note=LONGER)
    yield Case((0, 6), note=SILENT)
    yield Case((0, 0), note="both wrote nothing")
    yield Case((5, 0), note=LONGER)
    yield Case((3, 11))
    yield Case((1, 9))
    yield Case((99, 100))
    yield Case((draw.integer(40_000, 50_000), draw.integer(50_001, 60_000)))


def brevity_penalty_sample(draw: Draw) -> Case:
    """Returns a random case of 6.8."""
    sys_len, ref_len = draw.integers(0, 5 * draw.size, 2).tolist()
    note = LONGER if sys_len > ref_len else "" if sys_len else SILENT
    return Case((sys_len, ref_len), note=note)


BREVITY_PENALTY = Task(
    id="6.8",
    name="brevity_penalty",
    reference=bleu_library.brevity_penalty,
    stub='''def brevity_penalty(sys_len: int, ref_len: int) -> float:
    """Returns what a score is multiplied by because the system wrote too little.

        1                           if sys_len >= ref_len
        exp(1 - ref_len / sys_len)  if 0 < sys_len < ref_len
        0                           if sys_len = 0 < ref_len

    Args:
        sys_len: tokens that the system wrote.
        ref_len: tokens that the references have.
    """
''',
    idea="Saying little is an easy way to say nothing wrong, and precision cannot see what is "
    "missing. So BLEU multiplies by a penalty for texts that are too short.",
    example=""">>> brevity_penalty(8, 10)
0.7788007830714049""",
    hints=(
        "What is the penalty of a text that is long enough, and what of one that is empty?",
        "Treat these two first; for the rest the formula is safe.",
        "math.exp(1 - ref_len / sys_len)",
    ),
    cases=brevity_penalty_cases,
    sample=brevity_penalty_sample,
    bank=bank.penalties,
    drive="call_for_lists",
    compare=Close(rtol=1e-6),
)

# 6.9 bleu

NO_MATCH = "an order has no match"
NO_NGRAMS = "an order has no n-grams"
NOT_FOUR = "there are not four orders"


def bleu_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 6.9."""
    yield Case(([6, 4, 3, 2], [7, 6, 5, 4], 7, 8))
    yield Case(([6, 4, 2, 1], [9, 8, 7, 6], 9, 8), note=LONGER)
    yield Case(([5, 4, 3, 2], [5, 4, 3, 2], 5, 5), note="all n-grams match")
    yield Case(([3], [5], 5, 5), note=NOT_FOUR)
    yield Case(([5, 2], [8, 7], 8, 11), note=NOT_FOUR)
    yield Case(([9, 7, 5, 3, 2, 1], [12, 11, 10, 9, 8, 7], 12, 13), note=NOT_FOUR)
    yield Case(([6, 3, 1, 0], [7, 6, 5, 4], 7, 7), note=NO_MATCH)
    yield Case(([0, 0, 0, 0], [7, 6, 5, 4], 7, 7), note=NO_MATCH)
    yield Case(([3, 2, 1, 0], [3, 2, 1, 0], 3, 3), note=NO_NGRAMS)
    yield Case(([0, 0, 0, 0], [0, 0, 0, 0], 0, 4), note=SILENT)
    yield Case(([1, 1, 1, 1], [50, 49, 48, 47], 50, 120))
    yield Case(([6, 4, 3, 2], [7, 6, 5, 4], 9, 13))
    totals = [61_234, 60_231, 59_228, 58_225]
    counts = [draw.integer(total // (3 * n), total // n) for n, total in enumerate(totals, 2)]
    yield Case((counts, totals, totals[0], 63_127), note="a corpus is summed up")


def bleu_sample(draw: Draw) -> Case:
    """Returns a random case of 6.9."""
    order = draw.choice([4, 4, draw.size])
    sys_len = draw.integer(0 if draw.integer(0, 4) == 0 else order, order + 5 * draw.size)
    totals = [max(0, sys_len - n) for n in range(order)]
    counts, most = [], sys_len
    for total in totals:  # never more matches of an order than of a shorter one
        most = draw.integer(min(total, most, draw.integer(0, 1)), min(total, most))
        counts.append(most)
    ref_len = max(1, sys_len + draw.integer(-5, 5))
    note = NO_NGRAMS if 0 in totals else NO_MATCH if 0 in counts else "" if order == 4 else NOT_FOUR
    return Case((counts, totals, sys_len, ref_len), note=note)


BLEU = Task(
    id="6.9",
    name="bleu",
    reference=bleu_library.bleu,
    stub='''def bleu(counts: list[int], totals: list[int], sys_len: int, ref_len: int) -> float:
    """Returns BLEU in percent, from 0 to 100, without smoothing.

        p_n  = counts[n-1] / totals[n-1]                       for n = 1 to N = len(counts)
        BLEU = 100 * BP * (p_1 * p_2 * ... * p_N)^(1/N)

    with the brevity penalty BP of 6.8. The root is best computed from logarithms, as
    exp(mean of log p_n), but an order with nothing in it has no logarithm: then BLEU is 0.

    Args:
        counts: matches of each order, summed over the corpus.
        totals: n-grams of the hypotheses of each order, summed over the corpus.
        sys_len: tokens that the system wrote.
        ref_len: tokens that the references have.
    """
''',
    idea="The geometric mean of the precisions is low as soon as one of them is: a good "
    "translation has the words and their order. The brevity penalty stands in for the recall that "
    "is missing.",
    example=""">>> round(bleu([6, 4, 3, 2], [7, 6, 5, 4], 7, 8), 2)
55.78""",
    hints=(
        "What is the geometric mean if one precision is 0?",
        "Return 0 if an order has no match or no n-grams; else take exp of the mean of the "
        "logarithms, times the penalty, times 100.",
        "100 * penalty * math.exp(sum(math.log(c / t) for c, t in zip(counts, totals)) / "
        "len(counts))",
    ),
    cases=bleu_cases,
    sample=bleu_sample,
    bank=bank.bleus,
    drive="call_for_lists",
    compare=Close(rtol=3e-6),
)

TASKS = [
    NGRAMS,
    OVERLAP,
    LCS_TABLE,
    ROUGE_N,
    ROUGE_LSUM,
    COUNT_MATCHES,
    CLOSEST_LENGTH,
    BREVITY_PENALTY,
    BLEU,
]

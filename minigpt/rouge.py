"""ROUGE: how much of a reference text comes back in a text that a model wrote.

ROUGE-N compares n-grams, stretches of n neighbouring words. ROUGE-L compares the longest common
subsequence (`lcs.py`): words that both have in the same order, with gaps. Either way some units of
the target (the reference) are also in the prediction (the model's text): the hits.

    precision = hits / units in the prediction    how much of what was written was wanted
    recall    = hits / units in the target        how much of what was wanted was written
    fmeasure  = 2 * precision * recall / (precision + recall)

First the definitions; then the same numbers faster; then `RougeScorer`, a drop-in for rouge_score
0.1.2 (`from minigpt import rouge as rouge_scorer`), the same floats to the last bit; then averages.

Before you trust a score: ROUGE sees words, not meaning ("it is not cold" does as well as "it is
very cold"); rougeLsum is rougeL unless the texts have line breaks; text without Latin letters or
digits scores 0 unless you pass a `rouge_tokenizer.UnicodeTokenizer`.

Source: Lin 2004, "ROUGE: a Package for Automatic Evaluation of Summaries".
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np

from minigpt.lcs import Tokens, fast_lcs_length, fast_lcs_positions, lcs_positions, lcs_table
from minigpt.rouge_tokenizer import Tokenizer, fast_tokenize, porter_stemmer, tokenize_and_stem

ROUGE_N = {f"rouge{n}": n for n in range(1, 10)}
ROUGE_TYPES = (*ROUGE_N, "rougeL", "rougeLsum")


class Score(NamedTuple):
    """Three numbers from 0 to 1."""

    precision: float
    recall: float
    fmeasure: float


def score_from_hits(hits: int, n_target: int, n_prediction: int) -> Score:
    """The Score of `hits` hits among n_target and n_prediction units; 0 where there are none."""
    if hits == 0:
        return Score(0.0, 0.0, 0.0)
    precision = hits / n_prediction
    recall = hits / n_target
    return Score(precision, recall, 2 * precision * recall / (precision + recall))


def tokenize(text: str) -> list[str]:
    """The words of a text as ROUGE sees them: runs of a-z and 0-9, after lower-casing.

    "It's 3 o'clock." -> ["it", "s", "3", "o", "clock"]
    """
    return re.findall("[a-z0-9]+", text.lower())


def ngrams(tokens: Tokens, n: int) -> list[tuple[Hashable, ...]]:
    """All stretches of n neighbouring tokens: max(0, len(tokens) - n + 1) of them."""
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def overlap(target: Sequence[Hashable], prediction: Sequence[Hashable]) -> int:
    """Units in common, each counted at most as often as the side that has fewer of it:

        overlap = sum over distinct units u of min(count of u in target, count of u in prediction)

    This is the clipping: "cold cold cold cold" hits "it is cold outside" once, not four times.
    """
    in_target, in_prediction = Counter(target), Counter(prediction)
    return sum(min(count, in_prediction[unit]) for unit, count in in_target.items())


def rouge_n(target: Tokens, prediction: Tokens, n: int) -> Score:
    """ROUGE-N of two lists of tokens: the units are n-grams, the hits are their overlap."""
    in_target, in_prediction = ngrams(target, n), ngrams(prediction, n)
    return score_from_hits(overlap(in_target, in_prediction), len(in_target), len(in_prediction))


def rouge_l(target: Tokens, prediction: Tokens) -> Score:
    """ROUGE-L of two lists of tokens: the hits are the length of their LCS."""
    hits = lcs_table(target, prediction)[-1][-1]
    return score_from_hits(hits, len(target), len(prediction))


def union_lcs(target_line: Tokens, prediction_lines: Sequence[Tokens]) -> list[int]:
    """The positions of one target line that are on its LCS with any prediction line, ascending."""
    return sorted({i for line in prediction_lines for i in lcs_positions(target_line, line)})


def rouge_lsum(target_lines: Sequence[Tokens], prediction_lines: Sequence[Tokens]) -> Score:
    """ROUGE-L of summaries, in which the order of the lines does not matter.

    Every target line puts in the tokens of its `union_lcs`. A prediction token may have served two
    of them, so the hits are clipped: no token more often than the prediction has it. (It cannot be
    more often than in the target, of which every position is put in at most once.)
    """
    united = [line[i] for line in target_lines for i in union_lcs(line, prediction_lines)]
    n_target = sum(map(len, target_lines))
    prediction = [token for line in prediction_lines for token in line]
    return score_from_hits(overlap(united, prediction), n_target, len(prediction))


def fast_overlap(target: Sequence[Hashable], prediction: Sequence[Hashable]) -> int:
    """`overlap`: where one side repeats nothing, every minimum is 1 and sets are enough."""
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


def fast_rouge_n(target: Tokens, prediction: Tokens, n: int) -> Score:
    """`rouge_n`, with plain tokens instead of tuples of one."""
    if n == 2:
        target, prediction = list(pairwise(target)), list(pairwise(prediction))
    elif n > 2:
        target, prediction = ngrams(target, n), ngrams(prediction, n)
    return score_from_hits(fast_overlap(target, prediction), len(target), len(prediction))


def fast_rouge_l(target: Tokens, prediction: Tokens) -> Score:
    """`rouge_l` without the table."""
    return score_from_hits(fast_lcs_length(target, prediction), len(target), len(prediction))


def fast_rouge_lsum(target_lines: Sequence[Tokens], prediction_lines: Sequence[Tokens]) -> Score:
    """`rouge_lsum`; of single lines it is ROUGE-L, since an LCS needs no clipping."""
    if len(target_lines) == len(prediction_lines) == 1:
        return fast_rouge_l(target_lines[0], prediction_lines[0])
    united: list[Hashable] = []
    for line in target_lines:
        found = [fast_lcs_positions(line, other) for other in prediction_lines]
        united += [line[i] for i in set().union(*found)]
    n_target = sum(map(len, target_lines))
    prediction = [token for line in prediction_lines for token in line]
    return score_from_hits(fast_overlap(united, prediction), n_target, len(prediction))


Value = TypeVar("Value")


class Scores(dict[str, Value]):
    """{type: value}, a plain dict that also carries the settings it was computed with."""

    def __init__(self, signature: str, /, **values: Value) -> None:
        self.signature = signature
        if values:
            self.update(values)


class Interval(NamedTuple):
    """The mean over a corpus, `mid`, and what it could have been with other texts of the kind."""

    low: Score
    mid: Score
    high: Score


class RougeScorer:
    """Scores texts as rouge_score's RougeScorer does, to the last bit.

    Args:
        rouge_types: any of "rouge1" to "rouge9", "rougeL", "rougeLsum".
        use_stemmer: compare the Porter stems of words, which are for English; needs nltk.
        split_summaries: only False. For rougeLsum, put each sentence on a line of its own.
        tokenizer: an object with a method tokenize(text); use_stemmer has no effect with it.

    Attributes:
        signature: the settings in one line, to be printed beside every score.

    Raises:
        ValueError: an unknown type, or split_summaries. ImportError: use_stemmer without nltk.
    """

    def __init__(
        self,
        rouge_types: Iterable[str],
        use_stemmer: bool = False,
        split_summaries: bool = False,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self.rouge_types = [rouge_types] if isinstance(rouge_types, str) else list(rouge_types)
        for name in self.rouge_types:
            if name not in ROUGE_TYPES:
                raise ValueError(f"a ROUGE type is {', '.join(ROUGE_TYPES)}; got {name!r}")
        if split_summaries:
            advice = "put each sentence on a line of its own instead"
            raise ValueError(f"split_summaries=True needs data that nltk downloads: {advice}")
        self._tokenize: Callable[[str], Tokens] = fast_tokenize
        stemming, tok = "no", "ascii"
        if tokenizer is not None:
            self._tokenize, tok = tokenizer.tokenize, type(tokenizer).__name__
        elif use_stemmer:
            porter_stemmer()  # a missing nltk is to be noticed here, not at the first score
            self._tokenize, stemming = tokenize_and_stem, "porter"
        settings = f"types:{','.join(self.rouge_types)}|stem:{stemming}|tok:{tok}"
        self.signature = f"rouge|{settings}|version:{version('minigpt')}"

    def score(self, target: str, prediction: str) -> Scores[Score]:
        """{type: Score} of one prediction against one target."""
        if self.rouge_types != ["rougeLsum"]:
            wanted, written = self._tokenize(target), self._tokenize(prediction)
        scores: Scores[Score] = Scores(self.signature)
        for name in self.rouge_types:
            n = ROUGE_N.get(name)
            if n is not None:
                scores[name] = fast_rouge_n(wanted, written, n)
            elif name == "rougeL":
                scores[name] = fast_rouge_l(wanted, written)
            else:
                scores[name] = fast_rouge_lsum(self._lines(target), self._lines(prediction))
        return scores

    def _lines(self, text: str) -> list[Tokens]:
        return [self._tokenize(line) for line in text.split("\n") if line]

    def score_multi(self, targets: Iterable[str], prediction: str) -> Scores[Score]:
        """{type: Score} against several targets: for each type the Score with the highest F.

        Raises:
            ValueError: no targets. TypeError: one text instead of a list of them.
        """
        if isinstance(targets, str):
            raise TypeError("targets must be a list of texts, got one text: use score")
        candidates = [self.score(target, prediction) for target in targets]
        if not candidates:
            raise ValueError("score_multi needs at least one target, got none")
        best: Scores[Score] = Scores(self.signature)
        for name in self.rouge_types:
            of_type = [scores[name] for scores in candidates]
            best[name] = max(of_type, key=lambda score: score.fmeasure)  # of equals the first
        return best


def as_array(scores: Sequence[Mapping[str, Score]]) -> tuple[np.ndarray, str]:
    """The scores of a corpus as float64 [texts, types, 3], and their signature.

    Raises:
        ValueError: no scores, or scores that were made with different settings.
    """
    if not scores:
        raise ValueError("there are no scores to average: the list is empty")
    settings = {(getattr(each, "signature", ""), *sorted(each)) for each in scores}
    if len(settings) > 1:
        raise ValueError(f"scores made with different settings have no mean: {sorted(settings)}")
    array = np.array([[each[name] for name in scores[0]] for each in scores])
    return array, getattr(scores[0], "signature", "")


def mean_scores(scores: Iterable[Mapping[str, Score]]) -> Scores[Score]:
    """{type: Score}: plain means over a corpus, of fmeasure too: it is not 2PR/(P+R) of them."""
    scores = list(scores)
    array, signature = as_array(scores)
    means = array.mean(axis=0).tolist()  # [types][3]
    named = zip(scores[0], means, strict=True)
    return Scores(signature, **{name: Score(*mean) for name, mean in named})


def bootstrap_interval(
    scores: Iterable[Mapping[str, Score]],
    *,
    seed: int,
    confidence: float = 0.95,
    n_samples: int = 1000,
) -> Scores[Interval]:
    """{type: Interval}: how far the mean is a matter of which texts happen to be in the corpus.

    As many texts as there are, drawn from them with replacement, make another corpus that might
    have been. Of the means of n_samples such corpora, the interval leaves out (1 - confidence) / 2
    at either end. The same seed gives the same interval.

    Raises:
        ValueError: as `as_array`; or confidence is not between 0 and 1, or n_samples below 1.
    """
    if not 0 < confidence < 1 or n_samples < 1:
        given = f"{confidence} and {n_samples}"
        raise ValueError(f"confidence must be between 0 and 1, n_samples at least 1; got {given}")
    scores = list(scores)
    array, signature = as_array(scores)
    n = len(array)
    random = np.random.default_rng(seed)
    means = [array[random.integers(n, size=n)].mean(axis=0) for _ in range(n_samples)]
    ends = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    rows = np.stack([ends[0], array.mean(axis=0), ends[1]], axis=1).tolist()  # [types][3][3]
    named = zip(scores[0], rows, strict=True)
    return Scores(signature, **{name: Interval(*(Score(*x) for x in row)) for name, row in named})

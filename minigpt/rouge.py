"""ROUGE: how much of a reference text comes back in a text that a model wrote.

ROUGE-N compares n-grams, stretches of n neighbouring words; ROUGE-L the longest common subsequence
(LCS), words that both have in the same order, with gaps. Either way some units of the target (the
reference) are also in the prediction (the model's text): the hits.

    precision = hits / units in the prediction    how much of what was written was wanted
    recall    = hits / units in the target        how much of what was wanted was written
    fmeasure  = 2 * precision * recall / (precision + recall)

The file builds up: a score, words, ROUGE-N, ROUGE-L, ROUGE-Lsum; then `RougeScorer`, a drop-in for
rouge_score 0.1.2 (`from minigpt import rouge as rouge_scorer`) that returns the same floats to the
last bit; then means over a corpus. The scorer counts the hits with fast/matches.py, which is tested
to find what the definitions here find.

Before you trust a score: ROUGE sees words, not meaning; rougeLsum is rougeL unless the texts have
line breaks; text without Latin letters or digits scores 0 unless you pass a tokenizer for it.

Source: Lin 2004, "ROUGE: a Package for Automatic Evaluation of Summaries".
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import minigpt
from minigpt.fast.matches import fast_lcs_length, fast_ngram_hits, fast_union_hits
from minigpt.metric_tokens import Tokens, fast_tokenize, porter_stemmer, tokenize_and_stem


class Score(NamedTuple):
    """Three numbers from 0 to 1."""

    precision: float
    recall: float
    fmeasure: float


def score_from_hits(hits: int, n_target: int, n_prediction: int) -> Score:
    """Returns the Score of `hits` hits among n_target and n_prediction units; no hits score 0."""
    if hits == 0:
        return Score(0.0, 0.0, 0.0)
    precision, recall = hits / n_prediction, hits / n_target
    return Score(precision, recall, 2 * precision * recall / (precision + recall))


def tokenize(text: str) -> list[str]:
    """Returns ROUGE's words: lower-cased runs of a-z and 0-9. "It's 3." -> ["it", "s", "3"]."""
    return re.findall("[a-z0-9]+", text.lower())


def ngrams(tokens: Tokens, n: int) -> list[tuple[Hashable, ...]]:
    """Returns all max(0, len(tokens) - n + 1) stretches of n neighbouring tokens."""
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def overlap(target: Tokens, prediction: Tokens) -> int:
    """Counts units in common, each at most as often as it stands in the side that has fewer.

    This is the clipping: "cold cold cold cold" hits "it is cold outside" once, not four times.
    """
    in_target, in_prediction = Counter(target), Counter(prediction)
    return sum(min(count, in_prediction[unit]) for unit, count in in_target.items())


def rouge_n(target: Tokens, prediction: Tokens, n: int) -> Score:
    """Returns ROUGE-N of two lists of tokens: units are n-grams, hits their overlap."""
    in_target, in_prediction = ngrams(target, n), ngrams(prediction, n)
    return score_from_hits(overlap(in_target, in_prediction), len(in_target), len(in_prediction))


def lcs_table(target: Tokens, prediction: Tokens) -> list[list[int]]:
    """table[i][j] is the length of the LCS of the first i target and first j prediction tokens.

    table[i][0] = table[0][j] = 0
    table[i][j] = table[i-1][j-1] + 1                   if target[i-1] == prediction[j-1]
                = max(table[i-1][j], table[i][j-1])     otherwise
    """
    table = [[0] * (len(prediction) + 1) for _ in range(len(target) + 1)]
    for i, wanted in enumerate(target, start=1):
        for j, written in enumerate(prediction, start=1):
            if wanted == written:
                table[i][j] = table[i - 1][j - 1] + 1
            else:
                table[i][j] = max(table[i - 1][j], table[i][j - 1])
    return table


def rouge_l(target: Tokens, prediction: Tokens) -> Score:
    """Returns ROUGE-L of two lists of tokens: the hits are the length of their LCS."""
    return score_from_hits(lcs_table(target, prediction)[-1][-1], len(target), len(prediction))


def lcs_positions(target: Tokens, prediction: Tokens) -> list[int]:
    """Returns the target positions of one LCS, ascending, by going back through `lcs_table`.

    Start in the last corner. On equal tokens the position is on the LCS: go diagonally. Else go
    left (one prediction token back) if table[i][j-1] > table[i-1][j], else up. Often several LCS
    are equally long; going up on ties is what makes this one the one that rouge_score finds.
    """
    table = lcs_table(target, prediction)
    i, j = len(target), len(prediction)
    positions = []
    while i > 0 and j > 0:
        if target[i - 1] == prediction[j - 1]:
            positions.append(i - 1)
            i, j = i - 1, j - 1
        elif table[i][j - 1] > table[i - 1][j]:
            j -= 1
        else:
            i -= 1
    return positions[::-1]


def rouge_lsum(target_lines: Sequence[Tokens], prediction_lines: Sequence[Tokens]) -> Score:
    """Returns ROUGE-L of summaries, in which the order of the lines does not matter.

    Every target line puts in its tokens that are on its LCS with any prediction line. A prediction
    token may have served two target lines, so the hits are clipped.
    """
    hits: list[Hashable] = []
    for line in target_lines:
        found = [lcs_positions(line, other) for other in prediction_lines]
        hits += [line[i] for i in set().union(*found)]
    prediction = [token for line in prediction_lines for token in line]
    n_target = sum(map(len, target_lines))
    return score_from_hits(overlap(hits, prediction), n_target, len(prediction))


ROUGE_N = {f"rouge{n}": n for n in range(1, 10)}
ROUGE_TYPES = (*ROUGE_N, "rougeL", "rougeLsum")


class RougeScorer:
    """Scores texts as rouge_score's RougeScorer does, to the last bit.

    Args:
        rouge_types: any of "rouge1" to "rouge9", "rougeL", "rougeLsum"; ValueError for others.
        use_stemmer: compare Porter's stems, which are for English; ImportError without nltk.
        split_summaries: only False. For rougeLsum, put each sentence on a line of its own.
        tokenizer: an object with a method tokenize(text); use_stemmer has no effect with it.

    `signature` names these settings and the version: print it beside every score.
    """

    def __init__(
        self,
        rouge_types: Iterable[str],
        use_stemmer: bool = False,
        split_summaries: bool = False,
        tokenizer: Any = None,
    ) -> None:
        self.rouge_types = [rouge_types] if isinstance(rouge_types, str) else list(rouge_types)
        for name in self.rouge_types:
            if name not in ROUGE_TYPES:
                raise ValueError(f"a ROUGE type is {', '.join(ROUGE_TYPES)}; got {name!r}")
        if split_summaries:
            raise ValueError("split_summaries: put each sentence on a line of its own instead")
        self._tokenize: Callable[[str], Tokens] = fast_tokenize
        stemming, tok = "no", "ascii"
        if tokenizer is not None:
            self._tokenize, tok = tokenizer.tokenize, type(tokenizer).__name__
        elif use_stemmer:
            porter_stemmer()  # a missing nltk is to be noticed here, not at the first score
            self._tokenize, stemming = tokenize_and_stem, "porter"
        settings = f"types:{','.join(self.rouge_types)}|stem:{stemming}|tok:{tok}"
        self.signature = f"rouge|{settings}|version:{minigpt.__version__}"

    def score(self, target: str, prediction: str) -> dict[str, Score]:
        """Returns {type: Score} of a prediction against a target; TypeError if one is no str."""
        if self.rouge_types != ["rougeLsum"]:
            wanted, written = self._tokenize(target), self._tokenize(prediction)
        scores = {}
        for name in self.rouge_types:
            n = ROUGE_N.get(name)
            if n is not None:
                hits = fast_ngram_hits(wanted, written, n)
                scores[name] = score_from_hits(hits, len(wanted) - n + 1, len(written) - n + 1)
            elif name == "rougeL":
                hits = fast_lcs_length(wanted, written)
                scores[name] = score_from_hits(hits, len(wanted), len(written))
            else:
                lines, others = self._lines(target), self._lines(prediction)
                hits = fast_union_hits(lines, others)
                scores[name] = score_from_hits(hits, sum(map(len, lines)), sum(map(len, others)))
        return scores

    def _lines(self, text: str) -> list[Tokens]:
        return [self._tokenize(line) for line in text.split("\n") if line]

    def score_multi(self, targets: Iterable[str], prediction: str) -> dict[str, Score]:
        """Returns {type: the Score with the highest F of several targets}; ValueError for none."""
        if isinstance(targets, str):
            raise TypeError("targets must be a list of texts, got one text: use score")
        candidates = [self.score(target, prediction) for target in targets]
        if not candidates:
            raise ValueError("score_multi needs at least one target, got none")
        return {  # of equals the first
            name: max((scores[name] for scores in candidates), key=lambda score: score.fmeasure)
            for name in self.rouge_types
        }


class Interval(NamedTuple):
    """The mean over a corpus, `mid`, and what it could have been with other texts of the kind."""

    low: Score
    mid: Score
    high: Score


def mean_scores(scores: Iterable[Mapping[str, Score]]) -> dict[str, Score]:
    """Returns {type: Score}, means over the texts, of F too: it is not 2PR/(P+R) of the means."""
    scores = list(scores)
    means = _as_array(scores).mean(axis=0).tolist()  # [types][3]
    return {name: Score(*mean) for name, mean in zip(scores[0], means, strict=True)}


def bootstrap_interval(
    scores: Iterable[Mapping[str, Score]],
    *,
    seed: int,
    confidence: float = 0.95,
    n_samples: int = 1000,
) -> dict[str, Interval]:
    """Returns {type: Interval}: how far the mean depends on which texts the corpus happens to hold.

    As many texts as there are, drawn from them with replacement, make another corpus that might
    have been. Of the means of n_samples such corpora, the interval leaves out (1 - confidence) / 2
    at either end. The same seed gives the same interval. Raises ValueError where there is none.
    """
    if not 0 < confidence < 1 or n_samples < 1:
        given = f"{confidence} and {n_samples}"
        raise ValueError(f"confidence must be between 0 and 1, n_samples at least 1; got {given}")
    scores = list(scores)
    array = _as_array(scores)
    n, random = len(array), np.random.default_rng(seed)
    means = [array[random.integers(n, size=n)].mean(axis=0) for _ in range(n_samples)]
    ends = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    rows = np.stack([ends[0], array.mean(axis=0), ends[1]], axis=1).tolist()  # [types][3][3]
    named = zip(scores[0], rows, strict=True)
    return {name: Interval(*(Score(*mean) for mean in row)) for name, row in named}


def _as_array(scores: Sequence[Mapping[str, Score]]) -> np.ndarray:
    """Returns float64 [texts, types, 3]; ValueError: no texts, or texts of different types."""
    if not scores:
        raise ValueError("there are no scores to average: the list is empty")
    if len(types := {tuple(sorted(each)) for each in scores}) > 1:
        raise ValueError(f"scores of different types have no mean: {sorted(types)}")
    return np.array([[each[name] for name in scores[0]] for each in scores])

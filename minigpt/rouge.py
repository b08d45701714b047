"""ROUGE: how much of a reference text comes back in a text that a model wrote.

ROUGE-N compares n-grams, runs of n neighbouring words. ROUGE-L looks for the longest common
subsequence (LCS), the most words that both texts have in the same order, with gaps allowed. The
*units* are n-grams for ROUGE-N, words for ROUGE-L. Units of the target (the reference) that the
prediction (the model's text) has too are *hits*.

    precision = hits / units in the prediction    how much of what was written was wanted
    recall    = hits / units in the target        how much of what was wanted was written
    fmeasure  = 2 * precision * recall / (precision + recall)

"It is cold outside" has 3 pairs of words and "It is very cold outside" has 4. They share 2:

>>> scorer = RougeScorer(["rouge2"])
>>> scores = scorer.score(target="It is cold outside.", prediction="It is very cold outside.")
>>> scores["rouge2"]
Score(precision=0.5, recall=0.6666666666666666, fmeasure=0.5714285714285715)

The file builds up: a score, words, ROUGE-N, ROUGE-L, ROUGE-Lsum; then `RougeScorer`, a drop-in for
rouge_score 0.1.2 (`from minigpt import rouge as rouge_scorer`) that returns the same floats to the
last bit; then means over a corpus. The scorer counts hits with fast/matches.py, which is tested to
find what the definitions here find.

Before you trust a score: ROUGE sees words, not meaning; rougeLsum is rougeL unless the texts have
line breaks; text without Latin letters or digits scores 0 unless you pass a tokenizer for it.

Source: Lin 2004, "ROUGE: a Package for Automatic Evaluation of Summaries".
"""

import re
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import minigpt
from minigpt.fast.matches import (
    LONGEST_MASK,
    Places,
    fast_lcs_length,
    fast_ngram_hits,
    fast_union_hits,
)
from minigpt.metric_tokens import (
    DefaultTokenizer,
    Tokens,
    sentence_splitter,
    split_at_line_breaks,
)
from minigpt.scoring import AggregateScore, BaseScorer, Score


def score_from_hits(hits: int, n_target: int, n_prediction: int) -> Score:
    """Returns precision, recall and F of so many hits among so many units; all 0 without a hit."""
    if hits == 0:
        return Score(0.0, 0.0, 0.0)
    precision, recall = hits / n_prediction, hits / n_target
    return Score(precision, recall, 2 * precision * recall / (precision + recall))


def tokenize(text: str, stemmer: Any = None) -> list[str]:
    """Returns ROUGE's words, lower-cased runs of a-z and 0-9: "It's 3." -> ["it", "s", "3"].

    An object with a method `stem`, such as nltk's PorterStemmer, stems the words above 3 letters.
    """
    words = re.findall("[a-z0-9]+", text.lower())
    if stemmer:
        words = [stemmer.stem(word) if len(word) > 3 else word for word in words]
        words = [word for word in words if re.match("[a-z0-9]+$", word)]
    return words


def ngrams(tokens: Tokens, n: int) -> list[tuple[Hashable, ...]]:
    """Returns the n-grams, all max(0, len(tokens) - n + 1) runs of n neighbouring tokens."""
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def overlap(target: Tokens, prediction: Tokens) -> int:
    """Counts the shared units; a unit counts min(times in target, times in prediction) times.

    This is clipping: "cold cold cold cold" hits "it is cold outside" once, not four times.
    """
    target_counts, prediction_counts = Counter(target), Counter(prediction)
    return sum(min(count, prediction_counts[unit]) for unit, count in target_counts.items())


def rouge_n(target: Tokens, prediction: Tokens, n: int) -> Score:
    """Returns ROUGE-N of two lists of tokens: the hits are the overlap of their n-grams."""
    target_ngrams, prediction_ngrams = ngrams(target, n), ngrams(prediction, n)
    hits = overlap(target_ngrams, prediction_ngrams)
    return score_from_hits(hits, len(target_ngrams), len(prediction_ngrams))


def lcs_table(target: Tokens, prediction: Tokens) -> list[list[int]]:
    """Returns table[i][j], the LCS length of the first i target and first j prediction tokens.

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

    Start in the last corner. Where the two tokens are equal, the target's is on the LCS: go
    diagonally. Else go left (one prediction token back) if table[i][j-1] > table[i-1][j], else up.
    Several LCS may be equally long; going up on ties finds the same one as rouge_score.
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


def union_lcs(target: Tokens, prediction_lines: Iterable[Tokens]) -> list[Hashable]:
    """Returns the tokens of a target line that lie on its LCS with at least one prediction line."""
    positions = [lcs_positions(target, written) for written in prediction_lines]
    return [target[i] for i in sorted(set().union(*positions))]


def rouge_lsum(target_lines: Sequence[Tokens], prediction_lines: Sequence[Tokens]) -> Score:
    """Returns ROUGE-Lsum, ROUGE-L for summaries: the order of the lines does not matter.

    Each target line collects its `union_lcs`. Several of them may have matched the same prediction
    token, so the collected tokens are clipped by the prediction's counts; they cannot exceed the
    target's.
    """
    collected = [token for wanted in target_lines for token in union_lcs(wanted, prediction_lines)]
    prediction = [token for written in prediction_lines for token in written]
    n_target = sum(map(len, target_lines))
    return score_from_hits(overlap(collected, prediction), n_target, len(prediction))


ROUGE_N = {f"rouge{n}": n for n in range(1, 10)}
ROUGE_TYPES = (*ROUGE_N, "rougeL", "rougeLsum")

# What a short text's Places give: how many fewer units there are than tokens, and the hits.
PLACES_GIVE: dict[str, tuple[int, Callable[[Places], int]]] = {
    "rouge1": (0, Places.overlap),
    "rouge2": (1, Places.bigram_overlap),
    "rougeL": (0, Places.lcs_length),
}


class RougeScorer(BaseScorer):
    """Scores texts as rouge_score's RougeScorer does, to the last bit.

    Args:
        rouge_types: any of "rouge1" to "rouge9", "rougeL", "rougeLsum".
        use_stemmer: compares Porter's stems, which are for English.
        split_summaries: rougeLsum has nltk cut texts into sentences; otherwise they end with lines.
        tokenizer: an object with a method tokenize(text); use_stemmer has no effect with it.

    Raises:
        ValueError: a type is unknown, rouge_types is not a list, or nltk or its sentence model is
            not there to split with.
        TypeError: the tokenizer has no method tokenize.

    `signature` names these settings and the version: print it beside every score.
    """

    def __init__(
        self,
        rouge_types: Iterable[str],
        use_stemmer: bool = False,
        split_summaries: bool = False,
        tokenizer: Any = None,
    ) -> None:
        if isinstance(rouge_types, str):
            raise ValueError(f"rouge_types must be a list, got {rouge_types!r:.60}; put it in []")
        self.rouge_types = list(rouge_types)
        for name in self.rouge_types:
            if name not in ROUGE_TYPES:
                raise ValueError(f"a ROUGE type must be {', '.join(ROUGE_TYPES)}; got {name!r}")
        if tokenizer and not callable(getattr(tokenizer, "tokenize", None)):
            raise TypeError(f"tokenizer must have a method tokenize(text), got {tokenizer!r:.60}")
        tokenizer = tokenizer or DefaultTokenizer(use_stemmer)
        self._tokenize: Callable[[str], Tokens] = tokenizer.tokenize
        self._split: Callable[[str], list[str]] = split_at_line_breaks
        settings = [
            f"types:{','.join(self.rouge_types)}",
            f"stem:no|tok:{type(tokenizer).__name__}",
        ]
        if isinstance(tokenizer, DefaultTokenizer):
            settings[1] = tokenizer.signature
        if split_summaries and "rougeLsum" in self.rouge_types:
            self._split = sentence_splitter()
            settings.append("split:nltk")
        self.signature = "|".join(["rouge", *settings, f"version:{minigpt.__version__}"])

    def score(self, target: str, prediction: str) -> dict[str, Score]:
        """Returns {type: Score} of a prediction against a target; TypeError if one is not a str."""
        if self.rouge_types == ["rougeLsum"]:  # needs no tokens but those of the lines
            return {"rougeLsum": self._score_lines(target, prediction)}
        wanted, written = self._tokenize(target), self._tokenize(prediction)
        short = len(wanted) + len(written) <= LONGEST_MASK
        places = Places(wanted, written) if short and "rougeL" in self.rouge_types else None
        scores = {}
        for name in self.rouge_types:
            if places is not None and name in PLACES_GIVE:
                short_by, hits_in = PLACES_GIVE[name]
                n_wanted, n_written = len(wanted) - short_by, len(written) - short_by
                scores[name] = score_from_hits(hits_in(places), n_wanted, n_written)
            elif name == "rougeL":
                hits = fast_lcs_length(wanted, written)
                scores[name] = score_from_hits(hits, len(wanted), len(written))
            elif name == "rougeLsum":
                scores[name] = self._score_lines(target, prediction)
            else:
                n = ROUGE_N[name]
                hits = fast_ngram_hits(wanted, written, n)
                scores[name] = score_from_hits(hits, len(wanted) - n + 1, len(written) - n + 1)
        return scores

    def _score_lines(self, target: str, prediction: str) -> Score:
        wanted, written = self._lines(target), self._lines(prediction)
        hits = fast_union_hits(wanted, written)
        return score_from_hits(hits, sum(map(len, wanted)), sum(map(len, written)))

    def _lines(self, text: str) -> list[Tokens]:
        if not isinstance(text, str):
            raise TypeError(f"rougeLsum cuts texts of type str into lines, got {text!r:.60}")
        return [self._tokenize(line) for line in self._split(text) if line]

    def score_multi(self, targets: Iterable[str], prediction: str) -> dict[str, Score]:
        """Returns for each type the Score with the highest F, on ties the first target's."""
        if isinstance(targets, str):
            raise TypeError("targets must be a list of texts, got one text; use score")
        candidates = [self.score(target, prediction) for target in targets]
        if not candidates:
            raise ValueError("score_multi needs at least one target, got none")
        return {
            name: max((scores[name] for scores in candidates), key=lambda score: score.fmeasure)
            for name in self.rouge_types
        }


def mean_scores(scores: Iterable[Mapping[str, Score]]) -> dict[str, Score]:
    """Returns {type: Score} of means over the texts.

    F is the mean of the texts' F, which is not 2PR / (P + R) of the mean P and R.
    """
    scores = list(scores)
    means = _as_array(scores).mean(axis=0).tolist()  # [types][3]
    return {name: Score(*mean) for name, mean in zip(scores[0], means, strict=True)}


def bootstrap_interval(
    scores: Iterable[Mapping[str, Score]],
    *,
    seed: int,
    confidence: float = 0.95,
    n_samples: int = 1000,
) -> dict[str, AggregateScore]:
    """Returns {type: AggregateScore}: how much the mean depends on the choice of the texts.

    Drawing as many texts as there are, with replacement, makes another corpus of the same kind. The
    interval holds the means of n_samples such corpora, but for (1 - confidence) / 2 of them at
    either end. The same seed gives the same interval. Raises ValueError for no scores, scores of
    different types, or a confidence or n_samples out of range.
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
    return {name: AggregateScore(*(Score(*mean) for mean in row)) for name, row in named}


def _as_array(scores: Sequence[Mapping[str, Score]]) -> np.ndarray:
    """Returns float64 [texts, types, 3]; ValueError for no scores or scores of different types."""
    if not scores:
        raise ValueError("there are no scores to average: the list is empty")
    if len(types := {tuple(sorted(each)) for each in scores}) > 1:
        raise ValueError(f"scores of different types have no mean: {sorted(types)}")
    return np.array([[each[name] for name in scores[0]] for each in scores])


# The modules of rouge_score by their names, and what its own tests call.
rouge_scorer = sys.modules[__name__]
scoring, tokenizers = sys.modules["minigpt.scoring"], sys.modules["minigpt.metric_tokens"]
_lcs_table, _union_lcs, _summary_level_lcs = lcs_table, union_lcs, rouge_lsum


def _find_union(positions: Iterable[Iterable[int]]) -> list[int]:
    return sorted(set().union(*positions))


def _backtrack_norec(table: object, target: Tokens, prediction: Tokens) -> list[int]:
    return lcs_positions(target, prediction)

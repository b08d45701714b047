"""BLEU: how much of a translation's wording is found in reference translations.

For n = 1 to 4, p_n is the share of the hypotheses' n-grams (n tokens in a row) that also occur in
a reference. BLEU is the geometric mean of the four, times a brevity penalty for hypotheses shorter
than the references, because saying little is an easy way to say nothing wrong:

    p_n  = clipped matches of order n / n-grams of order n, each summed over the corpus
    BP   = exp(1 - reference length / hypothesis length), but at most 1
    BLEU = BP * (p_1 * p_2 * p_3 * p_4)^(1/4), given in percent, 0 to 100

>>> corpus_bleu(["he drinks a cup of green tea"], [["he drinks a cup of tea every day"]])
BLEU = 55.78 85.7/66.7/60.0/50.0 (BP = 0.867 ratio = 0.875 hyp_len = 7 ref_len = 8)

The file builds up: the matches of a segment, the penalty, the precisions, the formula `bleu`; then
a drop-in for sacrebleu 2.6 (`from minigpt import bleu as sacrebleu`): `BLEU`, which returns its
scores to the last bit, and the functions most people call. Matches are counted with
fast/matches.py, which is tested to find what `count_matches` finds.

Sources: Papineni et al. 2002 (BLEU); Chen and Cherry 2014 (smoothing, W14-3346); Post 2018.
"""

import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import index

from minigpt import metric_tokens
from minigpt.bleu_score import SMOOTHING, BLEUScore, BLEUSettings
from minigpt.corpus_metric import CorpusMetric, References, Statistics
from minigpt.fast.matches import LONGEST_MASK, fast_count_matches
from minigpt.metric_tokens import Tokens
from minigpt.rouge import ngrams

Sums = list[float]  # one for each order; whole numbers, unless "add-k" has added to them


def clipped_matches(hypothesis: Counter, references: Sequence[Counter]) -> int:
    """Counts the n-grams that match, each at most as often as one reference has it.

    sum over g of min(hypothesis[g], max over references of reference[g])

    Of Papineni's "the the the the the the the", 2 words in 7 match "the cat is on the mat".
    """
    best = {ngram: max(reference[ngram] for reference in references) for ngram in hypothesis}
    return sum(min(count, best[ngram]) for ngram, count in hypothesis.items())


def count_matches(hypothesis: Tokens, references: Sequence[Tokens], order: int) -> list[int]:
    """Returns the clipped matches of one segment for n = 1 to order."""
    return [
        clipped_matches(Counter(ngrams(hypothesis, n)), [Counter(ngrams(r, n)) for r in references])
        for n in range(1, order + 1)
    ]


def closest_length(hypothesis_len: int, reference_lens: Iterable[int]) -> int:
    """Returns the reference length nearest to the hypothesis's, the shorter one on a tie."""
    return min(reference_lens, key=lambda length: (abs(length - hypothesis_len), length))


def brevity_penalty(sys_len: int, ref_len: int) -> float:
    """Returns 1 if the system wrote as much as the references, else exp(1 - ref_len / sys_len).

    A system that wrote nothing gets 0.
    """
    if sys_len >= ref_len:
        return 1.0
    return math.exp(1 - ref_len / sys_len) if sys_len > 0 else 0.0


def smooth(
    counts: Sums, totals: Sums, method: str = "none", value: float | None = None
) -> tuple[list[float], list[float], list[float]]:
    """Returns counts, totals and, for each order, the precision p_n = 100 * count / total.

    An order without a match would make the geometric mean 0. Smoothing prevents it; the methods,
    with their numbers in Chen and Cherry, are

        none               p_n stays 0
        floor   method 1   p_n = 100 * value / total
        add-k   method 2   value is added to counts and totals of all orders but the first
        exp     method 3   p_n = 100 / (2^k * total) for the k-th order without a match

    From the first order without n-grams on, the precisions are 0.
    """
    if value is None:
        value = SMOOTHING[method] or 0
    counts, totals = counts.copy(), totals.copy()
    precisions = [0.0] * len(totals)
    power = 1.0
    for n in range(len(totals)):
        if method == "add-k" and n > 0:
            counts[n] += value
            totals[n] += value
        if totals[n] == 0:
            break
        if counts[n] != 0:
            precisions[n] = 100 * counts[n] / totals[n]
        elif method == "floor":
            precisions[n] = 100 * value / totals[n]
        elif method == "exp":
            power *= 2
            precisions[n] = 100 / (power * totals[n])
    return counts, totals, precisions


def geometric_mean(precisions: Sequence[float]) -> float:
    """Returns (p_1 * ... * p_N)^(1/N), computed as exp of the mean of logs; 0 if one is 0."""
    if 0 in precisions:
        return 0.0
    return math.exp(sum([math.log(p) for p in precisions]) / len(precisions))


def bleu(counts: Sums, totals: Sums, sys_len: int, ref_len: int) -> float:
    """Returns BP * (p_1 * ... * p_N)^(1/N) in percent, from matches and n-grams of each order.

    All four arguments are sums over the corpus. Nothing is smoothed: 0 if an order has no match.
    """
    _, _, precisions = smooth(counts, totals, "none")
    return brevity_penalty(sys_len, ref_len) * geometric_mean(precisions)


class BLEU(CorpusMetric):
    """Scores texts as `sacrebleu.metrics.BLEU` does; `CorpusMetric` explains the settings."""

    __slots__ = ()
    SMOOTH_DEFAULTS = SMOOTHING
    TOKENIZERS = metric_tokens.TOKENIZERS.keys()
    TOKENIZER_DEFAULT = "13a"

    def _segment_statistics(self, hypothesis: Tokens, references: list[Tokens]) -> list[int]:
        """Returns the two lengths, the matches of each order, and the n-grams of each order."""
        order, sys_len = self.settings.max_ngram_order, len(hypothesis)
        ref_lens = list(map(len, references))
        short = sys_len + sum(ref_lens) <= LONGEST_MASK
        count = fast_count_matches if short else count_matches
        totals = [sys_len - n if n < sys_len else 0 for n in range(order)]
        ref_len = closest_length(sys_len, ref_lens) if len(ref_lens) > 1 else ref_lens[0]
        return [sys_len, ref_len, *count(hypothesis, references, order), *totals]

    def _compute_score_from_stats(self, stats: Statistics) -> BLEUScore:
        order = self.settings.max_ngram_order
        return _score_of_sums(
            stats[2 : 2 + order], stats[2 + order :], int(stats[0]), int(stats[1]), self.settings
        )

    @staticmethod
    def compute_bleu(
        correct: Sums,
        total: Sums,
        sys_len: int,
        ref_len: int,
        smooth_method: str = "none",
        smooth_value: float | None = None,
        effective_order: bool = False,
        max_ngram_order: int = 4,
    ) -> BLEUScore:
        """Returns `bleu`, smoothed, and its parts; ValueError unless each order has its sums."""
        settings = BLEUSettings(
            *(False, False, "none", smooth_method, smooth_value, max_ngram_order, effective_order)
        )
        if not len(correct) == len(total) == max_ngram_order:
            raise ValueError(
                f"correct has {len(correct)} orders and total {len(total)}, but max_ngram_order is "
                f"{max_ngram_order}; give one number for each order"
            )
        return _score_of_sums(correct, total, index(sys_len), index(ref_len), settings)


def _score_of_sums(
    counts: Sums, totals: Sums, sys_len: int, ref_len: int, settings: BLEUSettings
) -> BLEUScore:
    """Returns `bleu` with smoothing; without a match of any order it is 0, whatever the smoothing.

    effective_order averages over only those orders that have n-grams.
    """
    bp = brevity_penalty(sys_len, ref_len)
    if not any(counts):
        zeros = [0.0] * len(totals)
        return BLEUScore(0.0, counts.copy(), totals.copy(), zeros, bp, sys_len, ref_len)
    counts, totals, precisions = smooth(
        counts, totals, settings.smooth_method, settings.smooth_value
    )
    n_orders = len(totals)
    if settings.effective_order:
        n_orders = [*totals, 0].index(0) or n_orders
    score = bp * geometric_mean(precisions[:n_orders])
    return BLEUScore(score, counts, totals, precisions, bp, sys_len, ref_len)


def corpus_bleu(
    hypotheses: Sequence[str],
    references: References,
    smooth_method: str = "exp",
    smooth_value: float | None = None,
    force: bool = False,
    lowercase: bool = False,
    tokenize: str | None = "13a",
    use_effective_order: bool = False,
) -> BLEUScore:
    """Returns the BLEU of a corpus, 0 to 100.

    references is [reference set][segment]. `CorpusMetric` explains the settings, its method
    `corpus_score` the texts and the errors.
    """
    settings = (smooth_method, smooth_value, 4, use_effective_order)
    return BLEU(lowercase, force, tokenize, *settings).corpus_score(hypotheses, references)


def raw_corpus_bleu(
    hypotheses: Sequence[str], references: References, smooth_value: float | None = 0.1
) -> BLEUScore:
    """Returns the BLEU of texts cut at white space alone, floor smoothing, effective order."""
    return corpus_bleu(hypotheses, references, "floor", smooth_value, True, False, "none", True)


_scorer = lru_cache(maxsize=64)(BLEU)  # so that the settings of many sentences are checked once


def sentence_bleu(
    hypothesis: str,
    references: Sequence[str | None],
    smooth_method: str = "exp",
    smooth_value: float | None = None,
    lowercase: bool = False,
    tokenize: str | None = "13a",
    use_effective_order: bool = True,
) -> BLEUScore:
    """Returns the BLEU of one text. The mean of such scores is not the corpus's BLEU."""
    settings = (lowercase, False, tokenize, smooth_method, smooth_value, 4, use_effective_order)
    try:
        metric = _scorer(*settings)
    except TypeError:  # of a list, say, which no dictionary takes; BLEU itself says what is wrong
        metric = None
    return (metric or BLEU(*settings)).sentence_score(hypothesis, references)


# So that sacrebleu.metrics.BLEU and sacrebleu.compat.corpus_bleu are found under this name too.
metrics = compat = sys.modules[__name__]

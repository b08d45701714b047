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
`BLEU`, which returns sacrebleu 2.6's scores to the last bit; last the two functions most people
call. Matches are counted with fast/matches.py, which is tested to find what `count_matches` finds.

Sources: Papineni et al. 2002 (BLEU); Chen and Cherry 2014 (smoothing, W14-3346); Post 2018.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import minigpt
from minigpt.fast.matches import LONGEST_MASK, fast_count_matches
from minigpt.metric_tokens import TOKENIZERS, Tokens
from minigpt.rouge import ngrams

Sums = Sequence[float]  # one for each order; whole numbers, unless "add-k" has added to them


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


SMOOTHING = {"none": None, "floor": 0.1, "add-k": 1, "exp": None}  # method: default value


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
    counts, totals = list(counts), list(totals)
    if method == "add-k":
        counts = [*counts[:1], *(count + value for count in counts[1:])]
        totals = [*totals[:1], *(total + value for total in totals[1:])]
    precisions = [0.0] * len(totals)
    power = 1.0
    for n, total in enumerate(totals):
        if total == 0:
            break
        if counts[n] > 0:
            precisions[n] = 100 * counts[n] / total
        elif method == "floor":
            precisions[n] = 100 * value / total
        elif method == "exp":
            power *= 2
            precisions[n] = 100 / (power * total)
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


class BLEUScore(NamedTuple):
    """A score from 0 to 100 and its parts; lists are by order, lengths in tokens.

    Compare scores only if their signatures are equal. A perfect match gets 100.00000000000004, as
    in sacrebleu: the mean is computed from logarithms.
    """

    score: float
    counts: list[float]
    totals: list[float]
    precisions: list[float]
    bp: float
    sys_len: int
    ref_len: int
    signature: str = ""

    def format(self, width: int = 2) -> str:
        """Returns the line that sacrebleu prints, the score with `width` decimals."""
        precisions = "/".join(f"{precision:.1f}" for precision in self.precisions)
        ratio = self.sys_len / self.ref_len if self.ref_len else 0
        return (
            f"BLEU = {self.score:.{width}f} {precisions} (BP = {self.bp:.3f} ratio = {ratio:.3f} "
            f"hyp_len = {self.sys_len} ref_len = {self.ref_len})"
        )

    def __repr__(self) -> str:
        return self.format()


def bleu_score(
    counts: Sums,
    totals: Sums,
    sys_len: int,
    ref_len: int,
    smooth_method: str = "none",
    smooth_value: float | None = None,
    effective_order: bool = False,
    signature: str = "",
) -> BLEUScore:
    """Returns `bleu` with smoothing, and the parts it is made of.

    Without a match of any order it is 0, whatever the smoothing. effective_order averages over
    only those orders that have n-grams, so that a text of three tokens can score.
    """
    bp = brevity_penalty(sys_len, ref_len)
    if not any(counts):
        zeros = [0.0] * len(totals)
        return BLEUScore(0.0, list(counts), list(totals), zeros, bp, sys_len, ref_len, signature)
    counts, totals, precisions = smooth(counts, totals, smooth_method, smooth_value)
    n_orders = len(totals) - totals.count(0) if effective_order else len(totals)
    score = bp * geometric_mean(precisions[:n_orders])
    return BLEUScore(score, counts, totals, precisions, bp, sys_len, ref_len, signature)


@dataclass
class BLEU:
    """Scores texts; settings are named as in `sacrebleu.metrics.BLEU`, ValueError if unknown.

    tokenize: "13a", "intl" (any script), "char" (without spaces) or "none" (at white space alone).
    smooth_method: "exp", "floor" (smooth_value None is 0.1), "add-k" (None is 1) or "none".
    effective_order: as in `bleu_score`. Leave it off for a corpus.
    """

    lowercase: bool = False
    tokenize: str = "13a"
    smooth_method: str = "exp"
    smooth_value: float | None = None
    max_ngram_order: int = 4
    effective_order: bool = False

    def __post_init__(self) -> None:
        self._settings = _checked_settings(
            self.lowercase,
            self.tokenize,
            self.smooth_method,
            self.smooth_value,
            self.max_ngram_order,
            self.effective_order,
        )
        self._signature = ""  # the last score's

    def corpus_score(
        self, hypotheses: Iterable[str], references: Iterable[Iterable[str | None]]
    ) -> BLEUScore:
        """Returns the score of a corpus; arguments and errors are those of `corpus_bleu`."""
        hypotheses = _texts(hypotheses, "hypotheses", none_allowed=False)
        reference_sets = [_texts(texts, f"references[{i}]") for i, texts in enumerate(references)]
        for i, texts in enumerate(reference_sets):
            if len(texts) != len(hypotheses):
                raise ValueError(
                    f"references[{i}] has {len(texts)} segments, but there are {len(hypotheses)} "
                    "hypotheses: references are [reference set][segment], None where one is missing"
                )
        if not hypotheses or not reference_sets:
            raise ValueError(
                f"nothing to score: {len(hypotheses)} segments, {len(reference_sets)} reference "
                "sets; give at least one of each"
            )
        return self._score(hypotheses, zip(*reference_sets, strict=True))

    def sentence_score(self, hypothesis: str, references: Iterable[str | None]) -> BLEUScore:
        """Returns the score of one text; arguments and errors are those of `sentence_bleu`."""
        if not isinstance(hypothesis, str):
            raise TypeError(f"hypothesis must be a string, got {hypothesis!r:.60}")
        return self._score([hypothesis], [_texts(references, "references")])

    def _score(self, hypotheses: list[str], references: Iterable[Sequence]) -> BLEUScore:
        """Sums matches, n-grams and lengths over the corpus; references is [segment][reference]."""
        tokenize, order = TOKENIZERS[self.tokenize], self.max_ngram_order
        counts, totals = [0] * order, [0] * order
        sys_len = ref_len = 0
        n_refs = set()
        for i, (hypothesis, refs) in enumerate(zip(hypotheses, references, strict=True)):
            texts = [text for text in (hypothesis, *refs) if text is not None]
            if self.lowercase:
                texts = [text.lower() for text in texts]
            hyp_tokens, *ref_tokens = [tokenize(text.rstrip()) for text in texts]
            if not ref_tokens:
                raise ValueError(f"segment {i} has no reference: give it at least one")
            hyp_len, ref_lens = len(hyp_tokens), list(map(len, ref_tokens))
            short = hyp_len + sum(ref_lens) <= LONGEST_MASK
            count = fast_count_matches if short else count_matches
            matches = count(hyp_tokens, ref_tokens, order)
            for n in range(min(order, hyp_len)):
                counts[n] += matches[n]
                totals[n] += hyp_len - n
            sys_len += hyp_len
            ref_len += closest_length(hyp_len, ref_lens) if len(ref_lens) > 1 else ref_lens[0]
            n_refs.add(len(ref_lens))
        self._signature = f"nrefs:{'var' if len(n_refs) > 1 else max(n_refs)}|{self._settings}"
        smoothing = self.smooth_method, self.smooth_value, self.effective_order
        return bleu_score(counts, totals, sys_len, ref_len, *smoothing, self._signature)

    def get_signature(self) -> str:
        """Returns the last score's settings in sacrebleu's format; ValueError before the first."""
        if not self._signature:
            raise ValueError("the signature holds the number of references: score something first")
        return self._signature


_scorer = lru_cache(maxsize=64)(BLEU)  # so that the settings of many sentences are checked once


def corpus_bleu(
    hypotheses: Iterable[str],
    references: Iterable[Iterable[str | None]],
    smooth_method: str = "exp",
    smooth_value: float | None = None,
    lowercase: bool = False,
    tokenize: str = "13a",
    max_order: int = 4,
    effective_order: bool = False,
) -> BLEUScore:
    """Returns the BLEU of a corpus, 0 to 100; `BLEU` explains the settings.

    references is [reference set][segment], None where a set has nothing for a segment. Raises
    TypeError for what is not a list of texts; ValueError if a set is not as long as the hypotheses
    (sacrebleu scores what it has) or a segment has no reference.
    """
    settings = (lowercase, tokenize, smooth_method, smooth_value, max_order, effective_order)
    return _scorer(*settings).corpus_score(hypotheses, references)


def sentence_bleu(
    hypothesis: str,
    references: Iterable[str | None],
    smooth_method: str = "exp",
    smooth_value: float | None = None,
    lowercase: bool = False,
    tokenize: str = "13a",
    max_order: int = 4,
    effective_order: bool = True,
) -> BLEUScore:
    """Returns the BLEU of one text. The mean of such scores is not the corpus's BLEU."""
    settings = (lowercase, tokenize, smooth_method, smooth_value, max_order, effective_order)
    return _scorer(*settings).sentence_score(hypothesis, references)


def _checked_settings(
    lowercase: bool, tokenize: str, method: str, value: float | None, order: int, effective: bool
) -> str:
    """Returns the settings as a signature has them, the order only if not 4; or a ValueError."""
    if tokenize not in TOKENIZERS:
        raise ValueError(f"tokenize must be one of {[*TOKENIZERS]}, got {tokenize!r}")
    if method not in SMOOTHING:
        raise ValueError(f"smooth_method must be one of {[*SMOOTHING]}, got {method!r}")
    if value is not None and not value >= 0:
        raise ValueError(f"smooth_value must be 0 or more, got {value}")
    if order not in range(1, 10):
        raise ValueError(f"the order must be from 1 to 9, got {order}")
    default = SMOOTHING[method]
    smoothing = f"{method}[{default if value is None else value:.2f}]" if default else method
    return (
        f"case:{'lc' if lowercase else 'mixed'}|eff:{'yes' if effective else 'no'}"
        f"|tok:{tokenize}|smooth:{smoothing}"
        f"{f'|order:{order}' if order != 4 else ''}|version:minigpt-{minigpt.__version__}"
    )


def _texts(texts: Iterable, name: str, none_allowed: bool = True) -> list:
    """Returns texts as a list; TypeError if it is one text or holds something else."""
    if isinstance(texts, (str, bytes)) or not hasattr(texts, "__iter__"):
        raise TypeError(f"{name} must be a list of strings, got {texts!r:.60}")
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str) and not (text is None and none_allowed):
            raise TypeError(f"{name}[{i}] must be a string, got {text!r:.60}")
    return texts

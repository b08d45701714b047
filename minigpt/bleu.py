"""BLEU: how much of a translation's wording is found in reference translations.

A system is asked, for n = 1 to 4, which share of its n-grams (n tokens in a row) some reference has
too. The four shares are joined by their geometric mean, and a system whose texts are shorter than
the references pays a penalty, because saying little is an easy way to say nothing wrong:

    BLEU = BP * (p_1 * p_2 * p_3 * p_4)^(1/4)        from 0 to 100

The file builds up: the matches of a segment, the penalty, the mean; then `BLEU`, which sums over a
corpus and returns sacrebleu 2.6's scores to the last bit; last the two functions most people call.
The scores count matches with fast/matches.py, which is tested to find what `count_matches` finds.

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

Counts = Sequence[float]


def clipped_matches(hypothesis: Counter, references: Sequence[Counter]) -> int:
    """Counts the n-grams of the hypothesis that are found, each as often as in its best reference.

    sum over g of min(hypothesis[g], max over references of reference[g])
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
    """Returns the reference length nearest to the hypothesis's; of two as near, the shorter."""
    return min(reference_lens, key=lambda length: (abs(length - hypothesis_len), length))


def brevity_penalty(sys_len: int, ref_len: int) -> float:
    """Returns exp(1 - ref_len / sys_len) for a system that is too short (0 if silent), else 1."""
    if sys_len >= ref_len:
        return 1.0
    return math.exp(1 - ref_len / sys_len) if sys_len > 0 else 0.0


def smoothed_precisions(
    counts: Counts, totals: Counts, method: str = "none", value: float = 0
) -> list[float]:
    """Returns the percentage of matches for each order, 100 * counts[n] / totals[n], 0 for 0 / 0.

    An order without a match makes the mean 0. Smoothing gives it 100 * value / totals[n] ("floor")
    or 100 / (2^k * totals[n]) for the k-th such order ("exp"); "add-k" has changed the counts.
    """
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
    return precisions


def geometric_mean(precisions: Sequence[float]) -> float:
    """Returns (p_1 * ... * p_N)^(1/N), computed as exp of the mean of logs; 0 if one is 0."""
    if 0 in precisions:
        return 0.0
    return math.exp(sum([math.log(p) for p in precisions]) / len(precisions))


class BLEUScore(NamedTuple):
    """A score from 0 to 100 (a perfect match, rounded, has 100.00000000000004) and its parts.

    Lists are by order, lengths in tokens. Scores compare only where their signatures are the same.
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


SMOOTHING = {"none": None, "floor": 0.1, "add-k": 1, "exp": None}  # method: default value


@dataclass
class BLEU:
    """Scores with the settings given, named as in `sacrebleu.metrics.BLEU`; ValueError if unknown.

    tokenize is "13a", "intl", "char" or "none" (white space alone). smooth_method is "exp",
    "floor" (smooth_value None: 0.1), "add-k" (None: 1) or "none". effective_order takes the mean
    over the orders that the system has any n-grams of, so that a text of three tokens can score.
    """

    lowercase: bool = False
    tokenize: str = "13a"
    smooth_method: str = "exp"
    smooth_value: float | None = None
    max_ngram_order: int = 4
    effective_order: bool = False

    def __post_init__(self) -> None:
        if self.tokenize not in TOKENIZERS:
            raise ValueError(f"tokenize must be one of {[*TOKENIZERS]}, got {self.tokenize!r}")
        if self.smooth_method not in SMOOTHING:
            given = repr(self.smooth_method)
            raise ValueError(f"smooth_method must be one of {[*SMOOTHING]}, got {given}")
        if self.smooth_value is not None and not self.smooth_value >= 0:
            raise ValueError(f"smooth_value must be 0 or more, got {self.smooth_value}")
        if self.max_ngram_order not in range(1, 10):
            raise ValueError(f"the order must be from 1 to 9, got {self.max_ngram_order}")
        default = SMOOTHING[self.smooth_method]
        self._value = (default or 0) if self.smooth_value is None else self.smooth_value
        self._n_refs: set[int] = set()  # how many references the last score's segments had

    def compute(
        self, counts: Counts, totals: Counts, sys_len: int, ref_len: int, signature: str = ""
    ) -> BLEUScore:
        """Returns the score of sums over a corpus; with no match at all it is 0, even smoothed."""
        counts, totals = list(counts), list(totals)
        score, precisions = 0.0, [0.0] * len(totals)
        bp = brevity_penalty(sys_len, ref_len)
        if any(counts):
            if self.smooth_method == "add-k":  # Lin and Och 2004: to every order but the first
                for sums in (counts, totals):
                    sums[1:] = [x + self._value for x in sums[1:]]
            precisions = smoothed_precisions(counts, totals, self.smooth_method, self._value)
            order = len(totals) - (totals.count(0) if self.effective_order else 0)
            score = bp * geometric_mean(precisions[:order])
        return BLEUScore(score, counts, totals, precisions, bp, sys_len, ref_len, signature)

    def corpus_score(
        self, hypotheses: Iterable[str], references: Iterable[Iterable[str | None]]
    ) -> BLEUScore:
        """Returns the score of a corpus; arguments and errors are those of `corpus_bleu`."""
        hypotheses = _texts(hypotheses, "hypotheses", none_allowed=False)
        sets = [_texts(texts, f"references[{i}]") for i, texts in enumerate(references)]
        for i, texts in enumerate(sets):
            if len(texts) != len(hypotheses):
                raise ValueError(
                    f"references[{i}] has {len(texts)} segments, but there are {len(hypotheses)} "
                    "hypotheses: references are [reference set][segment], None where one is missing"
                )
        if not hypotheses or not sets:
            n, m = len(hypotheses), len(sets)
            raise ValueError(f"nothing to score: {n} segments, {m} reference sets")
        return self._score(hypotheses, zip(*sets, strict=True))

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
        self._n_refs = set()
        for i, (text, others) in enumerate(zip(hypotheses, references, strict=True)):
            texts = [t.lower() if self.lowercase else t for t in (text, *others) if t is not None]
            ours, *theirs = [tokenize(t.rstrip()) for t in texts]
            if not theirs:
                raise ValueError(f"segment {i} has no reference: give it at least one")
            length, ref_lens = len(ours), [len(tokens) for tokens in theirs]
            masks_pay = length + sum(ref_lens) <= LONGEST_MASK
            matches = (fast_count_matches if masks_pay else count_matches)(ours, theirs, order)
            for n in range(min(order, length)):
                counts[n] += matches[n]
                totals[n] += length - n
            sys_len += length
            ref_len += closest_length(length, ref_lens) if theirs[1:] else ref_lens[0]
            self._n_refs.add(len(theirs))
        return self.compute(counts, totals, sys_len, ref_len, self.get_signature())

    def get_signature(self) -> str:
        """Returns the last score's settings in sacrebleu's words; ValueError before the first."""
        if not self._n_refs:
            raise ValueError("the signature holds the number of references: score something first")
        n_refs = "var" if len(self._n_refs) > 1 else max(self._n_refs)
        smoothing = self.smooth_method, self._value, self.max_ngram_order
        settings = _settings(self.lowercase, self.effective_order, self.tokenize, *smoothing)
        return f"nrefs:{n_refs}|{settings}"


@lru_cache(maxsize=64)
def _settings(
    lowercase: bool, effective_order: bool, tokenize: str, method: str, value: float, order: int
) -> str:
    return (
        f"case:{'lc' if lowercase else 'mixed'}|eff:{'yes' if effective_order else 'no'}"
        f"|tok:{tokenize}|smooth:{method}{f'[{value:.2f}]' if SMOOTHING[method] else ''}"
        f"{f'|order:{order}' if order != 4 else ''}|version:minigpt-{minigpt.__version__}"
    )


def _texts(texts: Iterable, name: str, none_allowed: bool = True) -> list:
    if isinstance(texts, (str, bytes)) or not hasattr(texts, "__iter__"):
        raise TypeError(f"{name} must be a list of strings, got {texts!r:.60}")
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str) and not (text is None and none_allowed):
            raise TypeError(f"{name}[{i}] must be a string, got {text!r:.60}")
    return texts


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
    (sacrebleu cuts it off) or a segment has no reference.
    """
    settings = (lowercase, tokenize, smooth_method, smooth_value, max_order, effective_order)
    return BLEU(*settings).corpus_score(hypotheses, references)


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
    return BLEU(*settings).sentence_score(hypothesis, references)

"""From texts to one number: how a metric scores a corpus, a sentence, and corpora drawn by chance.

A corpus metric counts something in each segment, adds the counts up, and makes one score of the
sums; it is not the mean of the segments' scores. `minigpt.bleu.BLEU` says what is counted and what
is made of the sums. Here stands what surrounds it in sacrebleu 2.6: the settings, the checks of the
texts, references that are kept for many systems, and the bootstrap.

Source: Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation" (W04-3250).
"""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from minigpt.bleu_score import BLEUScore, BLEUSettings, Signature, tokenizer_for
from minigpt.metric_tokens import TOKENIZERS, Tokens

References = Sequence[Sequence[str | None]]  # [reference set][segment]
Statistics = list[Any]  # of a segment, or sums of them; an array of float32 where drawn


class CorpusMetric(ABC):
    """Scores texts; the arguments, their order and their defaults are those of sacrebleu's BLEU.

    Args:
        lowercase: lower-cases hypotheses and references.
        force: does not warn of a hundred hypotheses that look tokenized already.
        tokenize: "13a" (None is 13a too), "intl" (any script), "char" (for scripts without spaces)
            or "none" (at white space alone).
        smooth_method: "exp", "floor" (smooth_value None is 0.1), "add-k" (None is 1) or "none".
        smooth_value: a finite number of at least 0.
        max_ngram_order: 1 to 9.
        effective_order: averages over only those orders that have n-grams, so that a text of three
            tokens can score. Leave it off for a corpus.
        trg_lang: "zh", "ja" and "ko" need a tokenizer that is named; others change nothing.
        references: [reference set][segment], cut into tokens once: `corpus_score` then takes None.

    Raises:
        ValueError: a setting or a number of texts is not as above.
        TypeError: a setting or a text is of another type.
    """

    __slots__ = ("_cached", "_last", "_tokenize", "settings")  # to set another is an error
    lowercase = property(attrgetter("settings.lowercase"))
    tokenizer_signature = property(attrgetter("settings.tokenize"))
    smooth_method = property(attrgetter("settings.smooth_method"))
    smooth_value = property(attrgetter("settings.smooth_value"))
    max_ngram_order = property(attrgetter("settings.max_ngram_order"))
    effective_order = property(attrgetter("settings.effective_order"))

    def __init__(
        self,
        lowercase: bool = False,
        force: bool = False,
        tokenize: str | None = None,
        smooth_method: str = "exp",
        smooth_value: float | None = None,
        max_ngram_order: int = 4,
        effective_order: bool = False,
        trg_lang: str = "",
        references: References | None = None,
    ) -> None:
        tokenize = tokenizer_for(tokenize, trg_lang)
        smoothing = smooth_method, smooth_value
        self.settings = BLEUSettings(
            lowercase, force, tokenize, *smoothing, max_ngram_order, effective_order
        )
        self._tokenize: Callable[[str], list[str]] = TOKENIZERS[tokenize]
        self._last: dict[str, Any] = {}  # what a signature says beside the settings
        self._cached: list[list[Tokens]] | None = None
        if references is not None:
            sets = _checked_sets(references)
            segments = enumerate(zip(*sets, strict=True))
            self._cached = [self._reference_tokens(i, texts) for i, texts in segments]
            numbers = set(map(len, self._cached))
            self._last = {"nrefs": "var" if len(numbers) > 1 else max(numbers)}

    @abstractmethod
    def _segment_statistics(self, hypothesis: Tokens, references: list[Tokens]) -> list[int]:
        """Returns what is counted in a segment, as many numbers for each."""

    @abstractmethod
    def _compute_score_from_stats(self, stats: Statistics) -> BLEUScore:
        """Returns the score of sums of such lists."""

    def corpus_score(
        self, hypotheses: Sequence[str], references: References | None, n_bootstrap: int = 1
    ) -> BLEUScore:
        """Returns the score of a corpus.

        Args:
            hypotheses: the texts to judge.
            references: [reference set][segment], None where a set has nothing for a segment; or
                None for those that the object was made with.
            n_bootstrap: above 1, draws so many corpora from the segments, with replacement; the
                score then has the mean of theirs and half the width of the middle 95%. As in
                sacrebleu the environment's SACREBLEU_SEED is the seed, or 12345; with "none" every
                draw is another.

        Raises:
            ValueError: a set is not as long as the hypotheses (sacrebleu scores what it has), a
                segment has no reference, or there is nothing to score.
            TypeError: what should be a list of texts is not one.
        """
        stats = self._extract_corpus_statistics(hypotheses, references)
        score = self._aggregate_and_compute(stats)
        if n_bootstrap > 1:
            seed = os.environ.get("SACREBLEU_SEED", "12345").lower()
            score.estimate_ci(self._drawn_scores(stats, n_bootstrap, seed))
            self._last |= {"bs": n_bootstrap, "seed": seed}
        score.signature = str(self.get_signature())
        return score

    def sentence_score(self, hypothesis: str, references: Sequence[str | None]) -> BLEUScore:
        """Returns the score of one text against one or more; `corpus_score` has the errors."""
        if not isinstance(hypothesis, str):
            raise TypeError(f"hypothesis must be a string, got {hypothesis!r:.60}")
        tokens = self._reference_tokens(0, _checked_texts(references, "references"))
        stats = self._segment_statistics(self._tokens(hypothesis), tokens)
        score = self._compute_score_from_stats(stats)
        self._last = {"nrefs": len(tokens)}
        score.signature = f"nrefs:{len(tokens)}|{self.settings.text}"
        return score

    def get_signature(self) -> Signature:
        """Returns the settings of the last score; ValueError before the first."""
        if not self._last:
            raise ValueError("the signature holds the number of references; score something first")
        return Signature({**self._last, **self.settings.items})

    # sacrebleu's tests of significance ask a metric for its statistics by these two names.

    def _extract_corpus_statistics(
        self, hypotheses: Sequence[str], references: References | None
    ) -> list[list[int]]:
        hypotheses = _checked_texts(hypotheses, "hypotheses", none_allowed=False)
        tokens: Iterable[list[Tokens]]
        if references is not None:
            sets = _checked_sets(references, len(hypotheses))
            segments = enumerate(zip(*sets, strict=True))
            tokens = (self._reference_tokens(i, texts) for i, texts in segments)
        elif self._cached is None:
            raise ValueError("references are None; give them here, or to BLEU(references=...)")
        elif len(self._cached) == len(hypotheses):
            tokens = self._cached
        else:
            raise ValueError(
                f"the references that BLEU was made with have {len(self._cached)} segments, but "
                f"there are {len(hypotheses)} hypotheses"
            )
        self._warn_if_tokenized(hypotheses)
        stats, numbers = [], set()
        for hypothesis, refs in zip(hypotheses, tokens, strict=True):
            stats.append(self._segment_statistics(self._tokens(hypothesis), refs))
            numbers.add(len(refs))
        self._last = {"nrefs": "var" if len(numbers) > 1 else max(numbers)}
        return stats

    def _aggregate_and_compute(self, stats: Sequence[Statistics]) -> BLEUScore:
        sums = stats[0] if len(stats) == 1 else [sum(column) for column in zip(*stats, strict=True)]
        return self._compute_score_from_stats(sums)

    def _drawn_scores(self, stats: list[list[int]], n: int, seed: str) -> list[BLEUScore]:
        """Returns the scores of n corpora of as many segments, drawn as sacrebleu draws them."""
        if seed != "none" and not seed.isdecimal():
            raise ValueError(f"SACREBLEU_SEED must be a whole number or none, got {seed!r:.60}")
        random = np.random.default_rng(None if seed == "none" else int(seed))
        draws = random.choice(len(stats), size=(n, len(stats)), replace=True)
        array = np.array(stats, dtype=np.float32)  # the scores of sums in float32 are sacrebleu's
        return [self._compute_score_from_stats(array[draw].sum(0)) for draw in draws]

    def _tokens(self, text: str) -> Tokens:
        return self._tokenize((text.lower() if self.settings.lowercase else text).rstrip())

    def _reference_tokens(self, i: int, texts: Iterable[str | None]) -> list[Tokens]:
        """Returns the tokens of the references of segment i, without those that are None."""
        tokens = [self._tokens(text) for text in texts if text is not None]
        if not tokens:
            raise ValueError(f"segment {i} has no reference; give it at least one")
        return tokens

    def _warn_if_tokenized(self, hypotheses: Sequence[str]) -> None:
        if self.settings.force or len(hypotheses) < 100:
            return
        n = sum(text.endswith(" .") for text in hypotheses)
        if n >= 100:
            logging.getLogger("minigpt").warning(
                "%d of %d hypotheses end in a point after a blank: they look tokenized, and BLEU "
                "wants texts as they are read; force=True says that they are",
                *(n, len(hypotheses)),
            )


def _checked_sets(references: References, n_hypotheses: int | None = None) -> list[Sequence]:
    """Returns the reference sets, if each has as many texts as there are hypotheses."""
    if isinstance(references, str) or not isinstance(references, Sequence):
        raise TypeError(f"references must be a list of lists of strings, got {references!r:.60}")
    sets = [_checked_texts(texts, f"references[{i}]") for i, texts in enumerate(references)]
    n, what = n_hypotheses, f"there are {n_hypotheses} hypotheses"
    if n is None:
        n = len(sets[0]) if sets else 0
        what = f"references[0] has {n}"
    if n == 0 or not sets:
        raise ValueError(
            f"nothing to score: {n} segments, {len(sets)} reference sets; give at least one of each"
        )
    for i, texts in enumerate(sets):
        if len(texts) != n:
            raise ValueError(
                f"references[{i}] has {len(texts)} segments, but {what}: references are "
                "[reference set][segment], None where one is missing"
            )
    return sets


def _checked_texts(texts: Sequence, name: str, none_allowed: bool = True) -> Sequence:
    """Returns texts; TypeError if it is one text, no sequence, or holds something else."""
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Sequence):
        raise TypeError(f"{name} must be a list of strings, got {texts!r:.60}")
    for i, text in enumerate(texts):
        if not isinstance(text, str) and not (text is None and none_allowed):
            raise TypeError(f"{name}[{i}] must be a string, got {text!r:.60}")
    return texts

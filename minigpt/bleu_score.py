"""What stands beside a BLEU: the numbers it is made of, and the settings, without which it is none.

Two BLEU scores can be compared only if both were computed alike. A *signature* writes down how:

    nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:minigpt-0.2.0

is one reference, case kept, all four orders counted, the tokenizer 13a and the smoothing "exp". The
classes have the attributes and methods of sacrebleu 2.6's; `minigpt.bleu` is the definition.

Source: Post 2018, "A Call for Clarity in Reporting BLEU Scores" (W18-6319).
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import minigpt
from minigpt.metric_tokens import TOKENIZERS

SMOOTHING = {"none": None, "floor": 0.1, "add-k": 1, "exp": None}  # method: default value
FOR_LANGUAGE = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}  # sacrebleu's; none of them is here


@dataclass
class BLEUSettings:
    """The settings of a score, checked; `minigpt.corpus_metric.CorpusMetric` says what they mean.

    Raises ValueError for a setting that is unknown or out of range, TypeError for another type: an
    argument in the place of another must not pass.
    """

    lowercase: bool
    force: bool
    tokenize: str
    smooth_method: str
    smooth_value: float | None
    max_ngram_order: int
    effective_order: bool

    def __post_init__(self) -> None:
        for name in ("lowercase", "force", "effective_order"):
            if (value := getattr(self, name)) not in (True, False, None):
                raise TypeError(f"{name} must be True or False, got {value!r:.60}")
        for name, allowed in (("tokenize", TOKENIZERS), ("smooth_method", SMOOTHING)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in allowed:
                raise ValueError(f"{name} must be one of {[*allowed]}, got {value!r:.60}")
        value = self.smooth_value
        if value is not None and not hasattr(value, "__float__"):
            raise TypeError(f"smooth_value must be a number or None, got {value!r:.60}")
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"smooth_value must be 0 or more, and finite, got {value}")
        order = self.max_ngram_order
        if not hasattr(order, "__index__") or order not in range(1, 10):
            raise ValueError(f"max_ngram_order must be a whole number from 1 to 9, got {order!r}")
        self.items = self._items()
        self.text = str(Signature(self.items))

    def _items(self) -> dict[str, str]:
        """Returns the settings as a signature names them, the order only if it is not 4."""
        smoothing, value = self.smooth_method, self.smooth_value
        if (default := SMOOTHING[smoothing]) is not None:
            smoothing += f"[{default if value is None else value:.2f}]"
        items = {
            "case": "lc" if self.lowercase else "mixed",
            "eff": "yes" if self.effective_order else "no",
            "tok": self.tokenize,
            "smooth": smoothing,
        }
        return items if self.max_ngram_order == 4 else {**items, "order": str(self.max_ngram_order)}


def tokenizer_for(tokenize: str | None, trg_lang: str) -> str:
    """Returns the tokenizer that sacrebleu takes: the one asked for, the language's, or 13a."""
    if tokenize is not None:
        return tokenize
    if not isinstance(trg_lang, str):
        raise TypeError(f"trg_lang must be a language code such as 'de', got {trg_lang!r:.60}")
    if trg_lang in FOR_LANGUAGE:
        raise ValueError(
            f"for trg_lang {trg_lang!r} sacrebleu takes the tokenizer {FOR_LANGUAGE[trg_lang]!r}, "
            f"which minigpt does not have; choose one of {[*TOKENIZERS]} with tokenize"
        )
    return "13a"


SHORT_NAMES = {"nrefs": "#", "seed": "rs", "case": "c", "eff": "e", "smooth": "s", "version": "v"}


class Signature:
    """Settings by name, in the order in which they are printed."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        self.info = {**info, "version": f"minigpt-{minigpt.__version__}"}

    def format(self, short: bool = False) -> str:
        """Returns "name:value|...", the version last; short names where asked for."""
        info = dict(self.info)
        info["version"] = info.pop("version")
        names = SHORT_NAMES if short else {}
        shown = [(names.get(k, k), _yes_no(v)) for k, v in info.items() if v is not None]
        return "|".join(f"{name}:{value}" for name, value in shown)

    def update(self, key: str, value: Any) -> None:
        """Adds a setting, or replaces it."""
        self.info[key] = value

    def __str__(self) -> str:
        return self.format()

    __repr__ = __str__


def _yes_no(value: Any) -> Any:
    return ("yes" if value else "no") if isinstance(value, bool) else value


@dataclass(repr=False)
class BLEUScore:
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

    name = "BLEU"
    _mean = _ci = -1.0  # of a bootstrap, once there was one

    @property
    def ratio(self) -> float:
        """Returns the system's length as a share of the references'; 0 where these are empty."""
        return self.sys_len / self.ref_len if self.ref_len else 0

    @property
    def prec_str(self) -> str:
        """Returns the precisions as they are printed."""
        return "/".join(f"{precision:.1f}" for precision in self.precisions)

    @property
    def _verbose(self) -> str:
        return (
            f"{self.prec_str} (BP = {self.bp:.3f} ratio = {self.ratio:.3f} "
            f"hyp_len = {self.sys_len:d} ref_len = {self.ref_len:d})"
        )

    def estimate_ci(self, scores: Sequence[BLEUScore]) -> None:
        """Keeps the mean of bootstrap scores and half the width of the middle 95% of them."""
        values = sorted(each.score for each in scores)
        cut = len(values) // 40  # 2.5% at either end
        self._ci = 0.5 * (values[-cut - 1] - values[cut])
        self._mean = statistics.mean(values)

    def format(
        self, width: int = 2, score_only: bool = False, signature: str = "", is_json: bool = False
    ) -> str:
        """Returns the line that sacrebleu prints, the score with `width` decimals, or its JSON.

        Raises:
            ValueError: JSON is asked for without a signature, whose settings are its fields.
        """
        score = f"{self.score:.{width}f}"
        fields = {"name": self.name, "score": float(score), "signature": signature}
        if self._mean > 0:
            mean, ci = f"{self._mean:.{width}f}", f"{self._ci:.{width}f}"
            confidence = f"μ = {mean} ± {ci}"
            score += f" ({confidence})"
            fields |= {"confidence_mean": float(mean), "confidence_var": float(ci)}
            fields["confidence"] = confidence
        if score_only:
            return score
        if is_json:
            if not signature:
                raise ValueError("JSON needs a signature: format(signature=score.signature, ...)")
            fields["verbose_score"] = self._verbose
            fields |= dict(setting.split(":") for setting in signature.split("|"))
            return json.dumps(fields, indent=1, ensure_ascii=False)
        named = f"{self.name}|{signature}" if signature else self.name
        return f"{named} = {score} {self._verbose}"

    def __repr__(self) -> str:
        return self.format()

"""BLEU called in the ways sacrebleu allows: the same result to the last bit, or a refusal."""

from __future__ import annotations

import collections
import inspect
import json
import logging
import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sacrebleu
from sacrebleu.significance import PairedTest

from minigpt import bleu
from minigpt.bleu import BLEU, corpus_bleu, raw_corpus_bleu, sentence_bleu

SYSTEM = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
REFERENCES: list[list[str | None]] = [
    ["The dog bit the man.", None, "The man bit him first."],
    ["The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."],
]
SAME_CALLS: list[Callable] = [
    lambda module: module.corpus_bleu,
    lambda module: module.sentence_bleu,
    lambda module: module.raw_corpus_bleu,
    lambda module: module.compat.sentence_bleu,
    lambda module: module.metrics.BLEU,
    lambda module: module.BLEU.corpus_score,
    lambda module: module.BLEU.sentence_score,
    lambda module: module.BLEU.compute_bleu,
    lambda module: module.BLEU.get_signature,
    lambda module: module.BLEU().corpus_score(["a"], [["a"]]).format,
    lambda module: module.BLEU().corpus_score(["a"], [["a"]]).estimate_ci,
]


@pytest.mark.parametrize("call", SAME_CALLS)
def test_parameters_have_sacrebleus_names_order_and_defaults(call: Callable) -> None:
    ours, theirs = (inspect.signature(call(module)).parameters for module in (bleu, sacrebleu))
    assert [(p.name, p.default) for p in ours.values()] == [
        (p.name, p.default) for p in theirs.values()
    ]


# Values for each parameter: first those that must not be refused, after the None those that may be.
METHODS, SWITCH = ["exp", "none", "floor", "add-k"], [False, True, 0, 1, np.True_]
CUT = ["13a", "intl", "char", "none"]
VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "smooth_method": (METHODS, ["bad", None, 0]),
    "smooth_value": ([None, 0, 0.1, 0.37, 1, 2, np.float64(0.3)], [-1, float("nan"), "0.1"]),
    "force": (SWITCH, ["13a", []]),
    "lowercase": (SWITCH, ["13a", "no"]),
    "tokenize": (CUT, ["zh", "bad", 0, ["13a"]]),
    "use_effective_order": (SWITCH, ["exp"]),
    "effective_order": (SWITCH, [0.5]),
    "max_ngram_order": ([4, 1, 2, 3, 5, 9, np.int64(3)], [0, 10, -1, 4.0, None, "4"]),
    "trg_lang": (["", "de"], ["zh", "ja", 3]),
}
ORDERS = {
    "corpus_bleu": (
        *("smooth_method", "smooth_value", "force", "lowercase", "tokenize"),
        "use_effective_order",
    ),
    "sentence_bleu": (
        *("smooth_method", "smooth_value", "lowercase", "tokenize", "use_effective_order"),
    ),
    "raw_corpus_bleu": ("smooth_value",),
    "BLEU": (
        *("lowercase", "force", "tokenize", "smooth_method", "smooth_value", "max_ngram_order"),
        *("effective_order", "trg_lang"),
    ),
}
WORDS = ["the", "cat", "sat", "on", "The", "mat.", "1,000", "&amp;", "ſ", "\u2028", "\ud800", "-\n"]
NO_TEXT = [None, 3, b"the cat", ["a"], 1.5]
CONTAINERS: list[Callable] = [
    *(list, tuple, collections.deque, iter, set, "".join),
    *(lambda texts: np.array(list(texts)), lambda texts: None, lambda texts: [*texts, *texts]),
]


class Drawn:
    """A call drawn by chance; with `wild` also such as should be refused."""

    def __init__(self, seed: int) -> None:
        chance = self.chance = random.Random(seed)
        self.wild = chance.random() < 0.4
        self.function = chance.choice(list(ORDERS))
        names = ORDERS[self.function]
        n_positional = chance.randrange(len(names) + 1)
        self.positional = [self.setting(name) for name in names[:n_positional]]
        self.named = {n: self.setting(n) for n in names[n_positional:] if chance.random() < 0.3}
        if self.wild and chance.random() < 0.05:
            self.named[chance.choice(["max_order", "effective_order", "nonsense"])] = True
        self.n = chance.choice([1, 2, 3] if not self.wild else [0, 1, 2, 3])
        n_sets = chance.choice([1, 1, 2, 3] if not self.wild else [0, 1, 2])
        self.texts = [self.text() for _ in range(self.n)]
        sets = [[self.reference(i) for _ in range(self.n)] for i in range(n_sets)]
        self.containers = [self.container() for _ in range(2 + n_sets)]
        self.sets = sets
        self.bootstrap = chance.choice([None, None, None, 1, 2, 30])
        self.cached = chance.random() < 0.3

    def setting(self, name: str) -> Any:
        right, wrong = VALUES[name]
        return self.chance.choice([*right, *wrong] if self.wild else right)

    def text(self) -> Any:
        if self.wild and self.chance.random() < 0.03:
            return self.chance.choice(NO_TEXT)
        return " ".join(self.chance.choice(WORDS) for _ in range(self.chance.randrange(9)))

    def reference(self, which: int) -> Any:  # the first set has a text for each segment
        return None if which > 0 and self.chance.random() < 0.2 else self.text()

    def container(self) -> Callable:
        odd = self.wild and self.chance.random() < 0.2
        return self.chance.choice(CONTAINERS if odd else [list, tuple])

    def outcome(self, module: Any) -> tuple[Any, ...] | Exception:
        """Returns all that the score of sacrebleu or ours holds, or the error."""
        try:
            sets = [pack(texts) for pack, texts in zip(self.containers[2:], self.sets, strict=True)]
            hypotheses, references = self.containers[0](self.texts), self.containers[1](sets)
            if self.function == "sentence_bleu":
                hypotheses, references = self.texts[0], self.containers[0](s[0] for s in self.sets)
        except (TypeError, ValueError, IndexError):
            return TypeError("such a container does not hold such texts")
        try:
            if self.function != "BLEU":
                call = getattr(module, self.function)
                return everything(call(hypotheses, references, *self.positional, **self.named))
            cache = {"references": references} if self.cached else {}
            metric = module.BLEU(*self.positional, **self.named, **cache)
            more = [] if self.bootstrap is None else [self.bootstrap]
            score = metric.corpus_score(hypotheses, None if self.cached else references, *more)
            return *everything(score), *map(settings_of, signatures(metric))
        except Exception as error:  # sacrebleu refuses in many ways
            return error


def everything(score: Any) -> tuple[Any, ...]:
    numbers = score.score, score.counts, score.totals, score.precisions, score.bp, score.ratio
    interval = score._mean, score._ci
    lengths = score.sys_len, score.ref_len
    printed = str(score), score.format(17), score.format(1, True), score.prec_str, score.name
    return *numbers, *interval, *lengths, *printed


def signatures(metric: Any) -> tuple[str, str]:
    return str(metric.get_signature()), metric.get_signature().format(short=True)


def settings_of(signature: str) -> str:
    """Returns a signature without its version and without the order, which sacrebleu's lacks."""
    fields = signature.split("|")
    return "|".join(f for f in fields if not f.startswith(("version:", "v:", "order:")))


def test_a_call_has_sacrebleus_result_or_is_refused() -> None:
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    same = refused = 0
    for seed in range(500):
        call = Drawn(seed)
        expected, actual = call.outcome(sacrebleu), call.outcome(bleu)
        if isinstance(actual, Exception):
            assert isinstance(actual, (TypeError, ValueError)), (seed, actual)
            assert call.wild or call.cached, (seed, expected, actual)
            refused += 1
        else:
            assert actual == expected, (seed, call.function, call.positional, call.named)
            same += 1
    assert same > 230
    assert refused > 70


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.corpus_bleu(SYSTEM, REFERENCES, "exp", None, True),  # the fifth is force
        lambda m: m.corpus_bleu(SYSTEM, REFERENCES, "exp", None, False, True, "char", True),
        lambda m: m.sentence_bleu(SYSTEM[2], [REFERENCES[0][2]], "exp", None, False, "13a", True),
        lambda m: m.sentence_bleu(SYSTEM[2], [REFERENCES[0][2]], "floor", 0.3, True, None, False),
        lambda m: m.raw_corpus_bleu(SYSTEM, REFERENCES, None),
        lambda m: m.BLEU(True, True, None, "add-k", 2, 3, True, "fr").corpus_score(
            SYSTEM, REFERENCES
        ),
        lambda m: m.BLEU.compute_bleu([4, 2, 1, 0], [6, 5, 4, 3], 6, 8, "floor", 0.2, True, 4),
        lambda m: m.BLEU.compute_bleu(np.array([4.0, 0]), np.array([6.0, 5]), 6, 8, "add-k", 1,
                                      False, 2),
    ],
)  # fmt: skip
def test_positional_arguments_mean_what_they_mean_in_sacrebleu(call: Callable) -> None:
    assert repr(everything(call(bleu))) == repr(everything(call(sacrebleu)))


def test_the_names_that_ours_had_before_are_refused_and_not_taken_for_others() -> None:
    for words in ({"effective_order": True}, {"max_order": 2}):
        with pytest.raises(TypeError, match="unexpected keyword"):
            corpus_bleu(SYSTEM, REFERENCES, **words)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="lowercase must be True or False, got '13a'"):
        corpus_bleu(SYSTEM, REFERENCES, "exp", None, False, "13a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"tokenize must be one of .* got 4"):
        sentence_bleu("a", ["a"], "exp", None, False, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [None, "7", "0"])
def test_the_bootstrap_draws_what_sacrebleu_draws(
    seed: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    if seed is not None:
        monkeypatch.setenv("SACREBLEU_SEED", seed)
    for options in ({}, {"smooth_method": "add-k", "smooth_value": np.float64(0.37)}):
        ours, theirs = BLEU(**options), sacrebleu.BLEU(**options)
        score = ours.corpus_score(SYSTEM, REFERENCES, n_bootstrap=200)
        expected = theirs.corpus_score(SYSTEM, REFERENCES, n_bootstrap=200)
        assert everything(score) == everything(expected)
        assert [*map(settings_of, signatures(ours))] == [*map(settings_of, signatures(theirs))]
        assert score.signature == str(ours.get_signature())
        assert "|bs:" not in ours.corpus_score(SYSTEM, REFERENCES).signature


def test_a_seed_is_a_number_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SACREBLEU_SEED", "none")
    metric = BLEU()
    ends = {metric.corpus_score(SYSTEM, REFERENCES, 40)._mean for _ in range(4)}
    assert len(ends) > 1
    assert "|seed:none|" in str(metric.get_signature())
    monkeypatch.setenv("SACREBLEU_SEED", "1.5")
    with pytest.raises(
        ValueError, match=r"SACREBLEU_SEED must be a whole number or none, got '1\.5"
    ):
        metric.corpus_score(SYSTEM, REFERENCES, 40)


def test_references_are_kept_for_many_systems() -> None:
    ours, theirs = BLEU(references=REFERENCES), sacrebleu.BLEU(references=REFERENCES)
    assert settings_of(str(ours.get_signature())) == settings_of(str(theirs.get_signature()))
    for system in (SYSTEM, SYSTEM[::-1]):
        score, expected = ours.corpus_score(system, None), theirs.corpus_score(system, None)
        assert everything(score) == everything(expected)
        assert score.signature.startswith("nrefs:var|")
    other = [[text] for text in SYSTEM]  # given with the call, they go before those kept
    assert ours.corpus_score(SYSTEM[:1], other).score == corpus_bleu(SYSTEM[:1], other).score
    with pytest.raises(ValueError, match="made with have 3 segments, but there are 2 hypotheses"):
        ours.corpus_score(SYSTEM[:2], None)
    with pytest.raises(ValueError, match=r"give them here, or to BLEU\(references"):
        BLEU().corpus_score(SYSTEM, None)
    with pytest.raises(ValueError, match=r"references\[1\] has 1 segments, but references\[0\] ha"):
        BLEU(references=[["a", "b"], ["a"]])


@pytest.mark.parametrize("n_bootstrap", [1, 50])
def test_json_has_sacrebleus_fields(n_bootstrap: int) -> None:
    printed = []
    for module in (bleu, sacrebleu):
        metric = module.BLEU()
        score = metric.corpus_score(SYSTEM, REFERENCES, n_bootstrap=n_bootstrap)
        signature = str(metric.get_signature())
        fields = json.loads(score.format(3, signature=signature, is_json=True))
        assert score.format(3, False, signature).startswith(f"BLEU|{signature} = 47.")
        printed.append({**fields, "signature": settings_of(signature), "version": ""})
    assert printed[0] == printed[1]
    assert list(printed[0]) == list(printed[1])
    with pytest.raises(ValueError, match=r"JSON needs a signature: format\(signature=score"):
        corpus_bleu(SYSTEM, REFERENCES).format(is_json=True)


@pytest.mark.parametrize("test_type", ["bs", "ar"])
def test_sacrebleus_significance_test_takes_our_metric(test_type: str) -> None:
    chance = random.Random(0)
    texts = [" ".join(chance.choices(WORDS[:6], k=7)) for _ in range(30)]
    named = [
        (name, [" ".join(w for w in t.split() if chance.random() > drop) for t in texts])
        for name, drop in (("baseline", 0.3), ("better", 0.05), ("alike", 0.3))
    ]
    results = [
        PairedTest(named, {"BLEU": module.BLEU(references=[texts])}, None, test_type, 60)()[1]
        for module in (bleu, sacrebleu)
    ]
    ours, theirs = ([str(result) for result in each["BLEU"]] for each in results)
    assert ours == theirs
    assert "p_value=0.0163934426" in ours[1]  # 1 in 61: never so far apart by chance


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowercase": "lc"}, "lowercase must be True or False, got 'lc'"),
        ({"force": 2}, "force must be True or False, got 2"),
        ({"effective_order": "no"}, "effective_order must be True or False, got 'no'"),
        ({"smooth_value": "0.1"}, "smooth_value must be a number or None, got '0.1'"),
        ({"trg_lang": None}, "trg_lang must be a language code such as 'de', got None"),
    ],
)
def test_settings_of_another_type_are_type_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        BLEU(**options)


def test_a_language_whose_tokenizer_is_missing_needs_one_that_is_named() -> None:
    for language, tokenizer in (("zh", "zh"), ("ja", "ja-mecab"), ("ko", "ko-mecab")):
        with pytest.raises(ValueError, match=f"takes the tokenizer '{tokenizer}', which minigpt"):
            BLEU(trg_lang=language)
        score = BLEU(trg_lang=language, tokenize="char").sentence_score("漢字", ["漢"])
        assert score == BLEU(tokenize="char").sentence_score("漢字", ["漢"])


def test_compute_bleu_wants_a_number_for_each_order() -> None:
    with pytest.raises(ValueError, match="correct has 3 orders and total 4, but max_ngram_order"):
        BLEU.compute_bleu([1, 0, 0], [2, 1, 0, 0], 2, 2)
    counts = [3, 1, 0, 0]
    BLEU.compute_bleu(counts, [4, 3, 2, 1], 4, 4, "add-k")
    assert counts == [3, 1, 0, 0]  # sacrebleu adds to the caller's


def test_texts_that_look_tokenized_are_warned_of_unless_forced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    texts = ["It is cold ."] * 100 + ["It is warm."]
    corpus_bleu(texts, [texts], force=True)
    corpus_bleu(texts[1:], [texts[1:]])
    raw_corpus_bleu(texts, [texts])
    assert not caplog.records
    corpus_bleu(texts, [texts])
    assert "100 of 101 hypotheses end in a point after a blank" in caplog.text


@pytest.mark.parametrize("tokenize", CUT)
def test_a_metric_can_be_copied_into_another_process(tokenize: str) -> None:
    metric = BLEU(True, tokenize=tokenize, references=REFERENCES)
    copy = pickle.loads(pickle.dumps(metric))
    score = copy.corpus_score(SYSTEM, None)
    assert score == metric.corpus_score(SYSTEM, None)
    assert pickle.loads(pickle.dumps(score)) == score


def test_settings_can_be_read_and_not_changed_without_effect() -> None:
    metric = BLEU(True, False, "char", "floor", 0.2, 3, True)
    for name in (
        "lowercase",
        "smooth_method",
        "smooth_value",
        "max_ngram_order",
        "effective_order",
    ):
        theirs = sacrebleu.BLEU(True, False, "char", "floor", 0.2, 3, True)
        assert getattr(metric, name) == getattr(theirs, name)
        with pytest.raises(AttributeError, match=name):
            setattr(metric, name, None)
    with pytest.raises(AttributeError, match="tokenizer"):
        metric.tokenizer = str.split  # type: ignore[attr-defined]


def test_sums_that_no_text_has_are_refused_as_by_sacrebleu() -> None:
    for module in (bleu, sacrebleu):
        with pytest.raises((TypeError, ValueError)):  # lengths are whole numbers
            module.BLEU.compute_bleu([1, 1, 1, 1], [4, 3, 2, 1], 4.5, 4)
        with pytest.raises(ValueError, match=r"math domain error|positive input"):
            module.BLEU.compute_bleu([1, -1, 1, 1], [4, 3, 2, 1], 4, 4)

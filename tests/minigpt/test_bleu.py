"""BLEU against sacrebleu, float for float, and its fast steps against their plain definitions."""

from __future__ import annotations

import doctest
import json
import math
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

import minigpt
from minigpt import bleu, metric_tokens
from minigpt.bleu import (
    BLEU,
    BLEUScore,
    brevity_penalty,
    clipped_matches,
    closest_length,
    corpus_bleu,
    count_matches,
    geometric_mean,
    ngrams,
    sentence_bleu,
    smooth,
)
from minigpt.fast.matches import fast_count_matches
from minigpt.metric_tokens import TOKENIZERS, fast_tokenize_13a, tokenize_13a

# What the rules of the tokenizers look at, so that every text is full of borderline cases.
PIECES = (
    *("a", "b", "the", "The", "le", "ÉTÉ", "é", "ß", "İ", "ΟΔΟΣ", "漢字", "नमस्ते", "🙂", "\ud800"),
    *("1", "23", "٣", "½", "1,000.5", "2-3", "-4", "5.", ",6", "x-y", "..", "-\n", "--\n"),
    *(" ", " ", " ", " ", "  ", "\t", "\n", "\r", "\x0b", "\x1c", "\x85"),
    *("\u00a0", "\u2028", "\u3000", *".,-.,-'", *'!?"()/$%&;@[\\]^_`{|}~<>', *"«»…—’€°×¿。"),
    *("&quot;", "&amp;", "&lt;", "&gt;", "&amp;quot;", "&apos;", "quot;", "amp;", "&am", "p;"),
    *("<skipped>", "<skip", "ped>", "<SKIPPED>", "-<skipped>\n"),
)
TEXTS = st.one_of(
    st.lists(st.sampled_from(("a", "b", "c", "a b", "the cat")), max_size=14).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
    st.text(".,-1 &", max_size=10),
    st.text(max_size=8),
)
SETTINGS = st.fixed_dictionaries(
    {
        "lowercase": st.booleans(),
        "tokenize": st.sampled_from(["13a", "13a", "intl", "char", "none"]),
        "smooth_method": st.sampled_from(["none", "floor", "add-k", "exp"]),
        "smooth_value": st.sampled_from([None, None, 0, 0.1, 0.37, 1, 2]),
        "max_ngram_order": st.sampled_from([4, 4, 4, 1, 2, 3, 5, 6, 7, 8, 9]),
        "effective_order": st.booleans(),
    }
)
PAIRS_PER_EXAMPLE = 10


@st.composite
def _corpora(draw: st.DrawFn) -> tuple[list[str], list[list[str | None]]]:
    """Draws 10 hypotheses, and 1 to 3 reference sets of 10, with None where one is missing."""
    n_sets = draw(st.integers(1, 3))
    segments = []
    for _ in range(PAIRS_PER_EXAMPLE):
        hypothesis = draw(TEXTS)
        # Equal and nearly equal texts, for matches of every order.
        like = st.just(hypothesis) | st.just("the " + hypothesis + " cat.")
        references = [draw(TEXTS | like)]
        references += [draw(st.none() | TEXTS | like) for _ in range(n_sets - 1)]
        segments.append((hypothesis, draw(st.permutations(references))))
    hypotheses = [hypothesis for hypothesis, _ in segments]
    return hypotheses, [[refs[i] for _, refs in segments] for i in range(n_sets)]


def _parts(score: Any) -> tuple[Any, ...]:
    """Returns everything a result holds, sacrebleu's or ours, to compare with ==."""
    numbers = (score.score, score.counts, score.totals, score.precisions, score.bp)
    return (*numbers, score.sys_len, score.ref_len, str(score), score.format(width=4))


def _settings_of(signature: Any) -> str:
    """Returns a signature without its version and without the order, which sacrebleu's lacks."""
    fields = str(signature).split("|")
    return "|".join(f for f in fields if not f.startswith(("version:", "order:")))


def _dialogsum(folder: Path) -> tuple[list[str], list[str]]:
    """Returns summaries that lack some words, and the summaries as they are."""
    lines = (folder / "dialogsum" / "dev.jsonl").read_text(encoding="utf-8").splitlines()
    references = [json.loads(line)["summary"] for line in lines]
    hypotheses = [
        " ".join(word for j, word in enumerate(text.split()) if (i + j) % 7)
        for i, text in enumerate(references)
    ]
    return hypotheses, references


@settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(_corpora(), SETTINGS)
def test_three_thousand_pairs_score_as_in_sacrebleu(
    corpus: tuple[list[str], list[list[str | None]]], options: dict[str, Any]
) -> None:
    hypotheses, references = corpus
    ours, theirs = BLEU(**options), sacrebleu.BLEU(**options)
    for i, hypothesis in enumerate(hypotheses):
        candidates = [reference_set[i] for reference_set in references]
        expected = theirs.corpus_score([hypothesis], [[c] for c in candidates])
        assert _parts(ours.sentence_score(hypothesis, candidates)) == _parts(expected)
        assert _settings_of(ours.get_signature()) == _settings_of(theirs.get_signature())
    expected = theirs.corpus_score(hypotheses, references)
    assert _parts(ours.corpus_score(hypotheses, references)) == _parts(expected)
    assert _settings_of(ours.get_signature()) == _settings_of(theirs.get_signature())


@pytest.mark.parametrize(("module", "attempted"), [(bleu, 1), (metric_tokens, 1)])
def test_the_examples_in_the_docstrings_are_true(module: Any, attempted: int) -> None:
    results = doctest.testmod(module)
    assert results.attempted == attempted
    assert results.failed == 0


@settings(max_examples=500, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text())
@example("a..5 a.,5 5.,a")
@example("twice gone: <skip<skipped>ped> &amp; --\n\n")  # what is left is not looked at again
def test_13a_tokenization_in_one_pass_is_that_of_the_rules(line: str) -> None:
    assert fast_tokenize_13a(line) == tokenize_13a(line)


def test_what_removing_joins_is_not_removed_again() -> None:
    text = "a<skip<skipped>ped> &amp; b --\n\nc"
    assert fast_tokenize_13a(text) == Tokenizer13a()(text).split()


@st.composite
def _sums(draw: st.DrawFn) -> tuple[list[int], list[int], int, int]:
    """Returns counts, totals and lengths as a corpus may have them."""
    totals = draw(st.lists(st.integers(0, 9), min_size=1, max_size=5))
    if draw(
        st.booleans()
    ):  # as texts have them; otherwise an order may follow on one that is empty
        totals.sort(reverse=True)
    counts = [draw(st.integers(0, total)) for total in totals]
    return counts, totals, totals[0], draw(st.integers(0, 12))


SUMS = _sums()
TOKENS = st.lists(st.sampled_from("aaabc"), max_size=12) | st.lists(st.sampled_from("abcdefgh"))


@settings(max_examples=500, derandomize=True, deadline=None)
@given(TOKENS, st.lists(TOKENS, min_size=1, max_size=3), st.integers(1, 9))
def test_masks_find_the_matches_of_the_definition(
    hypothesis: list[str], references: list[list[str]], order: int
) -> None:
    fast = fast_count_matches(hypothesis, references, order)
    assert fast == count_matches(hypothesis, references, order)


@pytest.mark.parametrize("n_tokens", [340, 681, 682, 683, 684, 900])
def test_texts_at_and_beyond_the_longest_mask_match_as_well(n_tokens: int) -> None:
    tokens = [str(i * i % 97) for i in range(n_tokens)]
    references = [tokens[3:], tokens[::-1]]
    fast = fast_count_matches(tokens, references, 4)
    assert fast == count_matches(tokens, references, 4)
    text, others = " ".join(tokens), [" ".join(reference) for reference in references]
    assert _parts(sentence_bleu(text, others)) == _parts(sacrebleu.sentence_bleu(text, others))


@pytest.mark.parametrize("tokenize", list(TOKENIZERS))
def test_real_summaries_score_as_in_sacrebleu(shared_data: Path, tokenize: str) -> None:
    hypotheses, references = _dialogsum(shared_data)
    expected = sacrebleu.corpus_bleu(hypotheses, [references], tokenize=tokenize)
    assert expected.score > 20
    assert _parts(corpus_bleu(hypotheses, [references], tokenize=tokenize)) == _parts(expected)
    for hypothesis, reference in zip(hypotheses[:150], references, strict=False):
        expected = sacrebleu.sentence_bleu(hypothesis, [reference], tokenize=tokenize)
        actual = sentence_bleu(hypothesis, [reference], tokenize=tokenize)
        assert _parts(actual) == _parts(expected)


def test_matches_are_clipped_by_the_best_reference() -> None:
    def unigrams(text: str) -> Any:
        return bleu.Counter(ngrams(text.split(), 1))

    # Papineni et al. 2002, section 2.1: seven times "the" is worth two.
    references = [unigrams("the cat is on the mat"), unigrams("there is a cat on the mat")]
    assert clipped_matches(unigrams("the the the the the the the"), references) == 2
    # Two references with one "b" each do not add up to two.
    assert clipped_matches(unigrams("b b"), [unigrams("a b"), unigrams("b c")]) == 1


@pytest.mark.parametrize(("length", "expected"), [(10, 9), (13, 13), (11, 9), (30, 16), (0, 9)])
def test_closest_length_is_the_shorter_of_two_as_near(length: int, expected: int) -> None:
    assert closest_length(length, [16, 13, 9]) == expected


def test_brevity_penalty_is_1_for_long_0_for_silent_and_falls_in_between() -> None:
    assert brevity_penalty(12, 12) == brevity_penalty(13, 12) == brevity_penalty(0, 0) == 1
    assert brevity_penalty(0, 5) == 0
    assert brevity_penalty(6, 12) == pytest.approx(2.718281828**-1)
    penalties = [brevity_penalty(n, 20) for n in range(1, 21)]
    assert penalties == sorted(set(penalties))


def test_each_smoothing_fills_orders_without_a_match() -> None:
    counts, totals = [3, 0, 0, 0], [4, 3, 2, 0]
    assert smooth(counts, totals) == (counts, totals, [75, 0, 0, 0])
    assert smooth(counts, totals, "floor", 0.5) == (counts, totals, [75, 50 / 3, 25, 0])
    assert smooth(counts, totals, "exp") == (counts, totals, [75, 100 / 6, 100 / 8, 0])
    assert smooth(counts, totals, "add-k") == (
        *([3, 1, 1, 1], [4, 4, 3, 1], [75, 25, 100 / 3, 100]),
    )
    assert (counts, totals) == ([3, 0, 0, 0], [4, 3, 2, 0])


def test_bleu_is_the_penalty_times_the_root_of_the_product() -> None:
    score = bleu.bleu([6, 4, 3, 2], [7, 6, 5, 4], sys_len=7, ref_len=8)
    product = 6 / 7 * 4 / 6 * 3 / 5 * 2 / 4
    assert score == pytest.approx(100 * math.exp(1 - 8 / 7) * product**0.25)
    assert bleu.bleu([6, 4, 3, 0], [7, 6, 5, 4], 7, 8) == bleu.bleu([0], [0], 0, 8) == 0


@settings(max_examples=500, derandomize=True, deadline=None)
@given(SUMS, st.sampled_from(list(bleu.SMOOTHING)), st.none() | st.floats(0, 2), st.booleans())
def test_bleu_of_sums_is_that_of_sacrebleu(
    sums: Any, method: str, value: float | None, effective_order: bool
) -> None:
    counts, totals, sys_len, ref_len = sums
    settings = method, value, effective_order, len(totals)
    expected = sacrebleu.BLEU.compute_bleu([*counts], [*totals], sys_len, ref_len, *settings)
    ours = BLEU.compute_bleu(counts, totals, sys_len, ref_len, *settings)
    assert _parts(ours) == _parts(expected)
    if method == "none" and not effective_order:
        assert bleu.bleu(counts, totals, sys_len, ref_len) == expected.score


def test_geometric_mean_is_the_root_of_the_product_and_0_if_one_is() -> None:
    assert geometric_mean([50, 2]) == pytest.approx(10)
    assert geometric_mean([50, 0, 2]) == 0


def test_keyword_and_class_settings_are_the_same_settings() -> None:
    texts, references = ["A cat sat on it"], [["a cat sat on a mat"]]
    options: dict[str, Any] = {"lowercase": True, "tokenize": "char", "smooth_method": "floor"}
    options |= {"smooth_value": 0.3}
    expected = BLEU(**options, effective_order=True).corpus_score(texts, references)
    assert corpus_bleu(texts, references, **options, use_effective_order=True) == expected
    assert sentence_bleu(texts[0], references[0], **options) == expected
    assert isinstance(expected, BLEUScore)


def test_signature_names_the_program_and_an_order_that_is_not_4() -> None:
    score = BLEU(max_ngram_order=2, smooth_method="floor").corpus_score(["a"], [["a"]])
    assert score.signature == (
        "nrefs:1|case:mixed|eff:no|tok:13a|smooth:floor[0.10]|order:2|version:minigpt-"
        + minigpt.__version__
    )
    with pytest.raises(ValueError, match="score something first"):
        BLEU().get_signature()


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (["a", "b"], [["a"]], r"references\[0\] has 1 segments, but there are 2 hypotheses"),
        (["a"], [["a"], ["a", "b", "c"]], r"references\[1\] has 3 segments, but there are 1 hypo"),
        (["a", "b"], [["a", None], ["a", None]], "segment 1 has no reference"),
        ([], [[]], "nothing to score: 0 segments, 1 reference sets"),
        (["a"], [], r"nothing to score: 1 segments, 0 reference sets"),
    ],
)
def test_missing_texts_are_value_errors(hypotheses: Any, references: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corpus_bleu(hypotheses, references)


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ("a b", [["a b"]], "hypotheses must be a list of strings, got 'a b'"),
        (["a b"], ["a b"], r"references\[0\] must be a list of strings, got 'a b'"),
        (["a b"], "a b", "references must be a list of lists of strings, got 'a b'"),
        (
            (text for text in ("a", "b")),
            [["a", "b"]],
            "hypotheses must be a list of strings, got <g",
        ),
        (["a"], [iter(["a"])], r"references\[0\] must be a list of strings, got <list_iterator"),
        (["a b"], [[b"a b"]], r"references\[0\]\[0\] must be a string, got b'a b'"),
        (["a", None], [["a", "b"]], r"hypotheses\[1\] must be a string, got None"),
        (["a"], [[3]], r"references\[0\]\[0\] must be a string, got 3"),
        (None, [["a"]], "hypotheses must be a list of strings, got None"),
    ],
)
def test_what_is_not_a_list_of_texts_is_a_type_error(
    hypotheses: Any, references: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        corpus_bleu(hypotheses, references)


def test_a_sentence_takes_one_text_and_a_list() -> None:
    with pytest.raises(TypeError, match="references must be a list of strings, got 'a b'"):
        sentence_bleu("a b", "a b")
    with pytest.raises(TypeError, match="hypothesis must be a string, got \\['a b'\\]"):
        sentence_bleu(["a b"], ["a b"])  # type: ignore[arg-type]
    for nothing in ([], [None]):
        with pytest.raises(ValueError, match="segment 0 has no reference"):
            sentence_bleu("a b", nothing)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenize": "zh"}, r"tokenize must be one of .*'13a', 'intl', 'char', 'none'.*got 'zh'"),
        ({"smooth_method": "exponential"}, "smooth_method must be one of .*'floor'.*'exponential'"),
        ({"smooth_value": -1}, "smooth_value must be 0 or more, and finite, got -1"),
        ({"smooth_value": float("nan")}, "smooth_value must be 0 or more, and finite, got nan"),
        ({"smooth_value": float("inf")}, "smooth_value must be 0 or more, and finite, got inf"),
        ({"max_ngram_order": 0}, "max_ngram_order must be a whole number from 1 to 9, got 0"),
        ({"max_ngram_order": 10}, "max_ngram_order must be a whole number from 1 to 9, got 10"),
        ({"max_ngram_order": 4.0}, r"max_ngram_order must be a whole number .*, got 4\.0"),
    ],
)
def test_unknown_settings_are_value_errors_that_say_what_is_allowed(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        BLEU(**options)

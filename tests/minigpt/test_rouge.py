"""The definitions of ROUGE by hand, the fast way against them, and what surrounds the scores."""

import doctest
import pickle
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.scoring import BootstrapAggregator

from minigpt import rouge
from minigpt import rouge as rouge_scorer
from minigpt.fast import matches
from minigpt.metric_tokens import fast_tokenize, stem
from minigpt.rouge import RougeScorer, Score, bootstrap_interval, mean_scores

seeded = settings(max_examples=500, deadline=None, derandomize=True)
lists_of_tokens = st.text("abc", max_size=14).map(list) | st.text("abcdefgh", max_size=80).map(list)
lines_of_tokens = st.lists(st.text("abcd", max_size=8).map(list), max_size=4)
texts = st.text("aB1 .\n'İßéKΣ漢", max_size=20)


def test_the_example_in_the_docstring_is_true():
    results = doctest.testmod(rouge)
    assert results.attempted == 3
    assert results.failed == 0


def test_the_course_example_of_rouge_1_2_and_l():
    scores = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(
        "It is cold outside.", "It is very cold outside."
    )
    assert scores["rouge1"] == Score(4 / 5, 4 / 4, 2 * 0.8 * 1.0 / 1.8)
    assert [round(x, 2) for x in scores["rouge2"]] == [0.5, 0.67, 0.57]
    assert scores["rougeL"] == scores["rouge1"]  # the subsequence has 4 words, not 2


def test_repeating_a_word_of_the_target_hits_it_once():
    scores = RougeScorer(["rouge1"]).score("It is cold outside.", "cold cold cold cold")
    assert scores["rouge1"] == Score(1 / 4, 1 / 4, 1 / 4)


def test_lcs_table_by_hand():
    assert rouge.lcs_table("abc", "bac") == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 1, 2]]
    assert rouge.lcs_table("", "ab") == [[0, 0, 0]]


@pytest.mark.parametrize("positions", [rouge.lcs_positions, matches.fast_lcs_positions])
@pytest.mark.parametrize(
    ("target", "prediction", "expected"),
    [
        ("ab", "ba", [0]),  # a tie: up first, so that the earlier target token is found
        ("abcde", "becd", [1, 2, 3]),
        ("aaa", "a", [2]),  # a match is taken at once, from the end
        ("abcde", "xy", []),
        ("", "a", []),
        ("a", "", []),
    ],
)
def test_which_of_several_lcs_is_found(positions, target, prediction, expected):
    assert positions(target, prediction) == expected


def test_union_lcs_of_lins_paper():
    """Section 3.2: w1 w2 w3 w4 w5 against w1 w2 w6 w7 w8 and w1 w3 w8 w9 w5 has 4 in the union."""
    target, prediction = [[1, 2, 3, 4, 5]], [[1, 2, 6, 7, 8], [1, 3, 8, 9, 5]]
    assert rouge.rouge_lsum(target, prediction).recall == 4 / 5
    assert matches.fast_union_hits(target, prediction) == 4


def test_lsum_counts_a_prediction_token_once_though_it_serves_two_lines():
    assert rouge.rouge_lsum([["a", "b"], ["a", "c"]], [["a"]]) == Score(1.0, 0.25, 0.4)


@seeded
@given(lists_of_tokens, lists_of_tokens)
def test_the_fast_way_is_the_definition(target, prediction):
    assert matches.fast_overlap(target, prediction) == rouge.overlap(target, prediction)
    positions = rouge.lcs_positions(target, prediction)
    assert matches.fast_lcs_positions(target, prediction) == positions
    length = rouge.lcs_table(target, prediction)[-1][-1]
    assert matches.fast_lcs_length(target, prediction) == length
    places = matches.Places(target, prediction)
    assert places.lcs_length() == length
    assert places.overlap() == rouge.overlap(target, prediction)
    bigrams = rouge.ngrams(target, 2), rouge.ngrams(prediction, 2)
    assert places.bigram_overlap() == rouge.overlap(*bigrams)
    for n in (1, 2, 3, 9):
        hits = rouge.overlap(rouge.ngrams(target, n), rouge.ngrams(prediction, n))
        assert matches.fast_ngram_hits(target, prediction, n) == hits


@seeded
@given(lines_of_tokens, lines_of_tokens)
def test_the_fast_union_is_the_definition(target, prediction):
    n_target, n_prediction = sum(map(len, target)), sum(map(len, prediction))
    hits = matches.fast_union_hits(target, prediction)
    score = rouge.score_from_hits(hits, n_target, n_prediction)
    assert score == rouge.rouge_lsum(target, prediction)


@seeded
@given(texts, texts)
def test_the_scorer_returns_what_the_definitions_define(target, prediction):
    scores = RougeScorer(rouge.ROUGE_TYPES).score(target, prediction)
    wanted, written = rouge.tokenize(target), rouge.tokenize(prediction)
    for n in range(1, 10):
        assert scores[f"rouge{n}"] == rouge.rouge_n(wanted, written, n)
    assert scores["rougeL"] == rouge.rouge_l(wanted, written)
    lines = ([rouge.tokenize(line) for line in t.split("\n") if line] for t in (target, prediction))
    lsum = rouge.rouge_lsum(*lines)
    assert scores["rougeLsum"] == lsum
    assert RougeScorer(["rougeLsum"]).score(target, prediction) == {"rougeLsum": lsum}


@seeded
@given(texts)
def test_fast_tokens_are_those_of_the_regular_expression(text):
    assert fast_tokenize(text) == rouge.tokenize(text)


@seeded
@given(lists_of_tokens, lists_of_tokens)
def test_an_lcs_is_a_common_subsequence_and_exchanging_the_sides_exchanges_p_and_r(a, b):
    positions = matches.fast_lcs_positions(a, b)
    rest = iter(b)
    assert positions == sorted(set(positions))
    assert all(a[i] in rest for i in positions)  # `in` uses the iterator up: the order is b's
    assert matches.fast_lcs_length(a, b) == matches.fast_lcs_length(b, a) == len(positions)
    one, other = rouge.rouge_l(a, b), rouge.rouge_l(b, a)
    assert (one.precision, one.recall) == (other.recall, other.precision)


@seeded
@given(texts)
def test_a_text_with_words_scores_1_against_itself(text):
    for score in RougeScorer(["rouge1", "rougeL", "rougeLsum"]).score(text, text).values():
        assert score == (Score(1.0, 1.0, 1.0) if rouge.tokenize(text) else Score(0.0, 0.0, 0.0))


@pytest.mark.parametrize("name", ["rouge0", "rouge10", "rougen", "rougeLSum", "rouge1\n", "bleu"])
def test_an_unknown_type_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match=r"rouge1, rouge2.*rougeL, rougeLsum; got ") as error:
        RougeScorer(["rouge1", name])
    assert repr(name) in str(error.value)


def test_what_cannot_be_scored_is_refused_in_words():
    scorer = RougeScorer(["rouge1"])
    with pytest.raises(ValueError, match="at least one target, got none"):
        scorer.score_multi([], "a")
    with pytest.raises(TypeError, match="got one text; use score"):
        scorer.score_multi("a text", "a")
    with pytest.raises(TypeError, match="texts of type str, got NoneType: None"):
        scorer.score("a", None)
    for target, prediction in ((None, "a"), ("a", b"a")):
        with pytest.raises(TypeError, match="rougeLsum cuts texts of type str into lines, got"):
            RougeScorer(["rougeLsum"]).score(target, prediction)
    with pytest.raises(
        ValueError, match=r"rouge_types must be a list, got 'rouge1'; put it in \[\]"
    ):
        RougeScorer("rouge1")
    with pytest.raises(TypeError, match=r"must have a method tokenize\(text\), got <class 'str'>"):
        RougeScorer(["rouge1"], tokenizer=str)


def test_the_memory_for_stems_is_bounded():
    assert stem.cache_info().maxsize == 65536
    assert [stem(word) for word in ("running", "trees", "was", "fly", "flies")] == [
        *("run", "tree", "was", "fly", "fli")
    ]


class Characters:
    """A tokenizer as rouge_score takes it."""

    def tokenize(self, text):
        return list(text)


def test_the_signature_holds_the_settings():
    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    assert scorer.signature.startswith("rouge|types:rouge1,rougeL|stem:porter|tok:ascii|version:")
    other = RougeScorer(["rouge1"], tokenizer=Characters())
    assert "|types:rouge1|stem:no|tok:Characters|" in other.signature
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy.score("a b", "a") == scorer.score("a b", "a")
    assert copy.signature == scorer.signature


def test_used_as_rouge_score_is_documented():
    scorer = rouge_scorer.RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    scores = scorer.score(
        "The quick brown fox jumps over the lazy dog", "The quick brown dog jumps on the log."
    )
    assert str(scores) == (
        "{'rouge1': Score(precision=0.75, recall=0.6666666666666666, fmeasure=0.7058823529411765), "
        "'rougeL': Score(precision=0.625, recall=0.5555555555555556, fmeasure=0.5882352941176471)}"
    )


def random_scores(n: int) -> list[dict[str, Score]]:
    random = np.random.default_rng(7)
    return [{name: Score(*random.random(3)) for name in ("rouge1", "rougeL")} for _ in range(n)]


def test_means_are_plain():
    scores = random_scores(50)
    means = mean_scores(iter(scores))
    assert list(means) == ["rouge1", "rougeL"]
    for name, mean in means.items():
        columns = zip(*(each[name] for each in scores), strict=True)
        assert mean == pytest.approx([statistics.fmean(column) for column in columns], abs=1e-15)


def test_the_bootstrap_interval_is_that_of_normal_theory_and_of_rouge_score():
    scores = random_scores(400)
    intervals = bootstrap_interval(scores, seed=3, n_samples=10_000)
    np.random.seed(3)  # the aggregator draws from the global generator
    aggregator = BootstrapAggregator(n_samples=10_000)
    for each in scores:
        aggregator.add_scores(each)
    theirs = aggregator.aggregate()
    for name, interval in intervals.items():
        matrix = np.array([each[name] for each in scores])
        half = 1.96 * matrix.std(axis=0) / 20  # of a mean over 400 texts
        assert interval.mid == mean_scores(scores)[name]
        np.testing.assert_allclose(interval.low, matrix.mean(axis=0) - half, atol=2.5e-3)
        np.testing.assert_allclose(interval.high, matrix.mean(axis=0) + half, atol=2.5e-3)
        np.testing.assert_allclose(interval.low, theirs[name].low, atol=2.5e-3)
        np.testing.assert_allclose(interval.high, theirs[name].high, atol=2.5e-3)


def test_the_bootstrap_depends_on_the_seed_alone_and_widens_with_confidence():
    scores = random_scores(30)
    first = bootstrap_interval(scores, seed=1)
    np.random.seed(99)
    assert bootstrap_interval(scores, seed=1) == first
    assert bootstrap_interval(scores, seed=2) != first
    wide = bootstrap_interval(scores, seed=1, confidence=0.99)["rouge1"]
    assert wide.low.fmeasure < first["rouge1"].low.fmeasure
    assert wide.high.fmeasure > first["rouge1"].high.fmeasure
    same = bootstrap_interval(scores[:1], seed=1)["rouge1"]
    assert same.low == same.mid == same.high == scores[0]["rouge1"]


def test_what_has_no_mean_is_refused():
    with pytest.raises(ValueError, match="no scores to average"):
        mean_scores([])
    plain = RougeScorer(["rouge1"]).score("a", "a")
    other = RougeScorer(["rouge1", "rougeL"]).score("a", "a")
    with pytest.raises(ValueError, match=r"different types have no mean: .*'rouge1',.*'rougeL'"):
        mean_scores([plain, other])
    for bad in ({"confidence": 1.0}, {"n_samples": 0}):
        with pytest.raises(ValueError, match="confidence must be between 0 and 1"):
            bootstrap_interval([plain], seed=0, **bad)

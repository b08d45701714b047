"""The same floats as rouge_score 0.1.2: on its published cases, made-up texts and real ones."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer as theirs

from minigpt.rouge import ROUGE_TYPES, RougeScorer

TYPES = list(ROUGE_TYPES)
SHORT_TYPES = ["rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum"]
SCORERS = {
    stem: (RougeScorer(TYPES, use_stemmer=stem), theirs.RougeScorer(TYPES, use_stemmer=stem))
    for stem in (False, True)
}
OURS, THEIRS = RougeScorer(SHORT_TYPES), theirs.RougeScorer(SHORT_TYPES)

# Texts in which much repeats, so that there are ties, clipping, empty lines and empty texts.
repeated = st.text("ab \n", max_size=24)
words = st.sampled_from(["the", "cat", "cats", "sat", "2", "\n", "\n\n", "--", "The", "o'clock"])
sentences = st.lists(words, max_size=16).map(" ".join)
odd = st.text("aB9 _.,\n\r\t\u2028\u00a0'İıßKſΣéÅ漢２ﬁ", max_size=16)
endings = ["ing", "ed", "ion", "ies", "ational", "ness", " ", " ", "\n"]
suffixed = st.lists(st.sampled_from([*"aeiybstl", *endings]), max_size=14).map("".join)


def seeded(n: int):
    return settings(max_examples=n, deadline=None, derandomize=True, database=None)


def assert_equal(target: str, prediction: str) -> None:
    assert OURS.score(target, prediction) == THEIRS.score(target, prediction)


@seeded(1200)
@given(repeated, repeated)
@example("", "")
@example("\n", "\n\n")
@example("a", "\n")
@example("...", "a")
@example("a\n\n\na", "\na\na\n")
def test_texts_of_two_letters(target, prediction):
    assert_equal(target, prediction)


@seeded(1200)
@given(sentences, sentences)
def test_texts_of_few_words(target, prediction):
    assert_equal(target, prediction)


@seeded(800)
@given(odd, odd)
@example("İstanbul", "i stanbul")  # lower() gives i and a dot above, which parts the word
@example("\u212aelvin", "kelvin")  # the Kelvin sign becomes a k
@example("straße", "STRASSE")  # lower() leaves ß, so it is a gap
@example("ΑΣ", "ας")
@example("２ ²", "2")  # digits of another kind do not count as digits here
@example("\ud800a", "a")  # half a character
@example("a\r\nb", "a\x0bb\x85a")  # only a line feed parts lines
def test_texts_that_lower_casing_and_other_alphabets_change(target, prediction):
    assert_equal(target, prediction)


@seeded(500)
@given(suffixed, suffixed, st.booleans())
def test_all_types_with_and_without_stemming(target, prediction, use_stemmer):
    ours, peer = SCORERS[use_stemmer]
    assert ours.score(target, prediction) == peer.score(target, prediction)


@seeded(500)
@given(st.lists(repeated | sentences, min_size=1, max_size=4), repeated | sentences)
@example(["a b", "b a"], "a")  # equally good: the first
@example(["first text", "first something"], "text first")
def test_several_targets(targets, prediction):
    assert OURS.score_multi(targets, prediction) == THEIRS.score_multi(targets, prediction)


@pytest.mark.parametrize(
    ("name", "target", "prediction", "expected"),
    [
        ("rouge1", "testing one two", "testing", (1, 1 / 3, 1 / 2)),
        ("rouge2", "testing one two", "testing one", (1, 1 / 2, 2 / 3)),
        ("rougeL", "testing one two", "testing one", (1, 2 / 3, 4 / 5)),
        ("rougeL", "testing one two", "testing two", (1, 2 / 3, 4 / 5)),
        ("rouge9", "testing one two", "testing", (0, 0, 0)),
        *((name, "testing one two", "", (0, 0, 0)) for name in SHORT_TYPES),
        ("rougeLsum", "w1 w2 w3 w4 w5", "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", (0.4, 0.8, 8 / 15)),
        ("rougeLsum", "w1 w2 w3 w4 w5", "/", (0, 0, 0)),
        ("rougeLsum", "", "w1", (0, 0, 0)),
        ("rougeLsum", "First sentence.\nSecond one.", "Second one.\nFirst sentence.", (1, 1, 1)),
        ("rougeLsum", "First thing. Second thing.", "Second thing. First thing.", (0.5, 0.5, 0.5)),
    ],
)
def test_published_cases(name, target, prediction, expected):
    """Facts from rouge_score's own unit tests (two of them with words changed)."""
    score = RougeScorer([name]).score(target, prediction)[name]
    assert score == pytest.approx(expected, abs=1e-12)
    assert score == theirs.RougeScorer([name]).score(target, prediction)[name]


def test_best_of_several_targets_is_chosen_for_each_type():
    """From rouge_score's own unit tests."""
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    scores = scorer.score_multi(["first text", "first something"], "text first")
    assert [score.fmeasure for score in scores.values()] == [1.0, 0.0, 0.5]


def test_a_tokenizer_made_for_rouge_score_can_be_passed():
    class Characters:
        def tokenize(self, text):
            return list(text)

    pair = ("the cat\nsat", "a cat sat\nthere")
    ours = RougeScorer(SHORT_TYPES, use_stemmer=True, tokenizer=Characters())
    peer = theirs.RougeScorer(SHORT_TYPES, use_stemmer=True, tokenizer=Characters())
    assert ours.score(*pair) == peer.score(*pair)


@pytest.mark.parametrize("use_stemmer", [False, True])
def test_dialogsum(shared_data, use_stemmer):
    """Summaries against the starts of their dialogues, which have a line for every turn."""
    lines = (shared_data / "dialogsum" / "dev.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    ours = RougeScorer(SHORT_TYPES, use_stemmer=use_stemmer)
    peer = theirs.RougeScorer(SHORT_TYPES, use_stemmer=use_stemmer)
    for record in records:
        start = record["dialogue"][:250]
        summary = record["summary"].replace(". ", ".\n")
        assert ours.score(summary, start) == peer.score(summary, start)

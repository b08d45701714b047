"""Lesson 6 computes the slides' scores again, cheats as it says, and its model is what it says."""

import math
import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from lessons.experiments import cheating, sentiment
from lessons.experiments.share_interval import share_interval
from lessons.experiments.slide_scores import judged_parts, longest_common_substring
from lessons.verdicts import Kind
from minigpt.classification import reliability
from minigpt.rouge import Score

WRONG = {"ROUGE-L recall", "ROUGE-L precision", "ROUGE-L F1", "ROUGE-L: length of the LCS"}
WRONG |= {"BLEU is an average of the precisions"}
BY_CHANCE = {  # what a quick run, too, reproduces but may not
    "Matthews correlation of guesses, 90% one class",
    "less weight decay, more overconfidence",
}


def test_lesson_06(run_lesson: Callable) -> None:
    lesson = run_lesson(6)
    assert set(lesson.figures) == {"corruption.png", "reliability.png"}
    published = {what: row for what, row in lesson.table.items() if row["source"]}
    wrong = {what for what, row in published.items() if row["kind"].endswith("is wrong")}
    assert wrong == WRONG
    assert "0.50, 0.40, 0.44" in lesson.table["ROUGE-L F1"]["verdict"]
    assert lesson.table["ROUGE-L: length of the LCS"]["measured here"].startswith("4:")
    assert all(
        row["kind"] == "reproduced"
        for what, row in published.items()
        if what not in WRONG | BY_CHANCE
    )
    bleu = [
        row["measured here"] for what, row in lesson.table.items() if what.startswith("BLEU of")
    ]
    assert bleu[:4] == [
        "0.495; with 13a 0.539",
        "0.730; with 13a 0.750",
        "0.798; with 13a 0.772",
        "1.000; with 13a 1.000",
    ]
    # Four of the five words are shared: 2 x 4 / (5 + 4). Two of five and four: 2 x 2 / (5 + 4).
    row = lesson.table["opposite coffee, equal tea: ROUGE-1"]
    assert row["measured here"] == f"{8 / 9:.2f} for the opposite, {4 / 9:.2f} for the same"
    # TP 85, FN 5, FP 2, TN 8: (85 x 8 - 2 x 5) / sqrt(87 x 90 x 10 x 13)
    expected = f"{(85 * 8 - 2 * 5) / math.sqrt(87 * 90 * 10 * 13):.2f}"
    (line,) = [line for line in lesson.output.splitlines() if line.startswith("finds 8 of 10")]
    of_good, of_bad = 170 / 177, 16 / 23
    macro = f"{(of_good + of_bad) / 2:.2f}"
    assert line.split()[-5:] == ["0.93", f"{of_good:.2f}", f"{of_bad:.2f}", macro, expected]
    row = lesson.table['"not" in place of "very": ROUGE-1, 2, L']
    assert row["measured here"] == "F1 0.89 0.57 0.89 and 0.89 0.57 0.89"
    row = lesson.table["the same four outputs with 13a"]
    assert (row["measured here"], row["kind"]) == ("0.539, 0.750, 0.772, 1.000", "holds")
    check_in = [row for what, row in lesson.table.items() if what.startswith("check-in dialogue")]
    assert len(check_in) == 3


def test_a_substring_has_no_gaps_and_a_printed_figure_is_judged_by_its_part() -> None:
    a, b = ["it", "is", "cold", "outside"], ["it", "is", "very", "cold", "outside", "now"]
    assert longest_common_substring(a, b) == ["it", "is"]
    assert longest_common_substring(b, ["very", "cold", "outside"]) == b[2:5]
    assert longest_common_substring(a, ["warm"]) == []
    found = judged_parts(("0.5", "0.25", "0.4"), Score(0.25, 0.5, 1 / 3), "it is")
    assert [(part, ours) for part, _, ours, _ in found] == [
        ("recall", "0.50"), ("precision", "0.25"), ("F1", "0.33"),
    ]  # fmt: skip
    kinds = [verdict.kind for _, _, _, verdict in found]
    assert kinds == [Kind.REPRODUCED, Kind.REPRODUCED, Kind.WRONG]


def test_damage_costs_a_text_its_score_from_none_to_all() -> None:
    texts = ["a b c d e f g h", "i j k l m n o p"]
    curves = cheating.damage_curves(texts, [0, 0.5, 1], random.Random(0))
    assert set(curves) == {"replaced", "left out", "displaced"}
    for points in curves.values():
        assert points[0] == pytest.approx({"rouge1": 1, "rouge2": 1, "rougeL": 1, "BLEU": 1})
    assert curves["left out"][2] == {"rouge1": 0, "rouge2": 0, "rougeL": 0, "BLEU": 0}
    assert all(point["rouge1"] == 1 for point in curves["displaced"])
    assert curves["displaced"][2]["rouge2"] < 1
    # Each has 8 words: of the first 6 are the reference's, of the second none.
    outputs = ["a b c d e f x y", "q r s t u v w z"]
    assert cheating.each_rouge_l(texts, outputs).tolist() == [0.75, 0]
    assert cheating.corpus_scores(texts, outputs)["rougeL"] == 0.375


def test_spoiled_summaries_keep_what_they_promise() -> None:
    dice, text = random.Random(0), "#Person1# is late. #Person2# will wait and will call."
    assert cheating.negate(text) == text.replace("is", "is not", 1)
    assert cheating.negate("They met.") == "It is not true that They met."
    assert cheating.exchange(cheating.exchange(text)) == text != cheating.exchange(text)
    assert Counter(cheating.shuffle(text, dice).split()) == Counter(text.split())
    assert cheating.repeat(text) == " ".join(["will"] * 9)
    words = [str(i) for i in range(2000)]
    for damage in (
        lambda share: cheating.replace_words(words, share, dice, ["x"]),
        lambda share: cheating.displace_words(words, share, dice),
    ):
        assert damage(0.0) == words
        changed = sum(a != b for a, b in zip(words, damage(0.3), strict=True))
        assert changed == pytest.approx(600, abs=100)  # about 5 standard errors
    assert sorted(cheating.displace_words(words, 1.0, dice)) == sorted(words)
    assert len(cheating.drop_words(words, 0.3, dice)) == pytest.approx(1400, abs=100)
    assert cheating.drop_words(words, 1.0, dice) == []


def test_typos_exchange_two_inner_letters_of_a_word() -> None:
    text = "It was really good, honestly: a see-saw of ideas, aaaa."
    typed = sentiment.with_typos(text, 1.0, random.Random(0)).split(" ")
    before = text.split(" ")
    assert [len(word) for word in typed] == [len(word) for word in before]
    for old, new in zip(before, typed, strict=True):
        wrong = [i for i in range(len(old)) if old[i] != new[i]]
        assert Counter(old) == Counter(new)
        assert len(wrong) in (0, 2)
        assert not wrong or (wrong[0] > 0 and wrong[1] == wrong[0] + 1 < len(old) - 1)
    assert typed[2] != "really"
    assert sentiment.with_typos(text, 0.0, random.Random(0)) == text


def test_the_weights_of_a_bag_of_words_are_at_the_minimum_of_the_loss() -> None:
    """Both words are in one review each, so the weight w of either solves sigmoid(-w) = 4 w c."""
    records = [{"text": "good", "label": "positive"}, {"text": "bad", "label": "negative"}]
    penalty = 0.05
    model = sentiment.fit(records, penalty, n_steps=2000)
    low, high = 0.0, 10.0
    for _ in range(60):
        w = (low + high) / 2
        low, high = (w, high) if 1 / (1 + math.exp(w)) > 4 * w * penalty else (low, w)
    assert model.weights.tolist() == pytest.approx([-w, w, 0], abs=1e-3)  # bad, good, bias
    p = model.probabilities(["Good!", "bad, bad", "neither"])
    assert p == pytest.approx([1 / (1 + math.exp(-w)), 1 / (1 + math.exp(w)), 0.5], abs=1e-3)
    given = sentiment.answer(model, ["good", "bad"], ["positive", "positive"])
    assert given.predictions == ["positive", "negative"]
    assert given.right.tolist() == [True, False]
    assert given.confidences == pytest.approx([p[0]] * 2, abs=1e-3)


def test_error_bars_of_a_share_stay_inside_and_hold_the_truth() -> None:
    for share, n in ((0.0, 5), (1.0, 5), (0.5, 100), (0.9, 17)):
        low, high = share_interval(share, n)
        assert 0 <= low <= share <= high <= 1
        for end in {low, high} - {0.0, 1.0}:  # two of its standard errors away from what was seen
            assert abs(end - share) == pytest.approx(2 * math.sqrt(end * (1 - end) / n))
    assert share_interval(0.0, 5)[1] > 0.4  # none of five is not certain


def test_the_reliability_figure_shows_each_bin() -> None:
    sure = np.linspace(0.5, 1, 50)
    bins = reliability(sure, sure > 0.7, bins=10)
    figure = sentiment.draw_reliability({"one": bins, "other": bins}, 50)
    for axis in figure.axes:
        assert [int(text.get_text()) for text in axis.texts] == [each.count for each in bins]

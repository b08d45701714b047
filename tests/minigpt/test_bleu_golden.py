"""BLEU scores that others have published: sacrebleu's documentation and tests, and the slides."""

from __future__ import annotations

from typing import Any

import pytest

from minigpt.bleu import BLEU, bleu, corpus_bleu, sentence_bleu

# The example of sacrebleu's README, "Using SacreBLEU from Python".
SYSTEM = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
REFERENCES: list[list[str | None]] = [
    ["The dog bit the man.", "It was not unexpected.", "The man bit him first."],
    ["The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."],
]
PRINTED = "BLEU = 48.53 82.4/50.0/45.5/37.5 (BP = 0.943 ratio = 0.944 hyp_len = 17 ref_len = 18)"


def test_readme_example_prints_its_line() -> None:
    metric = BLEU()
    assert repr(metric.corpus_score(SYSTEM, REFERENCES)) == PRINTED
    settings, version = str(metric.get_signature()).rsplit("|", 1)
    assert settings == "nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp"
    assert version.startswith("version:minigpt-")
    assert str(corpus_bleu(SYSTEM, REFERENCES)) == PRINTED


@pytest.mark.parametrize(("missing", "n_refs"), [(None, "var"), ("", "2")])
def test_readme_example_with_a_missing_reference(missing: str | None, n_refs: str) -> None:
    # The README shows nrefs:var for "" as well; sacrebleu 2.6 itself says so of None alone.
    references = [[missing, *REFERENCES[0][1:]], REFERENCES[1]]
    score = corpus_bleu(SYSTEM, references)
    assert str(score) == (
        "BLEU = 29.44 82.4/42.9/27.3/12.5 (BP = 0.889 ratio = 0.895 hyp_len = 17 ref_len = 19)"
    )
    assert score.signature.startswith(f"nrefs:{n_refs}|")


@pytest.mark.parametrize(
    ("system", "options", "expected"),
    [  # sacrebleu's test/test_bleu.py
        (SYSTEM, {}, 48.530827),
        (["", "", ""], {}, 0.0),
        (SYSTEM, {"tokenize": "none"}, 49.1919566),
        (SYSTEM, {"tokenize": "intl"}, 43.91623493),
        (SYSTEM, {"smooth_method": "none"}, 48.530827),
    ],
)
def test_corpus_cases_of_sacrebleu(
    system: list[str], options: dict[str, Any], expected: float
) -> None:
    assert corpus_bleu(system, REFERENCES, **options).score == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("system", "references", "floor", "expected"),
    [  # sacrebleu's test/test_bleu.py, raw_corpus_bleu: no tokenization, floor, effective order
        (["this is a test"], ["this is a test"], 0.01, 1.0),
        (["this is a fest"], ["this is a test"], 0.01, 0.223606797749979),
        (["test"], ["a test"], 0.01, 0.3678794411714425),
        (["a test"], ["a test"], 0.01, 1.0),
        (["a little test"], ["a test"], 0.01, 0.03218297948685433),
    ],
)
def test_raw_cases_of_sacrebleu(
    system: list[str], references: list[str], floor: float, expected: float
) -> None:
    score = corpus_bleu(
        system, [references], "floor", floor, tokenize="none", use_effective_order=True
    ).score
    assert score / 100 == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("smooth_method", "smooth_value", "lowercase", "tokenize", "expected"),
    [  # sacrebleu's test/test_sentence_bleu.py
        ("exp", None, False, "13a", 8.493),
        ("none", None, False, "13a", 0.0),
        ("floor", None, False, "13a", 4.51688),
        ("floor", 0.1, False, "13a", 4.51688),
        ("floor", 0.5, False, "13a", 10.10),
        ("add-k", None, False, "13a", 14.882),
        ("add-k", 1, False, "13a", 14.882),
        ("add-k", 2, False, "13a", 21.389),
        ("exp", None, False, "none", 7.347),
        ("exp", None, False, "intl", 8.493),
        ("exp", None, False, "char", 40.8759),
        ("exp", None, True, "char", 42.0267),
    ],
)
def test_sentence_cases_of_sacrebleu(
    smooth_method: str, smooth_value: float | None, lowercase: bool, tokenize: str, expected: float
) -> None:
    score = sentence_bleu(
        "Producția de zahăr primă va fi exprimată în ceea ce privește zahărul alb;",
        ["producţia de zahăr brut se exprimă în zahăr alb;"],
        smooth_method=smooth_method,
        smooth_value=smooth_value,
        lowercase=lowercase,
        tokenize=tokenize,
    ).score
    assert score == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("smooth_method", ["exp", "none", "floor", "add-k"])
def test_nothing_in_common_is_0_whatever_the_smoothing(smooth_method: str) -> None:
    score = sentence_bleu("this is a cat", ["okay thanks"], smooth_method=smooth_method)
    assert score.score == 0
    assert score.precisions == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("counts", "totals", "lengths", "expected"),
    [  # sacrebleu's test/test_bleu.py, compute_bleu
        ([9, 7, 5, 3], [10, 8, 6, 4], (11, 11), 0.8375922397),
        ([6, 5, 4, 0], [6, 5, 4, 3], (6, 6), 0.0),
        ([0, 0, 0, 0], [4, 4, 2, 1], (0, 1), 0.0),
        ([0, 0, 0, 0], [0, 0, 0, 0], (0, 0), 0.0),
    ],
)
def test_counts_of_sacrebleu(
    counts: list[int], totals: list[int], lengths: tuple[int, int], expected: float
) -> None:
    score = bleu(counts, totals, *lengths)
    assert score / 100 == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("hypothesis", "at_white_space", "with_13a"),
    [  # the slides print the first column; both to three digits
        ("I am very happy that I am drinking a cup of tea.", 0.495, 0.539),
        ("I am very happy that I am drinking a warm cup of tea.", 0.730, 0.750),
        ("I am very happy to say that I am drinking a warm tea.", 0.798, 0.772),
        ("I am very happy to say that I am drinking a warm cup of tea.", 1.000, 1.000),
    ],
)
def test_the_slides_scores(hypothesis: str, at_white_space: float, with_13a: float) -> None:
    reference = ["I am very happy to say that I am drinking a warm cup of tea."]
    for tokenize, expected in (("none", at_white_space), ("13a", with_13a)):
        score = sentence_bleu(hypothesis, reference, smooth_method="none", tokenize=tokenize).score
        assert score / 100 == pytest.approx(expected, abs=5e-4)


def test_a_perfect_match_is_a_hair_above_100() -> None:
    assert sentence_bleu("this is a good test", ["this is a good test"]).score == 100.00000000000004

"""Means and intervals against rouge_score's, draw for draw."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from rouge_score import scoring as peers

from minigpt import rouge, scoring
from minigpt.scoring import AggregateScore, BootstrapAggregator, Score, fmeasure


def _scores(n: int) -> list[dict[str, Score]]:
    random = np.random.default_rng(7)
    return [{name: Score(*random.random(3)) for name in ("rouge1", "rougeL")} for _ in range(n)]


@pytest.mark.parametrize(
    ("arguments", "options"), [((0.9, 60), {}), ((1,), {"n_samples": 7}), ((), {"n_samples": 9})]
)
def test_the_same_seed_gives_rouge_scores_intervals(arguments: Any, options: Any) -> None:
    results = []
    for module in (scoring, peers):
        np.random.seed(5)
        aggregator = module.BootstrapAggregator(*arguments, **options)
        for each in _scores(9):
            aggregator.add_scores(each)
        results.append((aggregator.aggregate(), np.random.random()))
    assert results[0] == results[1]  # and as much was drawn
    assert isinstance(results[0][0]["rougeL"], AggregateScore)
    assert isinstance(results[0][0]["rougeL"].low, Score)


class Chrf(NamedTuple):
    beta: float
    value: float


def test_scores_of_any_kind_are_aggregated_each_under_its_name() -> None:
    results = []
    for module in (scoring, peers):
        np.random.seed(0)
        aggregator = module.BootstrapAggregator(n_samples=20)
        assert aggregator.aggregate() == {}
        aggregator.add_scores({"chrf": Chrf(2.0, 0.5)})
        aggregator.add_scores({"chrf": Chrf(2.0, 0.7), "rouge1": Score(1, 0, 0)})
        results.append(aggregator.aggregate())
    assert results[0] == results[1]
    assert isinstance(results[0]["chrf"].mid, Chrf)


def test_what_is_not_a_confidence_or_number_of_samples_is_refused() -> None:
    for confidence in (-0.1, 1.01, float("nan")):
        with pytest.raises(ValueError, match="confidence_interval must be from 0 to 1, got"):
            BootstrapAggregator(confidence)
    with pytest.raises(ValueError, match="n_samples must be positive, got 0"):
        BootstrapAggregator(n_samples=0)


def test_fmeasure_is_the_harmonic_mean() -> None:
    for precision, recall in ((0, 0), (1, 0), (0.3, 0.7), (1, 1)):
        assert fmeasure(precision, recall) == peers.fmeasure(precision, recall)


def test_the_names_of_rouge_score_are_found_from_rouge() -> None:
    assert rouge.scoring is scoring
    assert rouge.rouge_scorer.RougeScorer is rouge.RougeScorer
    assert isinstance(rouge.RougeScorer(["rouge1"]), rouge.scoring.BaseScorer)
    assert isinstance(rouge.tokenizers.DefaultTokenizer(), rouge.tokenizers.Tokenizer)
    with pytest.raises(TypeError, match="abstract"):
        rouge.tokenizers.Tokenizer()

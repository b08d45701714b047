"""The texts that metrics are timed on are distinct, and the caches are empty."""

import pytest

from minigpt import bleu, metric_tokens
from minigpt.bench.metrics import damaged_pairs, empty_caches


def test_pairs_are_distinct_and_alike_but_not_equal() -> None:
    words = [f"word{i}" for i in range(1000)]
    pairs = damaged_pairs(words, n_pairs=50, n_words=20, seed=1)
    assert len({target for target, _ in pairs}) == 50
    for target, prediction in pairs:
        kept = set(target.split()) & set(prediction.split())
        assert 5 <= len(kept) < 20
    assert damaged_pairs(words, 50, 20, seed=1) == pairs
    with pytest.raises(ValueError, match="60 x 20 words are wanted, the text has 1000"):
        damaged_pairs(words, n_pairs=60, n_words=20, seed=1)


def test_caches_are_empty_when_timing_starts() -> None:
    bleu.corpus_bleu(["running quickly, he fell"], [["he fell"]])
    metric_tokens.tokenize_and_stem("running quickly")
    caches = [
        cached
        for module in (bleu, metric_tokens)
        for cached in vars(module).values()
        if hasattr(cached, "cache_info")
    ]
    assert any(cached.cache_info().currsize for cached in caches)
    empty_caches()
    assert not any(cached.cache_info().currsize for cached in caches)
